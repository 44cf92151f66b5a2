//! Passwords from a file in libpq's format (PostgreSQL manual, section 34.16).
//!
//! Children get the file by `PGPASSFILE` and read it themselves; only our own connections need
//! the password here. It is never kept, logged or put into an argument or an environment.

use super::ServerAddress;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest password file that is read.
const PASSFILE_BYTES_MAX: u64 = 1024 * 1024;

/// The password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassfileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it; libpq ignores such a file, and so must we.
    #[error("{path} has mode {mode:04o}; it must not be readable by others: chmod 0600")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is larger than any password file.
    #[error("{path} has {bytes} bytes, more than a password file may have")]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// No line fits.
    #[error("{path} has no line for {address} and database {database:?}")]
    NoLine {
        /// Which file.
        path: PathBuf,
        /// For which server.
        address: String,
        /// For which database.
        database: String,
    },
}

/// The password of the first line that fits.
pub(super) fn password(
    path: &Path,
    address: &ServerAddress,
    database: &str,
) -> Result<String, PassfileError> {
    let read = |source| PassfileError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(read)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PassfileError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > PASSFILE_BYTES_MAX {
        return Err(PassfileError::Size {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let host = if address.host == "/var/run/postgresql" || address.host == "/tmp" {
        // libpq: a socket in the default directory is `localhost` in a password file.
        vec![address.host.as_str(), "localhost"]
    } else {
        vec![address.host.as_str()]
    };
    let port = address.port.to_string();
    let wanted = [host, vec![&port], vec![database], vec![&address.user]];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| match_line(line, &wanted))
        .ok_or_else(|| PassfileError::NoLine {
            path: path.to_owned(),
            address: address.describe(),
            database: database.to_owned(),
        })
}

/// The fifth field, if the first four are `*` or what is wanted.
fn match_line(line: &str, wanted: &[Vec<&str>; 4]) -> Option<String> {
    let fields = split(line);
    if fields.len() < 5 {
        return None;
    }
    let mut fields = fields.into_iter();
    for values in wanted {
        let (field, starred) = fields.next()?;
        if !starred && !values.contains(&field.as_str()) {
            return None;
        }
    }
    fields.next().map(|(password, _)| password)
}

/// Fields between colons, `\` taking the next character as it is; with each field whether it
/// was a bare `*`.
fn split(line: &str) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut raw = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == ':' && out.len() < 4 {
            out.push((std::mem::take(&mut field), raw == "*"));
            raw.clear();
            continue;
        }
        raw.push(c);
        let c = if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        };
        field.push(c);
    }
    out.push((field, raw == "*"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_first_fitting_line_counts() {
        let text = "# note\nother:5432:*:u:no\nh:5432:a\\:b:u:first\nh:*:*:u:sec\\\\ond\n";
        let file = file(text, 0o600);
        let address = ServerAddress::socket("h", 5432, "u");
        assert_eq!(password(file.path(), &address, "a:b").unwrap(), "first");
        assert_eq!(password(file.path(), &address, "x").unwrap(), "sec\\ond");
        let stranger = ServerAddress::socket("h", 5432, "v");
        assert!(matches!(
            password(file.path(), &stranger, "x"),
            Err(PassfileError::NoLine { .. })
        ));
    }

    #[test]
    fn a_file_others_may_read_is_refused() {
        let file = file("*:*:*:*:x\n", 0o640);
        let address = ServerAddress::socket("/tmp", 5432, "u");
        assert!(matches!(
            password(file.path(), &address, "x"),
            Err(PassfileError::Mode { mode: 0o640, .. })
        ));
    }
}
