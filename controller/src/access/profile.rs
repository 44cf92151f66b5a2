//! The first caller: made when the controller first starts, with a profile for the command line.
//!
//! `<data_dir>/operator` holds the key, the certificate, the authority to trust and `profile.toml`,
//! for whoever may read the controller's own directory. The files are written before the rows are
//! committed: after a crash in between, the next start makes both anew.

use super::Access;
use super::callers::{CERTIFICATE_LIFETIME_MAX, NewCaller};
use super::model::CallerState;
use super::store;
use jiff::SignedDuration;
use provado_identity::TlsKey;
use provado_identity::files::{self, FileError};
use provado_model::state::Role;
use provado_model::{Error, Reason};
use std::path::{Path, PathBuf};

/// The name of the caller that is made first.
pub const ADMIN_NAME: &str = "admin";
/// A certificate that ends sooner is replaced when the controller starts.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How the command line reaches the operators' listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port` to dial.
    pub address: String,
    /// The name that the server's certificate must carry.
    pub server_name: String,
}

/// The profile's directory and files.
struct Files {
    directory: PathBuf,
    profile: PathBuf,
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(data_dir: &Path) -> Self {
        let directory = data_dir.join("operator");
        Self {
            profile: directory.join("profile.toml"),
            authority: directory.join("operator-ca.crt"),
            certificate: directory.join("admin.crt"),
            key: directory.join("admin.key"),
            directory,
        }
    }

    /// The profile's text; paths are absolute, so that it may be copied.
    fn text(&self, endpoint: &Endpoint) -> String {
        let entry = |name: &str, value: &str| format!("{name} = {}\n", toml_text(value));
        let path = |path: &Path| path.to_string_lossy().into_owned();
        [
            "# How `provado` reaches this controller as its first caller.\n".to_owned(),
            entry("endpoint", &endpoint.address),
            entry("server_name", &endpoint.server_name),
            entry("authority_file", &path(&self.authority)),
            entry("certificate_file", &path(&self.certificate)),
            entry("key_file", &path(&self.key)),
        ]
        .concat()
    }
}

/// A TOML string literal.
fn toml_text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

impl Access {
    /// Makes the first caller where there is none, replaces its certificate where it ends soon,
    /// and brings the profile's address up to date. The profile's path, if there is one.
    ///
    /// Errors: `SERVICE_UNAVAILABLE` when the files cannot be written.
    pub async fn prepare_admin(
        &self,
        data_dir: &Path,
        endpoint: &Endpoint,
    ) -> Result<Option<PathBuf>, Error> {
        let files = Files::of(data_dir);
        let now = self.core.clock.now();
        let mut tx = self.core.db.read().await?;
        let count = store::caller_count(&mut tx).await?;
        let admin = store::caller_by_name(&mut tx, ADMIN_NAME).await?;
        tx.rollback().await?;
        let admin = admin.filter(|admin| admin.state == CallerState::Active);
        let ends_soon = |time: Option<jiff::Timestamp>| {
            time.is_none_or(|time| time.duration_since(now) < RENEW_BEFORE)
        };
        let wanted = match &admin {
            None => count == 0,
            // A profile that was moved away on purpose is not made anew.
            Some(admin) => files.key.exists() && ends_soon(admin.certificate_expire_time),
        };
        if wanted {
            self.write_profile(&files, endpoint).await?;
        } else if !files.profile.exists() {
            return Ok(None);
        } else {
            let text = files.text(endpoint);
            files::write_private(&files.profile, text.as_bytes()).map_err(cannot_write)?;
        }
        Ok(Some(files.profile))
    }

    /// Gives the first caller a new key, certificate and profile, as after a loss of the old ones.
    /// The profile's path.
    ///
    /// Errors: `SERVICE_UNAVAILABLE` when the files cannot be written.
    pub async fn renew_admin(
        &self,
        data_dir: &Path,
        endpoint: &Endpoint,
    ) -> Result<PathBuf, Error> {
        let files = Files::of(data_dir);
        self.write_profile(&files, endpoint).await?;
        Ok(files.profile)
    }

    async fn write_profile(&self, files: &Files, endpoint: &Endpoint) -> Result<(), Error> {
        let key = TlsKey::generate().map_err(cannot_make)?;
        let request = key.request().map_err(cannot_make)?;
        let ctx = self.core.task_context("access");
        let mut tx = self.core.db.begin().await?;
        let admin = store::caller_by_name(&mut tx, ADMIN_NAME).await?;
        let lifetime = CERTIFICATE_LIFETIME_MAX;
        let (_, issued) = match admin {
            Some(admin) if admin.state == CallerState::Revoked => {
                return Err(Error::new(
                    Reason::CertificateRevoked,
                    "the caller `admin` was revoked, which is for good; use another caller",
                ));
            }
            Some(admin) => {
                self.certificate_issue(&mut tx, &ctx, &admin, &request, lifetime)
                    .await?
            }
            None => {
                let new = NewCaller {
                    name: ADMIN_NAME,
                    role: Role::Dba,
                    certificate_request: &request,
                    lifetime,
                    creator: None,
                };
                self.caller_make(&mut tx, &ctx, &new).await?
            }
        };
        files::create_private_dir(&files.directory).map_err(cannot_write)?;
        let authority = self.authorities.operators.certificate_pem();
        for (path, bytes) in [
            (&files.key, key.to_pem().as_bytes()),
            (&files.certificate, issued.pem.as_bytes()),
            (&files.authority, authority.as_bytes()),
            (&files.profile, files.text(endpoint).as_bytes()),
        ] {
            files::write_private(path, bytes).map_err(cannot_write)?;
        }
        tx.commit().await?;
        tracing::info!(
            profile.path = %files.profile.display(),
            "the caller `admin` (dba) has its profile in {}",
            files.profile.display()
        );
        Ok(())
    }
}

fn cannot_write(source: FileError) -> Error {
    Error::new(
        Reason::ServiceUnavailable,
        format!("the profile of the first caller cannot be written: {source}"),
    )
    .caused_by(source)
}

fn cannot_make(source: provado_identity::csr::RequestError) -> Error {
    Error::internal("the key of the first caller could not be made").caused_by(source)
}
