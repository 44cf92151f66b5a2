//! The controller's configuration file, read once at the start and strictly: an option that it
//! does not know is an error, with its line. It holds no secret by itself; where one is needed the
//! file names another file. Every option has a default, so that an empty file is a whole one.

mod load;

use provado_telemetry::{Format, LevelFilter};
use serde::{Deserialize, Deserializer};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Everything that can be set. The example file in `deploy/config` shows every option.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the controller keeps its authority, its keys and its SQLite store: a directory of its
    /// own, mode 0700. Default `/var/lib/provado-controller`.
    pub data_dir: PathBuf,
    /// Where the state is.
    pub store: Store,
    /// Names under which this controller is known.
    pub identity: Identity,
    /// Where agents connect.
    pub agents: AgentListener,
    /// Where operators connect.
    pub operators: OperatorListener,
    /// What is logged, and how.
    pub log: Log,
    /// Bounds.
    pub limits: Limits,
}

/// Where the state is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:///path` or `postgres://host/database`; with both, one controller works at a time.
    /// Default: the file `controller.db` in `data_dir`.
    pub url: Option<String>,
    /// A file, readable by the controller alone, with the address in its first line: for one that
    /// holds a password. Not together with `url`.
    pub url_file: Option<PathBuf>,
}

/// Names under which this controller is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// The part of every identity that is this installation's own. It cannot be changed later.
    /// Default `provado.local`.
    pub trust_domain: String,
    /// Host names and addresses that agents and operators dial; they stand in the controller's
    /// certificate. Default `localhost`, `127.0.0.1` and `::1`.
    pub server_names: Vec<String>,
}

/// Where agents connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentListener {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:7443`.
    pub listen: SocketAddr,
    /// Host and port that join strings tell agents to dial. Default: the first of `server_names`
    /// and the port of `listen`.
    pub address: Option<String>,
}

/// Where operators connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorListener {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:7444`.
    pub listen: SocketAddr,
}

/// What is logged, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,provado_controller=debug`. Default `info`.
    #[serde(deserialize_with = "parsed")]
    pub level: LevelFilter,
    /// `text` for people or `json` for machines. Default `text`.
    #[serde(deserialize_with = "parsed")]
    pub format: Format,
}

/// Bounds. Each has a highest value that no configuration can pass.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections of agents, from 1 to 100000. Default 10000.
    pub agent_connections_max: u32,
    /// Open connections of operators, from 1 to 10000. Default 200.
    pub operator_connections_max: u32,
    /// Attempts one agent works on at a time, from 1 to 64. Default 4.
    pub agent_attempts_max: u32,
    /// Seconds without a heartbeat after which an attempt is lost, from 15 to 3600. Default 60.
    pub lease_seconds: u64,
    /// Seconds between signed checkpoints of the audit chain while it grows, from 1 to 3600.
    /// Default 60.
    pub checkpoint_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/provado-controller"),
            store: Store::default(),
            identity: Identity::default(),
            agents: AgentListener::default(),
            operators: OperatorListener::default(),
            log: Log::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            trust_domain: "provado.local".to_owned(),
            server_names: vec![
                "localhost".to_owned(),
                "127.0.0.1".to_owned(),
                "::1".to_owned(),
            ],
        }
    }
}

impl Default for AgentListener {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7443)),
            address: None,
        }
    }
}

impl Default for OperatorListener {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7444)),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LevelFilter::default(),
            format: Format::Text,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            agent_connections_max: 10_000,
            operator_connections_max: 200,
            agent_attempts_max: 4,
            lease_seconds: provado_model::limits::LEASE_SECONDS_MAX,
            checkpoint_seconds: 60,
        }
    }
}

/// A value by its own parser, so that the error stands at its line.
fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
