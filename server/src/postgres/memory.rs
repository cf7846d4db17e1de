//! How much of the machine's memory a private Postgres may keep for itself.

const MIB: u64 = 1 << 20;
/// What Postgres works well with on the smallest machine …
const LEAST: u64 = 128 * MIB;
/// … and what leaves ten thousand hosts, with their server, within 4 GB (`bench_streams`, `bench_scale`).
const MOST: u64 = 1536 * MIB;

/// `shared_buffers`, in MiB: an eighth of the memory that there is, so that the server and the file cache have the rest.
pub(super) fn shared_buffers_mib() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // Of a container, whose limit the machine does not show.
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let memory = machine.into_iter().chain(limit).min().unwrap_or_default();
    share_of(memory) / MIB
}

fn share_of(memory: u64) -> u64 {
    (memory / 8).clamp(LEAST, MOST)
}

/// `MemTotal:       16384256 kB`, as bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{LEAST, MIB, MOST, share_of, total_of};

    #[test]
    fn an_eighth_within_bounds() {
        assert_eq!(total_of("MemTotal:        4194304 kB\nMemFree: 1 kB\n"), Some(4096 * MIB));
        assert_eq!(share_of(4096 * MIB), 512 * MIB);
        assert_eq!((share_of(0), share_of(u64::MAX)), (LEAST, MOST));
        assert_eq!(total_of("nothing"), None);
    }
}
