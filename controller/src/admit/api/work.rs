//! Asking for restores, checks, drills, sweeps, inspections and new repositories.

use super::Runs;
use super::target::{Target, resolve_target};
use crate::admit::insert::request;
use crate::admit::plan;
use crate::lifecycle::run::run_id_for_request;
use crate::lifecycle::spec::{
    CheckSpec, DrillSpec, PruneSpec, RestoreSpec, ScanSpec, SelectionSpec,
};
use crate::lifecycle::wire::{level_in, selection_in};
use crate::request::wire::seconds_of;
use crate::request::{
    Caller, Reference, Violations, answer_get, answer_put, reference, request_digest, request_id_of,
};
use crate::sealed;
use prost::Message;
use provado_model::Error;
use provado_model::id::{BackupId, RequestId, RunId};
use provado_proto::operator::v1 as wire;

/// How old an orphan must be to be swept when the request does not say.
const GRACE_SECONDS_DEFAULT: i64 = 24 * 60 * 60;

/// A request on its way to a run: what every method here does the same way.
struct Asked<'a> {
    method: &'static str,
    digest: String,
    caller: &'a Caller,
    request_id: RequestId,
    /// Whether nothing is to be changed.
    dry: Dry,
    sealed_identity: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dry {
    Yes,
    No,
}

impl<'a> Asked<'a> {
    fn new(
        method: &'static str,
        caller: &'a Caller,
        message: &impl Message,
        (request_id, validate_only): (RequestId, bool),
    ) -> Self {
        Self {
            method,
            digest: request_digest(message),
            caller,
            request_id,
            dry: if validate_only { Dry::Yes } else { Dry::No },
            sealed_identity: "",
        }
    }

    fn run_id(&self) -> RunId {
        run_id_for_request(&self.caller.id(), self.request_id)
    }
}

