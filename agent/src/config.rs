//! agent.toml: what the host's administrator allows and says. Unknown keys are errors, so that a
//! mistyped limit never silently falls back to its default.

use crate::postgres::connection::{ServerAddress, SslMode};
use crate::postgres::inspect::discover;
use provado_model::label;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The whole file, with defaults filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Keys, journal and outbox. 0700, owned by the agent's user. Default
    /// `/var/lib/provado-agent`.
    pub data_dir: PathBuf,
    /// `host:port` of the controller. Left out, the address of the join string counts.
    pub controller: Option<String>,
    /// `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub log_level: String,
    /// `text` or `json`. Default `text`.
    pub log_format: String,
    /// PostgreSQL servers to use. Sockets found besides are used too, unless `discover` is false.
    #[serde(rename = "instance")]
    pub instances: Vec<InstanceConfig>,
    /// Whether to look for sockets in `socket_directories`. Default true.
    pub discover: bool,
    /// Where to look for sockets. Default `/var/run/postgresql` and `/tmp`.
    pub socket_directories: Vec<PathBuf>,
    /// The role to connect as to servers found by their socket. Default `postgres`.
    pub discover_user: String,
    /// Directories under which repositories may lie; the agent writes backups nowhere else.
    /// Default `/var/backups/provado`.
    pub repository_roots: Vec<PathBuf>,
    /// Files with age identities, for unattended checks and drills. Whoever has them can read
    /// backups; leave them out where that must not be possible on this host. Default none.
    pub identity_files: Vec<PathBuf>,
    /// Further directories with PostgreSQL client tools. Those of Debian and of the PostgreSQL
    /// packages are found by themselves.
    pub tool_directories: Vec<PathBuf>,
    /// Where throw-away instances live while a drill runs. Default `/var/tmp`.
    pub drill_directory: PathBuf,
    /// The user throw-away instances run as when the agent itself is root. Default `postgres`.
    pub drill_user: String,
    /// Free bytes that backups, restores and drills leave on every file system. Default 1 GiB.
    pub disk_reserve_bytes: u64,
    /// Attempts worked on at a time, 1 to 64. Default 4.
    pub attempts_max: usize,
    /// Threads that compress and encrypt one backup, 1 to 64. Default 2.
    pub backup_threads: usize,
    /// Seconds that others may wait behind locks of a dump before the run's log warns. Default 30.
    pub lock_watch_seconds: u64,
    /// Seconds without any progress after which an attempt is ended as failed. Default 3600.
    pub stall_seconds_max: u64,
    /// Seconds between two looks at the host's instances. Default 60.
    pub inventory_seconds: u64,
}

/// One PostgreSQL server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceConfig {
    /// The name operators use; left out, the controller makes one.
    pub name: Option<String>,
    /// Socket directory (absolute path) or host name.
    pub host: String,
    /// Port. Default 5432.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Role to connect as. Default `postgres`.
    #[serde(default = "default_user")]
    pub user: String,
    /// Password file in libpq's format, mode 0600.
    pub passfile: Option<PathBuf>,
    /// libpq's sslmode. Default `prefer`.
    pub sslmode: Option<String>,
    /// libpq's sslrootcert.
    pub sslrootcert: Option<PathBuf>,
}

fn default_port() -> u16 {
    5432
}

