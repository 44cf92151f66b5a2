//! The inspect job, and the look at the host that the agent takes by itself from time to time.

use super::context::JobContext;
use super::work::{NoWatch, Work};
use crate::config::Config;
use crate::postgres::inspect::{discover, inspect};
use crate::postgres::tools::{Purpose, ToolSet, Tools as _, choose};
use provado_model::Error;
use provado_proto::agent::v1::{
    InspectJob, InspectOutcome, InstanceInventory, Outcome, outcome::Detail,
};
use provado_proto::common::v1::Phase;

/// Carries the job out.
pub(super) async fn run(_job: InspectJob, context: &JobContext) -> Result<Outcome, Error> {
    let mut work = Work::begin(context).await?;
    work.phase(Phase::Inspecting, "looking at the host's instances");
    let start = context.clock.monotonic();
    let sets = work.hands.tools.sets();
    let looking = inventory(&context.config, &sets);
    let found = work.watched(NoWatch, looking).await?;
    work.step("inspect", start);
    for instance in &found {
        for warning in &instance.warnings {
            work.warn(format!("{}:{}: {warning}", instance.host, instance.port));
        }
    }
    let detail = InspectOutcome {
        instance_count: i32::try_from(found.len()).unwrap_or(i32::MAX),
    };
    Ok(work.outcome(Detail::Inspect(detail), None))
}

/// Every instance that is configured or found by its socket, with what is in it and which of the
/// given tools fit. Instances that do not answer are there with the reason.
pub async fn inventory(config: &Config, sets: &[ToolSet]) -> Vec<InstanceInventory> {
    let configured: Vec<_> = config
        .instances
        .iter()
        .map(crate::config::InstanceConfig::address)
        .collect();
    let directories: &[std::path::PathBuf] = if config.discover {
        &config.socket_directories
    } else {
        &[]
    };
    let addresses = discover(&configured, &config.discover_user, directories);
    let mut out = Vec::new();
    for address in addresses {
        let mut found = inspect(&address).await;
        let named = config
            .instances
            .iter()
            .find(|i| i.host == address.host && i.port == address.port);
        found.wanted_name = named.and_then(|i| i.name.clone()).unwrap_or_default();
        if found.server_version_number > 0 {
            let major = found.server_version_number.unsigned_abs() / 10_000;
            match choose(sets, major, Purpose::Client) {
                Ok(set) => {
                    found.tool_version = set.version.to_string();
                    found.tool_directory = set.directory.to_string_lossy().into_owned();
                }
                Err(error) => found.warnings.push(error.to_string()),
            }
        }
        out.push(found);
    }
    out
}
