//! The keys of one agent: made on its host, kept on its disk, never sent.
//!
//! | file | holds |
//! |---|---|
//! | `tls-key.pem` | P-256, for mTLS with the controller |
//! | `signing-key.pem` | Ed25519, signs manifests and answers recovery challenges |
//! | `restore-identity.txt` | the identity that restore keys are sealed to; text of the caller |
//! | `certificate.pem` | the certificate now in use, replaced at every renewal |
//! | `roots.pem` | the authorities by which the agent knows its controllers |
//!
//! The TLS key stays the same over renewals, so that replacing one file is atomic.

use crate::csr::{RequestError, TlsKey};
use crate::files::{self, FileError};
use crate::pem::{self, PemError};
use crate::signing::{SigningError, SigningKey};
use provado_model::random::Entropy;
use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use zeroize::Zeroizing;

const TLS_FILE: &str = "tls-key.pem";
const SIGNING_FILE: &str = "signing-key.pem";
const IDENTITY_FILE: &str = "restore-identity.txt";
const CERTIFICATE_FILE: &str = "certificate.pem";
const ROOTS_FILE: &str = "roots.pem";

/// The private keys of one agent.
#[derive(Debug)]
pub struct AgentKeys {
    /// For mTLS.
    pub tls: TlsKey,
    /// For manifests, proofs and recovery.
    pub signing: SigningKey,
    /// What restore keys are sealed to; this crate does not look inside.
    pub restore_identity: SecretString,
}

/// What the controller gave the agent: its certificate and the roots to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCredential {
    /// The agent's certificate (a chain when there are intermediates).
    pub chain: Vec<CertificateDer<'static>>,
    /// The authorities that the controller's certificate may chain to.
    pub roots: Vec<CertificateDer<'static>>,
}

