//! A repository as operators see it.

use super::model::{Repository, RepositoryKind, RepositoryState};
use crate::lifecycle::backup::Usage;
use crate::request::name_of;
use crate::request::wire::{size_out as size, time_out as time};
use provado_proto::operator::v1 as wire;

/// The message for a repository.
pub(super) fn repository(repository: &Repository, agent: &str, usage: Usage) -> wire::Repository {
    let facts = &repository.facts;
    wire::Repository {
        name: name_of("repositories", &facts.name),
        uid: facts.id.to_string(),
        kind: match facts.kind {
            RepositoryKind::File => wire::RepositoryKind::File.into(),
        },
        state: match repository.state {
            RepositoryState::Declared => wire::RepositoryState::Declared.into(),
            RepositoryState::Ready => wire::RepositoryState::Ready.into(),
        },
        agent: name_of("agents", agent),
        path: facts.path.clone(),
        recipients: facts.recipients.clone(),
        capabilities: repository.capabilities.clone(),
        create_time: Some(time(repository.create_time)),
        backup_count: size(usage.backup_count),
        stored_bytes: size(usage.stored_bytes),
        plain_bytes: size(usage.plain_bytes),
        warnings: repository.warnings(),
    }
}
