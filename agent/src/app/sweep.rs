//! The start of an agent that may have been killed: what earlier attempts left behind is removed,
//! and attempts that were cut short are reported as failed. None is resumed.

use crate::executor::Means;
use crate::inbox::{Accepted, Inbox, Word};
use crate::jobs;
use crate::journal::JournalError;
use crate::outbox::{Ended, Outbox, interrupted};
use provado_model::id::RequestId;
use provado_model::random::Entropy;
use provado_model::time::Clock;
use std::time::Duration;

/// How long leftovers are looked for; the rest is removed at the next start.
const SWEEP: Duration = Duration::from_secs(40);

/// Removes leftovers, then writes the outcomes of interrupted attempts. Blocks for as long as the
/// removal of a throw-away instance takes.
pub(super) async fn sweep(means: &Means) -> Result<(), JournalError> {
    let interrupted = settle_acknowledged(&means.inbox, &means.outbox)?;
    let runs: Vec<_> = interrupted.iter().map(|record| record.name.run).collect();
    let swept = jobs::sweep(&means.config, &runs);
    if let Ok(done) = tokio::time::timeout(SWEEP, swept).await {
        for what in done {
            tracing::info!("{what}");
        }
    } else {
        tracing::warn!("not every server answered while leftovers were looked for");
    }
    for record in interrupted {
        report_interrupted(&means.outbox, &record, &*means.clock, &*means.entropy)?;
    }
    Ok(())
}

/// Attempts of the journal without an outcome. One whose outcome was acknowledged just before the
/// crash is forgotten here.
pub fn settle_acknowledged(inbox: &Inbox, outbox: &Outbox) -> Result<Vec<Accepted>, JournalError> {
    for ended in outbox.pending() {
        if inbox.is_settled(ended.name.attempt) {
            outbox.remove(ended.name.attempt)?;
        }
    }
    let mut open = Vec::new();
    for record in inbox.accepted() {
        if inbox.is_settled(record.name.attempt) {
            inbox.settle(record.name, Word::Other)?;
        } else if !outbox.holds(record.name.attempt) {
            open.push(record);
        }
    }
    Ok(open)
}

/// Writes the outcome of an attempt that was cut short.
pub fn report_interrupted(
    outbox: &Outbox,
    record: &Accepted,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(), JournalError> {
    let name = record.name;
    tracing::warn!(
        run.id = %name.run,
        attempt.id = %name.attempt,
        "the {} was interrupted by a restart of the agent and is reported as failed",
        record.kind
    );
    let mut outcome = interrupted("the agent restarted during the attempt");
    outcome.start_time = Some(jobs::wire_time(record.accept_time));
    outcome.end_time = Some(jobs::wire_time(clock.now()));
    let request = RequestId::new(clock, entropy);
    let ended = Ended::new((name, record.epoch), request, outcome, Vec::new(), None);
    outbox.put(ended)
}
