//! A run as operators see it, and what they ask for as we keep it.

use crate::lifecycle::facts::{DamageFact, Detail, DifferenceFact, Facts};
use crate::lifecycle::run::Run;
use crate::lifecycle::spec::KeepSpec;
use crate::lifecycle::wire::{
    failure_out, level_out, run_kind_in, run_kind_out, run_state_in, run_state_out,
};
use crate::request::wire::{count_out, seconds_of, size_out, time_out};
use crate::request::{Violations, fitting, name_of};
use provado_model::Error;
use provado_model::id::{CallerId, ProofId};
use provado_model::limits::MESSAGE_BYTES_MAX;
use provado_model::state::{RunKind, RunState};
use provado_proto::common::v1::Progress;
use provado_proto::operator::v1 as wire;

/// What a run's message needs beyond its row.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) agent: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) repository: Option<String>,
    /// Why it waits; empty where it does not.
    pub(super) waits: String,
    pub(super) progress: Option<Progress>,
    pub(super) part_count: u64,
    pub(super) ended_part_count: u64,
}

/// How much of what came of a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// All of it that fits into one message.
    Whole,
    /// Its figures, without the lists: many runs go into one message.
    Row,
}

/// Bytes of findings in one message, of sentences and of steps: together well below the largest
/// message.
const FINDINGS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;
const SENTENCES_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 8;
const STEPS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 16;

/// The message for a run.
pub(super) fn run(run: &Run, around: Around, view: View) -> Result<wire::Run, Error> {
    let facts = run.outcome.as_ref().map(Facts::from_json).transpose()?;
    let binding = &run.binding;
    let skipped = run.state == RunState::Skipped;
    let why = run.failure.as_ref();
    let message = match why {
        Some(why) if skipped => why.message.clone(),
        Some(_) | None => around.waits,
    };
    let ended_badly = matches!(run.state, RunState::Failed | RunState::Skipped);
    let optional = |collection: &str, name: Option<String>| {
        name.map_or_else(String::new, |name| name_of(collection, name))
    };
    Ok(wire::Run {
        name: name_of("runs", run.id),
        kind: run_kind_out(run.kind).into(),
        state: run_state_out(run.state).into(),
        requester: requester(run),
        agent: optional("agents", around.agent),
        instance: optional("instances", around.instance),
        database_name: binding.database_name.clone().unwrap_or_default(),
        repository: optional("repositories", around.repository),
        backup: optional("backups", binding.backup_id.map(|id| id.to_string())),
        proof: optional(
            "proofs",
            proof(run, facts.as_ref()).map(|id| id.to_string()),
        ),
        parent_run: optional("runs", run.parent_run_id.map(|id| id.to_string())),
        labels: run.labels.clone(),
        create_time: Some(time_out(run.request_time)),
        start_time: run.start_time.map(time_out),
        end_time: run.end_time.map(time_out),
        attempt_count: count_out(run.attempt_number),
        failure: why.filter(|_| ended_badly).map(failure_out),
        message,
        progress: around.progress,
        outcome: facts
            .as_ref()
            .filter(|_| run.state.is_final())
            .map(|facts| cut(outcome(facts), view)),
        part_count: count(around.part_count),
        ended_part_count: count(around.ended_part_count),
    })
}

fn count(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// `operators/ana` for people; the task's name for what the controller asked of itself.
fn requester(run: &Run) -> String {
    if run.requester_id.parse::<CallerId>().is_ok() {
        name_of("operators", &run.requester_name)
    } else if run.requester_id.is_empty() {
        run.requester_name.clone()
    } else {
        run.requester_id.clone()
    }
}

/// A drill that succeeded has made the proof it names.
fn proof(run: &Run, facts: Option<&Facts>) -> Option<ProofId> {
    let drilled = run.kind == RunKind::Drill && run.state == RunState::Succeeded;
    match facts.and_then(|facts| facts.detail.as_ref()) {
        Some(Detail::Drill(drill)) if drilled => drill.proof_id,
        Some(_) | None => None,
    }
}

fn outcome(facts: &Facts) -> wire::RunOutcome {
    let mut out = wire::RunOutcome {
        warnings: facts.warnings.clone(),
        steps: facts
            .steps
            .iter()
            .map(|step| wire::RunStep {
                step_name: step.name.clone(),
                duration_millis: size_out(step.duration_millis),
            })
            .collect(),
        ..wire::RunOutcome::default()
    };
    match &facts.detail {
        None => {}
        Some(Detail::Backup(detail)) => {
            out.plain_bytes = size_out(detail.plain_bytes);
            out.added_bytes = size_out(detail.added_bytes);
            out.table_count = size_out(detail.table_count);
            out.row_count = size_out(detail.row_count);
        }
        Some(Detail::Restore(detail)) => {
            out.differences = detail.differences.iter().map(difference).collect();
            out.plain_bytes = size_out(detail.plain_bytes);
            out.read_bytes = size_out(detail.read_bytes);
            out.table_count = size_out(detail.table_count);
            out.row_count = size_out(detail.row_count);
        }
        Some(Detail::Check(detail)) => {
            out.damages = detail.damages.iter().map(damage).collect();
            out.read_bytes = size_out(detail.read_bytes);
            out.object_count = size_out(detail.object_count);
            out.check_level = detail
                .level
                .map_or_else(|| 0, |level| level_out(level).into());
        }
        Some(Detail::Drill(detail)) => {
            out.differences = detail.differences.iter().map(difference).collect();
            out.plain_bytes = size_out(detail.plain_bytes);
            out.table_count = size_out(detail.table_count);
            out.row_count = size_out(detail.row_count);
            out.recovery_millis = size_out(detail.recovery_millis);
            out.warnings.extend(detail.remarks.iter().cloned());
        }
        Some(Detail::Prune(detail)) => {
            out.objects.clone_from(&detail.objects);
            out.object_count = size_out(detail.object_count);
            out.freed_bytes = size_out(detail.freed_bytes);
        }
        Some(Detail::Inspect(detail)) => out.object_count = i64::from(detail.instance_count),
        Some(Detail::Scan(detail)) => {
            out.objects.clone_from(&detail.entered);
            out.object_count = i64::try_from(detail.entered.len()).unwrap_or(i64::MAX);
            out.warnings.extend(detail.left_out.iter().cloned());
            let next = detail.next_after.map(|id| name_of("backups", id));
            out.next_after_backup = next.unwrap_or_default();
        }
        Some(Detail::Init(detail)) => {
            out.objects = detail
                .capabilities
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
        }
    }
    out
}

/// Leaves out what does not fit, and says how much that was where it is to be shown at all.
fn cut(mut out: wire::RunOutcome, view: View) -> wire::RunOutcome {
    let share = |bytes| match view {
        View::Whole => bytes,
        View::Row => 0,
    };
    let findings = share(FINDINGS_BYTES_MAX);
    let (differences, left_differences) = fitting(out.differences, findings);
    let (damages, left_damages) = fitting(out.damages, findings);
    let (objects, left_objects) = fitting(out.objects, findings);
    let (warnings, left_warnings) = fitting(out.warnings, share(SENTENCES_BYTES_MAX));
    let (steps, left_steps) = fitting(out.steps, share(STEPS_BYTES_MAX));
    out.differences = differences;
    out.damages = damages;
    out.objects = objects;
    out.warnings = warnings;
    out.steps = steps;
    let left = [
        (left_differences, "differences"),
        (left_damages, "damaged objects"),
        (left_objects, "objects"),
        (left_warnings, "sentences"),
        (left_steps, "steps"),
    ];
    if view == View::Whole {
        let told = left
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| {
                format!("{count} more {what} are not shown: the message would be too large")
            });
        out.warnings.extend(told);
    }
    out
}

