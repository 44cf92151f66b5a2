//! What the slice does by itself: keeps the allow-list fresh, drops answers nobody asks for again.

use super::Access;
use crate::request::answer_expire;
use crate::supervisor::{Activity, Task};
use async_trait::async_trait;
use provado_model::Error;
use std::sync::Arc;
use std::time::Duration;

/// The slice's background work.
#[derive(Debug)]
pub struct AccessTask(pub Arc<Access>);

#[async_trait]
impl Task for AccessTask {
    fn name(&self) -> &'static str {
        "access"
    }

    fn period(&self) -> Duration {
        // A revocation by another controller counts here within this time.
        Duration::from_secs(10)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let access = &self.0;
        access.allow.reload(&access.core.db).await?;
        let now = access.core.clock.now();
        let mut tx = access.core.db.begin().await?;
        let dropped = answer_expire(&mut tx, now).await?;
        if dropped == 0 {
            tx.rollback().await?;
            return Ok(Activity::Idle);
        }
        tx.commit().await?;
        Ok(Activity::Done)
    }
}
