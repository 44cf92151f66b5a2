//! Runs: made once, moved by version, listed by page.

use crate::world::World;
use jiff::{SignedDuration, Timestamp};
use provado_controller::lifecycle::Failure;
use provado_controller::lifecycle::run::{
    Inserted, RunEvent, RunFilter, RunKind, RunState, run_apply, run_children_count,
    run_exclusive_holder, run_get, run_id_for_request, run_insert, run_list, run_list_children,
    run_list_overdue, run_list_queued, run_list_requested,
};
use provado_controller::resolve;
use provado_model::Reason;
use provado_model::id::{RequestId, RunId};
use std::collections::BTreeSet;

pub(crate) async fn a_request_that_comes_twice_makes_one_run(world: World) {
    let request = RequestId::new(world.core.clock.as_ref(), world.core.entropy.as_ref());
    let mut new = world.new_run(world.agent());
    new.id = run_id_for_request("c1", request);
    assert_eq!(new.id, run_id_for_request("c1", request));
    assert_ne!(new.id, run_id_for_request("c2", request));
    let first = world.request(&new).await;

    world.advance(5);
    new.priority = 1;
    let mut tx = world.begin().await;
    let again = run_insert(&mut tx, &world.ctx(), &new).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(again, Inserted::Existing(first));
    assert_eq!(world.actions(new.id).await, ["run.request"]);
}

pub(crate) async fn a_run_walks_to_its_end_and_every_move_has_one_event(world: World) {
    let agent = world.agent();
    let mut watcher = world.core.bus.watch();
    let (run, attempt) = world.dispatched(agent).await;
    assert_eq!(
        (run.state, run.attempt_number, run.version),
        (RunState::Dispatched, 1, 3)
    );
    let run = world.apply(&run, RunEvent::Start).await;
    let cause = Failure::new(Reason::ToolFailed, "pg_dump ended with status 1");
    let not_before = world.ctx().now + SignedDuration::from_secs(10);
    let requeue = RunEvent::Requeue {
        not_before,
        cause: cause.clone(),
    };
    world.lose(&attempt).await;
    let run = world.apply(&run, requeue).await;
    assert_eq!(run.failure, Some(cause));
    world.advance(10);
    let (run, attempt) = world.dispatch(&run, agent).await;
    // The fence rises.
    assert_eq!((run.attempt_number, attempt.number), (2, 2));
    let outcome = serde_json::json!({"rows": 7});
    let end = RunEvent::Succeed {
        outcome: outcome.clone(),
        backup: None,
    };
    let run = world.apply(&run, end).await;
    assert_eq!(run.outcome, Some(outcome));
    assert_eq!(run.failure, None);
    assert_eq!(run.end_time, Some(world.ctx().now));

    let mut tx = world.begin().await;
    assert_eq!(run_get(&mut tx, run.id).await.unwrap(), Some(run.clone()));
    drop(tx);
    let expected = [
        "request", "admit", "dispatch", "start", "requeue", "dispatch", "succeed",
    ];
    assert_eq!(
        world.actions(run.id).await,
        expected.map(|verb| format!("run.{verb}"))
    );
    let mut told = 0;
    while let Ok(event) = watcher.try_recv() {
        told += u32::from(matches!(
            event,
            provado_controller::events::Event::Run { .. }
        ));
    }
    assert_eq!(told, 7);
}

pub(crate) async fn a_move_from_an_old_version_changes_nothing(world: World) {
    let run = world.request(&world.new_run(world.agent())).await;
    let admitted = world
        .apply(&run, RunEvent::Admit(run.binding.clone()))
        .await;
    let before = world.chain().await;

    let mut tx = world.begin().await;
    let skip = RunEvent::Skip(Failure::new(Reason::AgentLocked, "locked"));
    let error = run_apply(&mut tx, &world.ctx(), &run, skip)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::VersionStale);
    drop(tx);

    let mut tx = world.begin().await;
    assert_eq!(run_get(&mut tx, run.id).await.unwrap(), Some(admitted));
    drop(tx);
    assert_eq!(world.chain().await, before);
}

