//! Reading the file, and what no single option can know.

use super::Config;
use provado_identity::names::TrustDomain;
use provado_model::{Error, Reason};
use std::fs;
use std::path::Path;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Config {
    /// Reads and checks the file. Errors: `INVALID_ARGUMENT` with the file's name and, where there
    /// is one, the line.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        Self::parse(&text).map_err(|error| {
            let message = format!("{}: {}", path.display(), error.message);
            Error::new(Reason::InvalidArgument, message)
        })
    }

    /// Parses and checks the text of a file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = toml::from_str(text)
            .map_err(|source| invalid(source.to_string().trim_end().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// The store's address: as set, from its file, or the SQLite file in `data_dir`.
    pub fn store_url(&self) -> Result<String, Error> {
        if let Some(url) = &self.store.url {
            return Ok(url.clone());
        }
        match &self.store.url_file {
            Some(path) => {
                let text = read(path)?;
                let line = text.lines().next().unwrap_or_default().trim();
                if line.is_empty() {
                    return Err(invalid(format!(
                        "{}: the first line is empty",
                        path.display()
                    )));
                }
                Ok(line.to_owned())
            }
            None => Ok(format!(
                "sqlite://{}",
                self.data_dir.join("controller.db").display()
            )),
        }
    }

    /// The trust domain, which was checked when the file was read.
    pub fn trust_domain(&self) -> Result<TrustDomain, Error> {
        self.identity
            .trust_domain
            .parse()
            .map_err(|source| invalid(format!("identity.trust_domain: {source}")))
    }

    /// Host and port that join strings tell agents to dial, when the agents' listener has this
    /// port.
    pub fn agent_address(&self, port: u16) -> String {
        let first = self.identity.server_names.first().map(String::as_str);
        match (&self.agents.address, first.unwrap_or("localhost")) {
            (Some(address), _) => address.clone(),
            (None, name) if name.contains(':') => format!("[{name}]:{port}"),
            (None, name) => format!("{name}:{port}"),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.trust_domain()?;
        if !self.data_dir.is_absolute() {
            return Err(invalid("data_dir: must be an absolute path"));
        }
        if self.store.url.is_some() && self.store.url_file.is_some() {
            return Err(invalid("store: give url or url_file, not both"));
        }
        let names = &self.identity.server_names;
        if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
            return Err(invalid(
                "identity.server_names: needs at least one name, none empty",
            ));
        }
        let (agents, operators) = (self.agents.listen, self.operators.listen);
        if agents == operators && agents.port() != 0 {
            return Err(invalid(
                "agents.listen and operators.listen: must differ, so that no agent reaches what \
                 is for operators",
            ));
        }
        if let Some(address) = &self.agents.address {
            let port = address
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none_or(|port| port == 0) {
                return Err(invalid("agents.address: must be host:port"));
            }
        }
        let limits = &self.limits;
        within(
            "agent_connections_max",
            limits.agent_connections_max.into(),
            1,
            100_000,
        )?;
        within(
            "operator_connections_max",
            limits.operator_connections_max.into(),
            1,
            10_000,
        )?;
        within(
            "agent_attempts_max",
            limits.agent_attempts_max.into(),
            1,
            64,
        )?;
        within("lease_seconds", limits.lease_seconds, 15, 3_600)?;
        within("checkpoint_seconds", limits.checkpoint_seconds, 1, 3_600)
    }
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(format!(
        "limits.{name}: must be from {least} to {most}, not {value}"
    )))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

fn read(path: &Path) -> Result<String, Error> {
    let cannot = |source: std::io::Error| {
        invalid(format!(
            "the file {} cannot be read: {source}",
            path.display()
        ))
    };
    let length = fs::metadata(path).map_err(cannot)?.len();
    if length > FILE_BYTES_MAX {
        return Err(invalid(format!(
            "the file {} is larger than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(cannot)
}
