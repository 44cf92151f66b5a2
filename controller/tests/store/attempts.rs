//! Attempts: fences, epochs, leases, progress.

use crate::world::World;
use jiff::SignedDuration;
use provado_controller::lifecycle::Failure;
use provado_controller::lifecycle::attempt::{
    AttemptEvent, AttemptState, Report, attempt_apply, attempt_count_live, attempt_get,
    attempt_get_of_agent, attempt_lease_renew, attempt_list, attempt_list_lease_expired,
    attempt_list_live_of_agent, attempt_live, attempt_offer, attempt_progress,
};
use provado_controller::lifecycle::controller::epoch_raise;
use provado_model::Reason;
use provado_model::id::AttemptId;

pub(crate) async fn a_run_has_one_live_attempt(world: World) {
    let agent = world.agent();
    let (mut run, attempt) = world.dispatched(agent).await;
    run.attempt_number += 1;
    let id = AttemptId::new(world.core.clock.as_ref(), world.core.entropy.as_ref());
    let ctx = world.ctx();
    let mut tx = world.begin().await;
    assert!(
        attempt_offer(&mut tx, &ctx, id, &run, ctx.now)
            .await
            .is_err()
    );
    drop(tx);
    let mut tx = world.begin().await;
    assert_eq!(attempt_live(&mut tx, run.id).await.unwrap(), Some(attempt));
    assert_eq!(attempt_list(&mut tx, run.id, 10).await.unwrap().len(), 1);
    assert_eq!(attempt_count_live(&mut tx, agent).await.unwrap(), 1);
}

pub(crate) async fn an_attempt_walks_to_its_end(world: World) {
    let (run, attempt) = world.dispatched(world.agent()).await;
    let ctx = world.ctx();
    let lease_until = ctx.now + SignedDuration::from_secs(60);
    let mut tx = world.begin().await;
    let accept = AttemptEvent::Accept { lease_until };
    let attempt = attempt_apply(&mut tx, &ctx, &attempt, accept.clone())
        .await
        .unwrap();
    let start = AttemptEvent::Start { lease_until };
    let attempt = attempt_apply(&mut tx, &ctx, &attempt, start).await.unwrap();
    assert_eq!(attempt.lease_until_time, lease_until);
    let report = Report {
        sha256: Some("ab".into()),
        outcome: Some(serde_json::json!({"bytes": u64::MAX})),
    };
    let failure = Failure::new(Reason::DumpIncomplete, "cut").clone();
    let fail = AttemptEvent::Fail {
        failure: failure.clone(),
        report: report.clone(),
    };
    let ended = attempt_apply(&mut tx, &ctx, &attempt, fail).await.unwrap();
    assert_eq!(ended.state, AttemptState::Failed);
    assert_eq!(
        (ended.failure.as_ref(), ended.outcome.clone()),
        (Some(&failure), report.outcome)
    );
    let stored = attempt_get(&mut tx, run.id, 1).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&ended));
    assert_eq!(attempt_live(&mut tx, run.id).await.unwrap(), None);

    let error = attempt_apply(&mut tx, &ctx, &ended, accept.clone())
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::AttemptSuperseded);
    let error = attempt_apply(
        &mut tx,
        &ctx,
        &attempt,
        AttemptEvent::Cancel(Report::default()),
    )
    .await
    .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
    tx.commit().await.unwrap();
    let actions = world.actions(ended.id).await;
    assert_eq!(
        actions,
        ["offer", "accept", "start", "fail"].map(|a| format!("attempt.{a}"))
    );
}

pub(crate) async fn a_controller_of_an_older_epoch_moves_nothing(world: World) {
    let agent = world.agent();
    let (run, attempt) = world.dispatched(agent).await;
    let old = world.ctx();
    let mut tx = world.begin().await;
    let epoch = epoch_raise(&mut tx, &old, 7, "a test").await.unwrap();
    assert_eq!(epoch, 8);
    tx.commit().await.unwrap();

    let lose = AttemptEvent::Lose(Failure::new(Reason::AgentOffline, "gone"));
    let mut tx = world.begin().await;
    let error = attempt_apply(&mut tx, &old, &attempt, lose.clone())
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
    drop(tx);

    assert_eq!(world.core.refresh_epoch().await.unwrap(), 8);
    let mut tx = world.begin().await;
    let ended = attempt_apply(&mut tx, &world.ctx(), &attempt, lose)
        .await
        .unwrap();
    assert_eq!((ended.state, ended.epoch), (AttemptState::Lost, 1));
    tx.commit().await.unwrap();

    // Nor does it make one.
    let id = AttemptId::new(world.core.clock.as_ref(), world.core.entropy.as_ref());
    let mut run = run;
    run.attempt_number += 1;
    let mut tx = world.begin().await;
    let error = attempt_offer(&mut tx, &old, id, &run, old.now)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
    assert_eq!(attempt_list(&mut tx, run.id, 10).await.unwrap().len(), 1);
}

