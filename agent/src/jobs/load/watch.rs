//! Tells a server that works from one that hangs, while `pg_restore` says nothing.
//!
//! An index of a large table is built for longer than any limit on silence. As long as a backend
//! of the run is at work, and not waiting for a lock, the attempt moves (INV-LIVE).

use crate::jobs::work::{Hands, Meter, Watch};
use crate::postgres::activity::is_working;
use crate::postgres::connection::ServerAddress;
use crate::postgres::lookout::Lookout;
use std::sync::Arc;

/// The watch of one load.
pub(in crate::jobs) struct WorkWatch {
    lookout: Lookout,
    application_name: String,
    meter: Arc<Meter>,
}

impl WorkWatch {
    /// A watch over the backends of the attempt on this server.
    pub(in crate::jobs) fn new(address: &ServerAddress, hands: &Hands) -> Self {
        Self {
            lookout: Lookout::new(address),
            application_name: hands.application_name.clone(),
            meter: Arc::clone(&hands.meter),
        }
    }
}

impl Watch for WorkWatch {
    async fn look(&mut self) {
        let Some(connection) = self.lookout.connection().await else {
            return;
        };
        match is_working(connection, &self.application_name).await {
            Ok(true) => self.meter.beat(),
            Ok(false) => {}
            Err(_) => self.lookout.lose(),
        }
    }
}
