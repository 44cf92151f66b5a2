//! Renewal, and what a crash or a lost answer leaves.

use crate::world::World;
use provado_agent::link::{CallError, Link};
use provado_agent::membership::Home;
use provado_identity::pem;
use provado_identity::tls::LiveCertificate;
use provado_model::random::OsEntropy;
use provado_model::time::SystemClock;
use provado_proto::agent::v1::SyncInventoryRequest;
use provado_proto::agent::v1::session_request::Message as Up;
use provado_proto::agent::v1::session_response::Message as Down;
use provado_proto::agent::v1::session_service_client::SessionServiceClient;
use provado_proto::agent::v1::{Hello, RenewNow};

fn last_hello(world: &World) -> Hello {
    let part = world.controller.part();
    let hellos = part.ups.iter().rev();
    let mut hellos = hellos.filter_map(|up| match up {
        Up::Hello(hello) => Some(hello.clone()),
        _ => None,
    });
    hellos.next().unwrap()
}

#[tokio::test]
async fn a_renewed_certificate_is_used_at_once_and_after_a_restart() {
    let mut world = World::connected().await;
    assert_eq!(last_hello(&world).generation, 1);
    let process = last_hello(&world).process_id;
    world.controller.say(Down::RenewNow(RenewNow {})).await;
    world
        .controller
        .until("the agent is back", |part| part.streams == 2)
        .await;
    assert_eq!(last_hello(&world).generation, 2);
    assert_eq!(last_hello(&world).process_id, process);
    world.kill();
    world.start().await;
    assert_eq!(last_hello(&world).generation, 2);
    assert_ne!(last_hello(&world).process_id, process);
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_repeated_as_it_was_also_after_a_restart() {
    let mut world = World::connected().await;
    world.controller.part().lose_answers = 1;
    world.controller.say(Down::RenewNow(RenewNow {})).await;
    world
        .controller
        .until("the renewal is asked for", |part| part.renewals.len() == 1)
        .await;
    world.kill();
    world.start().await;
    assert_eq!(last_hello(&world).generation, 1);
    world.controller.say(Down::RenewNow(RenewNow {})).await;
    world
        .controller
        .until("it is repeated", |part| part.renewals.len() == 2)
        .await;
    world
        .controller
        .until("the agent is back", |part| part.streams == 3)
        .await;
    let renewals = world.controller.part().renewals.clone();
    assert_eq!(renewals[0], renewals[1]);
    assert_eq!(last_hello(&world).generation, 2);
}

#[tokio::test]
async fn a_certificate_is_renewed_within_its_life_without_being_told() {
    let mut world = World::new();
    world.controller.part().certificate_seconds = 9;
    world.join().await.unwrap();
    world.start().await;
    world.controller.part().certificate_seconds = 24 * 60 * 60;
    world
        .controller
        .until("the agent renews by itself", |part| {
            part.renewals.len() == 1 && part.streams >= 2
        })
        .await;
    assert_eq!(last_hello(&world).generation, 2);
}

#[tokio::test]
async fn an_ended_certificate_is_told_with_the_way_back() {
    let mut world = World::new();
    world.controller.part().certificate_seconds = 1;
    world.join().await.unwrap();
    let ended = async {
        loop {
            if let Err(error) = world.try_start().await {
                return error.to_string();
            }
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::time::timeout(crate::world::BOUND, ended)
        .await
        .unwrap();
    for told in [
        "certificate ended",
        "`provado join-token create --agent db1`",
        "`provado-agent join '<join string>'`",
    ] {
        assert!(error.contains(told), "{error}");
    }
    world.controller.part().certificate_seconds = 24 * 60 * 60;
    world.join().await.unwrap();
    world.start().await;
    assert_eq!(last_hello(&world).generation, 2);
}

#[tokio::test]
async fn a_certificate_that_is_refused_at_the_door_gets_nothing() {
    let world = World::new();
    world.join().await.unwrap();
    let (clock, entropy) = (SystemClock::shared(), OsEntropy::shared());
    let home = Home::open(&world.config().data_dir).unwrap();
    let member = home.membership().unwrap().unwrap();
    let keys = home.keys(&*clock, &*entropy).unwrap();
    let chain = pem::certificates(&member.certificate_pem).unwrap();
    let certificate = LiveCertificate::new(chain, &keys.tls, clock.clone()).unwrap();
    let address = member.controller.parse().unwrap();
    let link = Link::new(address, certificate, &member.authority_pem, clock).unwrap();
    let ask = async || {
        let mut client = SessionServiceClient::new(link.dial().await.unwrap());
        let request = SyncInventoryRequest::default();
        let answer = client.sync_inventory(request).await;
        answer.map_err(CallError::from)
    };
    ask().await.unwrap();
    world.controller.shut_the_door();
    let error = ask().await.unwrap_err();
    assert_eq!(error.reason, None, "{error:?}");
    assert_eq!(world.controller.part().inventories, 1);
}
