//! Asking for backups.

use super::Runs;
use crate::admit::insert::{BackupWanted, Queueing, request_backup, request_whole_instance};
use crate::admit::{plan, wire};
use crate::db::Tx;
use crate::fleet::model::Instance;
use crate::fleet::store::agent::agent_by_id;
use crate::fleet::store::database::database_by_name;
use crate::lifecycle::run::{Run, run_id_for_request};
use crate::lifecycle::spec::BackupSpec;
use crate::lifecycle::wire::selection_in;
use crate::policy::{Repository, RepositoryState, repository_find, repository_list_of_agent};
use crate::request::{Caller, Violations, answer_get, answer_put, request_digest, request_id_of};
use crate::resolve;
use provado_model::id::{AgentId, RequestId};
use provado_model::{Error, Reason};
use provado_proto::operator::v1::{RunBackupRequest, RunBackupResponse};

const METHOD: &str = "RunBackup";
/// Repositories that are looked through for the only one.
const REPOSITORIES_LOOKED_AT: u32 = 100;

impl Runs {
    pub(super) async fn backup(
        &self,
        caller: &Caller,
        request: &RunBackupRequest,
    ) -> Result<RunBackupResponse, Error> {
        let (request_id, spec) = parse(request)?;
        let ctx = self.core.context(caller.actor(), Some(request_id));
        let digest = request_digest(request);
        let mut tx = self.core.db.begin().await?;
        if let Some(answer) = answer_get(&mut tx, &ctx, METHOD, &digest).await? {
            return Ok(answer);
        }
        let instance = resolve::instance(&mut tx, "instance", &request.instance).await?;
        plan::check_instance(&instance)?;
        check_agent(&mut tx, instance.agent).await?;
        let repository = repository_of(&mut tx, &instance, &request.repository).await?;
        let wanted = BackupWanted {
            id: run_id_for_request(&caller.id(), request_id),
            instance: &instance,
            repository: &repository,
            spec,
            labels: request.labels.clone(),
            queueing: if request.no_queue {
                Queueing::Refuse
            } else {
                Queueing::Wait
            },
        };
        let run = if request.database_name.is_empty() {
            request_whole_instance(&mut tx, &ctx, &wanted).await?
        } else {
            self.one(&mut tx, &ctx, &wanted, &request.database_name)
                .await?
        };
        let mut shown = self.show(&mut tx, &run).await?;
        if request.validate_only {
            tx.rollback().await?;
            // There is no such run, so there is nothing to look for by its name.
            shown.name.clear();
            return Ok(RunBackupResponse { run: Some(shown) });
        }
        let response = RunBackupResponse { run: Some(shown) };
        answer_put(&mut tx, &ctx, METHOD, &digest, &response).await?;
        tx.commit().await?;
        Ok(response)
    }

    async fn one(
        &self,
        tx: &mut Tx,
        ctx: &crate::events::Context,
        wanted: &BackupWanted<'_>,
        name: &str,
    ) -> Result<Run, Error> {
        let instance = wanted.instance;
        let database = database_by_name(tx, instance.id, name).await?;
        let Some(database) = database else {
            return Err(Error::new(
                Reason::DatabaseNotFound,
                format!(
                    "the instance {} has no database {name}; see `provado instance show {}`",
                    instance.name, instance.name
                ),
            )
            .with("database", name));
        };
        if !database.allows_connections {
            return Err(Violations::of(
                "database_name",
                format!("the database {name} does not allow connections, so it cannot be dumped"),
            ));
        }
        request_backup(tx, ctx, wanted, &database).await
    }
}

fn parse(request: &RunBackupRequest) -> Result<(RequestId, BackupSpec), Error> {
    let mut violations = Violations::default();
    let request_id = violations.take(request_id_of(&request.request_id));
    let selection = request
        .selection
        .as_ref()
        .map(selection_in)
        .unwrap_or_default();
    plan::check_selection(&selection, &mut violations);
    if request.database_name.is_empty() && !selection.table_patterns.is_empty() {
        violations.add(
            "selection.table_patterns",
            "are for one database; name it as well",
        );
    }
    plan::check_labels(&request.labels, &mut violations);
    let keep = violations.take(wire::keep(request.keep.as_ref()));
    let compression_level = plan::check_compression(request.compression_level, &mut violations);
    if request.instance.is_empty() {
        violations.add("instance", "must name the instance to back up");
    }
    violations.finish()?;
    let request_id = request_id.ok_or_else(|| Error::internal("no request id after its check"))?;
    let spec = BackupSpec {
        whole_instance: false,
        selection,
        keep: keep.unwrap_or_default(),
        compression_level,
    };
    Ok((request_id, spec))
}

/// Whether the agent may be given work. Errors: `AGENT_LOCKED`.
pub(super) async fn check_agent(tx: &mut Tx, id: AgentId) -> Result<(), Error> {
    let agent = agent_by_id(tx, id)
        .await?
        .ok_or_else(|| Error::internal(format!("agent {id} of a row is not there")))?;
    plan::check_agent(&agent)
}

/// The repository that was named, or the only one of the instance's agent. Errors:
/// `REPOSITORY_NOT_FOUND`, `REPOSITORY_MISSING`, `INVALID_ARGUMENT`.
async fn repository_of(tx: &mut Tx, instance: &Instance, name: &str) -> Result<Repository, Error> {
    let repository = if name.is_empty() {
        only_repository(tx, instance).await?
    } else {
        repository_find(tx, "repository", name).await?
    };
    let facts = &repository.facts;
    if facts.agent != instance.agent {
        return Err(Violations::of(
            "repository",
            format!(
                "{} is on the host of another agent than the instance {}",
                facts.name, instance.name
            ),
        ));
    }
    check_ready(&repository)?;
    Ok(repository)
}

async fn only_repository(tx: &mut Tx, instance: &Instance) -> Result<Repository, Error> {
    let mut found = repository_list_of_agent(tx, instance.agent, REPOSITORIES_LOOKED_AT).await?;
    match (found.pop(), found.len()) {
        (None, _) => Err(Error::new(
            Reason::RepositoryMissing,
            format!(
                "the agent of the instance {} has no repository; make one with `provado \
                 repository init`",
                instance.name
            ),
        )
        .with("instance", &instance.name)),
        (Some(repository), 0) => Ok(repository),
        (Some(_), _) => Err(Violations::of(
            "repository",
            "must be named, since the instance's agent has more than one",
        )),
    }
}

/// Whether a repository's descriptor was made. Error: `REPOSITORY_MISSING`.
pub(super) fn check_ready(repository: &Repository) -> Result<(), Error> {
    let name = &repository.facts.name;
    match repository.state {
        RepositoryState::Ready => Ok(()),
        RepositoryState::Declared => Err(Error::new(
            Reason::RepositoryMissing,
            format!("the repository {name} has not been made; run `provado repository init`"),
        )
        .with("repository", name)),
    }
}
