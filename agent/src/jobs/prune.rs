//! The prune job: removes orphans of a repository, which belong to no backup. Safe to repeat;
//! doubt keeps (STYLE rule 14).

use super::context::JobContext;
use super::place;
use super::work::{NoWatch, Work};
use jiff::SignedDuration;
use provado_model::Error;
use provado_proto::agent::v1::{Outcome, PruneJob, PruneOutcome, SweptObject, outcome::Detail};
use provado_proto::common::v1::Phase;
use provado_repository::Repository;
use provado_repository::sweep::{DeletePlan, LiveAttempt, SweepRules, plan_sweep};

/// Carries the job out.
pub(super) async fn run(job: PruneJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let target = place::repository_of(job.repository.as_ref())?;
    let backend = place::backend(context, target, place::Create::Never)?;
    let repository = place::open(backend, target).await?;
    let start = context.clock.monotonic();
    work.phase(Phase::Reading, "looking for orphans");
    let plan = plan(&job, &repository, &mut work).await?;
    for remark in &plan.remarks {
        work.warn(remark.clone());
    }
    let mut freed_bytes = plan.bytes();
    if !job.validate_only {
        work.phase(Phase::Pruning, "deleting orphans");
        let cancel = context.cancel.clone();
        let deleting = repository.apply_sweep(&plan, &cancel);
        let deleted = work.watched(NoWatch, deleting).await??;
        freed_bytes = deleted.bytes;
        if deleted.kept_count > 0 {
            work.warn(format!(
                "{} objects came to be needed while the sweep ran and were kept",
                deleted.kept_count
            ));
        }
    }
    work.step("sweep", start);
    let wire = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let objects = plan.delete.iter().map(|planned| SweptObject {
        object_key: planned.key.to_string(),
        stored_bytes: wire(planned.bytes),
        message: planned.reason.clone(),
    });
    let detail = PruneOutcome {
        objects: objects.collect(),
        freed_bytes: wire(freed_bytes),
        kept_count: wire(plan.keep.len() as u64),
    };
    Ok(work.outcome(Detail::Prune(detail), None))
}

async fn plan(
    job: &PruneJob,
    repository: &Repository,
    work: &mut Work<'_>,
) -> Result<DeletePlan, Error> {
    let live = job
        .live_instance_ids
        .iter()
        .map(|id| {
            let instance_id = place::parse_id(id)?;
            Ok(LiveAttempt { instance_id })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let grace = job.grace.map_or(SweepRules::GRACE, |grace| {
        SignedDuration::new(grace.seconds, grace.nanos)
    });
    let rules = SweepRules {
        now: work.context.clock.now(),
        grace,
        live,
    };
    let facts = work.watched(NoWatch, repository.sweep_facts()).await??;
    for stranger in &facts.strangers {
        work.warn(format!(
            "{stranger} lies in the repository and is none of its objects; it is left alone"
        ));
    }
    Ok(plan_sweep(&facts, &rules))
}
