//! How a run ended, in a few lines, and the exit code that goes with it.

use super::describe;
use crate::error::Exit;
use crate::output::{Column, Report, Table, human};
use provado_proto::operator::v1::{ListRunsResponse, Run, RunKind, RunOutcome, RunState};

/// Characters of what came of a run in a list.
const GIST_CHARS: usize = 80;

/// How a run ended.
pub(crate) fn end(run: &Run) -> Report {
    let mut report = Report::new();
    let outcome = run.outcome.clone().unwrap_or_default();
    report.line(headline(run, &outcome));
    for warning in &outcome.warnings {
        report.note(format!("  warning: {warning}"));
    }
    for difference in &outcome.differences {
        report.line(format!(
            "  {} {}: expected {}, found {}",
            difference.object, difference.aspect, difference.expected, difference.found
        ));
    }
    for damage in &outcome.damages {
        report.line(format!("  {}: {}", damage.object_key, damage.message));
        for entry in &damage.entries {
            report.line(format!("    hits {entry}"));
        }
    }
    for object in &outcome.objects {
        report.line(format!("  {object}"));
    }
    if let Some(failure) = &run.failure {
        report.problem(&failure.message);
        report.note(format!(
            "  reason {}; see {}; log: provado run logs {}",
            failure.reason,
            failure.help_url,
            handle(run)
        ));
    }
    report
}

/// The parts of a run that has ended, by database.
pub(crate) fn parts(answer: &ListRunsResponse) -> Report {
    let mut table = Table::new(&[
        Column::Left("DATABASE"),
        Column::Left("STATE"),
        Column::Left("BACKUP"),
        Column::Right("SIZE"),
        Column::Right("ADDED"),
        Column::Right("ROWS"),
        Column::Left("WHAT CAME OF IT"),
    ]);
    let mut runs: Vec<&Run> = answer.runs.iter().collect();
    runs.sort_by(|a, b| a.database_name.cmp(&b.database_name));
    let chars = human::short_chars(runs.iter().map(|run| run.backup.as_str()));
    for run in runs {
        let outcome = run.outcome.clone().unwrap_or_default();
        let done = run.state() == RunState::Succeeded;
        let figure = |text: String| if done { text } else { "-".to_owned() };
        table.row([
            run.database_name.clone(),
            state_word(run.state()),
            figure(human::cut(&run.backup, chars).to_owned()),
            figure(human::bytes(outcome.plain_bytes)),
            figure(human::bytes(outcome.added_bytes)),
            figure(human::count(outcome.row_count)),
            gist(run),
        ]);
    }
    let mut report = Report::new();
    report.table(&table, "It had no parts.");
    report
}

