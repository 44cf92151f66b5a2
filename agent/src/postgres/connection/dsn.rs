//! A connection string of keywords and values, read strictly.
//!
//! The form is libpq's (PostgreSQL manual, section 34.1.1.1): `key = value` pairs with blanks
//! between, values in single quotes where they hold blanks, `\` before `'` and `\`. Unlike libpq
//! an unknown keyword is an error, and a password is refused: it would be seen in process lists.

use super::{ServerAddress, SslMode};
use std::iter::Peekable;
use std::str::Chars;

/// The connection string cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DsnError {
    /// The text is not a list of `key=value`.
    #[error("the connection string is not a list of key=value near `{0}`")]
    Syntax(String),
    /// A keyword that is not supported here.
    #[error(
        "unknown keyword `{0}` in the connection string; known are host, port, user, dbname, \
         passfile, sslmode and sslrootcert"
    )]
    Unknown(String),
    /// A password in the open.
    #[error(
        "a password may not stand in the connection string, where process lists show it; \
         write it to a file of mode 0600 in libpq's format and give passfile=FILE"
    )]
    Password,
    /// The same keyword twice.
    #[error("keyword `{0}` stands twice in the connection string")]
    Twice(String),
    /// A value out of range.
    #[error("`{value}` is not a valid {keyword}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// The offending value.
        value: String,
    },
}

/// A parsed connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsn {
    /// Where and as whom.
    pub address: ServerAddress,
    /// `dbname`, where one was given; it also becomes the maintenance database.
    pub database: Option<String>,
}

impl Dsn {
    /// Parses `host=/var/run/postgresql port=5432 user=postgres` and the like.
    ///
    /// Defaults: host `/var/run/postgresql`, port 5432, user `postgres`, database `postgres`,
    /// `sslmode` `disable` on sockets and `prefer` elsewhere.
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let mut address = ServerAddress::socket("/var/run/postgresql", 5432, "postgres");
        let mut database = None;
        let mut ssl_mode = None;
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs(text)? {
            if seen.contains(&key) {
                return Err(DsnError::Twice(key));
            }
            match key.as_str() {
                "host" => address.host = not_empty("host", value)?,
                "port" => address.port = port(value)?,
                "user" => address.user = not_empty("user", value)?,
                "dbname" => database = Some(not_empty("dbname", value)?),
                "passfile" => address.passfile = Some(not_empty("passfile", value)?.into()),
                "sslmode" => {
                    ssl_mode = Some(SslMode::parse(&value).ok_or(DsnError::Value {
                        keyword: "sslmode",
                        value,
                    })?);
                }
                "sslrootcert" => {
                    address.ssl_root_cert = Some(not_empty("sslrootcert", value)?.into());
                }
                "password" => return Err(DsnError::Password),
                _ => return Err(DsnError::Unknown(key)),
            }
            seen.push(key);
        }
        address.ssl_mode = ssl_mode.unwrap_or(if address.is_socket() {
            SslMode::Disable
        } else {
            SslMode::Prefer
        });
        if let Some(name) = &database {
            address.maintenance_database.clone_from(name);
        }
        Ok(Self { address, database })
    }
}

fn not_empty(keyword: &'static str, value: String) -> Result<String, DsnError> {
    if value.is_empty() || value.contains('\0') {
        return Err(DsnError::Value { keyword, value });
    }
    Ok(value)
}

fn port(value: String) -> Result<u16, DsnError> {
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(DsnError::Value {
            keyword: "port",
            value,
        }),
    }
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, DsnError> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        skip_blanks(&mut chars);
        if chars.peek().is_none() {
            return Ok(out);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            key.push(c);
        }
        skip_blanks(&mut chars);
        if key.is_empty() || chars.next_if_eq(&'=').is_none() {
            let rest: String = key.chars().chain(chars).take(20).collect();
            return Err(DsnError::Syntax(rest));
        }
        skip_blanks(&mut chars);
        let value = value(&mut chars).ok_or_else(|| DsnError::Syntax(key.clone()))?;
        out.push((key, value));
    }
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

/// One value; `None` for a quote or an escape that does not end.
fn value(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let quoted = chars.next_if_eq(&'\'').is_some();
    let mut out = String::new();
    loop {
        match chars.peek().copied() {
            None => return (!quoted).then_some(out),
            Some('\'') if quoted => {
                chars.next();
                return Some(out);
            }
            Some(c) if !quoted && c.is_ascii_whitespace() => return Some(out),
            Some('\\') => {
                chars.next();
                out.push(chars.next()?);
            }
            Some(c) => {
                chars.next();
                out.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_becomes_an_address() {
        let dsn = Dsn::parse("host=/tmp/s port = 5433 user='a \\'b' dbname=app").unwrap();
        assert_eq!(dsn.address.host, "/tmp/s");
        assert_eq!(dsn.address.port, 5433);
        assert_eq!(dsn.address.user, "a 'b");
        assert_eq!(dsn.address.ssl_mode, SslMode::Disable);
        assert_eq!(dsn.database.as_deref(), Some("app"));
        assert_eq!(dsn.address.maintenance_database, "app");
        let tcp = Dsn::parse("host=db.example passfile=/etc/p").unwrap();
        assert_eq!(tcp.address.ssl_mode, SslMode::Prefer);
        assert_eq!(tcp.address.passfile, Some("/etc/p".into()));
        assert_eq!(Dsn::parse("").unwrap().address.user, "postgres");
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (text, error) in [
            ("hostt=x", DsnError::Unknown("hostt".into())),
            ("options='-c x=y'", DsnError::Unknown("options".into())),
            ("password=x", DsnError::Password),
            ("host=a host=b", DsnError::Twice("host".into())),
            ("just words", DsnError::Syntax("justwords".into())),
            ("host='open", DsnError::Syntax("host".into())),
            ("host=x\\", DsnError::Syntax("host".into())),
            (
                "postgresql://x/y",
                DsnError::Syntax("postgresql://x/y".into()),
            ),
        ] {
            assert_eq!(Dsn::parse(text), Err(error), "{text}");
        }
        for text in ["port=0", "port=70000", "port=x", "host=", "sslmode=maybe"] {
            assert!(
                matches!(Dsn::parse(text), Err(DsnError::Value { .. })),
                "{text}"
            );
        }
    }
}
