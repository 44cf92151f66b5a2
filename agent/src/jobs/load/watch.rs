//! Tells a server that works from one that hangs, while `pg_restore` says nothing.
//!
//! An index of a large table is built for longer than any limit on silence. As long as a backend
//! of the run is at work, and not waiting for a lock, the attempt moves (INV-LIVE).

use crate::jobs::work::{Hands, Meter, Watch};
use crate::postgres::activity::{HOUSEKEEPING, is_working};
use crate::postgres::connection::ServerAddress;
use sqlx::PgConnection;
use std::sync::Arc;

/// The watch of one load.
pub(in crate::jobs) struct WorkWatch {
    address: ServerAddress,
    application_name: String,
    meter: Arc<Meter>,
    connection: Option<PgConnection>,
}

impl WorkWatch {
    /// A watch over the backends of the attempt on this server.
    pub(in crate::jobs) fn new(address: &ServerAddress, hands: &Hands) -> Self {
        Self {
            address: address.clone(),
            application_name: hands.application_name.clone(),
            meter: Arc::clone(&hands.meter),
            connection: None,
        }
    }
}

impl Watch for WorkWatch {
    async fn look(&mut self) {
        if self.connection.is_none() {
            let database = &self.address.maintenance_database;
            self.connection = self.address.connect(database, HOUSEKEEPING).await.ok();
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        match is_working(connection, &self.application_name).await {
            Ok(true) => self.meter.beat(),
            Ok(false) => {}
            Err(_) => self.connection = None,
        }
    }
}
