//! Answers by request id.

use crate::world::World;
use provado_controller::events::Context;
use provado_controller::request::{answer_expire, answer_get, answer_put, request_digest};
use provado_model::Reason;
use provado_model::id::RequestId;
use provado_proto::operator::v1::{CancelRunRequest, VerifyChainResponse};

const METHOD: &str = "/provado.operator.v1.RunService/CancelRun";

fn answer(count: i64) -> VerifyChainResponse {
    VerifyChainResponse {
        event_count: count,
        ..Default::default()
    }
}

fn context(world: &World) -> Context {
    let id = RequestId::new(world.core.clock.as_ref(), world.core.entropy.as_ref());
    Context {
        request_id: Some(id),
        ..world.ctx()
    }
}

pub(crate) async fn the_same_request_gets_the_same_answer(world: World) {
    let ctx = context(&world);
    let digest = request_digest(&CancelRunRequest {
        name: "runs/1".into(),
        ..Default::default()
    });
    let other = request_digest(&CancelRunRequest::default());
    let get = async |ctx: &Context, method: &str, digest: &str| {
        let mut tx = world.begin().await;
        answer_get::<VerifyChainResponse>(&mut tx, ctx, method, digest).await
    };
    assert_eq!(get(&ctx, METHOD, &digest).await.unwrap(), None);
    let mut tx = world.begin().await;
    answer_put(&mut tx, &ctx, METHOD, &digest, &answer(7))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(get(&ctx, METHOD, &digest).await.unwrap(), Some(answer(7)));
    for (method, digest) in [(METHOD, &other), ("/other", &digest)] {
        let error = get(&ctx, method, digest).await.unwrap_err();
        assert_eq!(error.reason, Reason::RequestIdReused);
    }
    // Another caller's request id is another one.
    let mut stranger = ctx.clone();
    stranger.actor.id = "c2".into();
    assert_eq!(get(&stranger, METHOD, &digest).await.unwrap(), None);
    // Two that were served at the same time: the second one's work is undone.
    let mut tx = world.begin().await;
    let error = answer_put(&mut tx, &ctx, METHOD, &digest, &answer(8))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
}

pub(crate) async fn answers_are_kept_for_a_day(world: World) {
    let ctx = context(&world);
    let mut tx = world.begin().await;
    answer_put(&mut tx, &ctx, METHOD, "d", &answer(1))
        .await
        .unwrap();
    world.advance(24 * 3_600);
    assert_eq!(answer_expire(&mut tx, world.ctx().now).await.unwrap(), 0);
    world.advance(1);
    assert_eq!(answer_expire(&mut tx, world.ctx().now).await.unwrap(), 1);
}
