//! The init job: makes a repository's descriptor and tries out what its backend can do. Done
//! twice for the same repository it is done once; another repository's place is refused, and so is
//! an empty place of one that was made before: its disk is not mounted.

use super::context::JobContext;
use super::place;
use super::work::{NoWatch, Work};
use provado_model::id::uuid_v7;
use provado_model::{Error, Reason};
use provado_proto::agent::v1::{InitJob, InitOutcome, Outcome, RepositoryTarget, outcome::Detail};
use provado_proto::common::v1::Phase;
use provado_repository::backend::Capabilities;
use provado_repository::repository::InitOptions;
use provado_repository::{Backend, Recipient, Repository, SegmentKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Carries the job out.
pub(super) async fn run(job: InitJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    let target = place::repository_of(job.repository.as_ref())?;
    work.phase(Phase::Checking, "making the repository");
    let start = context.clock.monotonic();
    let create = if job.must_exist {
        place::Create::Never
    } else {
        place::Create::IfMissing
    };
    let backend = place::backend(context, target, create)?;
    let making = init(context, target, &backend, create);
    let (repository, already_there) = work.watched(NoWatch, making).await??;
    work.step("init", start);
    let capabilities = repository.capabilities();
    for weakness in capabilities.weaknesses() {
        work.warn(format!("the repository's backend: {weakness}"));
    }
    let doing = provado_repository::Error::backend("asking for free space");
    let space = backend.space().await.map_err(doing)?;
    let detail = InitOutcome {
        capabilities: words(capabilities),
        free_bytes: space.map(|s| i64::try_from(s.free_bytes).unwrap_or(i64::MAX)),
        already_there,
    };
    Ok(work.outcome(Detail::Init(detail), None))
}

async fn init(
    context: &JobContext,
    target: &RepositoryTarget,
    backend: &Arc<dyn Backend>,
    create: place::Create,
) -> Result<(Repository, bool), Error> {
    match (place::open(Arc::clone(backend), target).await, create) {
        (Ok(repository), _) => return Ok((repository, true)),
        (Err(error), place::Create::IfMissing) if error.reason == Reason::RepositoryMissing => {}
        (Err(error), _) => return Err(error),
    }
    let recipients = target
        .recipients
        .iter()
        .map(|text| text.parse::<Recipient>())
        .collect::<Result<Vec<_>, _>>()?;
    let options = InitOptions {
        repository_id: place::parse_id(&target.repository_id)?,
        recipients,
        segment_key: SegmentKey::from_hex(&target.segment_key)?,
        now: context.clock.now(),
        probe_id: uuid_v7(&*context.clock, &*context.entropy),
    };
    Ok((Repository::init(Arc::clone(backend), options).await?, false))
}

fn words(capabilities: &Capabilities) -> BTreeMap<String, String> {
    let flag = |value: bool| if value { "yes" } else { "no" };
    [
        ("put_if_absent", flag(capabilities.put_if_absent)),
        ("range_reads", flag(capabilities.range_reads)),
        ("list_after_write", flag(capabilities.list_after_write)),
        ("delete", flag(capabilities.delete)),
        ("checksums", flag(capabilities.checksums)),
        ("object_lock", flag(capabilities.object_lock)),
        ("backend", capabilities.backend.as_str()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
