//! Settings of a throw-away server: fast, because nothing in it has to survive anything.

use crate::postgres::trouble::LOG_LINE_PREFIX;

/// Bytes that may be used without pushing others out; 1 GiB where the kernel does not tell.
pub(super) fn available_memory_bytes() -> u64 {
    let default = 1 << 30;
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        return default;
    };
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map_or(default, |kib| kib.saturating_mul(1024))
}

/// Settings for a restore and one comparison, given memory at hand and parallel jobs.
///
/// The host usually serves production beside it, so at most a quarter of the free memory goes to
/// the buffer cache and index builds together.
pub(super) fn for_speed(major: u32, memory_bytes: u64, jobs_count: u32) -> Vec<(String, String)> {
    const MIB: u64 = 1024 * 1024;
    let jobs = u64::from(jobs_count.max(1));
    let buffers = (memory_bytes / 8 / MIB).clamp(32, 1024);
    let maintenance = (memory_bytes / 8 / jobs / MIB).clamp(32, 512);
    let fixed = [
        // Nothing survives, so nothing need reach the disk in order.
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        // COPY into a table of the same transaction writes no log at all.
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("archive_mode", "off"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "1h"),
        ("wal_init_zero", "off"),
        ("autovacuum", "off"),
        ("track_counts", "off"),
        ("update_process_title", "off"),
        ("jit", "off"),
        // No network, and shared memory that goes with the directory.
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("ssl", "off"),
        ("dynamic_shared_memory_type", "mmap"),
        // A crashed backend ends the server: a drill does not go on after one.
        ("restart_after_crash", "off"),
        // The start is seen, and errors are read, by their English words on stderr.
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("log_min_messages", "warning"),
        ("log_line_prefix", LOG_LINE_PREFIX),
        ("lc_messages", "C"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("cluster_name", "provado-drill"),
    ];
    let mut out: Vec<(String, String)> = fixed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    // Every job may have one for rows and one for large objects; 40 are for whoever looks on.
    let connections = 2 * jobs + 40;
    out.push(("max_connections".to_owned(), connections.to_string()));
    out.push(("shared_buffers".to_owned(), format!("{buffers}MB")));
    out.push((
        "maintenance_work_mem".to_owned(),
        format!("{maintenance}MB"),
    ));
    if major >= 18 {
        // Reads by worker processes cost more than they give on a small private server.
        out.push(("io_method".to_owned(), "sync".to_owned()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_within_bounds() {
        let get = |settings: &[(String, String)], name: &str| {
            settings.iter().find(|(n, _)| n == name).unwrap().1.clone()
        };
        let small = for_speed(15, 64 << 20, 4);
        assert_eq!(get(&small, "shared_buffers"), "32MB");
        assert_eq!(get(&small, "maintenance_work_mem"), "32MB");
        let large = for_speed(18, 64 << 30, 2);
        assert_eq!(get(&large, "shared_buffers"), "1024MB");
        assert_eq!(get(&large, "maintenance_work_mem"), "512MB");
        assert_eq!(get(&large, "listen_addresses"), "");
        assert_eq!(get(&for_speed(15, 1 << 30, 64), "max_connections"), "168");
        assert!(available_memory_bytes() > 0);
    }
}
