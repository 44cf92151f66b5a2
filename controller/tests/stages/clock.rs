//! A clock that jumps ahead: sweeps wait, backups go on (RELIABILITY.md row 23).

use crate::refusals::assert_reason;
use crate::world::{World, run_id};
use jiff::SignedDuration;
use provado_controller::lifecycle::run::RunState;
use provado_model::Reason;
use provado_model::id::RunId;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::run_service_server::RunService;
use tonic::{Response, Status};

/// Less than a run may wait.
const JUMP: SignedDuration = SignedDuration::from_hours(10);

async fn sweep(
    world: &World,
    validate_only: bool,
) -> Result<Response<operator::RunPruneResponse>, Status> {
    let request = operator::RunPruneRequest {
        request_id: world.request_id(),
        repository: "local".to_owned(),
        validate_only,
        grace: None,
    };
    world.runs.run_prune(world.ask(request)).await
}

fn asked(answer: Result<Response<operator::RunPruneResponse>, Status>) -> RunId {
    run_id(answer.unwrap().into_inner().run.as_ref())
}

#[tokio::test]
async fn a_clock_that_jumped_ahead_holds_back_sweeps_and_nothing_else() {
    let world = World::new().await;
    world.with_repository().await;
    world.disconnect();
    let waiting = asked(sweep(&world, false).await);
    world.settle().await;

    world.clock.jump(JUMP);
    assert_reason(sweep(&world, false).await, Reason::ClockJumped);
    world.settle().await;
    world.assert_rest().await;
    // Hours later it is no truer.
    for _ in 0..5 {
        world.advance(3_600);
        world.settle().await;
    }
    assert_reason(sweep(&world, false).await, Reason::ClockJumped);
    let told = asked(sweep(&world, true).await);
    world.connect();
    world.settle().await;
    assert_eq!(world.run(told).await.state, RunState::Dispatched);
    let run = world.run(waiting).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.unwrap().reason, "CLOCK_JUMPED");
    world.take_sent();
    world.back_up("shop").await;

    world.clock.jump(-JUMP);
    world.step("clock").await;
    asked(sweep(&world, false).await);
    world.settle().await;
    world.assert_rest().await;
}