pub(crate) async fn what_has_ended_stays_ended(world: World) {
    let run = world.request(&world.new_run(world.agent())).await;
    let run = world.apply(&run, RunEvent::AskCancel).await;
    assert_eq!(run.state, RunState::Canceled);
    let mut tx = world.begin().await;
    for event in [
        RunEvent::AskCancel,
        RunEvent::Start,
        RunEvent::Cancel { outcome: None },
    ] {
        let error = run_apply(&mut tx, &world.ctx(), &run, event)
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::RunEnded);
    }
}

pub(crate) async fn a_queued_run_waits_for_its_time_and_turn(world: World) {
    let agent = world.agent();
    let mut queued = Vec::new();
    for priority in [100, 50, 100] {
        world.advance(1);
        let mut new = world.new_run(agent);
        new.priority = priority;
        new.deadline_time = Some(world.ctx().now + SignedDuration::from_secs(60));
        let run = world.request(&new).await;
        queued.push(
            world
                .apply(&run, RunEvent::Admit(run.binding.clone()))
                .await,
        );
    }
    let waiting = world.request(&world.new_run(agent)).await;

    let mut tx = world.begin().await;
    let now = world.ctx().now;
    let ids = |runs: Vec<provado_controller::lifecycle::run::Run>| -> Vec<RunId> {
        runs.iter().map(|run| run.id).collect()
    };
    let turn = ids(run_list_queued(&mut tx, now, 10).await.unwrap());
    assert_eq!(turn, [queued[1].id, queued[0].id, queued[2].id]);
    assert_eq!(run_list_queued(&mut tx, now, 1).await.unwrap().len(), 1);
    let early = now - SignedDuration::from_secs(2);
    assert_eq!(
        ids(run_list_queued(&mut tx, early, 10).await.unwrap()),
        [queued[0].id]
    );
    let requested = ids(run_list_requested(&mut tx, 10).await.unwrap());
    assert_eq!(requested, [waiting.id]);
    assert!(run_list_overdue(&mut tx, now, 10).await.unwrap().is_empty());
    let late = now + SignedDuration::from_secs(60);
    assert_eq!(run_list_overdue(&mut tx, late, 10).await.unwrap().len(), 3);
}

pub(crate) async fn runs_with_the_same_key_are_not_dispatched_together(world: World) {
    let agent = world.agent();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut new = world.new_run(agent);
        new.binding.exclusive_key = Some("instance/1".into());
        let run = world.request(&new).await;
        runs.push(
            world
                .apply(&run, RunEvent::Admit(run.binding.clone()))
                .await,
        );
    }
    let (first, _) = world.dispatch(&runs[0], agent).await;
    let mut tx = world.begin().await;
    let holder = run_exclusive_holder(&mut tx, "instance/1").await.unwrap();
    assert_eq!(holder, Some(first.id));
    let dispatch = RunEvent::Dispatch(agent);
    assert!(
        run_apply(&mut tx, &world.ctx(), &runs[1], dispatch)
            .await
            .is_err()
    );
    drop(tx);

    let failure = Failure::new(Reason::ToolFailed, "x");
    world
        .apply(
            &first,
            RunEvent::Fail {
                failure,
                outcome: None,
            },
        )
        .await;
    world.dispatch(&runs[1], agent).await;
}

pub(crate) async fn a_list_shows_every_run_once_page_by_page(world: World) {
    let agent = world.agent();
    let mut all = BTreeSet::new();
    for number in 0..25 {
        // Some share their instant, and their ids do not follow it.
        world.advance(i64::from(number % 3 == 0));
        let mut new = world.new_run(agent);
        let request = RequestId::new(world.core.clock.as_ref(), world.core.entropy.as_ref());
        new.id = run_id_for_request("c1", request);
        all.insert(world.request(&new).await.id);
    }
    let mut seen = Vec::new();
    let mut after: Option<(Timestamp, RunId)> = None;
    let mut tx = world.begin().await;
    loop {
        let page = run_list(&mut tx, &RunFilter::default(), after, 4)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.request_time, last.id));
        assert!(
            page.windows(2)
                .all(|pair| pair[0].request_time >= pair[1].request_time)
        );
        seen.extend(page.iter().map(|run| run.id));
    }
    assert_eq!(seen.len(), 25);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
}

