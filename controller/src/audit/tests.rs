use super::*;
use crate::db::{Database, Sql, values};
use crate::events::{AuditEntry, audit_append, checkpoint_latest};
use crate::lifecycle::controller::{Core, checkpoint_verify};
use crate::supervisor::{Activity, Task};
use provado_identity::signed_note::NoteKey;
use provado_identity::signing::SigningKey;
use provado_model::Reason;
use provado_model::random::SeededEntropy;
use provado_model::time::ManualClock;
use provado_proto::operator::v1;
use provado_proto::operator::v1::audit_service_server::AuditService;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request};

struct World {
    clock: Arc<ManualClock>,
    core: Core,
    key: Arc<SigningKey>,
    note_key: NoteKey,
    task: CheckpointTask,
}

async fn world() -> World {
    let clock = Arc::new(ManualClock::at_second(1_700_000_000));
    let entropy = Arc::new(SeededEntropy::new(3));
    let key = Arc::new(SigningKey::generate(entropy.as_ref()).unwrap());
    let db = Database::open("sqlite::memory:").await.unwrap();
    let core = Core::open(db, Arc::<ManualClock>::clone(&clock), entropy)
        .await
        .unwrap();
    let note_key = origin(core.id(), key.public_key()).unwrap();
    let period = Duration::from_mins(1);
    let task = CheckpointTask::new(core.clone(), Arc::clone(&key), period);
    World {
        clock,
        core,
        key,
        note_key,
        task,
    }
}

impl World {
    async fn append(&self, count: u32) {
        let ctx = self.core.task_context("test");
        let mut tx = self.core.db.begin().await.unwrap();
        for number in 0..count {
            let entry = AuditEntry::done("run.request", "run", number);
            audit_append(&mut tx, &ctx, entry).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn verify(&self) -> Result<ChainSummary, provado_model::Error> {
        let mut tx = self.core.db.read().await.unwrap();
        chain_verify(&mut tx, &self.note_key).await
    }

    async fn change(&self, sql: Sql) {
        let mut tx = self.core.db.begin().await.unwrap();
        tx.execute_one(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_is_signed_when_the_chain_has_moved() {
    let world = world().await;
    assert_eq!(world.task.activate().await.unwrap(), Activity::Idle);
    world.append(3).await;
    assert_eq!(world.task.activate().await.unwrap(), Activity::Done);
    assert_eq!(world.task.activate().await.unwrap(), Activity::Idle);
    let mut tx = world.core.db.begin().await.unwrap();
    let stored = checkpoint_latest(&mut tx).await.unwrap().unwrap();
    drop(tx);
    let signed = checkpoint_verify(&world.note_key, &stored.note).unwrap();
    assert_eq!((signed.head.sequence, signed.epoch), (3, 1));
    assert_eq!(signed.head, stored.head);

    world.append(1_500).await;
    world.task.activate().await.unwrap();
    let summary = world.verify().await.unwrap();
    assert_eq!((summary.event_count, summary.checkpoint_count), (1_503, 2));
}

#[tokio::test]
async fn every_way_to_change_the_past_is_found() {
    const CHANGES: &[(Sql, &str)] = &[
        (
            Sql::both("UPDATE audit_event SET resource_name = 'x' WHERE sequence = 2"),
            "event 2 is not what was recorded",
        ),
        (
            Sql::both("DELETE FROM audit_event WHERE sequence = 3"),
            "event 3 should come next",
        ),
        (
            Sql::both("DELETE FROM audit_event WHERE sequence = 4"),
            "event 4 should come next",
        ),
        (
            Sql::both("UPDATE audit_checkpoint SET note = 'x' WHERE sequence = 4"),
            "a checkpoint over event 4",
        ),
        (
            Sql::both("UPDATE audit_checkpoint SET sequence = 3 WHERE sequence = 4"),
            "a checkpoint over event 3",
        ),
        (
            Sql::both("UPDATE audit_checkpoint SET sequence = 9 WHERE sequence = 4"),
            "a checkpoint over event 9",
        ),
    ];
    for (change, expected) in CHANGES {
        let world = world().await;
        world.append(4).await;
        world.task.activate().await.unwrap();
        world.verify().await.unwrap();
        world.change(*change).await;
        let error = world.verify().await.unwrap_err();
        assert_eq!(error.reason, Reason::AuditChainBroken);
        assert!(error.message.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_rewritten_chain_does_not_fit_its_checkpoint() {
    let world = world().await;
    world.append(2).await;
    world.task.activate().await.unwrap();
    // Someone with the database but without the key rewrites everything, hashes included.
    let mut tx = world.core.db.begin().await.unwrap();
    tx.execute(Sql::both("DELETE FROM audit_event"), &[])
        .await
        .unwrap();
    let reset = Sql::both("UPDATE audit_head SET sequence = 0, hash = $1");
    let genesis = provado_model::audit_chain::GENESIS_HASH;
    tx.execute(reset, &values![genesis]).await.unwrap();
    tx.commit().await.unwrap();
    world.clock.advance(jiff::SignedDuration::from_secs(1));
    world.append(3).await;
    let error = world.verify().await.unwrap_err();
    assert!(error.message.contains("checkpoint over event 2"), "{error}");
}

#[tokio::test]
async fn the_service_pages_through_every_event_and_verifies() {
    let world = world().await;
    world.append(7).await;
    world.task.activate().await.unwrap();
    let api = AuditApi::new(world.core.clone(), world.key.public_key()).unwrap();
    let mut request = v1::ListAuditEventsRequest {
        page_size: 3,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let answer = api.list_audit_events(Request::new(request.clone())).await;
        let answer = answer.unwrap().into_inner();
        seen.extend(answer.events.iter().map(|event| event.sequence));
        assert!(
            answer
                .events
                .iter()
                .all(|event| event.event_sha256.len() == 32)
        );
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    assert_eq!(seen, (1..=7).collect::<Vec<i64>>());

    request.resource_kind = "backup".into();
    let refused = api
        .list_audit_events(Request::new(request))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let answer = api
        .list_checkpoints(Request::new(v1::ListCheckpointsRequest::default()))
        .await;
    assert_eq!(answer.unwrap().into_inner().checkpoints[0].sequence, 7);
    let answer = api
        .verify_chain(Request::new(v1::VerifyChainRequest {}))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().event_count, 7);
    world
        .change(Sql::both(
            "UPDATE audit_event SET action = 'x' WHERE sequence = 5",
        ))
        .await;
    let broken = api
        .verify_chain(Request::new(v1::VerifyChainRequest {}))
        .await
        .unwrap_err();
    assert_eq!(broken.code(), Code::DataLoss);
}
