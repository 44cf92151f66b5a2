//! How a server is reached, by SQL and by child processes, from one description.
//!
//! Both ways leave the caller's environment out of it: connections set every option themselves,
//! children get an environment built from nothing (RELIABILITY 4.8). A database goes by
//! `PGDATABASE`, never by `-d` or a positional argument, where a name such as `host=evil` would
//! be read as a connection string.

mod dsn;
mod passfile;

pub use dsn::{Dsn, DsnError};
pub use passfile::PassfileError;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::path::PathBuf;
use std::time::Duration;

/// Seconds to wait for a connection before the server counts as unreachable.
pub const CONNECT_SECONDS_MAX: u64 = 15;

/// Settings that decide how values look as text. A dump and the comparison after a restore must
/// share them (DESIGN idea 3); what `pg_dump` sets itself is here too, so that one list serves
/// both. `client_encoding` and the time zone go their own ways (`PGTZ`, per connection).
pub const TEXT_SETTINGS: &[(&str, &str)] = &[
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("timezone", "UTC"),
];

/// Settings that no role or database may force on our sessions: time limits would end a long
/// dump half-way, and row security would hide rows instead of failing (INV-EVIDENCE).
const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("search_path", ""),
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("synchronize_seqscans", "off"),
];

/// Time limits that only newer servers know, by the version that brought each: one that does not
/// know them would refuse the connection, so they are set once it stands.
const NEWER_LIMITS: &[(u32, &str)] = &[
    (140_000, "SET idle_session_timeout = 0"),
    (170_000, "SET transaction_timeout = 0"),
];

/// Something between the agent and a server went wrong.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// No connection could be made.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where, as [`ServerAddress::describe`] shows it.
        address: String,
        /// Why not.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The server did not answer in time.
    #[error("{address} did not answer within {seconds} s")]
    ConnectTimeout {
        /// Where.
        address: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// The password file cannot be used.
    #[error("the password file cannot be used")]
    Passfile(#[from] PassfileError),
    /// A statement failed.
    #[error("cannot {what}")]
    Query {
        /// What was tried, as a verb with its object.
        what: &'static str,
        /// The server's or the driver's words.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The server said something that cannot be.
    #[error("unexpected answer while trying to {what}: {detail}")]
    Answer {
        /// What was tried.
        what: &'static str,
        /// What was odd.
        detail: String,
    },
}

impl PgError {
    /// A failed statement.
    pub fn query(what: &'static str, source: sqlx::Error) -> Self {
        Self::Query {
            what,
            source: Box::new(source),
        }
    }

    /// The SQLSTATE (PostgreSQL manual, appendix A) where the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Connect { source, .. } | Self::Query { source, .. } => source
                .as_database_error()
                .and_then(|e| e.code().map(std::borrow::Cow::into_owned)),
            Self::ConnectTimeout { .. } | Self::Passfile(_) | Self::Answer { .. } => None,
        }
    }
}

/// Whether and how the connection is encrypted (libpq's `sslmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never; right for Unix sockets.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, without looking at the certificate.
    Require,
    /// Always, and the certificate must come from the given authority.
    VerifyCa,
    /// Also the name in the certificate must fit.
    VerifyFull,
}

impl SslMode {
    /// libpq's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// The mode of libpq's word.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Disable,
            Self::Prefer,
            Self::Require,
            Self::VerifyCa,
            Self::VerifyFull,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
    }

    const fn driver(self) -> PgSslMode {
        match self {
            Self::Disable => PgSslMode::Disable,
            Self::Prefer => PgSslMode::Prefer,
            Self::Require => PgSslMode::Require,
            Self::VerifyCa => PgSslMode::VerifyCa,
            Self::VerifyFull => PgSslMode::VerifyFull,
        }
    }
}

/// Where a server listens and as whom it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The directory of the Unix socket when it starts with `/`, else a host name or address.
    pub host: String,
    /// The port; it is part of the socket's name too.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database for questions about the whole instance, usually `postgres`.
    pub maintenance_database: String,
    /// A password file in libpq's format, 0600; none means that no password is needed.
    pub passfile: Option<PathBuf>,
    /// Encryption of the connection.
    pub ssl_mode: SslMode,
    /// The authority that signed the server's certificate, PEM.
    pub ssl_root_cert: Option<PathBuf>,
}

impl ServerAddress {
    /// A server behind a Unix socket, asked as `user` without a password.
    pub fn socket(directory: impl Into<String>, port: u16, user: impl Into<String>) -> Self {
        Self {
            host: directory.into(),
            port,
            user: user.into(),
            maintenance_database: "postgres".to_owned(),
            passfile: None,
            ssl_mode: SslMode::Disable,
            ssl_root_cert: None,
        }
    }

