//! What really runs: tasks as the kernel shows them, whatever anybody believes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

/// Live tasks whose app id begins with `prefix`: task id → inodes of the network namespaces (hosts)
/// it runs on.
pub fn live_tasks(prefix: &str) -> BTreeMap<String, BTreeSet<u64>> {
    let mut found: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(environment) = std::fs::read(path.join("environ")) else { continue };
        let variable = |name: &str| {
            environment
                .split(|byte| *byte == 0)
                .find_map(|pair| std::str::from_utf8(pair).ok()?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let (Some(app), Some(task)) = (variable("MARATHON_APP_ID"), variable("MESOS_TASK_ID")) else { continue };
        if !app.starts_with(prefix) {
            continue;
        }
        if let Ok(host) = std::fs::metadata(path.join("ns/net")) {
            found.entry(task).or_default().insert(host.ino());
        }
    }
    found
}
