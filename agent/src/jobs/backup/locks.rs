//! Looks, while a dump runs, for others that wait behind its locks (RELIABILITY 2.4, 32).
//!
//! A dump holds `ACCESS SHARE` on every table; an `ALTER TABLE` waits for it, and everybody else
//! then waits behind that. The watch warns and names them; it never ends anybody's session.

use crate::jobs::context::JobContext;
use crate::jobs::work::{Hands, Watch};
use crate::postgres::activity::waiting_behind;
use crate::postgres::connection::ServerAddress;
use crate::postgres::lookout::Lookout;
use std::collections::BTreeSet;

/// The watch of one dump.
pub(super) struct LockWatch {
    lookout: Lookout,
    application_name: String,
    context: JobContext,
    seconds_max: f64,
    told: BTreeSet<i32>,
}

impl LockWatch {
    /// A watch that warns of waits longer than `seconds`.
    pub(super) fn new(
        address: &ServerAddress,
        hands: &Hands,
        context: &JobContext,
        seconds: u64,
    ) -> Self {
        Self {
            lookout: Lookout::new(address),
            application_name: hands.application_name.clone(),
            context: context.clone(),
            seconds_max: f64::from(u32::try_from(seconds).unwrap_or(u32::MAX)),
            told: BTreeSet::new(),
        }
    }
}

impl Watch for LockWatch {
    async fn look(&mut self) {
        let Some(connection) = self.lookout.connection().await else {
            return;
        };
        let Ok(waiting) = waiting_behind(connection, &self.application_name).await else {
            self.lookout.lose();
            return;
        };
        for wait in waiting {
            if wait.seconds < self.seconds_max || !self.told.insert(wait.pid) {
                continue;
            }
            let what = if wait.changes_definition {
                "a change of a table's definition"
            } else {
                "a statement"
            };
            self.context.warn(format!(
                "{what} of role {:?} (backend {}, application {:?}) has waited {:.0} s for a lock \
                 that this dump holds; others queue behind it: cancel it or the run",
                wait.role_name, wait.pid, wait.application_name, wait.seconds
            ));
        }
    }
}
