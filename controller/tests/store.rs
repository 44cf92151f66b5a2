//! The store's conformance suite: one body, run on SQLite in memory, SQLite in a file, PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

#[path = "store/attempts.rs"]
mod attempts;
#[path = "store/backups.rs"]
mod backups;
#[path = "store/chain.rs"]
mod chain;
#[path = "store/races.rs"]
mod races;
#[path = "store/requests.rs"]
mod requests;
#[path = "store/runs.rs"]
mod runs;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/world.rs"]
mod world;

use std::future::Future;
use std::pin::Pin;
use support::postgres::Server;
use world::World;

type Case = (&'static str, fn(World) -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        &[$((stringify!($case), |world| Box::pin($module::$case(world)))),*]
    };
}

const CASES: &[Case] = cases![
    runs::a_request_that_comes_twice_makes_one_run,
    runs::a_run_walks_to_its_end_and_every_move_has_one_event,
    runs::a_move_from_an_old_version_changes_nothing,
    runs::what_has_ended_stays_ended,
    runs::a_queued_run_waits_for_its_time_and_turn,
    runs::runs_with_the_same_key_are_not_dispatched_together,
    runs::a_list_shows_every_run_once_page_by_page,
    runs::a_filter_shows_what_fits_it,
    runs::a_run_is_found_by_part_of_its_id,
    runs::hostile_texts_come_back_as_they_are,
    runs::the_parts_of_a_run_are_counted,
    attempts::a_run_has_one_live_attempt,
    attempts::an_attempt_walks_to_its_end,
    attempts::a_controller_of_an_older_epoch_moves_nothing,
    attempts::a_lease_is_renewed_by_its_own_agent_and_never_shortened,
    attempts::only_newer_progress_is_kept,
    attempts::an_agent_sees_its_own_attempts_only,
    backups::a_backup_is_entered_once_and_comes_back_whole,
    backups::the_latest_backup_is_one_that_can_be_restored,
    backups::findings_and_keeping_move_by_version,
    chain::a_chain_grows_without_gaps_and_verifies,
    chain::events_that_are_undone_leave_no_gap,
    chain::events_are_filtered_and_paged_by_sequence,
    chain::checkpoints_are_kept_once,
    chain::log_lines_are_kept_once_and_bounded,
    chain::what_an_agent_remembers_is_held_against_the_chain,
    chain::amnesia_raises_the_epoch_and_holds_back_destructive_work,
    chain::a_clock_far_ahead_of_its_mark_holds_back_deletes,
    races::of_two_that_move_a_run_one_wins,
    races::of_two_that_make_the_same_run_one_does,
    requests::the_same_request_gets_the_same_answer,
    requests::answers_are_kept_for_a_day,
];

#[tokio::test]
async fn every_case_on_sqlite_in_memory() {
    for (name, case) in CASES {
        println!("{name}");
        case(World::open("sqlite::memory:").await).await;
    }
}

#[tokio::test]
async fn every_case_on_sqlite_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, case) in CASES {
        println!("{name}");
        let url = format!("sqlite://{}/{name}.db", directory.path().display());
        case(World::open(&url).await).await;
    }
}

#[tokio::test]
async fn every_case_on_postgres() {
    let server = Server::shared();
    for (name, case) in CASES {
        println!("{name}");
        case(World::open(&server.create_database()).await).await;
    }
}
