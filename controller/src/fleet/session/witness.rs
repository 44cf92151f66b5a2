//! What an agent remembers of the audit chain, held against what this database knows.
//!
//! Every agent keeps the newest signed checkpoint that it was shown. A database that knows less
//! than a checkpoint was restored from an older copy; one that knows something else was rewritten.

use crate::events::{Context, audit_get, audit_head};
use crate::fleet::model::Witness;
use crate::fleet::store::agent;
use crate::fleet::{AgentPeer, Fleet};
use crate::lifecycle::controller::{amnesia_set, epoch_raise};
use provado_identity::PublicKey;
use provado_identity::signed_note::{Note, NoteKey};
use provado_model::Error;
use provado_model::audit_chain::Checkpoint;
use std::sync::Arc;

/// Longest checkpoint that is looked at, in bytes; ours have about 400.
const CHECKPOINT_BYTES_MAX: usize = 4 * 1024;

/// Which checkpoints went over one stream in either direction.
#[derive(Debug, Default)]
pub(super) struct Shown {
    by_agent: String,
    to_agent: Arc<str>,
}

impl Shown {
    /// Notes that the agent is sent this checkpoint; whether that is news to it.
    pub(super) fn sent(&mut self, checkpoint: &Arc<str>) -> bool {
        let news = self.to_agent != *checkpoint;
        self.to_agent = Arc::clone(checkpoint);
        news
    }
}

/// What a checkpoint says of this database.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The chain holds it.
    Agrees,
    /// The chain is shorter, or the epoch lower: this database is older.
    Forgotten(String),
    /// The chain says something else at this place.
    Rewritten(String),
}

impl Fleet {
    /// Looks at a checkpoint that an agent shows. What is wrong with it is written down; it never
    /// ends the stream, since the agent is not to blame.
    pub(super) async fn look_at_witness(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        shown: &mut Shown,
        note: &str,
    ) {
        if note.is_empty() || note == shown.by_agent || note.len() > CHECKPOINT_BYTES_MAX {
            return;
        }
        note.clone_into(&mut shown.by_agent);
        // Only what this controller signed counts; another controller's, or a forged one, says
        // nothing about this chain.
        let Some(checkpoint) = signed_by(&self.authorities.signing.public_key(), note) else {
            tracing::warn!(
                agent.id = %peer.id,
                agent.name = peer.name,
                "the agent {} shows an audit checkpoint that this controller did not sign",
                peer.name
            );
            return;
        };
        if checkpoint.controller != self.core.id().to_string() {
            return;
        }
        if let Err(error) = self.judge_witness(ctx, peer, &checkpoint).await {
            tracing::warn!(
                agent.id = %peer.id,
                "the audit checkpoint of the agent {} could not be looked at: {}",
                peer.name,
                error.chain()
            );
        }
    }

    async fn judge_witness(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        match self.verdict(peer, checkpoint).await? {
            Verdict::Agrees => {
                let witness = Witness {
                    sequence: checkpoint.head.sequence,
                    hash: checkpoint.head.hash.clone(),
                    epoch: checkpoint.epoch,
                };
                let mut tx = self.core.db.begin().await?;
                agent::agent_witness(&mut tx, peer.id, &witness).await?;
                tx.commit().await
            }
            Verdict::Forgotten(why) | Verdict::Rewritten(why) => {
                forgotten(self, ctx, checkpoint.epoch, &why).await
            }
        }
    }

    async fn verdict(&self, peer: &AgentPeer, checkpoint: &Checkpoint) -> Result<Verdict, Error> {
        let mut tx = self.core.db.read().await?;
        let head = audit_head(&mut tx).await?;
        let ours = audit_get(&mut tx, checkpoint.head.sequence).await?;
        tx.rollback().await?;
        let name = &peer.name;
        if checkpoint.head.sequence > head.sequence || checkpoint.epoch > self.core.epoch() {
            return Ok(Verdict::Forgotten(format!(
                "the agent {name} holds a signed audit checkpoint over event {} in epoch {}",
                checkpoint.head.sequence, checkpoint.epoch
            )));
        }
        if ours.is_some_and(|ours| ours.hash == checkpoint.head.hash) {
            return Ok(Verdict::Agrees);
        }
        Ok(Verdict::Rewritten(format!(
            "the agent {name} holds a signed audit checkpoint that event {} does not fit: the \
             chain was rewritten, or the database is an older copy that has gone on",
            checkpoint.head.sequence
        )))
    }
}

/// Writes down that someone knows more than this database, and goes above the epoch they know.
/// Deletes and restores wait for an operator from then on.
pub(super) async fn forgotten(
    fleet: &Fleet,
    ctx: &Context,
    known_epoch: u64,
    why: &str,
) -> Result<(), Error> {
    let mut tx = fleet.core.db.begin().await?;
    let news = amnesia_set(&mut tx, ctx, why).await?;
    if known_epoch >= fleet.core.epoch() || news {
        epoch_raise(&mut tx, ctx, known_epoch, why).await?;
    }
    tx.commit().await?;
    fleet.core.refresh_epoch().await?;
    if news {
        tracing::error!(
            epoch = fleet.core.epoch(),
            "this controller's database is not what it was: {why}; deletes and restores wait \
             until an operator agrees to go on"
        );
    }
    Ok(())
}

/// The checkpoint of a note, if this key signed it under the name that its origin gives.
fn signed_by(key: &PublicKey, note: &str) -> Option<Checkpoint> {
    let parsed = Note::parse(note).ok()?;
    let origin = parsed.unverified_text().lines().next()?.to_owned();
    let key = NoteKey::new(&origin, *key).ok()?;
    parsed.verify(&key).ok()?.parse().ok()
}
