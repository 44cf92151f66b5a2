//! Reading the whole chain. The SQL is that of `events`.

use crate::db::Tx;
use crate::events::{AuditFilter, StoredCheckpoint, audit_head, audit_list, checkpoint_list};
use crate::lifecycle::controller::checkpoint_verify;
use provado_identity::signed_note::NoteKey;
use provado_model::audit_chain::{ChainBreak, ChainHead, ChainVerifier};
use provado_model::{Error, Reason};

/// Rows read at a time.
const ROWS_MAX: u32 = 1_000;

/// What a verification went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSummary {
    /// Events verified.
    pub event_count: u64,
    /// Checkpoints verified.
    pub checkpoint_count: u64,
    /// The newest event.
    pub head: ChainHead,
}

/// Recomputes the chain from its first event and holds every checkpoint against it. Errors:
/// `AUDIT_CHAIN_BROKEN` with the place.
pub async fn chain_verify(tx: &mut Tx, key: &NoteKey) -> Result<ChainSummary, Error> {
    let mut verifier = ChainVerifier::after(ChainHead::empty());
    let mut checkpoints = Checkpoints::default();
    loop {
        let after = verifier.head().sequence;
        let events = audit_list(tx, &AuditFilter::default(), after, ROWS_MAX).await?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            verifier.push(event).map_err(|found| broken(&found))?;
            if let Some(checkpoint) = checkpoints.at(tx, event.sequence).await? {
                check(&checkpoint, key, verifier.head())?;
            }
        }
    }
    let head = audit_head(tx).await?;
    if head != *verifier.head() {
        // Events were cut off at the end.
        return Err(broken(&ChainBreak::Sequence {
            expected: head.sequence,
            found: verifier.head().sequence,
        }));
    }
    if let Some(left) = checkpoints.next(tx).await? {
        return Err(broken(&ChainBreak::Checkpoint(left.head.sequence)));
    }
    Ok(ChainSummary {
        event_count: head.sequence,
        checkpoint_count: checkpoints.count,
        head,
    })
}

fn check(checkpoint: &StoredCheckpoint, key: &NoteKey, head: &ChainHead) -> Result<(), Error> {
    let fits = checkpoint_verify(key, &checkpoint.note)
        .is_ok_and(|signed| signed.head == *head && checkpoint.head == *head);
    if fits {
        return Ok(());
    }
    Err(broken(&ChainBreak::Checkpoint(checkpoint.head.sequence)))
}

fn broken(found: &ChainBreak) -> Error {
    Error::new(
        Reason::AuditChainBroken,
        format!("the audit chain does not verify: {found}"),
    )
}

/// Walks the checkpoints beside the events.
#[derive(Default)]
struct Checkpoints {
    page: std::collections::VecDeque<StoredCheckpoint>,
    last: u64,
    count: u64,
}

impl Checkpoints {
    /// The checkpoint over exactly this event, if there is one.
    async fn at(&mut self, tx: &mut Tx, sequence: u64) -> Result<Option<StoredCheckpoint>, Error> {
        match self.next(tx).await? {
            Some(next) if next.head.sequence == sequence => {
                self.page.pop_front();
                self.count = self.count.saturating_add(1);
                Ok(Some(next))
            }
            Some(_) | None => Ok(None),
        }
    }

    async fn next(&mut self, tx: &mut Tx) -> Result<Option<StoredCheckpoint>, Error> {
        if self.page.is_empty() && self.last != u64::MAX {
            let page = checkpoint_list(tx, self.last, ROWS_MAX).await?;
            self.last = page.last().map_or(u64::MAX, |last| last.head.sequence);
            self.page.extend(page);
        }
        Ok(self.page.front().cloned())
    }
}