fn difference(fact: &DifferenceFact) -> wire::RunDifference {
    wire::RunDifference {
        object: fact.object.clone(),
        aspect: fact.aspect.clone(),
        expected: fact.expected.clone(),
        found: fact.found.clone(),
    }
}

fn damage(fact: &DamageFact) -> wire::RunDamage {
    wire::RunDamage {
        object_key: fact.object_key.clone(),
        message: fact.message.clone(),
        entries: fact.entries.clone(),
    }
}

/// A wish to keep a backup. Errors: `INVALID_ARGUMENT`.
pub(super) fn keep(keep: Option<&wire::Keep>) -> Result<KeepSpec, Error> {
    use wire::keep::Rule;
    match keep.and_then(|keep| keep.rule.as_ref()) {
        None | Some(Rule::Forever(false)) => Ok(KeepSpec::ByPolicy),
        Some(Rule::Forever(true)) => Ok(KeepSpec::Forever),
        Some(Rule::Duration(span)) => match seconds_of("keep.duration", Some(span))? {
            Some(seconds) if seconds > 0 => Ok(KeepSpec::Seconds(seconds)),
            Some(_) | None => Err(Violations::of("keep.duration", "must be at least 1 s")),
        },
    }
}

/// The kinds of a filter; what this program does not know is refused.
pub(super) fn kinds(values: &[i32], violations: &mut Violations) -> Vec<RunKind> {
    let known = |value: &i32| wire::RunKind::try_from(*value).ok().and_then(run_kind_in);
    let out: Vec<RunKind> = values.iter().filter_map(known).collect();
    if out.len() != values.len() {
        violations.add("filter.kinds", "must be kinds of runs");
    }
    out
}

/// The states of a filter; what this program does not know is refused.
pub(super) fn states(values: &[i32], violations: &mut Violations) -> Vec<RunState> {
    let known = |value: &i32| wire::RunState::try_from(*value).ok().and_then(run_state_in);
    let out: Vec<RunState> = values.iter().filter_map(known).collect();
    if out.len() != values.len() {
        violations.add("filter.states", "must be states of runs");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn what_came_of_a_run_fits_into_a_message_and_says_what_does_not() {
        let long = "ü".repeat(2_000);
        let full = wire::RunOutcome {
            warnings: vec![long.clone(); 400],
            steps: vec![
                wire::RunStep {
                    step_name: long.clone(),
                    duration_millis: 1,
                };
                200
            ],
            damages: vec![
                wire::RunDamage {
                    object_key: long.clone(),
                    message: long.clone(),
                    entries: vec![long; 20],
                };
                1_000
            ],
            row_count: 7,
            ..wire::RunOutcome::default()
        };
        assert!(full.encoded_len() > MESSAGE_BYTES_MAX);
        let whole = cut(full.clone(), View::Whole);
        assert!(whole.encoded_len() < MESSAGE_BYTES_MAX / 4 * 3);
        assert!(!whole.damages.is_empty() && !whole.steps.is_empty());
        let last = whole
            .warnings
            .iter()
            .rev()
            .take(3)
            .cloned()
            .collect::<String>();
        for what in ["damaged objects", "sentences", "steps"] {
            assert!(
                last.contains(&format!("more {what} are not shown")),
                "{last}"
            );
        }
        let row = cut(full, View::Row);
        let figures = wire::RunOutcome {
            row_count: 7,
            ..wire::RunOutcome::default()
        };
        assert_eq!(row, figures);
        assert_eq!(cut(figures.clone(), View::Whole), figures);
    }
}
