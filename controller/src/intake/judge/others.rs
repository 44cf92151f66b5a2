//! The evidence of every other kind of work.

use super::{Exits, Problems, Work, tools};
use crate::lifecycle::Failure;
use crate::lifecycle::backup::PackTotals;
use provado_model::Reason;
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::agent::v1::{
    AttemptResult, CheckOutcome, Damage, Difference, Outcome, PruneOutcome, RestoreOutcome,
    RestoreVerdict,
};
use provado_proto::common::v1::CheckLevel;

/// Things named in a message; more are counted.
const NAMED_MAX: usize = 5;

/// The failure for damage or a difference that was found, if some was.
pub(super) fn damage(work: &Work, outcome: &Outcome) -> Option<Failure> {
    match (work, &outcome.detail) {
        (Work::Check { .. }, Some(Detail::Check(detail))) if !detail.damages.is_empty() => {
            Some(Failure::new(
                Reason::CheckFoundDamage,
                format!(
                    "the check found {} damaged or missing objects: {}. Do not rely on this \
                     backup; make a new one now, then look at the disk that holds it",
                    detail.damages.len(),
                    named(detail.damages.iter().map(damaged)),
                ),
            ))
        }
        (Work::Drill(_), Some(Detail::Drill(detail))) if !detail.differences.is_empty() => {
            Some(Failure::new(
                Reason::DrillFoundDifference,
                format!(
                    "what was restored differs from what was dumped in {} places: {}. Do not rely \
                     on this backup; make a new one now and drill that",
                    detail.differences.len(),
                    named(detail.differences.iter().map(different)),
                ),
            ))
        }
        (Work::Restore { database_name }, Some(Detail::Restore(detail)))
            if outcome.result() != AttemptResult::Canceled
                && detail.verdict() == RestoreVerdict::WithDifferences =>
        {
            Some(Failure::new(
                Reason::RestoreDiffers,
                format!(
                    "the database {database_name} was restored, but differs from the backup in {} \
                     places: {}. Look at each before you use it",
                    detail.differences.len(),
                    named(detail.differences.iter().map(different)),
                ),
            ))
        }
        (
            Work::Backup(_)
            | Work::Restore { .. }
            | Work::Check { .. }
            | Work::Drill(_)
            | Work::Prune
            | Work::Inspect
            | Work::Init
            | Work::Scan,
            _,
        ) => None,
    }
}

fn damaged(damage: &Damage) -> String {
    if damage.entries.is_empty() {
        format!("{} ({})", damage.object_key, damage.message)
    } else {
        format!(
            "{} ({}; it holds {})",
            damage.object_key,
            damage.message,
            named(damage.entries.iter().cloned())
        )
    }
}

fn different(difference: &Difference) -> String {
    format!(
        "{}: {} should be {}, is {}",
        difference.object, difference.aspect, difference.expected, difference.found
    )
}

fn named(things: impl ExactSizeIterator<Item = String>) -> String {
    let more = things.len().saturating_sub(NAMED_MAX);
    let text = things.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        format!("{text} and {more} more")
    } else {
        text
    }
}

/// A restore is true by comparison with the manifest, not by exit status (INV-RESTORE-TRUTH).
pub(super) fn restore(database_name: &str, detail: &RestoreOutcome, problems: &mut Problems) {
    problems.require(
        detail.verdict() == RestoreVerdict::Restored,
        "the comparison did not find everything restored",
    );
    problems.require(
        detail.differences.is_empty(),
        "differences are named although everything is said to be there",
    );
    problems.require(
        detail.database_name == database_name,
        "another database was made than was asked for",
    );
    problems.require(detail.database_oid > 0, "the new database has no oid");
    problems.refuse(detail.tools.is_empty(), "no tool was run");
    tools(&detail.tools, Exits::Compared, problems);
    let negative = [detail.table_count, detail.row_count, detail.plain_bytes];
    problems.require(
        negative.iter().all(|count| *count >= 0),
        "a count is negative",
    );
    problems.require(
        detail.read_bytes > 0,
        "nothing was read from the repository",
    );
}

/// A check looks at every pack of the backup and at its documents beside, and above *present* it
/// reads every pack to its end.
pub(super) fn check(
    level: CheckLevel,
    stored: PackTotals,
    detail: &CheckOutcome,
    problems: &mut Problems,
) {
    problems.require(
        depth(detail.level()) >= depth(level),
        "it did not read as far as was asked for",
    );
    problems.require(
        u64::try_from(detail.object_count).is_ok_and(|count| count > stored.pack_count),
        "it looked at fewer objects than the backup has",
    );
    let reads = depth(detail.level()) > depth(CheckLevel::Present);
    problems.require(
        !reads || u64::try_from(detail.read_bytes).is_ok_and(|read| read > stored.stored_bytes),
        "it read less than the backup has stored",
    );
}

/// The order of levels; 0 is none at all.
fn depth(level: CheckLevel) -> u8 {
    match level {
        CheckLevel::Unspecified => 0,
        CheckLevel::Present => 1,
        CheckLevel::Intact => 2,
        CheckLevel::Readable => 3,
    }
}

pub(super) fn prune(detail: &PruneOutcome, problems: &mut Problems) {
    problems.require(
        detail.freed_bytes >= 0
            && detail.kept_count >= 0
            && detail.objects.iter().all(|object| object.stored_bytes >= 0),
        "a size or count is negative",
    );
}