impl Runs {
    pub(super) async fn restore(
        &self,
        caller: &Caller,
        request: &wire::RunRestoreRequest,
    ) -> Result<wire::RunRestoreResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        plan::check_new_database(&request.database_name, &mut violations);
        let selection: SelectionSpec = request
            .selection
            .as_ref()
            .map(selection_in)
            .unwrap_or_default();
        plan::check_selection(&selection, &mut violations);
        plan::check_brings_tables(&selection, &mut violations);
        let jobs_count = plan::check_jobs(request.jobs_count, &mut violations);
        check_sealed(&request.sealed_identity, &mut violations);
        required("backup", &request.backup, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let mut asked = Asked::new("RunRestore", caller, request, id);
        asked.sealed_identity = &request.sealed_identity;
        let spec = RestoreSpec {
            selection,
            jobs_count,
            no_owner: request.no_owner,
            no_acl: request.no_acl,
            create_roles: request.create_roles,
            sealed: !request.sealed_identity.is_empty(),
        };
        self.serve(&asked, Target::Restore(request, spec), |run| {
            wire::RunRestoreResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn check(
        &self,
        caller: &Caller,
        request: &wire::RunCheckRequest,
    ) -> Result<wire::RunCheckResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        check_sealed(&request.sealed_identity, &mut violations);
        required("backup", &request.backup, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let mut asked = Asked::new("RunCheck", caller, request, id);
        asked.sealed_identity = &request.sealed_identity;
        let spec = CheckSpec {
            level: level_in(request.level()).unwrap_or_default(),
            sealed: !request.sealed_identity.is_empty(),
        };
        self.serve(&asked, Target::Check(&request.backup, spec), |run| {
            wire::RunCheckResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn drill(
        &self,
        caller: &Caller,
        request: &wire::RunDrillRequest,
    ) -> Result<wire::RunDrillResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let jobs_count = plan::check_jobs(request.jobs_count, &mut violations);
        check_sealed(&request.sealed_identity, &mut violations);
        required("backup", &request.backup, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let mut asked = Asked::new("RunDrill", caller, request, id);
        asked.sealed_identity = &request.sealed_identity;
        let spec = DrillSpec {
            jobs_count,
            sealed: !request.sealed_identity.is_empty(),
        };
        self.serve(&asked, Target::Drill(&request.backup, spec), |run| {
            wire::RunDrillResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn prune(
        &self,
        caller: &Caller,
        request: &wire::RunPruneRequest,
    ) -> Result<wire::RunPruneResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let grace = violations.take(seconds_of("grace", request.grace.as_ref()));
        required("repository", &request.repository, &mut violations);
        violations.finish()?;
        // A dry run of a sweep is a run too: only the agent sees what would go.
        let asked = Asked::new("RunPrune", caller, request, (checked(request_id)?, false));
        let spec = PruneSpec {
            grace_seconds: grace.flatten().unwrap_or(GRACE_SECONDS_DEFAULT),
            validate_only: request.validate_only,
        };
        self.serve(&asked, Target::Prune(&request.repository, spec), |run| {
            wire::RunPruneResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn scan(
        &self,
        caller: &Caller,
        request: &wire::RunScanRequest,
    ) -> Result<wire::RunScanResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        let after = violations.take(after_of(&request.after_backup)).flatten();
        check_sealed(&request.sealed_identity, &mut violations);
        required("repository", &request.repository, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let mut asked = Asked::new("RunScan", caller, request, id);
        asked.sealed_identity = &request.sealed_identity;
        let spec = ScanSpec {
            after,
            sealed: !request.sealed_identity.is_empty(),
        };
        self.serve(&asked, Target::Scan(&request.repository, spec), |run| {
            wire::RunScanResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn inspect(
        &self,
        caller: &Caller,
        request: &wire::RunInspectRequest,
    ) -> Result<wire::RunInspectResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        required("agent", &request.agent, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let asked = Asked::new("RunInspect", caller, request, id);
        self.serve(&asked, Target::Inspect(&request.agent), |run| {
            wire::RunInspectResponse { run: Some(run) }
        })
        .await
    }

    pub(super) async fn init(
        &self,
        caller: &Caller,
        request: &wire::RunInitRequest,
    ) -> Result<wire::RunInitResponse, Error> {
        let mut violations = Violations::default();
        let request_id = violations.take(request_id_of(&request.request_id));
        required("repository", &request.repository, &mut violations);
        violations.finish()?;
        let id = (checked(request_id)?, request.validate_only);
        let asked = Asked::new("RunInit", caller, request, id);
        self.serve(&asked, Target::Init(&request.repository), |run| {
            wire::RunInitResponse { run: Some(run) }
        })
        .await
    }

    /// The walk of every request: the answer given before, or resolve, request, answer, commit.
    async fn serve<R: Message + Default>(
        &self,
        asked: &Asked<'_>,
        target: Target<'_>,
        respond: impl FnOnce(wire::Run) -> R,
    ) -> Result<R, Error> {
        let ctx = self
            .core
            .context(asked.caller.actor(), Some(asked.request_id));
        let mut tx = self.core.db.begin().await?;
        if let Some(answer) = answer_get(&mut tx, &ctx, asked.method, &asked.digest).await? {
            return Ok(answer);
        }
        let wanted = resolve_target(&mut tx, ctx.now, asked.run_id(), target).await?;
        let run = request(&mut tx, &ctx, wanted).await?;
        let mut shown = self.show(&mut tx, &run).await?;
        if asked.dry == Dry::Yes {
            tx.rollback().await?;
            // There is no such run, so there is nothing to look for by its name.
            shown.name.clear();
            return Ok(respond(shown));
        }
        let response = respond(shown);
        answer_put(&mut tx, &ctx, asked.method, &asked.digest, &response).await?;
        if asked.sealed_identity.is_empty() {
            tx.commit().await?;
        } else {
            // Before the commit: a run must not be sent while its identity is not held yet.
            let held = self.sealed.hold(run.id, asked.sealed_identity)?;
            tx.commit().await?;
            held.keep();
        }
        Ok(response)
    }
}

fn checked(request_id: Option<RequestId>) -> Result<RequestId, Error> {
    request_id.ok_or_else(|| Error::internal("no request id after its check"))
}

fn required(field: &'static str, value: &str, violations: &mut Violations) {
    if value.is_empty() {
        violations.add(field, "must not be empty");
    }
}

/// The backup after which a scan goes on: it may be one that the controller does not know.
fn after_of(name: &str) -> Result<Option<BackupId>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    match reference::<BackupId>("after_backup", "backups", name)? {
        Reference::Id(id) => Ok(Some(id)),
        Reference::Name(_) | Reference::Part(_) => Err(Violations::of(
            "after_backup",
            "must be a whole id, as an outcome has told it",
        )),
    }
}

fn check_sealed(identity: &str, violations: &mut Violations) {
    if identity.is_empty() {
        return;
    }
    if let Some(problem) = sealed::problem_of(identity) {
        violations.add("sealed_identity", problem);
    }
}
