//! From the targets of a job's message to the things themselves: servers and repositories, within
//! what the host's administrator allows. A target that is not what it was is refused (INV-TARGET).

use super::context::JobContext;
use crate::config::Config;
use crate::postgres::connection::{PgError, ServerAddress};
use crate::postgres::inspect::{error_text, identity};
use provado_model::id::{BackupId, InstanceId, RepositoryId};
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{BackupTarget, InstanceTarget, RepositoryTarget};
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::repository::KeySource;
use provado_repository::{Backend, BackupRef, Opening, Repository, SegmentKey};
use sqlx::PgConnection;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A server that answered and is the one that was meant.
pub(super) struct Reached {
    pub(super) address: ServerAddress,
    /// System identifier as decimal text.
    pub(super) identifier: String,
    /// Such as 150020.
    pub(super) version_number: u32,
}

impl Reached {
    /// Such as 15.
    pub(super) fn major(&self) -> u32 {
        self.version_number / 10_000
    }
}

/// How to reach the target: as configured, or through a socket where discovery is on.
pub(super) fn address_of(config: &Config, target: &InstanceTarget) -> Result<ServerAddress, Error> {
    let port = u16::try_from(target.port).unwrap_or(0);
    let configured = config
        .instances
        .iter()
        .find(|instance| instance.host == target.host && instance.port == port);
    if let Some(instance) = configured {
        return Ok(instance.address());
    }
    let is_known_socket = config
        .socket_directories
        .iter()
        .any(|directory| directory == Path::new(&target.host));
    if config.discover && is_known_socket && port > 0 {
        let user = config.discover_user.clone();
        return Ok(ServerAddress::socket(target.host.clone(), port, user));
    }
    Err(Error::new(
        Reason::InstanceNotFound,
        format!(
            "instance {} at {}:{} is neither in this agent's configuration nor behind a socket it \
             looks for",
            target.instance_name, target.host, target.port
        ),
    ))
}

/// Connects to the target and makes sure that it is the instance that was meant.
pub(super) async fn reach(
    config: &Config,
    target: &InstanceTarget,
    application_name: &str,
) -> Result<(Reached, PgConnection), Error> {
    let address = address_of(config, target)?;
    let mut connection = address
        .connect(&address.maintenance_database, application_name)
        .await
        .map_err(|error| unreachable(&address, &error))?;
    let (identifier, version_number) = identity(&mut connection)
        .await
        .map_err(|error| unreachable(&address, &error))?;
    if !target.system_identifier.is_empty() && target.system_identifier != identifier {
        return Err(Error::new(
            Reason::TargetChanged,
            format!(
                "the server at {} has system identifier {identifier}, not {} of the instance {}: \
                 it is another one; inspect the instance again",
                address.describe(),
                target.system_identifier,
                target.instance_name
            ),
        ));
    }
    let reached = Reached {
        address,
        identifier,
        version_number,
    };
    Ok((reached, connection))
}

/// PostgreSQL did not answer as it should.
pub(super) fn unreachable(address: &ServerAddress, error: &PgError) -> Error {
    Error::new(
        Reason::PostgresUnreachable,
        format!(
            "PostgreSQL at {} cannot be used: {}",
            address.describe(),
            error_text(error)
        ),
    )
}

/// A statement that had to work failed.
pub(super) fn query_failed(error: &PgError) -> Error {
    let reason = match error.sqlstate().as_deref() {
        Some("42501") => Reason::PostgresRights,
        Some("55P03") => Reason::LockTimeout,
        _ => Reason::PostgresUnreachable,
    };
    Error::new(reason, error_text(error))
}

/// Whether the root may be made.
pub(super) use provado_repository::backend::file::CreateRoot as Create;

/// The backend of a repository, if its path is one the configuration allows.
pub(super) fn backend(
    context: &JobContext,
    target: &RepositoryTarget,
    create: CreateRoot,
) -> Result<Arc<dyn Backend>, Error> {
    let path = allowed_path(&context.config.repository_roots, &target.path)?;
    let options = FileOptions {
        create,
        free_bytes_min: context.config.disk_reserve_bytes,
        entropy: Arc::clone(&context.entropy),
    };
    let backend = FileBackend::open(&path, options).map_err(|source| {
        let error = provado_repository::Error::Backend {
            doing: format!("opening {}", path.display()),
            source,
        };
        Error::from(error)
    })?;
    Ok(Arc::new(backend))
}

/// The path, if it is absolute, has no `..` and lies below (or is) one of the roots. Links are
/// followed first, so that a link inside a root does not lead out of it.
fn allowed_path(roots: &[PathBuf], text: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(text);
    let is_plain = path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let real = real_path(&path);
    let is_allowed = roots.iter().any(|root| real.starts_with(real_path(root)));
    if is_plain && is_allowed {
        return Ok(path);
    }
    let roots: Vec<String> = roots
        .iter()
        .map(|root| root.display().to_string())
        .collect();
    Err(Error::new(
        Reason::RepositoryMissing,
        format!(
            "this agent may not use {text:?} as repository: it must lie below {}; \
             change repository_roots in agent.toml or the repository's path",
            roots.join(" or ")
        ),
    ))
}

/// The path with links followed as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut at = path;
    loop {
        if let Ok(real) = at.canonicalize() {
            return missing
                .iter()
                .rev()
                .fold(real, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

/// Opens a repository on a backend, with its segment key where the message has one.
pub(super) async fn open(
    backend: Arc<dyn Backend>,
    target: &RepositoryTarget,
) -> Result<Repository, Error> {
    let expected: RepositoryId = parse_id(&target.repository_id)?;
    let key = if target.segment_key.is_empty() {
        KeySource::None
    } else {
        KeySource::SegmentKey(SegmentKey::from_hex(&target.segment_key)?)
    };
    let opening = Opening {
        expected_id: Some(expected),
        key,
    };
    Ok(Repository::open(backend, opening).await?)
}

/// An id of a message.
pub(super) fn parse_id<T>(text: &str) -> Result<T, Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Error::new(Reason::InvalidArgument, error.to_string()))
}

/// Which backup is meant.
pub(super) fn backup_ref(target: &BackupTarget) -> Result<BackupRef, Error> {
    Ok(BackupRef {
        instance_id: parse_id::<InstanceId>(&target.source_instance_id)?,
        backup_id: parse_id::<BackupId>(&target.backup_id)?,
    })
}

/// The repository of a job's message.
pub(super) fn repository_of(target: Option<&RepositoryTarget>) -> Result<&RepositoryTarget, Error> {
    target.ok_or_else(|| missing_field("repository"))
}

/// A field that a message must have is not there.
pub(super) fn missing_field(name: &'static str) -> Error {
    Error::new(
        Reason::InvalidArgument,
        format!("the job's message has no {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_a_root_are_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        let roots = [root.clone()];
        let inside = root.join("new/deep");
        for path in [root.clone(), inside] {
            let text = path.to_string_lossy().into_owned();
            assert_eq!(allowed_path(&roots, &text).unwrap(), path);
        }
        for bad in [
            format!("{}/../x", root.display()),
            format!("{}/out/x", root.display()),
            format!("{}x", root.display()),
            "/etc".to_owned(),
            "relative".to_owned(),
            String::new(),
        ] {
            let error = allowed_path(&roots, &bad).unwrap_err();
            assert_eq!(error.reason, Reason::RepositoryMissing, "{bad}");
        }
    }
}
