//! A profile: which controller, and with which certificate. One TOML file.

use crate::error::{CliError, Result};
use provado_model::Kind;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file as it is written. Paths are relative to the file's own directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
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
            CliError::invalid("no profile: give --profile FILE or set PROVADO_PROFILE")
        })?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::new(
                Kind::NotFound,
                format!(
                    "cannot read the profile {}: {error}. The controller writes one for its first \
                     operator to `operator/profile.toml` in its data directory; give it with \
                     --profile",
                    path.display()
                ),
            )
        })?;
        let mut profile: Self = toml::from_str(&text).map_err(|error| {
            CliError::invalid(format!("the profile {} is wrong: {error}", path.display()))
        })?;
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
        std::fs::write(&path, format!("{good}colour='red'\n")).unwrap();
        assert_eq!(Profile::load(Some(&path)).unwrap_err().exit_code(), 2);
        assert_eq!(
            Profile::load(Some(Path::new("/nowhere")))
                .unwrap_err()
                .exit_code(),
            3
        );
    }
}