fn default_user() -> String {
    "postgres".to_owned()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/provado-agent"),
            controller: None,
            log_level: "info".to_owned(),
            log_format: "text".to_owned(),
            instances: Vec::new(),
            discover: true,
            socket_directories: vec!["/var/run/postgresql".into(), "/tmp".into()],
            discover_user: default_user(),
            repository_roots: vec!["/var/backups/provado".into()],
            identity_files: Vec::new(),
            tool_directories: Vec::new(),
            drill_directory: PathBuf::from("/var/tmp"),
            drill_user: default_user(),
            disk_reserve_bytes: 1024 * 1024 * 1024,
            attempts_max: provado_model::limits::AGENT_ATTEMPTS_MAX,
            backup_threads: 2,
            lock_watch_seconds: 30,
            stall_seconds_max: 3600,
            inventory_seconds: 60,
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or holds a key or value that has no meaning.
    #[error("{path} is wrong: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why, with the line.
        message: String,
    },
    /// Values that cannot be.
    #[error("{path} cannot be used: {}", problems.join("; "))]
    Values {
        /// Which file.
        path: PathBuf,
        /// Every problem at once.
        problems: Vec<String>,
    },
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a file; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let problems = config.problems();
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Values {
            path: path.to_owned(),
            problems,
        })
    }

    /// The servers that are named here, in order, and then those found by their sockets.
    pub fn addresses(&self) -> Vec<ServerAddress> {
        let named: Vec<_> = self.instances.iter().map(InstanceConfig::address).collect();
        if !self.discover {
            return named;
        }
        discover(&named, &self.discover_user, &self.socket_directories)
    }

    fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut absolute = |key: &str, path: &Path| {
            if !path.is_absolute() {
                out.push(format!(
                    "{key}: `{}` is not an absolute path",
                    path.display()
                ));
            }
        };
        absolute("data_dir", &self.data_dir);
        absolute("drill_directory", &self.drill_directory);
        for (key, paths) in [
            ("repository_roots", &self.repository_roots),
            ("identity_files", &self.identity_files),
            ("tool_directories", &self.tool_directories),
            ("socket_directories", &self.socket_directories),
        ] {
            for path in paths {
                absolute(key, path);
            }
        }
        for (key, value, range) in [
            ("attempts_max", self.attempts_max as u64, 1..=64),
            ("backup_threads", self.backup_threads as u64, 1..=64),
            ("lock_watch_seconds", self.lock_watch_seconds, 1..=86_400),
            ("stall_seconds_max", self.stall_seconds_max, 60..=604_800),
            ("inventory_seconds", self.inventory_seconds, 5..=86_400),
        ] {
            if !range.contains(&value) {
                out.push(format!(
                    "{key}: {value} is not in {}..{}",
                    range.start(),
                    range.end()
                ));
            }
        }
        for instance in &self.instances {
            if let Some(name) = instance
                .name
                .as_deref()
                .filter(|n| !label::name_is_valid(n))
            {
                out.push(format!(
                    "instance.name: `{name}` must be 2 to 63 characters of a-z, 0-9 and `-`, \
                     starting with a letter"
                ));
            }
            if let Some(mode) = &instance.sslmode
                && SslMode::parse(mode).is_none()
            {
                out.push(format!("instance.sslmode: `{mode}` is none of libpq's"));
            }
        }
        out
    }
}

impl InstanceConfig {
    /// How to reach the server.
    pub fn address(&self) -> ServerAddress {
        let mut address = ServerAddress::socket(self.host.clone(), self.port, self.user.clone());
        address.passfile.clone_from(&self.passfile);
        address.ssl_root_cert.clone_from(&self.sslrootcert);
        if let Some(mode) = self.sslmode.as_deref().and_then(SslMode::parse) {
            address.ssl_mode = mode;
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("agent.toml"))
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parse("").unwrap();
        assert!(config.discover);
        assert_eq!(
            config.repository_roots,
            [PathBuf::from("/var/backups/provado")]
        );
    }

    #[test]
    fn a_mistyped_key_is_named_with_its_line() {
        let error = parse("data_dir = '/x'\natempts_max = 3\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("atempts_max") && error.contains("line 2"),
            "{error}"
        );
        let error = parse("[[instance]]\nhost='/x'\nprot=1\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("prot"), "{error}");
    }

    #[test]
    fn every_wrong_value_is_told_at_once() {
        let text =
            "data_dir='x'\nattempts_max=0\n[[instance]]\nname='A'\nhost='/x'\nsslmode='on'\n";
        let error = parse(text).unwrap_err().to_string();
        for part in ["data_dir", "attempts_max", "instance.name", "sslmode"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
