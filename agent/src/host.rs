//! What the agent tells of its host. Reads files of /proc and /etc; decides nothing.

use provado_proto::agent::v1::HostFacts;
use std::path::Path;

/// What is known of this host. What cannot be read is empty or zero.
pub fn facts() -> HostFacts {
    HostFacts {
        hostname: hostname(),
        machine_id: text("/etc/machine-id"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        os: os_name(&text("/etc/os-release")),
        architecture: std::env::consts::ARCH.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        cpu_count: std::thread::available_parallelism()
            .map_or(0, |count| i32::try_from(count.get()).unwrap_or(i32::MAX)),
        memory_bytes: memory_bytes(&text("/proc/meminfo")),
    }
}

/// Host name as the kernel tells it.
pub fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The name of an agent on this host that fits the rules of names: the first part of the host
/// name, with what does not belong replaced by `-`.
pub fn suggested_name(hostname: &str) -> String {
    let first = hostname.split('.').next().unwrap_or_default();
    let mut name: String = first
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "host-");
        name.truncate(63);
    }
    if name.len() < 2 {
        name.push_str("-host");
    }
    name
}

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(path))
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// `PRETTY_NAME` of os-release(5).
fn os_name(release: &str) -> String {
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// `MemTotal` of proc_meminfo(5), which is in KiB.
fn memory_bytes(meminfo: &str) -> i64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<i64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::label::name_is_valid;

    #[test]
    fn every_host_name_makes_a_valid_name() {
        let long = "x".repeat(90);
        for (host, name) in [
            ("db1.example.org", "db1"),
            ("DB_1", "db-1"),
            ("10", "host-10"),
            ("x", "x-host"),
            ("", "host-"),
            (&long, &"x".repeat(63)),
        ] {
            assert_eq!(suggested_name(host), name);
            assert!(name_is_valid(name), "{name}");
        }
    }

    #[test]
    fn this_host_has_facts() {
        let facts = facts();
        assert!(!facts.hostname.is_empty() && facts.cpu_count > 0 && facts.memory_bytes > 0);
        assert_eq!(os_name("A=1\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }
}
