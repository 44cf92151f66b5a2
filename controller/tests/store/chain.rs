//! The audit chain, checkpoints, witnesses, logs.

use crate::world::World;
use jiff::SignedDuration;
use provado_controller::db::Database;
use provado_controller::events::{
    AuditEntry, AuditFilter, LogLevel, LogLine, StoredCheckpoint, audit_append, audit_list,
    checkpoint_insert, checkpoint_latest, checkpoint_list, run_log_append, run_log_list,
};
use provado_controller::lifecycle::controller::{
    Verdict, amnesia_clear, clock_advance, controller_get, deletes_allowed, destructive_allowed,
    witness_apply, witness_judge,
};
use provado_identity::signed_note::{self, NoteKey};
use provado_identity::signing::SigningKey;
use provado_model::audit_chain::{ChainHead, Checkpoint};
use provado_model::random::SeededEntropy;
use provado_model::{Reason, limits};

impl World {
    async fn append(&self, name: &str) {
        let mut tx = self.begin().await;
        let entry = AuditEntry::done("agent.revoke", "agent", name).with("why", "it's\n\"old\"");
        audit_append(&mut tx, &self.ctx(), entry).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub(crate) async fn a_chain_grows_without_gaps_and_verifies(world: World) {
    for number in 0..20 {
        world.append(&number.to_string()).await;
    }
    let before = world.chain().await;
    assert_eq!(before.len(), 20);
    assert_eq!(before[0].caller_name, "ana");
    assert_eq!(before[0].peer_address.as_deref(), Some("127.0.0.1:9"));
    if matches!(world.core.db, Database::Postgres { .. }) {
        // Two transactions that append at the same time take their turns.
        let mut first = world.begin().await;
        let entry = AuditEntry::done("a.b", "x", "first");
        audit_append(&mut first, &world.ctx(), entry).await.unwrap();
        let second = async {
            let mut second = world.begin().await;
            let entry = AuditEntry::done("a.b", "x", "second");
            audit_append(&mut second, &world.ctx(), entry)
                .await
                .unwrap();
            second.commit().await.unwrap();
        };
        let (done, ()) = tokio::join!(first.commit(), second);
        done.unwrap();
        assert_eq!(world.chain().await.len(), 22);
    }
}

pub(crate) async fn events_that_are_undone_leave_no_gap(world: World) {
    world.append("1").await;
    let mut tx = world.begin().await;
    let entry = AuditEntry::done("a.b", "x", "undone");
    assert_eq!(audit_append(&mut tx, &world.ctx(), entry).await.unwrap(), 2);
    tx.rollback().await.unwrap();
    world.append("2").await;
    let chain = world.chain().await;
    let names: Vec<_> = chain
        .iter()
        .map(|event| event.resource_name.as_str())
        .collect();
    assert_eq!(names, ["1", "2"]);
}

pub(crate) async fn events_are_filtered_and_paged_by_sequence(world: World) {
    for name in ["a", "b", "a", "b"] {
        world.advance(1);
        world.append(name).await;
    }
    let check = async |filter: AuditFilter, after: u64, expected: &[u64]| {
        let mut tx = world.begin().await;
        let events = audit_list(&mut tx, &filter, after, 3).await.unwrap();
        let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, expected, "{filter:?}");
    };
    let with = |change: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        filter
    };
    let now = Some(world.ctx().now);
    check(with(&|_| ()), 0, &[1, 2, 3]).await;
    check(with(&|_| ()), 3, &[4]).await;
    check(with(&|f| f.resource_name = Some("b".into())), 0, &[2, 4]).await;
    check(
        with(&|f| f.action = Some("agent.revoke".into())),
        2,
        &[3, 4],
    )
    .await;
    check(with(&|f| f.caller = Some("ana".into())), 0, &[1, 2, 3]).await;
    check(with(&|f| f.caller = Some("bea".into())), 0, &[]).await;
    check(with(&|f| f.from_time = now), 0, &[4]).await;
    check(with(&|f| f.until_time = now), 0, &[1, 2, 3]).await;
}

