//! The clock's high-water mark: the latest instant this database has lived through. It follows the
//! wall clock while that moves as it should, and holds back deletes when it does not: after a jump
//! ahead everything would look old enough to go.
//!
//! Backups never wait for it. A clock that goes back makes things look younger, which deletes
//! nothing.

use super::core::Core;
use super::store::{clock_advance, controller_get, destructive_allowed};
use crate::db::Tx;
use crate::events::{AuditEntry, audit_append};
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use provado_model::limits::{CLOCK_CALM_SECONDS, CLOCK_JUMP_SECONDS_MAX};
use provado_model::time::Monotonic;
use provado_model::{Error, Reason};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far the wall clock may be ahead of the mark.
const JUMP_MAX: SignedDuration = SignedDuration::from_secs(CLOCK_JUMP_SECONDS_MAX);
/// How long the clock must run evenly after a start before a gap counts as a stop.
const CALM: Duration = Duration::from_secs(CLOCK_CALM_SECONDS);

/// Whether anything stored may be deleted. Errors: as [`destructive_allowed`], and
/// `CLOCK_JUMPED` while the wall clock is ahead of the high-water mark by more than an hour.
pub async fn deletes_allowed(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    destructive_allowed(tx).await?;
    let mark = controller_get(tx).await?.clock_high_water_time;
    let ahead = now.duration_since(mark);
    if ahead <= JUMP_MAX {
        return Ok(());
    }
    Err(Error::new(
        Reason::ClockJumped,
        format!(
            "the controller's clock says {now}, {} s after the last time it was seen to run \
             evenly ({mark}); sweeps wait until it is known to be right",
            ahead.as_secs()
        ),
    )
    .with("clock_time", now)
    .with("high_water_time", mark))
}

/// Why the mark does not follow the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// The wall clock went ahead of the monotonic one: until it comes back.
    Jump,
    /// It was ahead when the controller started, as after a stop, or with a clock that is not set
    /// yet: until it has run evenly for [`CALM`].
    Gap { since: Monotonic },
}

/// What the last activation saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    at: Monotonic,
    hold: Option<Hold>,
}

/// Where the mark goes, and what holds it back from the wall clock.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    mark: Timestamp,
    hold: Option<Hold>,
}

fn judge(mark: Timestamp, now: Timestamp, at: Monotonic, seen: Option<Seen>) -> Step {
    let elapsed = seen.map_or(Duration::ZERO, |seen| at.since(seen.at));
    let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
    let expected = mark.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
    if now.duration_since(expected) <= JUMP_MAX {
        return Step {
            mark: now,
            hold: None,
        };
    }
    let hold = match seen {
        None => Hold::Gap { since: at },
        Some(seen) => seen.hold.unwrap_or(Hold::Jump),
    };
    match hold {
        Hold::Gap { since } if at.since(since) >= CALM => Step {
            mark: now,
            hold: None,
        },
        Hold::Gap { .. } | Hold::Jump => Step {
            mark: expected,
            hold: Some(hold),
        },
    }
}

/// Moves the mark along with the clock.
#[derive(Debug)]
pub struct ClockTask {
    core: Core,
    seen: Mutex<Option<Seen>>,
}

impl ClockTask {
    /// The task. Nobody wakes it.
    pub const fn new(core: Core) -> Self {
        Self {
            core,
            seen: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Task for ClockTask {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn period(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let ctx = self.core.task_context(self.name());
        let at = self.core.clock.monotonic();
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tx = self.core.db.begin().await?;
        let state = controller_get(&mut tx).await?;
        let mark = state.clock_high_water_time;
        let step = judge(mark, ctx.now, at, seen);
        clock_advance(&mut tx, step.mark).await?;
        let held = seen.and_then(|seen| seen.hold);
        let action = match (held, step.hold) {
            (None, Some(_)) => Some("controller.notice-clock"),
            (Some(_), None) => Some("controller.accept-clock"),
            (None, None) | (Some(_), Some(_)) => None,
        };
        if let Some(action) = action {
            let entry = AuditEntry::done(action, "controller", state.id)
                .with("clock_time", ctx.now.to_string())
                .with("high_water_time", mark.to_string());
            audit_append(&mut tx, &ctx, entry).await?;
        }
        tx.commit().await?;
        if held.is_none() && step.hold.is_some() {
            tracing::error!(
                clock.time = %ctx.now,
                clock.high_water_time = %mark,
                "the clock is more than an hour ahead of where it was last seen; sweeps wait, \
                 backups go on (CLOCK_JUMPED)"
            );
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen {
            at,
            hold: step.hold,
        });
        Ok(action.map_or(Activity::Idle, |_| Activity::Done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::time::{Clock as _, ManualClock};

    const HOUR: i64 = 3_600;

    /// Steps of (seconds on the wall, seconds on the monotonic clock), and whether the mark is
    /// held back after each.
    fn check(start_gap: i64, steps: &[(i64, i64, bool)]) {
        let clock = ManualClock::at_second(1_000_000);
        let mut mark = clock.now();
        clock.jump(SignedDuration::from_secs(start_gap));
        let mut seen = None;
        for (number, (wall, monotonic, held)) in steps.iter().enumerate() {
            clock.advance(SignedDuration::from_secs(*monotonic));
            clock.jump(SignedDuration::from_secs(wall - monotonic));
            let step = judge(mark, clock.now(), clock.monotonic(), seen);
            assert_eq!(step.hold.is_some(), *held, "step {number}");
            mark = mark.max(step.mark);
            seen = Some(Seen {
                at: clock.monotonic(),
                hold: step.hold,
            });
        }
    }

    #[test]
    fn the_mark_follows_an_even_clock_and_nothing_else() {
        check(0, &[(0, 0, false), (60, 60, false), (300, 300, false)]);
        // A long activation elsewhere, or a machine that was slow, is no jump.
        check(0, &[(0, 0, false), (5 * HOUR, 5 * HOUR, false)]);
        // Set by less than an hour, in either direction, or back by days.
        check(
            0,
            &[(0, 0, false), (3_000, 60, false), (-9 * HOUR, 60, false)],
        );
    }

    #[test]
    fn a_jump_is_held_until_the_clock_comes_back() {
        let days = 400 * 24 * HOUR;
        check(
            0,
            &[
                (0, 0, false),
                (days, 60, true),
                (9 * HOUR, 9 * HOUR, true),
                (60 - days, 60, false),
                (60, 60, false),
            ],
        );
    }

    #[test]
    fn a_gap_before_the_start_is_held_until_the_clock_has_run_evenly() {
        check(
            48 * HOUR,
            &[
                (0, 0, true),
                (HOUR - 60, HOUR - 60, true),
                (60, 60, false),
                (60, 60, false),
            ],
        );
        // A clock that was not set yet is corrected: at once.
        check(48 * HOUR, &[(0, 0, true), (-48 * HOUR, 60, false)]);
    }
}
