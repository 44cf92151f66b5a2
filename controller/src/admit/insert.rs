//! From a resolved request to rows: one run, or a run and its parts, in the caller's transaction.

use super::names::Names;
use super::plan;
use crate::db::Tx;
use crate::events::Context;
use crate::fleet::model::{Database, Instance};
use crate::fleet::store::database::database_list;
use crate::lifecycle::run::{
    Inserted, NewRun, Run, RunBinding, RunKind, RunNames, run_exclusive_first, run_insert,
};
use crate::lifecycle::spec::{BackupSpec, RunSpec};
use crate::policy::Repository;
use jiff::SignedDuration;
use provado_model::id::RunId;
use provado_model::label::Labels;
use provado_model::limits::DATABASES_PER_RUN_MAX;
use provado_model::{Error, Reason};

/// How long a run may wait and work before it fails: nothing waits for ever.
const RUN_SPAN_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether a run waits for another one that works on the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queueing {
    /// It waits.
    Wait,
    /// It is refused instead.
    Refuse,
}

/// A run that is about to be requested.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: RunId,
    pub(super) kind: RunKind,
    pub(super) spec: RunSpec,
    pub(super) labels: Labels,
    pub(super) binding: RunBinding,
    pub(super) parent: Option<RunId>,
    pub(super) queueing: Queueing,
}

impl Wanted {
    pub(super) fn new(id: RunId, kind: RunKind, spec: RunSpec, binding: RunBinding) -> Self {
        Self {
            id,
            kind,
            spec,
            labels: Labels::new(),
            binding,
            parent: None,
            queueing: Queueing::Wait,
        }
    }
}

/// Requests one run. Errors: `RUN_IN_PROGRESS` where waiting is not wanted, `REQUEST_ID_REUSED`
/// where the same id has made another run.
pub(super) async fn request(tx: &mut Tx, ctx: &Context, wanted: Wanted) -> Result<Run, Error> {
    insert(tx, ctx, wanted).await.map(Inserted::into_inner)
}

/// The run's id comes from the request's, and stays when the answer to the request is forgotten.
async fn insert(tx: &mut Tx, ctx: &Context, wanted: Wanted) -> Result<Inserted<Run>, Error> {
    if wanted.queueing == Queueing::Refuse {
        refuse_if_taken(tx, &wanted).await?;
    }
    let mut new = NewRun::new(wanted.id, wanted.kind, wanted.spec.to_json()?);
    new.labels = wanted.labels;
    new.names = names_of(tx, &wanted.binding).await?;
    new.binding = wanted.binding;
    new.parent_run_id = wanted.parent;
    new.deadline_time = ctx.now.checked_add(RUN_SPAN_MAX).ok();
    match run_insert(tx, ctx, &new).await? {
        Inserted::Existing(run) if !is_asked_for(&run, &new) => Err(reused(ctx, &run)),
        inserted => Ok(inserted),
    }
}

/// Whether a run that is there is what is asked for now. What came of it (its backup) and who
/// carries it out are not part of what was asked for.
fn is_asked_for(run: &Run, new: &NewRun) -> bool {
    let (old, now) = (&run.binding, &new.binding);
    let same_backup = run.kind == RunKind::Backup || old.backup_id == now.backup_id;
    same_backup
        && run.kind == new.kind
        && run.spec == new.spec
        && run.labels == new.labels
        && run.parent_run_id == new.parent_run_id
        && old.instance_id == now.instance_id
        && old.database_name == now.database_name
        && old.repository_id == now.repository_id
}

fn reused(ctx: &Context, run: &Run) -> Error {
    let request_id = ctx.request_id.map_or_else(String::new, |id| id.to_string());
    Error::new(
        Reason::RequestIdReused,
        format!(
            "request id {request_id} was used for another request, which made the run {}; make a \
             new one",
            run.id
        ),
    )
    .with("request_id", request_id)
    .with("run", run.id)
}