    /// Whether the server is reached through a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The address for people: `user@host:port`.
    pub fn describe(&self) -> String {
        format!("{}@{}:{}", self.user, self.host, self.port)
    }

    /// Connects to one database with every setting that matters set by us.
    ///
    /// `application_name` is [`super::application_name`] for work of a run.
    pub async fn connect(
        &self,
        database: &str,
        application_name: &str,
    ) -> Result<PgConnection, PgError> {
        let password = match &self.passfile {
            None => String::new(),
            Some(path) => passfile::password(path, self, database)?,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&password)
            .database(database)
            .ssl_mode(self.ssl_mode.driver())
            .application_name(application_name)
            .options(TEXT_SETTINGS.iter().chain(SESSION_SETTINGS).copied());
        if let Some(path) = &self.ssl_root_cert {
            options = options.ssl_root_cert(path);
        }
        let limit = Duration::from_secs(CONNECT_SECONDS_MAX);
        let connecting = Box::pin(async {
            let mut connection = PgConnection::connect_with(&options).await?;
            let version = connection.server_version_num().unwrap_or(0);
            for (_, sql) in NEWER_LIMITS.iter().filter(|(since, _)| *since <= version) {
                connection.execute(*sql).await?;
            }
            Ok(connection)
        });
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(source)) => Err(PgError::Connect {
                address: format!("{} database {database:?}", self.describe()),
                source: Box::new(source),
            }),
            Err(_) => Err(PgError::ConnectTimeout {
                address: self.describe(),
                seconds: CONNECT_SECONDS_MAX,
            }),
        }
    }

    /// The whole environment of a child that speaks to `database` on this server.
    ///
    /// Nothing is inherited: a `PGHOST` or `PGOPTIONS` in the agent's own environment must not
    /// redirect a dump. `session` are settings for the child's sessions beyond the usual.
    pub fn child_environment(
        &self,
        database: &str,
        application_name: &str,
        session: &[(&str, &str)],
    ) -> Vec<(String, String)> {
        let mut environment = base_environment();
        let mut set = |key: &str, value: String| environment.push((key.to_owned(), value));
        set("PGHOST", self.host.clone());
        set("PGPORT", self.port.to_string());
        set("PGUSER", self.user.clone());
        set("PGDATABASE", database.to_owned());
        set("PGAPPNAME", application_name.to_owned());
        set("PGTZ", "UTC".to_owned());
        set("PGSSLMODE", self.ssl_mode.as_str().to_owned());
        set("PGCONNECT_TIMEOUT", CONNECT_SECONDS_MAX.to_string());
        let passfile = self
            .passfile
            .clone()
            .unwrap_or_else(|| "/nonexistent".into());
        set("PGPASSFILE", passfile.to_string_lossy().into_owned());
        if let Some(path) = &self.ssl_root_cert {
            set("PGSSLROOTCERT", path.to_string_lossy().into_owned());
        }
        if !session.is_empty() {
            set("PGOPTIONS", options_text(session));
        }
        environment
    }
}

/// What every child gets: a short path, a home that is not there, messages in English (they are
/// classified by their words), a multi-byte locale so that names are not mangled.
pub fn base_environment() -> Vec<(String, String)> {
    [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("LANG", "C.UTF-8"),
        ("LC_MESSAGES", "C"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The settings of every session of ours, as the `options` of a startup message.
pub(super) fn session_options() -> String {
    let settings: Vec<_> = TEXT_SETTINGS
        .iter()
        .chain(SESSION_SETTINGS)
        .copied()
        .collect();
    options_text(&settings)
}

/// `PGOPTIONS` for settings: `-c name=value`, blanks and backslashes escaped by a backslash
/// (PostgreSQL manual, libpq, `options`).
fn options_text(settings: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in settings {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str("-c ");
        for c in format!("{name}={value}").chars() {
            if c == ' ' || c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_names_by_environment_and_nothing_else() {
        let address = ServerAddress::socket("/run/pg", 5433, "dumper");
        let environment = address.child_environment(
            "host=evil port=1",
            "provado:x",
            &[("datestyle", "ISO, DMY"), ("a", "b\\c")],
        );
        let get = |key: &str| {
            let found: Vec<_> = environment.iter().filter(|(k, _)| k == key).collect();
            assert_eq!(found.len(), 1, "{key}");
            found[0].1.clone()
        };
        assert_eq!(get("PGDATABASE"), "host=evil port=1");
        assert_eq!(get("PGHOST"), "/run/pg");
        assert_eq!(get("PGPORT"), "5433");
        assert_eq!(get("PGPASSFILE"), "/nonexistent");
        assert_eq!(get("PGOPTIONS"), "-c datestyle=ISO,\\ DMY -c a=b\\\\c");
        assert!(!environment.iter().any(|(k, _)| k == "PGPASSWORD"));
    }
}
