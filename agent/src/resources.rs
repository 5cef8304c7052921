//! What this machine can offer.

use orrery_core::Scalar;
use orrery_core::node::{PortRanges, Resources};
use std::path::Path;

/// Memory left to the machine itself: this or half of all, whichever is less, MiB (Mesos: 1 GiB).
const MEMORY_RESERVE_MIB: u64 = 1024;
/// Disk left to the machine itself: this or half of what is free, whichever is less, MiB (Mesos: 5 GiB).
const DISK_RESERVE_MIB: u64 = 5 * 1024;
/// Ports offered by default, as Mesos offers them.
const DEFAULT_PORTS: (u16, u16) = (31_000, 32_000);

fn offered(total: u64, reserve: u64) -> Scalar {
    Scalar::from_units(i64::try_from(total - reserve.min(total / 2)).unwrap_or(i64::MAX))
}

/// MiB of the line `MemTotal:` of `/proc/meminfo`.
fn memory_total_mib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// CPUs, memory, disk and ports of this machine that tasks may use; `directory` is on the disk that
/// holds the sandboxes, or will be.
pub fn detect_resources(directory: &Path) -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = memory_total_mib(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free = nix::sys::statvfs::statvfs(existing)
        .map_or(0, |stats| stats.blocks_available().saturating_mul(stats.fragment_size()) >> 20);
    Resources {
        cpus: Scalar::from_units(cpus as i64),
        mem: offered(memory, MEMORY_RESERVE_MIB),
        disk: offered(free, DISK_RESERVE_MIB),
        ports: PortRanges::new([DEFAULT_PORTS]),
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_something_to_the_machine() {
        assert_eq!(offered(16 * 1024, MEMORY_RESERVE_MIB), Scalar::from_units(15 * 1024));
        assert_eq!(offered(1000, MEMORY_RESERVE_MIB), Scalar::from_units(500));
        assert_eq!(memory_total_mib("MemTotal:       24683780 kB\nMemFree: 1 kB\n"), 24_105);
        let found = detect_resources(Path::new("/no/such/directory/yet"));
        assert!(found.cpus >= Scalar::ONE && found.mem.is_positive() && found.disk.is_positive());
    }
}
