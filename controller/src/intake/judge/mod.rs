//! Whether an attempt did what it was for: judged from evidence, never from a claim (INV-EVIDENCE).
//!
//! Pure: what was asked for and what was reported go in, a verdict comes out. It looks at no row,
//! and it never changes its mind: the same facts give the same verdict.

mod backup;
mod drill;
mod others;
mod scan;

use crate::lifecycle::Failure;
use crate::lifecycle::backup::PackTotals;
use crate::lifecycle::wire::failure_in;
use provado_identity::PublicKey;
use provado_model::Reason;
use provado_model::id::{BackupId, ProofId};
use provado_proto::agent::v1::outcome::Detail;
use provado_proto::agent::v1::{AttemptResult, Outcome, ToolExit};
use provado_proto::common::v1::{CheckLevel, Selection};

/// Problems named in one verdict; more are counted.
const PROBLEMS_SHOWN_MAX: usize = 10;

/// What an attempt was to do, as far as its report must agree with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    /// The agent's public key: only what it signed counts.
    pub(crate) signer: PublicKey,
    /// What was asked for.
    pub(crate) work: Work,
}

/// What was asked for, by kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// A backup.
    Backup(BackupWork),
    /// A restore into this new database.
    Restore {
        /// Its name.
        database_name: String,
    },
    /// A check at this level.
    Check {
        /// How far it was to read.
        level: CheckLevel,
        /// What there is to be read.
        stored: PackTotals,
    },
    /// A drill.
    Drill(DrillWork),
    /// A sweep.
    Prune,
    /// An inspection.
    Inspect,
    /// Making a repository.
    Init,
    /// Looking through a repository.
    Scan,
}

/// What was asked for of a drill, and what the catalogue knows of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DrillWork {
    /// Of which backup.
    pub(crate) backup: BackupId,
    /// The id its proof was to have.
    pub(crate) proof: ProofId,
    /// SHA-256 of the backup's signed description, lower-case hex.
    pub(crate) description_sha256: String,
    /// Tables with data in the backup.
    pub(crate) table_count: u64,
    /// Rows in them.
    pub(crate) row_count: u64,
    /// Large objects.
    pub(crate) large_object_count: u64,
    /// Bytes of all of it.
    pub(crate) plain_bytes: u64,
}

/// What was asked for of a backup.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BackupWork {
    /// The id minted for the attempt.
    pub(crate) backup: BackupId,
    /// The recipients of the repository, in any order.
    pub(crate) recipients: Vec<String>,
    /// What was to be dumped.
    pub(crate) selection: Selection,
    /// The parent that the report names, where it is a backup of the same instance in the same
    /// repository; none where there is no such backup.
    pub(crate) known_parent: Option<BackupId>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did what it was for.
    Good,
    /// It stopped because someone asked for it.
    Canceled,
    /// It did not, and this is why.
    Failed(Failure),
}

/// Judges an outcome against what was asked for.
pub(crate) fn judge(expected: &Expected, outcome: &Outcome) -> Verdict {
    // Damage that was found is a fact whatever the agent makes of it.
    if let Some(failure) = others::damage(&expected.work, outcome) {
        return Verdict::Failed(failure);
    }
    match outcome.result() {
        AttemptResult::Unspecified => insufficient(
            Reason::EvidenceInsufficient,
            &["the report does not say how the attempt ended".to_owned()],
        ),
        AttemptResult::Canceled => Verdict::Canceled,
        AttemptResult::Failed => Verdict::Failed(reported(outcome)),
        AttemptResult::Succeeded => succeeded(expected, outcome),
    }
}