pub(crate) async fn a_lease_is_renewed_by_its_own_agent_and_never_shortened(world: World) {
    let agent = world.agent();
    let (_, attempt) = world.dispatched(agent).await;
    let now = world.ctx().now;
    let after = |seconds| now + SignedDuration::from_secs(seconds);
    let mut tx = world.begin().await;
    let expired = attempt_list_lease_expired(&mut tx, after(29), 10)
        .await
        .unwrap();
    assert!(expired.is_empty());
    let expired = attempt_list_lease_expired(&mut tx, after(30), 10)
        .await
        .unwrap();
    assert_eq!(expired, std::slice::from_ref(&attempt));

    let stranger = world.agent();
    assert!(
        !attempt_lease_renew(&mut tx, &attempt, stranger, after(90))
            .await
            .unwrap()
    );
    assert!(
        attempt_lease_renew(&mut tx, &attempt, agent, after(90))
            .await
            .unwrap()
    );
    assert!(
        attempt_lease_renew(&mut tx, &attempt, agent, after(60))
            .await
            .unwrap()
    );
    let mut older = attempt.clone();
    older.number = 0;
    assert!(
        !attempt_lease_renew(&mut tx, &older, agent, after(99))
            .await
            .unwrap()
    );
    let stored = attempt_get(&mut tx, attempt.run_id, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.lease_until_time, after(90));
    // A heartbeat does not cross a report.
    assert_eq!(stored.version, attempt.version);

    let cancel = AttemptEvent::Cancel(Report::default());
    attempt_apply(&mut tx, &world.ctx(), &stored, cancel)
        .await
        .unwrap();
    assert!(
        !attempt_lease_renew(&mut tx, &attempt, agent, after(120))
            .await
            .unwrap()
    );
    let expired = attempt_list_lease_expired(&mut tx, after(999), 10)
        .await
        .unwrap();
    assert!(expired.is_empty());
}

pub(crate) async fn only_newer_progress_is_kept(world: World) {
    let agent = world.agent();
    let (run, attempt) = world.dispatched(agent).await;
    let ctx = world.ctx();
    let mut tx = world.begin().await;
    for (sequence, kept) in [(2, true), (1, false), (2, false), (3, true)] {
        let progress = serde_json::json!({ "done_bytes": sequence });
        let outcome = attempt_progress(&mut tx, &ctx, &attempt, agent, sequence, &progress).await;
        assert_eq!(outcome.unwrap(), kept, "{sequence}");
    }
    let progress = serde_json::json!({});
    let stranger = world.agent();
    let outcome = attempt_progress(&mut tx, &ctx, &attempt, stranger, 9, &progress).await;
    assert!(!outcome.unwrap());
    let stored = attempt_get(&mut tx, run.id, 1).await.unwrap().unwrap();
    assert_eq!(stored.progress, Some(serde_json::json!({"done_bytes": 3})));
}

pub(crate) async fn an_agent_sees_its_own_attempts_only(world: World) {
    let (agent, stranger) = (world.agent(), world.agent());
    let (_, attempt) = world.dispatched(agent).await;
    let mut tx = world.begin().await;
    let own = attempt_get_of_agent(&mut tx, attempt.id, agent)
        .await
        .unwrap();
    assert_eq!(own, Some(attempt.clone()));
    let others = attempt_get_of_agent(&mut tx, attempt.id, stranger)
        .await
        .unwrap();
    assert_eq!(others, None);
    let own = attempt_list_live_of_agent(&mut tx, agent, 10)
        .await
        .unwrap();
    assert_eq!(own, [attempt]);
    let others = attempt_list_live_of_agent(&mut tx, stranger, 10)
        .await
        .unwrap();
    assert!(others.is_empty());
}
