//! The controller's own identity as a whole: both authorities and the signing key, in one
//! directory that appears all at once.
//!
//! A directory in which a part is missing is refused rather than completed: a new authority in
//! the place of a lost one would lock every agent out.

use super::{Authority, AuthorityKind, CaError, Misfit, damaged};
use crate::files::{self, FileError};
use crate::names::TrustDomain;
use crate::signing::SigningKey;
use provado_model::random::Entropy;
use provado_model::time::Clock;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

const AGENTS_FILE: &str = "agents-ca.pem";
const OPERATORS_FILE: &str = "operators-ca.pem";
const SIGNING_FILE: &str = "signing-key.pem";

/// Both authorities and the key by which the controller signs proofs and audit checkpoints.
#[derive(Debug)]
pub struct Authorities {
    /// Root of the listener that agents dial.
    pub agents: Authority,
    /// Root of the listener that operators dial.
    pub operators: Authority,
    /// Signs counter-signatures, proofs and audit checkpoints.
    pub signing: SigningKey,
}

impl Authorities {
    /// New authorities and a new signing key, in memory only.
    pub fn create(
        trust_domain: &TrustDomain,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        let authority =
            |kind| Authority::create(kind, trust_domain, Arc::clone(clock), Arc::clone(entropy));
        Ok(Self {
            agents: authority(AuthorityKind::Agents)?,
            operators: authority(AuthorityKind::Operators)?,
            signing: SigningKey::generate(entropy.as_ref())?,
        })
    }

    /// Writes them to a directory (0700, files 0600) that is new or empty, all at once.
    pub fn save(&self, directory: &Path) -> Result<(), CaError> {
        let agents = self.agents.to_pem();
        let operators = self.operators.to_pem();
        let signing = self.signing.to_pem()?;
        let files = [
            (AGENTS_FILE, agents.as_bytes()),
            (OPERATORS_FILE, operators.as_bytes()),
            (SIGNING_FILE, signing.as_bytes()),
        ];
        Ok(files::create_private_set(directory, &files)?)
    }

    /// Reads what [`Self::save`] wrote. Wider modes, other owners, missing or damaged parts and
    /// another trust domain are refused.
    pub fn load(
        directory: &Path,
        trust_domain: &TrustDomain,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        files::check_private_dir(directory)?;
        let authority = |kind, name| -> Result<Authority, CaError> {
            let text = read_text(&directory.join(name), kind)?;
            let clock = Arc::clone(clock);
            let found = Authority::from_pem(kind, &text, clock, Arc::clone(entropy))?;
            if found.trust_domain() != trust_domain {
                return Err(CaError::OtherTrustDomain {
                    found: found.trust_domain().clone(),
                    expected: trust_domain.clone(),
                });
            }
            Ok(found)
        };
        let agents = authority(AuthorityKind::Agents, AGENTS_FILE)?;
        let operators = authority(AuthorityKind::Operators, OPERATORS_FILE)?;
        let text = read_text(&directory.join(SIGNING_FILE), AuthorityKind::Agents)?;
        Ok(Self {
            agents,
            operators,
            signing: SigningKey::from_pem(&text)?,
        })
    }

    /// [`Self::load`] where the directory holds something, else [`Self::create`] and
    /// [`Self::save`]: what a controller calls when it starts.
    pub fn load_or_create(
        directory: &Path,
        trust_domain: &TrustDomain,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, CaError> {
        if !files::is_empty_or_absent(directory)? {
            return Self::load(directory, trust_domain, clock, entropy);
        }
        let made = Self::create(trust_domain, clock, entropy)?;
        match made.save(directory) {
            Ok(()) => Ok(made),
            // Another controller on the same directory was first; its authorities are the ones.
            Err(CaError::File(FileError::Exists { .. })) => {
                Self::load(directory, trust_domain, clock, entropy)
            }
            Err(error) => Err(error),
        }
    }
}

fn read_text(path: &Path, kind: AuthorityKind) -> Result<Zeroizing<String>, CaError> {
    let bytes = files::read_private(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(kind)(Misfit::Text))?;
    Ok(Zeroizing::new(text.to_owned()))
}
