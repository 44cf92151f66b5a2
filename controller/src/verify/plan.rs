//! What an ended check or drill says about its backup: pure.

use crate::lifecycle::backup::CheckStep;
use crate::lifecycle::facts::{Detail, DrillFacts, Facts};
use crate::lifecycle::run::{Run, RunState};
use crate::lifecycle::spec::CheckLevel;
use provado_model::Reason;
use provado_model::id::PackId;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing: it could not be carried out, or says too little.
    Nothing,
    /// This, by a check, or by a drill that found a difference.
    Found(CheckStep),
    /// Equality, with the facts of its proof.
    Proven(Box<DrillFacts>),
}

impl Finding {
    /// The finding as it is kept with the run that was looked at.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Found(step) => step.as_str(),
            Self::Proven(_) => CheckStep::FoundProven.as_str(),
        }
    }
}

/// Judges an ended run of kind check or drill. Its state was judged from evidence before.
pub(super) fn finding(run: &Run, facts: Option<&Facts>) -> Finding {
    let detail = facts.and_then(|facts| facts.detail.as_ref());
    match run.state {
        RunState::Succeeded => match detail {
            Some(Detail::Check(check)) => match check.level {
                Some(CheckLevel::Present) => Finding::Found(CheckStep::FoundPresent),
                Some(CheckLevel::Intact) => Finding::Found(CheckStep::FoundIntact),
                Some(CheckLevel::Readable) => Finding::Found(CheckStep::FoundReadable),
                None => Finding::Nothing,
            },
            Some(Detail::Drill(drill)) => Finding::Proven(Box::new(drill.clone())),
            Some(
                Detail::Backup(_)
                | Detail::Restore(_)
                | Detail::Prune(_)
                | Detail::Inspect(_)
                | Detail::Init(_)
                | Detail::Scan(_),
            )
            | None => Finding::Nothing,
        },
        RunState::Failed if tells_damage(run) => Finding::Found(CheckStep::FoundCorrupt),
        RunState::Failed
        | RunState::Requested
        | RunState::Queued
        | RunState::Dispatched
        | RunState::Running
        | RunState::Canceled
        | RunState::Skipped => Finding::Nothing,
    }
}

/// Whether a run failed because of what is stored, and not because it could not be carried out.
fn tells_damage(run: &Run) -> bool {
    let reason = run.failure.as_ref().map(|failure| failure.reason.as_str());
    reason == Some(Reason::CheckFoundDamage.as_str())
        || reason == Some(Reason::DrillFoundDifference.as_str())
}

/// The packs among what a check found damaged: objects `.../packs/<pack id>.pack`.
pub(super) fn damaged_packs(facts: Option<&Facts>) -> Vec<PackId> {
    let Some(Detail::Check(check)) = facts.and_then(|facts| facts.detail.as_ref()) else {
        return Vec::new();
    };
    check
        .damages
        .iter()
        .filter_map(|damage| {
            let (_, name) = damage.object_key.rsplit_once("/packs/")?;
            name.strip_suffix(".pack")?.parse().ok()
        })
        .collect()
}
