//! Who this agent is: its keys and what the controller gave it, in the agent's data directory.
//!
//! | path | holds |
//! |---|---|
//! | `keys/` | the private keys, made here and never sent |
//! | `state/membership.json` | id, name, controller, certificate and its generation |
//! | `state/join.json` | a request to join that may have been answered already |
//! | `state/renewal.json` | the same for the next certificate |
//! | `lock` | held while an agent runs or joins |
//!
//! The membership is one record, so that a certificate and its number change together or not at
//! all.
//!
//! Nothing here talks to anybody.

use crate::journal::{Journal, JournalError};
use jiff::Timestamp;
use provado_identity::files::{self, FileError};
use provado_identity::keys::KeysError;
use provado_identity::{AgentKeys, PeerCertificate, PublicKey, TrustDomain, pem};
use provado_model::id::AgentId;
use provado_model::random::Entropy;
use provado_model::time::Clock;
use provado_repository::signature::Signer;
use provado_repository::{Identity, IdentityFile, signature};
use rustix::fs::FlockOperation;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MEMBERSHIP: &str = "membership";

/// What the controller gave the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Version of this record; 1.
    pub format_version: u32,
    /// The agent's id.
    pub agent_id: AgentId,
    /// The agent's name.
    pub agent_name: String,
    /// `host:port` of the controller.
    pub controller: String,
    /// The Ed25519 key with which the controller countersigns, as base64.
    pub controller_public_key: String,
    /// The generation of the certificate.
    pub generation: i64,
    /// When the agent got the certificate, by its own clock.
    pub certificate_time: Timestamp,
    /// The certificate chain, leaf first.
    pub certificate_pem: String,
    /// The certificates to trust for the controller.
    pub authority_pem: String,
}

/// What is kept of the agent's identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The data directory or the lock in it.
    #[error("the data directory cannot be used")]
    File(#[from] FileError),
    /// A record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The lock.
    #[error("cannot lock {path}")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("another agent runs with the data directory {path}; stop it first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The age identity.
    #[error("the agent's age identity cannot be read; restore it from a copy or join again")]
    Identity(#[source] provado_repository::Error),
    /// A key in a record.
    #[error("the record {what} is damaged; restore it from a copy or join again")]
    Damaged {
        /// What it is about.
        what: &'static str,
    },
}

/// The agent's data directory, held by this process.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    state: Journal,
    /// The lock goes with the file.
    _lock: File,
}

impl Home {
    /// Makes the directory where it is missing (0700) and locks it for this process.
    pub fn open(directory: &Path) -> Result<Self, HomeError> {
        files::create_private_dir(directory)?;
        let path = directory.join("lock");
        let trouble = |source: std::io::Error| HomeError::Lock {
            path: path.clone(),
            source,
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(trouble)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(HomeError::InUse {
                    path: directory.to_owned(),
                });
            }
            Err(errno) => return Err(trouble(errno.into())),
        }
        Ok(Self {
            directory: directory.to_owned(),
            state: Journal::open(directory.join("state"))?,
            _lock: lock,
        })
    }

    /// Small records of the agent itself.
    pub const fn state(&self) -> &Journal {
        &self.state
    }

    /// The journal of accepted attempts.
    pub fn inbox(&self) -> PathBuf {
        self.directory.join("inbox")
    }

    /// The journal of outcomes that are not acknowledged.
    pub fn outbox(&self) -> PathBuf {
        self.directory.join("outbox")
    }

    /// The agent's keys, made at the first call.
    pub fn keys(&self, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<AgentKeys, HomeError> {
        let identity = || SecretString::from(IdentityFile::generate(clock.now()).text.as_str());
        let directory = self.directory.join("keys");
        Ok(AgentKeys::load_or_create(&directory, entropy, identity)?)
    }

    /// Who the agent is; `None` before it has joined.
    pub fn membership(&self) -> Result<Option<Membership>, HomeError> {
        Ok(self.state.read(MEMBERSHIP)?)
    }

    /// Writes who the agent is; a crash leaves the old record or the new one.
    pub fn set_membership(&self, membership: &Membership) -> Result<(), HomeError> {
        Ok(self.state.write(MEMBERSHIP, membership)?)
    }
}

impl Membership {
    /// What to do once the certificate has ended: the exact next commands.
    pub fn way_back(&self) -> String {
        format!(
            "an operator makes a token with `provado join-token create --agent {}`; then, on this \
             host, stop the agent, run `provado-agent join '<join string>'` as its user, and start \
             it again: it comes back as the same agent",
            self.agent_name
        )
    }

    /// When the certificate ends; `None` where it cannot be read.
    pub fn certificate_end(&self) -> Option<Timestamp> {
        let roots = pem::certificates(&self.authority_pem).ok()?;
        let domain = TrustDomain::from_authority(roots.first()?).ok()?;
        let chain = pem::certificates(&self.certificate_pem).ok()?;
        let leaf = PeerCertificate::read(chain.first()?, &domain).ok()?;
        Some(leaf.not_after)
    }

    /// The key with which the controller countersigns.
    pub fn controller_key(&self) -> Result<PublicKey, HomeError> {
        self.controller_public_key
            .parse()
            .map_err(|_| HomeError::Damaged { what: MEMBERSHIP })
    }
}

/// The identity that opens what operators sealed for this agent.
pub fn unsealer(keys: &AgentKeys) -> Result<Identity, HomeError> {
    Identity::from_file_text(keys.restore_identity.expose_secret()).map_err(HomeError::Identity)
}

/// The agent's signing key as the repository's engine asks for it.
#[derive(Debug)]
pub struct KeySigner {
    keys: Arc<AgentKeys>,
}

impl KeySigner {
    /// The signer of these keys.
    pub const fn new(keys: Arc<AgentKeys>) -> Self {
        Self { keys }
    }
}

impl Signer for KeySigner {
    fn public_key(&self) -> signature::PublicKey {
        signature::PublicKey(*self.keys.signing.public_key().as_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.keys.signing.sign(message)?.0)
    }
}
