//! Finds the instances of this host by their Unix sockets.

use crate::postgres::ServerAddress;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The configured addresses, then servers found by their sockets (`.s.PGSQL.<port>`) in the
/// given directories, asked as `user`. A server that is configured is not listed twice.
pub fn discover(
    configured: &[ServerAddress],
    user: &str,
    directories: &[PathBuf],
) -> Vec<ServerAddress> {
    let mut found = configured.to_vec();
    for directory in directories {
        let mut ports = ports(directory);
        ports.sort_unstable();
        for port in ports {
            let address = ServerAddress::socket(directory.to_string_lossy(), port, user);
            if !found.iter().any(|known| same_server(known, &address)) {
                found.push(address);
            }
        }
    }
    found
}

/// Whether two addresses lead to the same socket; `/var/run` is usually a link to `/run`.
fn same_server(a: &ServerAddress, b: &ServerAddress) -> bool {
    let real = |address: &ServerAddress| {
        Path::new(&address.host)
            .canonicalize()
            .unwrap_or_else(|_| Path::new(&address.host).to_owned())
    };
    a.port == b.port && a.is_socket() == b.is_socket() && real(a) == real(b)
}

fn ports(directory: &Path) -> Vec<u16> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn sockets_are_found_once_and_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let _kept: Vec<UnixListener> = ["5433", "5432"]
            .iter()
            .map(|port| directory.path().join(format!(".s.PGSQL.{port}")))
            .map(|path| UnixListener::bind(path).unwrap())
            .collect();
        std::fs::write(directory.path().join(".s.PGSQL.5434"), "").unwrap();
        std::fs::write(directory.path().join(".s.PGSQL.5432.lock"), "").unwrap();
        let mut known = ServerAddress::socket(link.to_string_lossy(), 5432, "me");
        known.maintenance_database = "app".to_owned();
        let found = discover(
            &[known.clone()],
            "you",
            &[directory.path().to_owned(), link.clone()],
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], known);
        assert_eq!((found[1].port, found[1].user.as_str()), (5433, "you"));
    }
}
