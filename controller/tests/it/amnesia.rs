//! A controller that was restarted from an older copy of its database: it notices, says so to
//! everybody, and goes on when an operator agrees.

use crate::session::{Line, connected};
use crate::world::{Operator, World, reason, request_id, until};
use provado_model::error::WARNING_HEADER;
use provado_proto::agent::v1 as agent;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::controller_service_client::ControllerServiceClient;
use std::path::Path;
use tonic::{Status, metadata::MetadataMap};

/// The controller as operators see it, and what came beside the answer.
async fn shown(operator: &Operator) -> (operator::Controller, MetadataMap) {
    let mut client = ControllerServiceClient::new(operator.channel.clone());
    let answer = client.get_controller(operator::GetControllerRequest {});
    let (metadata, answer, _) = answer.await.unwrap().into_parts();
    (answer.controller.unwrap(), metadata)
}

fn agreement(epoch: i64) -> operator::AcceptAmnesiaRequest {
    operator::AcceptAmnesiaRequest {
        request_id: request_id(),
        validate_only: false,
        epoch,
        message: "the newer copy is lost".to_owned(),
    }
}

async fn accept(
    operator: &Operator,
    request: operator::AcceptAmnesiaRequest,
) -> Result<operator::Controller, Status> {
    let mut client = ControllerServiceClient::new(operator.channel.clone());
    let answer = client.accept_amnesia(request).await?;
    Ok(answer.into_inner().controller.unwrap())
}

fn copy_database(from: &Path, to: &Path) {
    for name in ["controller.db", "controller.db-wal", "controller.db-shm"] {
        let (source, target) = (from.join(name), to.join(name));
        let _ = std::fs::remove_file(&target);
        if source.exists() {
            std::fs::copy(source, target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_older_copy_is_noticed_told_and_accepted_once() {
    let world = World::start().await;
    let (host, line, _) = connected(&world, "db1").await;
    drop(line);
    let kept = tempfile::tempdir().unwrap();
    let world = world
        .restart_after(|data| copy_database(data, kept.path()))
        .await;
    let mut line = Line::open(&world, &host, host.hello("p1")).await;
    let welcome = line.welcome().await;
    drop(line);
    let (before, metadata) = shown(&world.admin().await).await;
    assert!(before.amnesia.is_none() && metadata.get(WARNING_HEADER).is_none());

    // The copy counts the same epochs; only what was signed at the start tells the lives apart.
    let world = world
        .restart_after(|data| copy_database(kept.path(), data))
        .await;
    assert_eq!(
        world.running.core().epoch(),
        u64::try_from(welcome.epoch).unwrap()
    );
    let mut hello = host.hello("p1");
    hello.epoch = welcome.epoch;
    hello.checkpoint = welcome.checkpoint;
    // An attempt that is not in the copy goes on.
    hello.attempts = vec![agent::AttemptRef {
        attempt_id: "019aa8dc-4800-730b-bdb7-a6a634a5f1aa".to_owned(),
        run_id: "019aa8dc-4800-7857-8c6f-ae6d9b6f3b4a".to_owned(),
        fence: 1,
        ended: false,
    }];
    let mut line = Line::open(&world, &host, hello.clone()).await;
    let again = line.welcome().await;
    assert_eq!(again.epoch, welcome.epoch + 1);
    assert!(again.superseded_attempts.is_empty(), "{again:?}");
    line.heartbeat(hello.attempts.clone()).await;
    assert!(line.ack().await.superseded_attempts.is_empty());
    drop(line);

    let admin = world.admin().await;
    let (now, metadata) = shown(&admin).await;
    assert_eq!(metadata.get(WARNING_HEADER).unwrap(), "CONTROLLER_AMNESIA");
    let amnesia = now.amnesia.as_ref().unwrap();
    assert!(amnesia.message.contains(&host.id), "{amnesia:?}");
    assert!(amnesia.notice_time.is_some());
    let stale = accept(&admin, agreement(now.epoch - 1)).await.unwrap_err();
    assert_eq!(reason(&stale), "VERSION_STALE");
    let mut dry = agreement(now.epoch);
    dry.validate_only = true;
    assert!(accept(&admin, dry).await.unwrap().amnesia.is_none());
    assert!(shown(&admin).await.0.amnesia.is_some());

    let request = agreement(now.epoch);
    let accepted = accept(&admin, request.clone()).await.unwrap();
    assert_eq!(
        (accepted.amnesia, accepted.accepted_epoch),
        (None, now.epoch)
    );
    accept(&admin, request).await.unwrap();
    let written = world.audit("controller.accept-amnesia").await;
    assert_eq!(written.len(), 1);
    assert!(written[0].detail_json.contains("the newer copy is lost"));
    assert!(shown(&admin).await.1.get(WARNING_HEADER).is_none());

    // What the agent remembers of the lost life is no news, also after another restart.
    let world = world.restart().await;
    let mut line = Line::open(&world, &host, hello).await;
    line.welcome().await;
    let admin = world.admin().await;
    until("the agent is connected", || async {
        world.shown("db1").await.connected
    })
    .await;
    assert!(shown(&admin).await.0.amnesia.is_none());
    assert_eq!(world.audit("controller.notice-amnesia").await.len(), 1);
}