fn succeeded(expected: &Expected, outcome: &Outcome) -> Verdict {
    let mut problems = Problems::default();
    times(outcome, &mut problems);
    problems.refuse(
        outcome.failure.is_some(),
        "the report claims success and holds a failure",
    );
    let reason = match (&expected.work, &outcome.detail) {
        (Work::Backup(work), Some(Detail::Backup(detail))) => {
            backup::judge(work, &expected.signer, detail, &mut problems);
            backup::reason(detail)
        }
        (Work::Restore { database_name }, Some(Detail::Restore(detail))) => {
            others::restore(database_name, detail, &mut problems);
            Reason::EvidenceInsufficient
        }
        (Work::Check { level, stored }, Some(Detail::Check(detail))) => {
            others::check(*level, *stored, detail, &mut problems);
            Reason::EvidenceInsufficient
        }
        (Work::Drill(work), Some(Detail::Drill(detail))) => {
            drill::judge(work, &expected.signer, detail, &mut problems);
            Reason::DrillBroken
        }
        (Work::Prune, Some(Detail::Prune(detail))) => {
            others::prune(detail, &mut problems);
            Reason::EvidenceInsufficient
        }
        (Work::Inspect, Some(Detail::Inspect(detail))) => {
            problems.require(
                detail.instance_count >= 0,
                "it counts less than no instances",
            );
            Reason::EvidenceInsufficient
        }
        (Work::Scan, Some(Detail::Scan(detail))) => {
            scan::judge(detail, &mut problems);
            Reason::EvidenceInsufficient
        }
        (Work::Init, Some(Detail::Init(detail))) => {
            problems.refuse(
                detail.capabilities.is_empty(),
                "it says nothing of what the backend can do",
            );
            Reason::EvidenceInsufficient
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
        ) => {
            problems.add("the report holds no facts of this kind of work".to_owned());
            Reason::EvidenceInsufficient
        }
    };
    if problems.list.is_empty() {
        Verdict::Good
    } else {
        insufficient(reason, &problems.list)
    }
}

/// What does not add up, in the order it was found.
#[derive(Debug, Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn add(&mut self, problem: String) {
        self.list.push(problem);
    }

    fn require(&mut self, holds: bool, problem: &str) {
        if !holds {
            self.add(problem.to_owned());
        }
    }

    fn refuse(&mut self, holds: bool, problem: &str) {
        self.require(!holds, problem);
    }
}

/// Which ends of a tool are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exits {
    /// 0 alone, without a line on stderr that tells of an error.
    Clean,
    /// Also 1: `pg_restore` ends so when it went on after an error; what came of it is compared.
    Compared,
}

fn tools(tools: &[ToolExit], exits: Exits, problems: &mut Problems) {
    for tool in tools {
        let program = &tool.program;
        match (tool.exit_code, tool.signal) {
            (_, Some(signal)) => problems.add(format!("{program} was ended by signal {signal}")),
            (None, None) => problems.add(format!("nobody saw how {program} ended")),
            (Some(0), None) => {}
            (Some(1), None) if exits == Exits::Compared => {}
            (Some(code), None) => problems.add(format!("{program} ended with exit status {code}")),
        }
        if exits == Exits::Clean && tool.error_line_count != 0 {
            problems.add(format!(
                "{program} wrote {} error lines",
                tool.error_line_count
            ));
        }
    }
}

fn times(outcome: &Outcome, problems: &mut Problems) {
    match (&outcome.start_time, &outcome.end_time) {
        (Some(start), Some(end)) => problems.require(
            (start.seconds, start.nanos) <= (end.seconds, end.nanos),
            "it ended before it started",
        ),
        (None, _) | (_, None) => {
            problems.add("the report does not say when work started and ended".to_owned());
        }
    }
}

/// The agent's own word for why it failed.
fn reported(outcome: &Outcome) -> Failure {
    match &outcome.failure {
        Some(failure) if !failure.reason.is_empty() && !failure.message.is_empty() => {
            failure_in(failure)
        }
        Some(_) | None => Failure::new(
            Reason::EvidenceInsufficient,
            "the agent reported a failure without saying why; see the run's log",
        ),
    }
}

fn insufficient(reason: Reason, problems: &[String]) -> Verdict {
    let mut text = problems
        .iter()
        .take(PROBLEMS_SHOWN_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    if more > 0 {
        text = format!("{text}; and {more} more");
    }
    Verdict::Failed(Failure::new(
        reason,
        format!(
            "the agent reported success, but the evidence does not show it: {text}. Nothing of \
             this attempt counts; see the run's log, then repeat the run"
        ),
    ))
}

#[cfg(test)]
mod tests;