pub(crate) async fn checkpoints_are_kept_once(world: World) {
    let mut tx = world.begin().await;
    assert_eq!(checkpoint_latest(&mut tx).await.unwrap(), None);
    let mut checkpoint = StoredCheckpoint {
        head: ChainHead {
            sequence: 5,
            hash: "ab".into(),
        },
        epoch: 1,
        time: world.ctx().now,
        note: "first".into(),
    };
    checkpoint_insert(&mut tx, &checkpoint).await.unwrap();
    let first = checkpoint.clone();
    checkpoint.note = "second".into();
    checkpoint_insert(&mut tx, &checkpoint).await.unwrap();
    assert_eq!(
        checkpoint_latest(&mut tx).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(checkpoint_list(&mut tx, 4, 9).await.unwrap(), [first]);
    assert_eq!(checkpoint_list(&mut tx, 5, 9).await.unwrap(), []);
}

pub(crate) async fn log_lines_are_kept_once_and_bounded(world: World) {
    let run = world.request(&world.new_run(world.agent())).await;
    let line = |attempt_number, sequence, message: &str| LogLine {
        attempt_number,
        sequence,
        time: world.ctx().now,
        level: LogLevel::Warn,
        message: message.to_owned(),
    };
    let past = u64::try_from(limits::LOG_LINES_MAX).unwrap() + 1;
    let long = "ä".repeat(limits::LOG_LINE_BYTES_MAX);
    let lines = [
        line(1, 1, "a\0b"),
        line(1, 2, &long),
        line(1, past, "dropped"),
        line(2, 1, "c"),
    ];
    let mut tx = world.begin().await;
    run_log_append(&mut tx, &world.ctx(), run.id, &lines)
        .await
        .unwrap();
    run_log_append(&mut tx, &world.ctx(), run.id, &[line(1, 1, "again")])
        .await
        .unwrap();
    let kept = run_log_list(&mut tx, run.id, (0, 0), 10).await.unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[0].message, "a\u{fffd}b");
    assert_eq!(kept[1].message.len(), limits::LOG_LINE_BYTES_MAX);
    let rest = run_log_list(&mut tx, run.id, (1, 2), 10).await.unwrap();
    assert_eq!(rest, [line(2, 1, "c")]);
    assert_eq!(
        run_log_list(&mut tx, run.id, (1, 0), 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// The key that a world's checkpoints are signed with, and its name.
fn note_key(world: &World) -> (SigningKey, NoteKey) {
    let key = SigningKey::generate(&SeededEntropy::new(9)).unwrap();
    let name = format!("provado-audit/{}", world.core.id());
    let note_key = NoteKey::new(&name, key.public_key()).unwrap();
    (key, note_key)
}

fn note(world: &World, controller: &str, sequence: u64, hash: &str) -> String {
    note_in(world, (controller, 4), (sequence, hash))
}

fn note_in(
    world: &World,
    (controller, epoch): (&str, u64),
    (sequence, hash): (u64, &str),
) -> String {
    let checkpoint = Checkpoint {
        controller: controller.to_owned(),
        head: ChainHead {
            sequence,
            hash: hash.to_owned(),
        },
        epoch,
        time_micros: 0,
        accepted_epoch: 0,
    };
    let (key, note_key) = note_key(world);
    signed_note::sign(&checkpoint.body(), note_key.name(), &key).unwrap()
}

pub(crate) async fn what_an_agent_remembers_is_held_against_the_chain(world: World) {
    for name in ["1", "2", "3"] {
        world.append(name).await;
    }
    let chain = world.chain().await;
    let (second, third) = (chain[1].hash.as_str(), chain[2].hash.as_str());
    let own = world.core.id().to_string();
    let judge = async |note: &str, epoch: u64| {
        let (_, key) = note_key(&world);
        let mut tx = world.begin().await;
        witness_judge(&mut tx, &key, note, epoch).await.unwrap()
    };
    let note = |controller: &str, sequence, hash: &str| note(&world, controller, sequence, hash);
    assert_eq!(judge("", 1).await, Verdict::Agrees);
    assert_eq!(judge(&note(&own, 3, third), 1).await, Verdict::Agrees);
    assert_eq!(judge(&note(&own, 2, second), 0).await, Verdict::Agrees);
    let more = |verdict| matches!(verdict, Verdict::KnowsMore { .. });
    let not_ours = |verdict| matches!(verdict, Verdict::NotOurs { .. });
    // A number alone proves nothing, however near or far it is.
    for epoch in [2, u64::MAX] {
        assert!(not_ours(judge("", epoch).await), "a bare epoch");
        assert!(not_ours(judge(&note(&own, 3, third), epoch).await));
    }
    assert!(more(judge(&note(&own, 4, third), 1).await), "a later event");
    assert!(more(judge(&note(&own, 2, third), 1).await), "another event");
    assert!(
        more(judge(&note("another", 3, third), 1).await),
        "another database"
    );
    let forged = note(&own, 4, third).replace("\n4\n", "\n5\n");
    assert!(not_ours(judge(&forged, 1).await));
    // With a checkpoint that proves it, an agent may have seen a few epochs more than were signed.
    for (told, believed) in [(1, 4), (6, 6), (u64::MAX, 1_004)] {
        let verdict = judge(&note(&own, 4, third), told).await;
        let seen = matches!(verdict, Verdict::KnowsMore { epoch, .. } if epoch == believed);
        assert!(seen, "{verdict:?}");
    }
}

pub(crate) async fn amnesia_raises_the_epoch_and_holds_back_destructive_work(world: World) {
    let agent = world.agent();
    let own = world.core.id().to_string();
    let (_, key) = note_key(&world);
    let ctx = world.ctx();
    let mut tx = world.begin().await;
    destructive_allowed(&mut tx).await.unwrap();
    let shown = note(&world, &own, 7, "ab");
    let verdict = witness_judge(&mut tx, &key, &shown, 1).await.unwrap();
    assert!(witness_apply(&mut tx, &ctx, agent, &verdict).await.unwrap());
    // The same again, from this agent or another, is no news.
    assert!(!witness_apply(&mut tx, &ctx, agent, &verdict).await.unwrap());
    assert_eq!(controller_get(&mut tx).await.unwrap().epoch, 5);
    let error = destructive_allowed(&mut tx).await.unwrap_err();
    assert_eq!(error.reason, Reason::ControllerAmnesia);
    // What was read is what is agreed to.
    let error = amnesia_clear(&mut tx, &ctx, 4, "as was read before").await;
    assert_eq!(error.unwrap_err().reason, Reason::VersionStale);
    assert!(amnesia_clear(&mut tx, &ctx, 5, "all read").await.unwrap());
    destructive_allowed(&mut tx).await.unwrap();
    assert!(!amnesia_clear(&mut tx, &ctx, 5, "again").await.unwrap());
    // What agents remember of the lost life is no news any more, whichever of them shows it; what
    // is of this epoch or a later one still is.
    let judge =
        async |tx: &mut _, shown: &str, epoch| witness_judge(tx, &key, shown, epoch).await.unwrap();
    assert_eq!(judge(&mut tx, &shown, 4).await, Verdict::GivenUp);
    let later = note_in(&world, (&own, 5), (70, "ab"));
    let more = judge(&mut tx, &later, 5).await;
    assert!(matches!(more, Verdict::KnowsMore { .. }), "{more:?}");
    // A number beside it proves nothing.
    assert_eq!(judge(&mut tx, &shown, 6).await, Verdict::GivenUp);
    assert!(
        !witness_apply(&mut tx, &ctx, agent, &Verdict::GivenUp)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let chain = world.chain().await;
    let actions: Vec<_> = chain.iter().map(|event| event.action.as_str()).collect();
    let expected = ["notice-amnesia", "raise-epoch", "accept-amnesia"];
    assert_eq!(actions, expected.map(|verb| format!("controller.{verb}")));
}

pub(crate) async fn a_clock_far_ahead_of_its_mark_holds_back_deletes(world: World) {
    let now = world.ctx().now;
    let hour = SignedDuration::from_hours(1);
    let mut tx = world.begin().await;
    let ahead = now + SignedDuration::from_secs(100);
    clock_advance(&mut tx, ahead).await.unwrap();
    clock_advance(&mut tx, now).await.unwrap();
    let state = controller_get(&mut tx).await.unwrap();
    assert_eq!(state.clock_high_water_time, ahead, "it never goes back");
    deletes_allowed(&mut tx, now).await.unwrap();
    deletes_allowed(&mut tx, ahead + hour).await.unwrap();
    let far = ahead + hour + SignedDuration::from_secs(1);
    let error = deletes_allowed(&mut tx, far).await.unwrap_err();
    assert_eq!(error.reason, Reason::ClockJumped);
    destructive_allowed(&mut tx).await.unwrap();
}
