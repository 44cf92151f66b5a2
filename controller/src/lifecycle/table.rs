//! The table of all transitions, as people read it.

use super::{attempt, backup, incident, run};
use std::fmt::{Display, Write as _};

/// An event that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} that is {state} cannot {event}")]
pub struct NotAllowed {
    /// `run`, `attempt`, `backup` or `incident`.
    pub what: &'static str,
    /// The state it is in.
    pub state: String,
    /// The event that came.
    pub event: String,
}

impl NotAllowed {
    pub(super) fn new(what: &'static str, state: impl Display, event: impl Display) -> Self {
        Self {
            what,
            state: state.to_string(),
            event: event.to_string(),
        }
    }
}

/// Every pair of state and event of every machine, as Markdown tables; `—` is not allowed.
/// ARCHITECTURE.md shows the same text, and a test holds the two together.
pub fn transition_table() -> String {
    let mut out = String::new();
    section(
        &mut out,
        "run",
        run::machine::EVENTS,
        run::RunState::ALL,
        |state, event| run::machine::step(state, event).map(|(next, effects)| show(next, &effects)),
    );
    section(
        &mut out,
        "attempt",
        attempt::machine::EVENTS,
        attempt::AttemptState::ALL,
        |state, event| {
            attempt::machine::step(state, event).map(|(next, effects)| show(next, &effects))
        },
    );
    section(
        &mut out,
        "backup: checked",
        backup::machine::CHECK_EVENTS,
        backup::BackupCheck::ALL,
        |state, event| Ok(backup::machine::check_step(state, event).to_string()),
    );
    section(
        &mut out,
        "backup: kept",
        backup::machine::KEEP_EVENTS,
        backup::BackupKeep::ALL,
        |state, event| backup::machine::keep_step(state, event).map(|next| next.to_string()),
    );
    section(
        &mut out,
        "incident",
        incident::machine::EVENTS,
        incident::IncidentState::ALL,
        |state, event| incident::machine::step(state, event).map(|next| next.to_string()),
    );
    out
}

fn show<E: Display>(next: impl Display, effects: &[E]) -> String {
    let effects: Vec<String> = effects.iter().map(ToString::to_string).collect();
    if effects.is_empty() {
        next.to_string()
    } else {
        format!("{next} ({})", effects.join(", "))
    }
}

fn section<S: Copy + Display, E: Copy + Display>(
    out: &mut String,
    name: &str,
    events: &[E],
    states: &[S],
    step: impl Fn(S, E) -> Result<String, NotAllowed>,
) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "### {name}\n");
    let _ = write!(out, "| event |");
    for state in states {
        let _ = write!(out, " {state} |");
    }
    let _ = write!(out, "\n|---|");
    for _ in states {
        let _ = write!(out, "---|");
    }
    for event in events {
        let _ = write!(out, "\n| {event} |");
        for state in states {
            let cell = step(*state, *event).unwrap_or_else(|_| "—".to_owned());
            let _ = write!(out, " {cell} |");
        }
    }
    let _ = writeln!(out, "\n");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_all_transitions_is_reviewed_like_code() {
        insta::assert_snapshot!(super::transition_table());
    }

    #[test]
    fn nothing_follows_a_final_state_and_something_every_other() {
        use super::{attempt, run};
        for state in run::RunState::ALL {
            let mut events = run::machine::EVENTS.iter();
            let moves = events.any(|event| run::machine::step(*state, *event).is_ok());
            assert_eq!(moves, !state.is_final(), "run {state}");
        }
        for state in attempt::AttemptState::ALL {
            let mut events = attempt::machine::EVENTS.iter();
            let moves = events.any(|event| attempt::machine::step(*state, *event).is_ok());
            assert_eq!(moves, !state.is_final(), "attempt {state}");
        }
    }
}