/// What came of a run, or how far it is, in some words.
pub(crate) fn gist(run: &Run) -> String {
    let text = match (&run.failure, run.state()) {
        (Some(failure), _) => failure.message.replace('\n', " "),
        (None, RunState::Running) => describe(run),
        (None, _) => run.message.clone(),
    };
    match text.char_indices().nth(GIST_CHARS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// How to name a run to the next command: what one request made begins alike, so that only whole
/// ids tell a run and its parts apart.
pub(crate) fn handle(run: &Run) -> &str {
    if run.part_count > 0 || !run.parent_run.is_empty() {
        human::last(&run.name)
    } else {
        human::short(&run.name)
    }
}

/// The exit code of a run that has ended.
pub(crate) fn exit_of(run: &Run) -> Exit {
    match run.state() {
        RunState::Succeeded => Exit::Done,
        _ => match run.failure.as_ref().map(|failure| failure.reason.as_str()) {
            Some("CHECK_FOUND_DAMAGE" | "DRILL_FOUND_DIFFERENCE" | "RESTORE_DIFFERS") => {
                Exit::Difference
            }
            _ => Exit::RunFailed,
        },
    }
}

fn headline(run: &Run, outcome: &RunOutcome) -> String {
    let span = duration(run).map(|millis| format!(" in {}", human::millis(millis)));
    let span = span.unwrap_or_default();
    if run.state() != RunState::Succeeded {
        let why = if run.message.is_empty() {
            String::new()
        } else {
            format!(": {}", run.message)
        };
        return format!(
            "{} {} {}{span}{why}",
            kind_word(run),
            subject(run),
            state_word(run.state())
        );
    }
    let rows = human::count(outcome.row_count);
    let tables = human::count(outcome.table_count);
    let plain = human::bytes(outcome.plain_bytes);
    match run.kind() {
        RunKind::Backup if run.part_count > 0 => {
            format!(
                "{} databases of {} backed up{span}",
                run.part_count,
                subject(run)
            )
        }
        RunKind::Backup => format!(
            "backup {} of {}: {tables} tables, {rows} rows, {plain}; {} added{span}",
            human::short(&run.backup),
            subject(run),
            human::bytes(outcome.added_bytes)
        ),
        RunKind::Restore => format!(
            "restored into {}: {tables} tables, {rows} rows, {plain}; {} read{span}",
            subject(run),
            human::bytes(outcome.read_bytes)
        ),
        RunKind::Check => format!(
            "backup {} is good: {} objects, {} read{span}",
            human::short(&run.backup),
            human::count(outcome.object_count),
            human::bytes(outcome.read_bytes)
        ),
        RunKind::Drill => format!(
            "backup {} is proven: {tables} tables, {rows} rows, {plain} equal; recovery took {}; \
             proof {}{span}",
            human::short(&run.backup),
            human::millis(outcome.recovery_millis),
            human::short(&run.proof)
        ),
        RunKind::Prune => format!(
            "{} orphans, {} freed{span}",
            human::count(outcome.object_count),
            human::bytes(outcome.freed_bytes)
        ),
        RunKind::Inspect if !run.repository.is_empty() => format!(
            "{} backups of {} came back into the catalogue{span}",
            human::count(outcome.object_count),
            human::last(&run.repository)
        ),
        RunKind::Inspect => format!("{} instances found{span}", outcome.object_count),
        RunKind::Init => format!("repository {} is ready{span}", human::last(&run.repository)),
        RunKind::Unspecified => format!("run {} succeeded{span}", human::short(&run.name)),
    }
}

fn duration(run: &Run) -> Option<i64> {
    let start = human::timestamp(run.start_time.as_ref()?)?;
    let end = human::timestamp(run.end_time.as_ref()?)?;
    Some(end.as_millisecond() - start.as_millisecond())
}

/// What a run works on, in the words of the command line.
pub(crate) fn subject(run: &Run) -> String {
    let instance = human::last(&run.instance);
    let database = &run.database_name;
    match (instance.is_empty(), database.is_empty()) {
        (false, false) => format!("{instance}/{database}"),
        (false, true) => instance.to_owned(),
        _ if !run.backup.is_empty() => human::short(&run.backup).to_owned(),
        _ if !run.repository.is_empty() => human::last(&run.repository).to_owned(),
        _ => human::or_dash(human::last(&run.agent)),
    }
}

/// `backup`, `restore` and so on.
pub(crate) fn kind_word(run: &Run) -> String {
    human::word(run.kind().as_str_name(), "RUN_KIND_")
}

/// `queued`, `running` and so on.
pub(crate) fn state_word(state: RunState) -> String {
    human::word(state.as_str_name(), "RUN_STATE_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::common::v1::Failure;

    #[test]
    fn the_exit_code_tells_failed_from_different() {
        let run = |state: RunState, reason: &str| Run {
            state: state.into(),
            failure: (!reason.is_empty()).then(|| Failure {
                reason: reason.into(),
                ..Failure::default()
            }),
            ..Run::default()
        };
        assert_eq!(exit_of(&run(RunState::Succeeded, "")), Exit::Done);
        assert_eq!(
            exit_of(&run(RunState::Failed, "TOOL_FAILED")),
            Exit::RunFailed
        );
        assert_eq!(
            exit_of(&run(RunState::Failed, "DRILL_BROKEN")),
            Exit::RunFailed
        );
        assert_eq!(
            exit_of(&run(RunState::Failed, "CHECK_FOUND_DAMAGE")),
            Exit::Difference
        );
        assert_eq!(exit_of(&run(RunState::Skipped, "")), Exit::RunFailed);
        assert_eq!(
            exit_of(&run(RunState::Canceled, "CANCELED")),
            Exit::RunFailed
        );
    }

    #[test]
    fn a_backup_says_what_it_holds_and_what_it_cost() {
        let run = Run {
            kind: RunKind::Backup.into(),
            state: RunState::Succeeded.into(),
            backup: "backups/01932f7e-1234-7abc-8def-001122334455".into(),
            instance: "instances/db1".into(),
            database_name: "shop".into(),
            ..Run::default()
        };
        let outcome = RunOutcome {
            table_count: 8,
            row_count: 8_661_245,
            plain_bytes: 1_280_000_000,
            added_bytes: 355_000_000,
            ..RunOutcome::default()
        };
        assert_eq!(
            headline(&run, &outcome),
            "backup 01932f7e-1234 of db1/shop: 8 tables, 8,661,245 rows, 1.2 GiB; 338.6 MiB added"
        );
    }
}