pub(crate) async fn a_filter_shows_what_fits_it(world: World) {
    let (agent, other) = (world.agent(), world.agent());
    let run = world.request(&world.new_run(agent)).await;
    let mut new = world.new_run(other);
    new.kind = RunKind::Drill;
    new.binding.database_name = Some(String::new());
    new.binding.instance_id = Some(world.instance());
    world.advance(10);
    let drill = world.request(&new).await;
    let drill = world.apply(&drill, RunEvent::AskCancel).await;

    let check = async |filter: RunFilter, expected: &[RunId]| {
        let mut tx = world.begin().await;
        let runs = run_list(&mut tx, &filter, None, 10).await.unwrap();
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
    };
    let with = |change: &dyn Fn(&mut RunFilter)| {
        let mut filter = RunFilter::default();
        change(&mut filter);
        filter
    };
    let (instance, time) = (drill.binding.instance_id, Some(drill.request_time));
    let ended = [RunState::Canceled, RunState::Failed];
    check(with(&|_| ()), &[drill.id, run.id]).await;
    check(with(&|f| f.states = ended.to_vec()), &[drill.id]).await;
    check(with(&|f| f.kinds = vec![RunKind::Backup]), &[run.id]).await;
    check(with(&|f| f.agent_id = Some(agent)), &[run.id]).await;
    check(with(&|f| f.instance_id = instance), &[drill.id]).await;
    check(
        with(&|f| f.database_name = Some(String::new())),
        &[drill.id],
    )
    .await;
    check(with(&|f| f.from_time = time), &[drill.id]).await;
    check(with(&|f| f.until_time = time), &[run.id]).await;
    check(with(&|f| f.parent_run_id = Some(run.id)), &[]).await;
}

pub(crate) async fn a_run_is_found_by_part_of_its_id(world: World) {
    let first = world.request(&world.new_run(world.agent())).await;
    let second = world.request(&world.new_run(world.agent())).await;
    let text = first.id.to_string();
    let mut tx = world.begin().await;
    for part in [text.as_str(), &text[28..], &format!("runs/{}", &text[30..])] {
        assert_eq!(
            resolve::run(&mut tx, "name", part).await.unwrap().id,
            first.id,
            "{part}"
        );
    }
    // Both were made in the same millisecond, so both begin alike.
    assert_eq!(text[..13], second.id.to_string()[..13]);
    let error = resolve::run(&mut tx, "name", &text[..13])
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::NameAmbiguous);
    for missing in ["0000-0000", "runs/ffffffff", "nonsense", "abcd%", "_____"] {
        let error = resolve::run(&mut tx, "name", missing).await.unwrap_err();
        assert_eq!(error.reason, Reason::RunNotFound, "{missing}");
    }
}

pub(crate) async fn hostile_texts_come_back_as_they_are(world: World) {
    let hostile = [
        "host=evil port=1",
        "--file=x",
        "a'b\"c\\d;e$1%",
        "line\nbreak\ttab",
        "\u{1f980} ünï",
        "",
    ];
    for text in hostile {
        let mut new = world.new_run(world.agent());
        new.binding.database_name = Some(text.into());
        new.labels.insert("note".into(), text.into());
        new.spec = serde_json::json!({ "patterns": [text] });
        let run = world.request(&new).await;
        assert_eq!(run.binding.database_name.as_deref(), Some(text));
        assert_eq!(run.labels["note"], text);
        assert_eq!(run.spec, new.spec);
        let filter = RunFilter {
            database_name: Some(text.into()),
            ..RunFilter::default()
        };
        let mut tx = world.begin().await;
        let found = run_list(&mut tx, &filter, None, 10).await.unwrap();
        assert_eq!(found.len(), 1, "{text:?}");
    }
}

pub(crate) async fn the_parts_of_a_run_are_counted(world: World) {
    let agent = world.agent();
    let parent = world.request(&world.new_run(agent)).await;
    for number in 0..3 {
        let mut new = world.new_run(agent);
        new.parent_run_id = Some(parent.id);
        let part = world.request(&new).await;
        if number == 0 {
            world.apply(&part, RunEvent::AskCancel).await;
        }
    }
    let mut tx = world.begin().await;
    let mut counts = run_children_count(&mut tx, parent.id).await.unwrap();
    counts.sort();
    assert_eq!(counts, [(RunState::Requested, 2), (RunState::Canceled, 1)]);
    assert_eq!(
        run_list_children(&mut tx, parent.id, 10)
            .await
            .unwrap()
            .len(),
        3
    );
}
