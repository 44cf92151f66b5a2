//! The controller's word on a backup, beside the backup in the repository: with it a catalogue
//! can be rebuilt from the repository alone.

use crate::outbox::{BackupPlace, ControllerWord, Ended};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provado_identity::PublicKey;
use provado_model::random::Entropy;
use provado_repository::backend::file::{CreateRoot, FileBackend, FileOptions};
use provado_repository::document::Countersignature;
use provado_repository::repository::KeySource;
use provado_repository::signature::{self, Signer, Trust};
use provado_repository::{BackupRef, Error, Opening, Repository};
use std::path::Path;
use std::sync::Arc;

/// The word could not be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum WordError {
    /// The record or the word in it.
    #[error("the record of the backup is incomplete: {0}")]
    Record(&'static str),
    /// The repository.
    #[error("the repository could not be read or written")]
    Repository(#[from] Error),
}

impl WordError {
    /// Whether it may go away by itself.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Record(_) => false,
            Self::Repository(error) => matches!(
                error.reason().kind(),
                provado_model::Kind::Unavailable | provado_model::Kind::Exhausted
            ),
        }
    }
}

/// Gives the controller's signature back when it is asked to sign: it was made elsewhere.
#[derive(Debug)]
struct Given {
    key: signature::PublicKey,
    signature: [u8; 64],
}

impl Signer for Given {
    fn public_key(&self) -> signature::PublicKey {
        self.key
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.signature)
    }
}

/// Stores the word of an acknowledged backup. A second time changes nothing.
pub(super) async fn store(
    ended: &Ended,
    controller: PublicKey,
    entropy: &Arc<dyn Entropy>,
) -> Result<(), WordError> {
    let (Some(place), Some(word)) = (&ended.place, &ended.word) else {
        return Err(WordError::Record("it names no place"));
    };
    let key = signature::PublicKey(*controller.as_bytes());
    let given = given(word, key)?;
    let (backup, repository) = open(place, entropy).await?;
    let document = repository.document(backup, Trust::AnyKey).await?;
    let bytes = Countersignature::new(&document, word.sign_time).to_bytes(&given)?;
    let keys = [key];
    // Whatever was answered: only what the controller did sign is stored.
    Countersignature::from_bytes(&bytes, &document, Trust::Keys(&keys), "countersignature")?;
    repository.put_countersignature(&document, bytes).await?;
    Ok(())
}

fn given(word: &ControllerWord, key: signature::PublicKey) -> Result<Given, WordError> {
    let bytes = STANDARD.decode(&word.signature).ok();
    let signature = bytes.and_then(|bytes| bytes.try_into().ok());
    let signature = signature.ok_or(WordError::Record("its signature is not 64 bytes"))?;
    Ok(Given { key, signature })
}

async fn open(
    place: &BackupPlace,
    entropy: &Arc<dyn Entropy>,
) -> Result<(BackupRef, Repository), WordError> {
    let wrong = |_| WordError::Record("an id in it cannot be read");
    let backup = BackupRef {
        instance_id: place.instance_id.parse().map_err(wrong)?,
        backup_id: place.backup_id.parse().map_err(wrong)?,
    };
    let expected_id = Some(place.repository_id.parse().map_err(wrong)?);
    let options = FileOptions {
        create: CreateRoot::Never,
        free_bytes_min: 0,
        entropy: Arc::clone(entropy),
    };
    let backend = FileBackend::open(Path::new(&place.path), options)
        .map_err(Error::backend(format!("opening {}", place.path)))?;
    let opening = Opening {
        expected_id,
        key: KeySource::None,
    };
    Ok((backup, Repository::open(Arc::new(backend), opening).await?))
}

#[cfg(test)]
mod tests;
