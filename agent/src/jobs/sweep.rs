//! What an agent does when it starts: ends and removes what an earlier life of it left behind
//! (INV-NOORPHAN). Only things named by the agent itself are touched.

use super::restore;
use crate::config::Config;
use crate::postgres::activity::sweep_backends;
use crate::postgres::inspect::{discover, error_text};
use crate::postgres::throwaway;

/// Ends backends of runs that are not in `live` (names as `provado:<run id>`), removes throw-away
/// instances of dead agents, directories of pipes and unfinished databases. Tells what was done,
/// each a sentence; what cannot be done now is tried again at the next start.
///
/// Call it once, before any job starts.
pub async fn sweep(config: &Config, live: &[String]) -> Vec<String> {
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
    let configured: Vec<_> = config.instances.iter().map(|i| i.address()).collect();
    let directories: &[std::path::PathBuf] = if config.discover {
        &config.socket_directories
    } else {
        &[]
    };
    for address in discover(&configured, &config.discover_user, directories) {
        match sweep_backends(&address, live).await {
            Ok(ended) => out.extend(
                ended
                    .into_iter()
                    .map(|name| format!("ended backends {name}")),
            ),
            Err(error) => tracing::debug!(
                instance = %address.describe(),
                error = %error_text(&error),
                "no look for left backends"
            ),
        }
    }
    out.extend(restore::sweep(config).await);
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
