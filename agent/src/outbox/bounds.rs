//! An outcome small enough to be sent. Lists of what was found are cut and texts shortened, with a
//! sentence that says so; how the attempt ended, its reason and its figures are kept, because a
//! verdict that cannot be sent would be no verdict. Evidence is never cut.

use prost::Message as _;
use provado_model::{Error, limits};
use provado_proto::agent::v1::{Difference, Outcome, outcome::Detail};

/// Room for what else is in a report.
const ENVELOPE_BYTES: usize = 4 * 1024;
/// How many of each list are kept; the first that fits is taken.
const KEPT_COUNTS: [usize; 4] = [10_000, 1_000, 100, 10];
/// Bytes of one text that are kept.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Names of one damaged object's contents that are kept.
const ENTRIES_MAX: usize = 20;

/// The outcome, cut where it is too large. One whose evidence alone is too large becomes a failure
/// that says so.
pub(super) fn bounded(outcome: Outcome) -> Outcome {
    if fits(&outcome) {
        return outcome;
    }
    for count in KEPT_COUNTS {
        let cut = cut(outcome.clone(), count);
        if fits(&cut) {
            return cut;
        }
    }
    let length = outcome.encoded_len();
    let error = Error::internal(format!("an outcome of {length} bytes cannot be reported"));
    Outcome {
        start_time: outcome.start_time,
        end_time: outcome.end_time,
        ..crate::jobs::failed(&error)
    }
}

fn fits(outcome: &Outcome) -> bool {
    let length = outcome.encoded_len();
    length.saturating_add(ENVELOPE_BYTES) <= limits::REPORT_BYTES_MAX
}

fn cut(mut outcome: Outcome, count: usize) -> Outcome {
    let mut told = Vec::new();
    if let Some(failure) = &mut outcome.failure {
        shorten(&mut failure.message);
    }
    cut_texts(&mut outcome.warnings, count, "warnings", &mut told);
    match &mut outcome.detail {
        Some(Detail::Check(check)) => {
            cut_list(&mut check.damages, count, "damages", &mut told);
            for damage in &mut check.damages {
                shorten(&mut damage.message);
                damage.entries.truncate(ENTRIES_MAX);
                damage.entries.iter_mut().for_each(shorten);
            }
        }
        Some(Detail::Drill(drill)) => {
            cut_differences(&mut drill.differences, count, &mut told);
            cut_texts(&mut drill.remarks, count, "remarks", &mut told);
        }
        Some(Detail::Restore(restore)) => {
            cut_differences(&mut restore.differences, count, &mut told);
        }
        Some(Detail::Prune(prune)) => {
            cut_list(&mut prune.objects, count, "objects", &mut told);
        }
        Some(Detail::Backup(_) | Detail::Inspect(_) | Detail::Init(_) | Detail::Scan(_)) | None => {
        }
    }
    outcome.warnings.extend(told);
    outcome
}

fn cut_differences(list: &mut Vec<Difference>, count: usize, told: &mut Vec<String>) {
    cut_list(list, count, "differences", told);
    for difference in list {
        shorten(&mut difference.object);
        shorten(&mut difference.expected);
        shorten(&mut difference.found);
    }
}

fn cut_texts(list: &mut Vec<String>, count: usize, what: &str, told: &mut Vec<String>) {
    cut_list(list, count, what, told);
    list.iter_mut().for_each(shorten);
}

fn cut_list<T>(list: &mut Vec<T>, count: usize, what: &str, told: &mut Vec<String>) {
    let more = list.len().saturating_sub(count);
    if more > 0 {
        list.truncate(count);
        told.push(format!(
            "{more} more {what} were found than can be reported; {count} are told"
        ));
    }
}

/// Cuts a text at a character's end.
fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(" [cut]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::Reason;
    use provado_proto::agent::v1::{CheckOutcome, Damage, DrillOutcome, SweptObject};
    use provado_proto::agent::v1::{PruneOutcome, RestoreOutcome};

    fn difference() -> Difference {
        Difference {
            object: "table public.orders".to_owned(),
            aspect: "rows".to_owned(),
            expected: "é".repeat(3_000),
            found: "x".repeat(100),
        }
    }

    fn check(reason: Reason, detail: Detail) {
        let outcome = Outcome {
            detail: Some(detail),
            ..crate::jobs::failed(&Error::new(reason, "as found"))
        };
        assert!(!fits(&outcome));
        let cut = bounded(outcome.clone());
        assert!(fits(&cut));
        assert_eq!(cut.result, outcome.result);
        assert_eq!(cut.failure.unwrap().reason, reason.as_str());
        assert!(cut.warnings[0].contains("more"), "{:?}", cut.warnings);
        let is_some = match cut.detail.unwrap() {
            Detail::Check(check) => check.damages.len() >= 100 && check.object_count == 7,
            Detail::Drill(drill) => drill.differences.len() >= 100 && drill.row_count == 7,
            Detail::Restore(restore) => restore.differences.len() >= 100,
            Detail::Prune(prune) => prune.objects.len() >= 1000 && prune.freed_bytes == 7,
            _ => false,
        };
        assert!(is_some);
    }

    #[test]
    fn a_verdict_keeps_its_reason_and_figures_however_much_was_found() {
        let damage = Damage {
            object_key: "instances/x/packs/y.pack".to_owned(),
            message: "it is missing".to_owned(),
            entries: vec!["public.t".repeat(10); 12],
        };
        check(
            Reason::CheckFoundDamage,
            Detail::Check(CheckOutcome {
                object_count: 7,
                damages: vec![damage; 11_000],
                ..CheckOutcome::default()
            }),
        );
        check(
            Reason::DrillFoundDifference,
            Detail::Drill(DrillOutcome {
                row_count: 7,
                differences: vec![difference(); 2_000],
                remarks: vec!["x".repeat(50); 11_000],
                ..DrillOutcome::default()
            }),
        );
        check(
            Reason::RestoreDiffers,
            Detail::Restore(RestoreOutcome {
                differences: vec![difference(); 2_000],
                ..RestoreOutcome::default()
            }),
        );
        let object = SweptObject {
            object_key: "x".repeat(100),
            message: "no backup needs it".to_owned(),
            ..SweptObject::default()
        };
        check(
            Reason::Canceled,
            Detail::Prune(PruneOutcome {
                freed_bytes: 7,
                objects: vec![object; 100_000],
                ..PruneOutcome::default()
            }),
        );
    }
}