async fn names_of(tx: &mut Tx, binding: &RunBinding) -> Result<RunNames, Error> {
    let (mut names, mut out) = (Names::default(), RunNames::default());
    if let Some(id) = binding.instance_id {
        out.instance = Some(names.instance(tx, id).await?);
    }
    if let Some(id) = binding.repository_id {
        out.repository = Some(names.repository(tx, id).await?);
    }
    Ok(out)
}

async fn refuse_if_taken(tx: &mut Tx, wanted: &Wanted) -> Result<(), Error> {
    let Some(key) = &wanted.binding.exclusive_key else {
        return Ok(());
    };
    match run_exclusive_first(tx, key, wanted.id).await? {
        None => Ok(()),
        Some(other) => Err(Error::new(
            Reason::RunInProgress,
            format!(
                "the run {other} works on the same thing or waits to; wait for it, or leave \
                 no_queue out to wait in line"
            ),
        )
        .with("run", other)),
    }
}

/// Everything a backup run is made from.
#[derive(Debug)]
pub(super) struct BackupWanted<'a> {
    pub(super) id: RunId,
    pub(super) instance: &'a Instance,
    pub(super) repository: &'a Repository,
    pub(super) spec: BackupSpec,
    pub(super) labels: Labels,
    pub(super) queueing: Queueing,
}

/// Requests the backup of one database.
pub(super) async fn request_backup(
    tx: &mut Tx,
    ctx: &Context,
    wanted: &BackupWanted<'_>,
    database: &Database,
) -> Result<Run, Error> {
    let run = backup_of(wanted, wanted.id, database, wanted.spec.clone());
    request(tx, ctx, run).await
}

/// Requests a run over every database that can be connected to, and its parts. Error:
/// `DATABASE_NOT_FOUND` when there is none.
pub(super) async fn request_whole_instance(
    tx: &mut Tx,
    ctx: &Context,
    wanted: &BackupWanted<'_>,
) -> Result<Run, Error> {
    let limit = u32::try_from(DATABASES_PER_RUN_MAX).unwrap_or(u32::MAX);
    let instance = wanted.instance;
    let mut databases = database_list(tx, instance.id, limit).await?;
    databases.retain(|database| database.allows_connections);
    if databases.is_empty() {
        return Err(Error::new(
            Reason::DatabaseNotFound,
            format!(
                "the instance {} has no database that can be connected to",
                instance.name
            ),
        )
        .with("instance", &instance.name));
    }
    let spec = BackupSpec {
        whole_instance: true,
        ..wanted.spec.clone()
    };
    let binding = RunBinding {
        agent_id: Some(instance.agent),
        instance_id: Some(instance.id),
        repository_id: Some(wanted.repository.facts.id),
        ..RunBinding::default()
    };
    let mut parent = Wanted::new(wanted.id, RunKind::Backup, RunSpec::Backup(spec), binding);
    parent.labels.clone_from(&wanted.labels);
    let parent = match insert(tx, ctx, parent).await? {
        Inserted::New(parent) => parent,
        // It got its parts when it was made.
        Inserted::Existing(parent) => return Ok(parent),
    };
    for database in &databases {
        let id = plan::part_id(parent.id, database.id);
        let mut part = backup_of(wanted, id, database, wanted.spec.clone());
        part.parent = Some(parent.id);
        request(tx, ctx, part).await?;
    }
    Ok(parent)
}

fn backup_of(
    wanted: &BackupWanted<'_>,
    id: RunId,
    database: &Database,
    spec: BackupSpec,
) -> Wanted {
    let binding = RunBinding {
        agent_id: Some(wanted.instance.agent),
        instance_id: Some(wanted.instance.id),
        database_id: Some(database.id),
        database_name: Some(database.name.clone()),
        repository_id: Some(wanted.repository.facts.id),
        backup_id: None,
        exclusive_key: Some(plan::backup_key(database.id)),
    };
    let mut run = Wanted::new(id, RunKind::Backup, RunSpec::Backup(spec), binding);
    run.labels.clone_from(&wanted.labels);
    run.queueing = wanted.queueing;
    run
}
