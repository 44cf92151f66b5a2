//! The invariants, held against two pictures of the rows and what was written into the audit chain
//! between them. Pure; it looks at nothing by itself.

use crate::picture::{AttemptRow, BackupRow, Picture, RunRow};
use provado_model::audit_chain::AuditRecord;
use std::collections::BTreeMap;

/// One move of a row, as the audit chain tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// None where the row was made.
    pub(crate) from: Option<String>,
    /// None where the event tells no state.
    pub(crate) to: Option<String>,
}

/// Moves by kind and id of the row.
pub(crate) type Moves = BTreeMap<(String, String), Vec<Move>>;

/// Actions that make a row; the others tell from where to where.
const MAKING: &[&str] = &["run.request", "attempt.offer", "backup.enter"];

/// What the audit events say was moved.
pub(crate) fn moves_of(events: &[AuditRecord]) -> Moves {
    let mut out = Moves::new();
    for event in events.iter().filter(|event| event.outcome == "done") {
        let detail: serde_json::Value = serde_json::from_str(&event.detail_json).unwrap();
        let text = |name: &str| detail[name].as_str().map(str::to_owned);
        let made = MAKING.contains(&event.action.as_str());
        let (from, to) = (text("from"), text("to"));
        if made || to.is_some() {
            let key = (event.resource_kind.clone(), event.resource_name.clone());
            out.entry(key).or_default().push(Move { from, to });
        }
    }
    out
}

/// What is wrong after a step. `acting` is the epoch of the controller that acted, if one did.
pub(crate) fn check(
    before: &Picture,
    after: &Picture,
    moves: &Moves,
    acting: Option<u64>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    moved(before, after, moves, &mut wrong);
    lasting(before, after, &mut wrong);
    live(after, &mut wrong);
    ended(after, &mut wrong);
    backups(after, &mut wrong);
    if let Some(why) = &after.amnesia {
        wrong.push(format!(
            "the controller holds its database for a copy: {why}"
        ));
    }
    if let Some(epoch) = acting.filter(|epoch| *epoch < before.epoch)
        && before.attempts != after.attempts
    {
        wrong.push(format!(
            "a controller of epoch {epoch} changed attempts in epoch {}",
            before.epoch
        ));
    }
    wrong
}

/// A row of any of the three kinds, as far as moves go.
struct Moving<'a> {
    version: u64,
    states: [&'a str; 2],
}

impl<'a> From<&'a RunRow> for Moving<'a> {
    fn from(row: &'a RunRow) -> Self {
        Self {
            version: row.version,
            states: [&row.state, &row.state],
        }
    }
}

impl<'a> From<&'a AttemptRow> for Moving<'a> {
    fn from(row: &'a AttemptRow) -> Self {
        Self {
            version: row.version,
            states: [&row.state, &row.state],
        }
    }
}

impl<'a> From<&'a BackupRow> for Moving<'a> {
    fn from(row: &'a BackupRow) -> Self {
        Self {
            version: row.version,
            states: [&row.check_state, &row.keep_state],
        }
    }
}

/// Every move raised the version by one and has exactly one audit event, and the events tell a
/// path from the state before to the state after.
fn moved(before: &Picture, after: &Picture, moves: &Moves, wrong: &mut Vec<String>) {
    let mut rows: BTreeMap<(String, String), (Option<Moving<'_>>, Moving<'_>)> = BTreeMap::new();
    let key = |kind: &str, id: &String| (kind.to_owned(), id.clone());
    for (id, row) in &after.runs {
        let was = before.runs.get(id).map(Moving::from);
        rows.insert(key("run", id), (was, row.into()));
    }
    for (id, row) in &after.attempts {
        let was = before.attempts.get(id).map(Moving::from);
        rows.insert(key("attempt", id), (was, row.into()));
    }
    for (id, row) in &after.backups {
        let was = before.backups.get(id).map(Moving::from);
        rows.insert(key("backup", id), (was, row.into()));
    }
    for (key, (was, now)) in &rows {
        let told = moves.get(key).map_or(&[][..], Vec::as_slice);
        path(key, was.as_ref(), now, told, wrong);
    }
    for key in moves.keys().filter(|key| !rows.contains_key(*key)) {
        if matches!(key.0.as_str(), "run" | "attempt" | "backup") {
            wrong.push(format!("the audit chain tells of {key:?}, which is no row"));
        }
    }
}

fn path(
    (kind, id): &(String, String),
    was: Option<&Moving<'_>>,
    now: &Moving<'_>,
    told: &[Move],
    wrong: &mut Vec<String>,
) {
    let count = u64::try_from(told.len()).unwrap();
    let expected = was.map_or(0, |was| was.version) + count;
    if now.version != expected {
        wrong.push(format!(
            "{kind} {id} has version {} and should have {expected}: {count} moves were audited",
            now.version
        ));
    }
    if let (None, Some(first)) = (was, told.first())
        && first.from.is_some()
    {
        wrong.push(format!("{kind} {id} was made without an audit event"));
    }
    let made = match kind.as_str() {
        "run" => ["requested"; 2],
        "attempt" => ["offered"; 2],
        _ => ["unchecked", "active"],
    };
    let mut at = was.map_or(made, |was| was.states);
    for step in told {
        let (Some(from), Some(to)) = (&step.from, &step.to) else {
            continue;
        };
        if !at.contains(&from.as_str()) {
            wrong.push(format!("{kind} {id} moved from {from}, and was {at:?}"));
        }
        // A backup has two states, and an event tells of one.
        at = at.map(|state| if state == from { to.as_str() } else { state });
    }
    if at != now.states {
        wrong.push(format!(
            "{kind} {id} is {:?}, and its events lead to {at:?}",
            now.states
        ));
    }
}

