//! Jobs and references to attempts as agents are told them.

use crate::fleet::Command;
use crate::fleet::model::Instance;
use crate::lifecycle::attempt::Attempt;
use crate::policy::Repository;
use crate::request::wire::size_out;
use provado_proto::agent::v1 as wire;

/// The name of an attempt.
pub(super) fn attempt_ref(attempt: &Attempt) -> wire::AttemptRef {
    wire::AttemptRef {
        attempt_id: attempt.id.to_string(),
        run_id: attempt.run_id.to_string(),
        fence: i64::from(attempt.number),
        ended: false,
    }
}

/// The command to carry out an attempt.
pub(super) fn start(attempt: &Attempt, kind: wire::job::Kind) -> Command {
    Command::Start(Box::new(wire::StartAttempt {
        attempt: Some(attempt_ref(attempt)),
        epoch: size_out(attempt.epoch),
        job: Some(wire::Job { kind: Some(kind) }),
    }))
}

/// The command to stop an attempt.
pub(super) fn cancel(attempt: &Attempt, epoch: u64, message: &str) -> Command {
    Command::Cancel(wire::CancelAttempt {
        attempt: Some(attempt_ref(attempt)),
        epoch: size_out(epoch),
        message: message.to_owned(),
    })
}

/// The instance a job is bound to (INV-TARGET).
pub(super) fn instance(instance: &Instance) -> wire::InstanceTarget {
    wire::InstanceTarget {
        instance_id: instance.id.to_string(),
        system_identifier: instance.system_identifier.clone(),
        host: instance.host.clone(),
        port: i32::from(instance.port),
        instance_name: instance.name.clone(),
    }
}

/// A repository as an agent needs it, its secret key included.
pub(super) fn repository(repository: &Repository) -> wire::RepositoryTarget {
    let facts = &repository.facts;
    wire::RepositoryTarget {
        repository_id: facts.id.to_string(),
        repository_name: facts.name.clone(),
        path: facts.path.clone(),
        segment_key: facts.segment_key.expose_hex(),
        recipients: facts.recipients.clone(),
    }
}
