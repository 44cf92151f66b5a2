//! What one agent can make the controller write down for ever is bounded.

use crate::inventory::instance;
use crate::session::connected;
use crate::world::{World, reason, request_id, request_pem};
use provado_proto::agent::v1 as agent;
use provado_proto::agent::v1::session_request::Message as Up;

/// How often each kind may be told in a row.
const BURST: usize = 60;
/// How many more are allowed while a test runs: one a minute.
const REFILLED_MAX: usize = 10;

#[tokio::test]
async fn checkpoints_that_are_not_believed_are_written_down_so_often() {
    let world = World::start().await;
    let (_agent, mut line, _) = connected(&world, "db1").await;
    for number in 0..BURST + 20 {
        let heartbeat = agent::Heartbeat {
            checkpoint: format!("made up {number}"),
            ..Default::default()
        };
        line.say(Up::Heartbeat(heartbeat)).await;
        line.ack().await;
    }
    let written = world.audit("checkpoint.refuse").await;
    let allowed = BURST..BURST + REFILLED_MAX;
    assert!(allowed.contains(&written.len()), "{}", written.len());
}

#[tokio::test]
async fn a_host_that_flaps_is_heard_so_often() {
    let world = World::start().await;
    let host = world.join("db1").await;
    let mut client = host.client(&world).await;
    let mut refused = 0;
    for number in 0..2 * (BURST + REFILLED_MAX) {
        let instances = match number % 2 {
            0 => vec![instance(5432, Vec::new())],
            _ => Vec::new(),
        };
        let request = agent::SyncInventoryRequest { instances };
        if let Err(error) = client.sync_inventory(request).await {
            assert_eq!(reason(&error), "BUSY");
            refused += 1;
        }
    }
    let written = world.audit("instance.vanish").await.len();
    assert!(
        refused > 0 && written < BURST + REFILLED_MAX,
        "{refused} {written}"
    );

    // Its certificate is another matter, and bounded too.
    let mut renewed = 0;
    let busy = loop {
        let request = agent::RenewCertificateRequest {
            certificate_request_pem: request_pem(&host.key),
            generation: host.generation,
            request_id: request_id(),
        };
        match client.renew_certificate(request).await {
            Ok(_) => renewed += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(reason(&busy), "BUSY");
    assert!(
        (BURST..BURST + REFILLED_MAX).contains(&renewed),
        "{renewed}"
    );
}