/// An agent's keys could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The files.
    #[error("the agent's keys cannot be read or written")]
    File(#[from] FileError),
    /// The TLS key.
    #[error("the agent's TLS key cannot be used")]
    Tls(#[from] RequestError),
    /// The signing key.
    #[error("the agent's signing key cannot be used")]
    Signing(#[from] SigningError),
    /// The certificate or the roots.
    #[error("the agent's certificate or its roots cannot be read")]
    Pem(#[from] PemError),
    /// A file that is no text.
    #[error("the agent's file `{name}` is not text; restore it from a copy or enroll again")]
    Text {
        /// The file's name.
        name: &'static str,
    },
}

impl AgentKeys {
    /// New keys. The signing seed comes from `entropy`; the caller makes the restore identity.
    pub fn generate(
        entropy: &dyn Entropy,
        restore_identity: SecretString,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            tls: TlsKey::generate()?,
            signing: SigningKey::generate(entropy)?,
            restore_identity,
        })
    }

    /// Writes them to a directory (0700, files 0600) that is new or empty, all at once.
    pub fn save(&self, directory: &Path) -> Result<(), KeysError> {
        let tls = self.tls.to_pem();
        let signing = self.signing.to_pem()?;
        let identity = self.restore_identity.expose_secret().as_bytes();
        let files = [
            (TLS_FILE, tls.as_bytes()),
            (SIGNING_FILE, signing.as_bytes()),
            (IDENTITY_FILE, identity),
        ];
        Ok(files::create_private_set(directory, &files)?)
    }

    /// Reads what [`Self::save`] wrote; wider modes and missing files are refused.
    pub fn load(directory: &Path) -> Result<Self, KeysError> {
        files::check_private_dir(directory)?;
        let identity = read_text(directory, IDENTITY_FILE)?;
        Ok(Self {
            tls: TlsKey::from_pem(&read_text(directory, TLS_FILE)?)?,
            signing: SigningKey::from_pem(&read_text(directory, SIGNING_FILE)?)?,
            restore_identity: SecretString::from(identity.as_str()),
        })
    }

    /// [`Self::load`] where the directory holds something, else new keys, saved.
    /// `restore_identity` is called only for new ones.
    pub fn load_or_create(
        directory: &Path,
        entropy: &dyn Entropy,
        restore_identity: impl FnOnce() -> SecretString,
    ) -> Result<Self, KeysError> {
        if !files::is_empty_or_absent(directory)? {
            return Self::load(directory);
        }
        let keys = Self::generate(entropy, restore_identity())?;
        keys.save(directory)?;
        Ok(keys)
    }
}

impl AgentCredential {
    /// What the controller sent, as PEM texts.
    pub fn from_pem(chain: &str, roots: &str) -> Result<Self, KeysError> {
        Ok(Self {
            chain: pem::certificates(chain)?,
            roots: pem::certificates(roots)?,
        })
    }

    /// Writes both files beside the keys, each at once; the roots first, since a certificate
    /// without them is of no use.
    pub fn save(&self, directory: &Path) -> Result<(), KeysError> {
        let roots = pem::encode_certificates(&self.roots);
        files::write_private(&directory.join(ROOTS_FILE), roots.as_bytes())?;
        let chain = pem::encode_certificates(&self.chain);
        files::write_private(&directory.join(CERTIFICATE_FILE), chain.as_bytes())?;
        Ok(())
    }

    /// Reads what [`Self::save`] wrote; `None` where the agent has not been enrolled yet.
    pub fn load(directory: &Path) -> Result<Option<Self>, KeysError> {
        let chain = match read_text(directory, CERTIFICATE_FILE) {
            Err(KeysError::File(error)) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let roots = read_text(directory, ROOTS_FILE)?;
        Self::from_pem(&chain, &roots).map(Some)
    }
}

fn read_text(directory: &Path, name: &'static str) -> Result<Zeroizing<String>, KeysError> {
    let bytes = files::read_private(&directory.join(name))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeysError::Text { name })?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::random::SeededEntropy;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("keys");
        let make = || SecretString::from("AGE-SECRET-KEY-1TEST");
        let entropy = SeededEntropy::new(1);
        let first = AgentKeys::load_or_create(&directory, &entropy, make).unwrap();
        let second =
            AgentKeys::load_or_create(&directory, &entropy, || unreachable!("made twice")).unwrap();
        assert_eq!(*first.tls.to_pem(), *second.tls.to_pem());
        assert_eq!(first.signing.public_key(), second.signing.public_key());
        assert_eq!(
            second.restore_identity.expose_secret(),
            "AGE-SECRET-KEY-1TEST"
        );
        assert!(
            first.save(&directory).is_err(),
            "keys are never overwritten"
        );
        let shown = format!("{first:?}");
        assert!(!shown.contains("AGE-SECRET"), "{shown}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn a_missing_or_open_key_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("keys");
        let entropy = SeededEntropy::new(1);
        let make = || SecretString::from("x");
        AgentKeys::load_or_create(&directory, &entropy, make).unwrap();
        for name in [TLS_FILE, SIGNING_FILE, IDENTITY_FILE] {
            let path = directory.join(name);
            let set = |mode| {
                std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            };
            set(0o640);
            assert!(AgentKeys::load(&directory).is_err(), "{name} readable");
            set(0o600);
            let aside = home.path().join("aside");
            std::fs::rename(&path, &aside).unwrap();
            let again = AgentKeys::load_or_create(&directory, &entropy, make);
            assert!(again.is_err(), "{name} missing");
            std::fs::rename(&aside, &path).unwrap();
        }
        assert!(AgentKeys::load(&directory).is_ok());
    }

    #[test]
    fn a_credential_is_absent_before_enrollment_and_replaced_after() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("keys");
        files::create_private_dir(&directory).unwrap();
        assert_eq!(AgentCredential::load(&directory).unwrap(), None);
        for byte in [1_u8, 2] {
            let credential = AgentCredential {
                chain: vec![CertificateDer::from(vec![byte; 9])],
                roots: vec![CertificateDer::from(vec![7; 9])],
            };
            credential.save(&directory).unwrap();
            assert_eq!(AgentCredential::load(&directory).unwrap(), Some(credential));
        }
    }
}
