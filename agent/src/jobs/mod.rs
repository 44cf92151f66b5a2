//! The jobs: one file a kind. Each takes its message and a [`JobContext`] and tells its final
//! facts; none knows of sessions, journals or reports, and none decides whether it succeeded in
//! the controller's eyes.

mod backup;
mod check;
mod context;
mod drill;
mod init;
mod inspect;
mod load;
mod place;
mod precheck;
mod prune;
mod read_back;
mod restore;
mod scan;
mod source;
mod sweep;
mod work;

pub use context::{AttemptName, JobContext, Level, Observer};
pub use inspect::inventory;
pub use sweep::{sweep, sweep_databases};

use provado_model::{Error, Reason};
use provado_proto::agent::v1::job::Kind;
use provado_proto::agent::v1::{AttemptResult, Job, Outcome};
use provado_proto::common::v1::{Failure, FailureKind};

/// Carries out one job. Its failure is in the outcome; times are those of the agent's clock.
pub async fn run(job: Job, context: &JobContext) -> Outcome {
    let start_time = Some(wire_time(context.clock.now()));
    let instance = match &job.kind {
        Some(Kind::Backup(job)) => job.instance.clone(),
        Some(Kind::Restore(job)) => job.instance.clone(),
        _ => None,
    };
    let result = match job.kind {
        Some(Kind::Backup(job)) => backup::run(job, context).await,
        Some(Kind::Restore(job)) => restore::run(job, context).await,
        Some(Kind::Check(job)) => check::run(job, context).await,
        Some(Kind::Drill(job)) => drill::run(job, context).await,
        Some(Kind::Prune(job)) => prune::run(job, context).await,
        Some(Kind::Inspect(job)) => inspect::run(job, context).await,
        Some(Kind::Init(job)) => init::run(job, context).await,
        Some(Kind::Scan(job)) => scan::run(job, context).await,
        None => Err(Error::new(
            Reason::Unimplemented,
            "this agent does not know the job; upgrade it to the controller's version",
        )),
    };
    let mut outcome = result.unwrap_or_else(|error| failed(&error));
    if let Some(instance) = instance
        && outcome.result() != AttemptResult::Succeeded
    {
        sweep::after(&instance, context).await;
    }
    outcome.start_time = start_time;
    outcome.end_time = Some(wire_time(context.clock.now()));
    outcome
}

/// The kinds of runs this agent knows, as it tells the controller; a scan is an inspection.
pub fn capabilities() -> Vec<String> {
    [
        "backup", "restore", "check", "drill", "prune", "inspect", "init",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The word for a job's kind, for logs.
pub fn kind_word(job: &Job) -> &'static str {
    match &job.kind {
        Some(Kind::Backup(_)) => "backup",
        Some(Kind::Restore(_)) => "restore",
        Some(Kind::Check(_)) => "check",
        Some(Kind::Drill(_)) => "drill",
        Some(Kind::Prune(_)) => "prune",
        Some(Kind::Inspect(_)) => "inspect",
        Some(Kind::Init(_)) => "init",
        Some(Kind::Scan(_)) => "scan",
        None => "unknown",
    }
}

/// An outcome that failed with this error.
pub fn failed(error: &Error) -> Outcome {
    let result = match error.reason {
        Reason::Canceled => AttemptResult::Canceled,
        _ => AttemptResult::Failed,
    };
    Outcome {
        result: result.into(),
        failure: Some(failure(error)),
        ..Outcome::default()
    }
}

/// A failure as it goes over the wire: the message with its causes, since whoever reads it at
/// three in the morning has no other place to look.
pub fn failure(error: &Error) -> Failure {
    let mut message = error.message.clone();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        message.push_str(": ");
        message.push_str(&source.to_string());
        next = source.source();
    }
    Failure {
        kind: failure_kind(error).into(),
        reason: error.reason.as_str().to_owned(),
        message,
        metadata: error
            .context
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect(),
        help_url: provado_model::error::help_url(error.reason.as_str()),
    }
}

fn failure_kind(error: &Error) -> FailureKind {
    let name = format!("FAILURE_KIND_{}", error.kind.as_str().to_uppercase());
    FailureKind::from_str_name(&name).unwrap_or(FailureKind::Internal)
}

/// An instant as it goes over the wire.
pub fn wire_time(time: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_kind_on_the_wire() {
        for reason in Reason::ALL {
            let sent = failure(&Error::new(*reason, "x").caused_by(std::io::Error::other("y")));
            assert_eq!(sent.message, "x: y");
            let unknown = sent.kind() == FailureKind::Internal && *reason != Reason::Internal;
            assert!(!unknown, "{reason}");
        }
    }
}
