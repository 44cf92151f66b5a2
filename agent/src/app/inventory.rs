//! What PostgreSQL there is on this host, told to the controller when it has changed.

use crate::config::Config;
use crate::executor::AfterAttempt;
use crate::jobs;
use crate::link::{Connection, Link, call, connected, request};
use crate::postgres::tools::ToolSet;
use crate::wait::{Backoff, pause};
use async_trait::async_trait;
use provado_model::limits;
use provado_model::random::Entropy;
use provado_proto::agent::v1::session_service_client::SessionServiceClient;
use provado_proto::agent::v1::{InstanceInventory, SyncInventoryRequest};
use provado_repository::Cancel;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long the end of an inspection waits until the controller knows what was found.
const TELL: Duration = Duration::from_secs(15);
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MOST: Duration = Duration::from_mins(1);

/// Tells the controller, and those who wait for it to know.
#[derive(Debug)]
pub struct Inventory {
    wanted: Notify,
    /// How many times the host was looked at and the controller told since the start.
    told: watch::Sender<u64>,
}

impl Inventory {
    /// Nothing told yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            wanted: Notify::new(),
            told: watch::Sender::new(0),
        })
    }
}

#[async_trait]
impl AfterAttempt for Inventory {
    async fn ended(&self, kind: &'static str) {
        if kind == "inspect" {
            let mut told = self.told.subscribe();
            told.mark_unchanged();
            self.wanted.notify_one();
            // Without a connection the outcome goes ahead; the inventory follows.
            let _ = tokio::time::timeout(TELL, told.changed()).await;
        }
    }
}

/// Looks at the host and tells the controller.
#[derive(Debug)]
pub(super) struct InventoryTask {
    /// Who wants to know.
    pub inventory: Arc<Inventory>,
    /// The way to the controller.
    pub link: Arc<Link>,
    /// What the host's administrator says.
    pub config: Arc<Config>,
    /// Client tools of the host.
    pub sets: Vec<ToolSet>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

impl InventoryTask {
    /// Looks and tells until told to stop.
    pub(super) async fn run(self, stop: Cancel) {
        let period = Duration::from_secs(self.config.inventory_seconds);
        let mut current = self.link.connection();
        let mut last = None;
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        let work = async {
            while let Some(connection) = connected(&mut current).await {
                // A restore may have lost its server before it could clean up; it may be back.
                for what in jobs::sweep_databases(&self.config).await {
                    tracing::info!("{what}");
                }
                let instances = jobs::inventory(&self.config, &self.sets).await;
                let is_news = last.as_ref() != Some(&instances);
                let is_told = !is_news || tell(&connection, &instances).await;
                let wait = if is_told {
                    last = Some(instances);
                    backoff.reset();
                    self.inventory
                        .told
                        .send_modify(|told| *told = told.wrapping_add(1));
                    period
                } else {
                    backoff.next(&*self.entropy)
                };
                tokio::select! {
                    () = self.inventory.wanted.notified() => {}
                    () = pause(wait) => {}
                }
            }
        };
        tokio::select! {
            () = stop.canceled() => {}
            () = work => {}
        }
    }
}

async fn tell(connection: &Connection, instances: &[InstanceInventory]) -> bool {
    let mut client = SessionServiceClient::new(connection.channel.clone())
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX);
    let message = SyncInventoryRequest {
        instances: instances.to_vec(),
    };
    match call(client.sync_inventory(request(message))).await {
        Ok(answer) => {
            tracing::debug!(
                instance.count = answer.instances.len(),
                "the controller knows the host's instances"
            );
            true
        }
        Err(error) => {
            tracing::warn!("the inventory could not be told, trying again: {error}");
            false
        }
    }
}
