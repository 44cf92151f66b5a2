//! What an agent remembers of the audit chain, held against what this database knows. The judgment
//! is `lifecycle`'s; here it is asked for at every hello and whenever an agent shows another one.

use crate::events::Context;
use crate::fleet::model::Witness;
use crate::fleet::store::agent;
use crate::fleet::{AgentPeer, Fleet};
use crate::lifecycle::controller::{
    Core, Verdict, checkpoint_verify, epoch_current, witness_apply, witness_judge,
};
use crate::request::Told;
use provado_identity::PublicKey;
use provado_identity::signed_note::NoteKey;
use provado_model::Error;
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

impl Fleet {
    /// Looks at what an agent shows: the highest epoch it has obeyed, and its checkpoint. What is
    /// wrong is written down; it never ends the stream, since the agent is not to blame.
    pub(super) async fn look_at_witness(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        shown: &mut Shown,
        note: &str,
        epoch: u64,
    ) {
        let is_known = note.is_empty() || note == shown.by_agent;
        if (is_known && epoch <= self.core.epoch()) || note.len() > CHECKPOINT_BYTES_MAX {
            return;
        }
        note.clone_into(&mut shown.by_agent);
        if let Err(error) = self.judge_witness(ctx, peer, note, epoch).await {
            tracing::warn!(
                agent.id = %peer.id,
                agent.name = peer.name,
                "what the agent {} remembers could not be looked at: {}",
                peer.name,
                error.chain()
            );
        }
    }

    async fn judge_witness(
        &self,
        ctx: &Context,
        peer: &AgentPeer,
        note: &str,
        epoch: u64,
    ) -> Result<(), Error> {
        let key = note_key(&self.core, self.authorities.signing.public_key())?;
        let mut tx = self.core.db.begin().await?;
        let verdict = witness_judge(&mut tx, &key, note, epoch).await?;
        if let Verdict::NotOurs { .. } = verdict
            && !self
                .told
                .allows(peer.id, Told::Checkpoint, self.core.clock.monotonic())
        {
            return tx.rollback().await;
        }
        let ctx = Context {
            epoch: self.core.epoch(),
            ..ctx.clone()
        };
        let raised = witness_apply(&mut tx, &ctx, peer.id, &verdict).await?;
        if raised {
            // At once, so that the raised epoch is not taken for another controller's.
            let (core, epoch) = (self.core.clone(), epoch_current(&mut tx).await?);
            tx.on_commit(move || core.adopt_epoch(epoch));
        }
        if let (Verdict::Agrees, Ok(checkpoint)) = (&verdict, checkpoint_verify(&key, note)) {
            let witness = Witness {
                sequence: checkpoint.head.sequence,
                hash: checkpoint.head.hash,
                epoch: checkpoint.epoch,
            };
            agent::agent_witness(&mut tx, peer.id, &witness).await?;
        }
        tx.commit().await?;
        if let Verdict::NotOurs { why } = &verdict {
            tracing::warn!(
                agent.id = %peer.id,
                agent.name = peer.name,
                "what the agent {} remembers is not believed: {why}",
                peer.name
            );
        }
        if raised {
            let epoch = self.core.refresh_epoch().await?;
            tracing::error!(
                agent.id = %peer.id,
                agent.name = peer.name,
                controller.epoch = epoch,
                "the agent {} knows more than this controller's database, which must be an older \
                 copy; deletes and restores wait until an operator agrees to go on: see `provado \
                 controller show`",
                peer.name
            );
        }
        Ok(())
    }
}

/// The key and the name under which this controller signs its checkpoints.
fn note_key(core: &Core, key: PublicKey) -> Result<NoteKey, Error> {
    NoteKey::new(&format!("provado-audit/{}", core.id()), key)
        .map_err(|source| Error::internal("the controller's id names no key").caused_by(source))
}
