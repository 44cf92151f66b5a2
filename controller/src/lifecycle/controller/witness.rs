//! Agents as witnesses: each remembers the newest signed checkpoint of the audit chain that it was
//! shown, and shows it again. A controller whose chain does not hold it has lost something: its
//! database was put back to an older state, or its chain was rewritten.

use super::store::{ControllerState, amnesia_set, controller_get, epoch_raise};
use crate::db::Tx;
use crate::events::{AuditEntry, AuditOutcome, Context, audit_append, audit_get, audit_head};
use provado_identity::signed_note::{Note, NoteKey};
use provado_model::audit_chain::{Checkpoint, GENESIS_HASH};
use provado_model::id::AgentId;
use provado_model::{Error, Reason};

/// What an agent's memory says about this controller's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything the agent knows is here.
    Agrees,
    /// The agent knows more than this database, or something else.
    KnowsMore {
        /// What it knows, as a sentence.
        why: String,
        /// The highest epoch it has seen.
        epoch: u64,
    },
    /// What it knows more belongs to a life of the database that is lost, and an operator has
    /// agreed to go on without it; nothing follows from it.
    GivenUp,
    /// What it shows was not signed by this controller, or what it says is borne out by nothing
    /// that was; nothing follows from it.
    NotOurs {
        /// What is wrong with it, as a sentence.
        why: String,
    },
}

/// How far the epoch that an agent says it has seen may lie above that of the checkpoint it shows:
/// one was raised, and the next checkpoint not signed yet, when the database was lost.
const EPOCHS_UNSIGNED_MAX: u64 = 1_000;

/// Holds what an agent remembers against this database. `note` is the signed note it shows, empty
/// if it has none; `epoch` the highest it has seen; `key` this controller's own.
///
/// An agent may lie. That this database is an older copy is believed only of a checkpoint that
/// this controller signed; a higher epoch alone is no more than a number.
pub async fn witness_judge(
    tx: &mut Tx,
    key: &NoteKey,
    note: &str,
    epoch: u64,
) -> Result<Verdict, Error> {
    let state = controller_get(tx).await?;
    if note.is_empty() {
        return Ok(agrees(&state, epoch));
    }
    let checkpoint = match verify(key, note) {
        Ok(checkpoint) => checkpoint,
        Err(why) => return Ok(Verdict::NotOurs { why }),
    };
    let head = audit_head(tx).await?;
    let seen = checkpoint.head;
    let why = if checkpoint.controller != state.id.to_string() {
        format!(
            "it was shown a chain of controller {}, and this database is of {}",
            checkpoint.controller, state.id
        )
    } else if seen.sequence > head.sequence {
        format!(
            "it was shown audit event {}, and the newest here is {}",
            seen.sequence, head.sequence
        )
    } else if hash_at(tx, seen.sequence).await?.as_deref() != Some(seen.hash.as_str()) {
        format!("audit event {} is not the one it was shown", seen.sequence)
    } else {
        return Ok(agrees(&state, epoch));
    };
    if checkpoint.epoch < state.accepted_epoch {
        return Ok(Verdict::GivenUp);
    }
    let highest = checkpoint.epoch.saturating_add(EPOCHS_UNSIGNED_MAX);
    let epoch = epoch.clamp(checkpoint.epoch, highest);
    Ok(Verdict::KnowsMore { why, epoch })
}

/// The verdict where no checkpoint says otherwise.
fn agrees(state: &ControllerState, epoch: u64) -> Verdict {
    if epoch <= state.epoch {
        return Verdict::Agrees;
    }
    let why = format!(
        "it says that it has seen epoch {epoch}, and this database is in epoch {}; no checkpoint \
         of this controller bears that out",
        state.epoch
    );
    Verdict::NotOurs { why }
}

/// Draws the consequences of a verdict, once: the epoch is raised above everything the agent has
/// seen, and destructive work waits for an operator. True when the epoch was raised; follow the
/// commit with `Core::refresh_epoch`. Errors: `VERSION_STALE` when this controller's epoch is over.
pub async fn witness_apply(
    tx: &mut Tx,
    ctx: &Context,
    agent: AgentId,
    verdict: &Verdict,
) -> Result<bool, Error> {
    match verdict {
        Verdict::Agrees | Verdict::GivenUp => Ok(false),
        Verdict::KnowsMore { why, epoch } => {
            let why = format!("agent {agent}: {why}");
            let is_news = amnesia_set(tx, ctx, &why).await?;
            let state = controller_get(tx).await?;
            if !is_news && state.epoch > *epoch {
                return Ok(false);
            }
            if ctx.epoch != state.epoch {
                // One that was superseded would make itself the one that counts.
                return Err(Error::new(
                    Reason::VersionStale,
                    format!(
                        "epoch {} is over: nothing follows from what it saw",
                        ctx.epoch
                    ),
                )
                .with("epoch", ctx.epoch));
            }
            epoch_raise(tx, ctx, *epoch, &why).await?;
            Ok(true)
        }
        Verdict::NotOurs { why } => {
            let entry = AuditEntry::done("checkpoint.refuse", "agent", agent)
                .outcome(AuditOutcome::Refused)
                .agent(agent)
                .with("why", why.clone());
            audit_append(tx, ctx, entry).await?;
            Ok(false)
        }
    }
}

/// The checkpoint in a note that this controller signed, or why it is none.
pub fn verify(key: &NoteKey, note: &str) -> Result<Checkpoint, String> {
    let note = Note::parse(note).map_err(|source| source.to_string())?;
    let text = note.verify(key).map_err(|source| source.to_string())?;
    text.parse::<Checkpoint>()
        .map_err(|source| source.to_string())
}

async fn hash_at(tx: &mut Tx, sequence: u64) -> Result<Option<String>, Error> {
    if sequence == 0 {
        return Ok(Some(GENESIS_HASH.to_owned()));
    }
    Ok(audit_get(tx, sequence).await?.map(|record| record.hash))
}
