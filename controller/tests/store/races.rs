//! Two at the same time: one of them wins, and the other is told.

use crate::world::World;
use provado_controller::lifecycle::run::{
    Inserted, NewRun, RunEvent, run_apply, run_get, run_insert,
};
use provado_model::{Error, Reason};

pub(crate) async fn of_two_that_move_a_run_one_wins(world: World) {
    let run = world.request(&world.new_run(world.agent())).await;
    let cancel = async || -> Result<(), Error> {
        let mut tx = world.core.db.begin().await?;
        let run = run_get(&mut tx, run.id).await?.unwrap();
        run_apply(&mut tx, &world.ctx(), &run, RunEvent::AskCancel).await?;
        tx.commit().await
    };
    let outcomes = tokio::join!(cancel(), cancel(), cancel());
    let outcomes = [outcomes.0, outcomes.1, outcomes.2];
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for outcome in lost {
        let reason = outcome.unwrap_err().reason;
        assert!(
            matches!(reason, Reason::VersionStale | Reason::RunEnded),
            "{reason}"
        );
    }
    assert_eq!(
        world.actions(run.id).await,
        ["run.request", "run.ask-cancel"]
    );
}

pub(crate) async fn of_two_that_make_the_same_run_one_does(world: World) {
    let new = world.new_run(world.agent());
    let make = async |new: &NewRun| {
        let mut tx = world.begin().await;
        let made = run_insert(&mut tx, &world.ctx(), new).await.unwrap();
        tx.commit().await.unwrap();
        made
    };
    let all = tokio::join!(make(&new), make(&new), make(&new));
    let all = [all.0, all.1, all.2];
    let fresh = all.iter().filter(|run| matches!(run, Inserted::New(_)));
    assert_eq!(fresh.count(), 1);
    assert_eq!(world.actions(new.id).await, ["run.request"]);
}