/// Nothing vanishes, and what is final stays as it is.
fn lasting(before: &Picture, after: &Picture, wrong: &mut Vec<String>) {
    for (id, was) in &before.runs {
        match after.runs.get(id) {
            None => wrong.push(format!("run {id} vanished")),
            Some(now) if was.is_final() && now != was => {
                wrong.push(format!(
                    "run {id} was final and changed: {was:?} to {now:?}"
                ));
            }
            Some(_) => {}
        }
    }
    for (id, was) in &before.attempts {
        match after.attempts.get(id) {
            None => wrong.push(format!("attempt {id} vanished")),
            Some(now) if !was.is_live() && now != was => wrong.push(format!(
                "attempt {id} was final and changed: {was:?} to {now:?}"
            )),
            Some(_) => {}
        }
    }
    for id in before.backups.keys() {
        if !after.backups.contains_key(id) {
            wrong.push(format!("backup {id} vanished"));
        }
    }
    if after.epoch < before.epoch {
        wrong.push(format!("the epoch fell to {}", after.epoch));
    }
}

/// A run has at most one live attempt, which is its newest, and is with an agent while it has one.
fn live(after: &Picture, wrong: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, attempt) in &after.attempts {
        let Some(run) = after.runs.get(&attempt.run) else {
            wrong.push(format!("attempt {id} has no run"));
            continue;
        };
        if attempt.number > run.attempt_number {
            wrong.push(format!(
                "attempt {id} has fence {}, and its run {} has come to {}",
                attempt.number, attempt.run, run.attempt_number
            ));
        }
        if !attempt.is_live() {
            continue;
        }
        if let Some(other) = seen.insert(&attempt.run, id) {
            wrong.push(format!(
                "run {} has two live attempts: {other} and {id}",
                attempt.run
            ));
        }
        let is_newest = attempt.number == run.attempt_number;
        if !is_newest || !matches!(run.state.as_str(), "dispatched" | "running") {
            wrong.push(format!(
                "attempt {id} is {} with fence {}, and its run {} is {} at {}",
                attempt.state, attempt.number, attempt.run, run.state, run.attempt_number
            ));
        }
    }
}

/// Run and newest attempt succeed together; epochs do not fall from attempt to attempt.
fn ended(after: &Picture, wrong: &mut Vec<String>) {
    let mut by_run: BTreeMap<&str, BTreeMap<u32, (&str, &AttemptRow)>> = BTreeMap::new();
    for (id, attempt) in &after.attempts {
        let of_run = by_run.entry(&attempt.run).or_default();
        if of_run.insert(attempt.number, (id, attempt)).is_some() {
            wrong.push(format!(
                "run {} has two attempts of fence {}",
                attempt.run, attempt.number
            ));
        }
    }
    for (id, run) in &after.runs {
        let attempts = by_run.get(id.as_str());
        let newest = attempts.and_then(|all| all.get(&run.attempt_number));
        let has_won = newest.is_some_and(|(_, it)| it.state == "succeeded");
        let has_parts = after
            .runs
            .values()
            .any(|part| part.parent.as_ref() == Some(id));
        if run.state == "succeeded" && !has_won && !has_parts {
            wrong.push(format!(
                "run {id} succeeded, and its newest attempt did not"
            ));
        }
        let mut epoch = 0;
        for (attempt_id, attempt) in attempts.into_iter().flat_map(BTreeMap::values) {
            if attempt.state == "succeeded"
                && (run.state != "succeeded" || attempt.number != run.attempt_number)
            {
                wrong.push(format!(
                    "attempt {attempt_id} succeeded with fence {}, and run {id} is {} at {}",
                    attempt.number, run.state, run.attempt_number
                ));
            }
            if attempt.epoch < epoch {
                wrong.push(format!(
                    "attempt {attempt_id} is of an older epoch than the one before"
                ));
            }
            epoch = attempt.epoch;
        }
    }
}

/// Every backup comes from one settled successful attempt, and every proof from a drill.
fn backups(after: &Picture, wrong: &mut Vec<String>) {
    let mut of_runs: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, backup) in &after.backups {
        let attempt = backup.attempt.as_ref();
        let attempt = attempt.and_then(|it| Some((it, after.attempts.get(it)?)));
        let settled = attempt.is_some_and(|(name, it)| {
            name == id && it.run == backup.run && it.state == "succeeded" && it.outcome.is_some()
        });
        if !settled {
            wrong.push(format!(
                "backup {id} has no settled successful attempt: {attempt:?}"
            ));
        }
        let run = after.runs.get(&backup.run);
        if run.and_then(|run| run.backup.as_ref()) != Some(id) {
            wrong.push(format!("backup {id} is not the one of its run {run:?}"));
        }
        if let Some(other) = of_runs.insert(&backup.run, id) {
            wrong.push(format!(
                "run {} made two backups: {other} and {id}",
                backup.run
            ));
        }
    }
    for (id, run) in &after.runs {
        let is_part_or_whole = run.kind == "backup" && run.state == "succeeded";
        if is_part_or_whole && run.attempt_number > 0 && !of_runs.contains_key(id.as_str()) {
            let has_parts = after
                .runs
                .values()
                .any(|part| part.parent.as_ref() == Some(id));
            if !has_parts {
                wrong.push(format!("run {id} succeeded and left no backup"));
            }
        }
    }
    for (id, run) in &after.proofs {
        let drill = after.runs.get(run);
        if drill.is_none_or(|run| run.kind != "drill" || run.state != "succeeded") {
            wrong.push(format!("proof {id} comes from no drill: {drill:?}"));
        }
    }
}
