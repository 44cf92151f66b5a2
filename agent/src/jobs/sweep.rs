//! What an agent does when it starts: ends and removes what an earlier life of it left behind
//! (INV-NOORPHAN). Only things named by the agent itself are touched.

use super::context::JobContext;
use super::{place, restore};
use crate::config::Config;
use crate::postgres::activity::{HOUSEKEEPING, end_backends};
use crate::postgres::inspect::error_text;
use crate::postgres::{PgError, application_name, throwaway};
use provado_model::id::RunId;
use provado_proto::agent::v1::InstanceTarget;
use std::time::Duration;

/// Seconds an attempt's end waits for its backends to be ended.
const CLEAN_UP_SECONDS_MAX: u64 = 5;

/// Ends backends of these runs, removes throw-away instances of dead agents, directories of pipes
/// and unfinished databases. Tells what was done, each a sentence; what cannot be done now is
/// tried again at the next start, unfinished databases by [`sweep_databases`].
///
/// Call it once, before any job starts, with the runs that an earlier life of this agent was busy
/// with: backends of other runs may belong to another agent that serves the same server.
pub async fn sweep(config: &Config, runs: &[RunId]) -> Vec<String> {
    let mut out = Vec::new();
    let parent = config.drill_directory.clone();
    if let Ok(swept) = tokio::task::spawn_blocking(move || throwaway::sweep(&parent)).await {
        for path in swept.removed {
            out.push(format!(
                "removed the throw-away instance {}",
                path.display()
            ));
        }
        for (path, error) in swept.failed {
            out.push(format!("{} could not be removed: {error}", path.display()));
        }
    }
    out.extend(pipe_directories(config));
    out.extend(backends(config, runs).await);
    out.extend(restore::sweep(config).await);
    out
}

/// Removes unfinished databases that no living attempt makes. Right at any time.
pub async fn sweep_databases(config: &Config) -> Vec<String> {
    restore::sweep(config).await
}

/// Ends what a failed or canceled attempt left on its server: a backend that waits for a lock or
/// works at a statement does not notice that its client has gone. What cannot be done now is done
/// by the run's next attempt or at the agent's next start.
pub(super) async fn after(instance: &InstanceTarget, context: &JobContext) {
    let name = application_name(context.name.run);
    let ending = async {
        let Ok(address) = place::address_of(&context.config, instance) else {
            return Ok(0);
        };
        let database = &address.maintenance_database;
        let mut connection = address.connect(database, HOUSEKEEPING).await?;
        end_backends(&mut connection, &name).await
    };
    let limit = Duration::from_secs(CLEAN_UP_SECONDS_MAX);
    match tokio::time::timeout(limit, ending).await {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => context.info(format!("ended {count} backends of this run")),
        Ok(Err(error)) => context.warn(format!(
            "backends of this run could not be ended: {}",
            error_text(&error)
        )),
        Err(_) => context.warn("backends of this run could not be ended in time".to_owned()),
    }
}

async fn backends(config: &Config, runs: &[RunId]) -> Vec<String> {
    let mut out = Vec::new();
    if runs.is_empty() {
        return out;
    }
    for address in config.addresses() {
        let database = &address.maintenance_database;
        let ended = async {
            let mut connection = address.connect(database, HOUSEKEEPING).await?;
            let mut count = 0_usize;
            for run in runs {
                let name = application_name(*run);
                count = count.saturating_add(end_backends(&mut connection, &name).await?);
            }
            Ok::<_, PgError>(count)
        };
        match ended.await {
            Ok(0) => {}
            Ok(count) => out.push(format!(
                "ended {count} backends of earlier runs on {}",
                address.describe()
            )),
            Err(error) => tracing::warn!(
                instance = %address.describe(),
                error = %error_text(&error),
                "no look for backends of earlier runs"
            ),
        }
    }
    out
}

fn pipe_directories(config: &Config) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(config.data_dir.join("spool")) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with("load-");
        if is_ours && std::fs::remove_dir_all(entry.path()).is_ok() {
            out.push(format!("removed {}", entry.path().display()));
        }
    }
    out
}
