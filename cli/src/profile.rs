//! A profile: which controller, and with which certificate. One TOML file.

use crate::error::{CliError, Result};
use provado_model::Reason;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file as it is written. Paths are relative to the file's own directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The file itself.
    #[serde(skip)]
    pub(crate) file: PathBuf,
    /// `host:port` of the controller's operator listener.
    pub(crate) endpoint: String,
    /// The name in the controller's certificate; the host of `endpoint` when left out.
    pub(crate) server_name: Option<String>,
    /// PEM file of the authorities to trust.
    pub(crate) authority_file: PathBuf,
    /// PEM file of the certificate chain.
    pub(crate) certificate_file: PathBuf,
    /// PEM file of the private key.
    pub(crate) key_file: PathBuf,
}

impl Profile {
    /// Reads the profile at `path`, or the default one of `$XDG_CONFIG_HOME/provado`.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self> {
        let default = default_path();
        let path = path.or(default.as_deref()).ok_or_else(|| {
            CliError::new(
                Reason::ProfileMissing,
                "no profile says which controller to ask: give --profile FILE or set \
                 PROVADO_PROFILE",
            )
        })?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::new(
                Reason::ProfileMissing,
                format!(
                    "cannot read the profile {}: {error}. Give another with --profile FILE or \
                     PROVADO_PROFILE. The controller writes one for its first operator to \
                     `operator/profile.toml` in its data directory; that operator makes others \
                     with `provado caller create`",
                    path.display()
                ),
            )
        })?;
        let mut profile: Self = toml::from_str(&text).map_err(|error| {
            CliError::invalid(format!(
                "the profile {} is wrong: {}. It has endpoint, authority_file, certificate_file, \
                 key_file and, if need be, server_name",
                path.display(),
                error.to_string().trim_end()
            ))
        })?;
        path.clone_into(&mut profile.file);
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for file in [
            &mut profile.authority_file,
            &mut profile.certificate_file,
            &mut profile.key_file,
        ] {
            *file = folder.join(&*file);
        }
        Ok(profile)
    }

    /// The text of a profile for the same controller, whose files lie beside it.
    pub(crate) fn for_another(&self) -> String {
        let server_name = self
            .server_name
            .as_ref()
            .map(|name| format!("server_name = {}\n", toml::Value::from(name.as_str())))
            .unwrap_or_default();
        format!(
            "endpoint = {}\n{server_name}authority_file = \"authority.crt\"\n\
             certificate_file = \"operator.crt\"\nkey_file = \"operator.key\"\n",
            toml::Value::from(self.endpoint.as_str())
        )
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the profile is looked for"
)]
fn default_path() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("provado/profile.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_profile_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let good = "endpoint='h:1'\nauthority_file='a'\ncertificate_file='c'\nkey_file='/k'\n";
        std::fs::write(&path, good).unwrap();
        let profile = Profile::load(Some(&path)).unwrap();
        assert_eq!(profile.authority_file, folder.path().join("a"));
        assert_eq!(profile.key_file, PathBuf::from("/k"));
        let mut other = profile.clone();
        other.server_name = Some("provado.example.org".to_owned());
        std::fs::write(&path, other.for_another()).unwrap();
        let read = Profile::load(Some(&path)).unwrap();
        assert_eq!(
            (&read.endpoint, &read.server_name),
            (&other.endpoint, &other.server_name)
        );
        assert_eq!(read.key_file, folder.path().join("operator.key"));
        std::fs::write(&path, format!("{good}colour='red'\n")).unwrap();
        let code = |path: &Path| Profile::load(Some(path)).unwrap_err().exit_code();
        assert_eq!(code(&path), 2);
        assert_eq!(code(Path::new("/nowhere")), 3);
    }
}
