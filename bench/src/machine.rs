//! What the figures were measured on.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A machine is quiet when it is busy for less than one part in so many of this time.
const QUIET_SHARE: u64 = 10;
const QUIET_TIME: Duration = Duration::from_millis(300);
/// How long is waited for that.
const QUIET_PATIENCE: Duration = Duration::from_secs(20);

/// CPU, memory, kernel, filesystem, load and build profile. Never fails: what cannot be found out
/// is "unknown".
pub(crate) fn describe(directory: &Path) -> Value {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".into()).trim(),
        "filesystem": filesystem(directory),
        "cgroup": if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" },
        "load": load.join(" "),
        "executor": "process, unless the scale says otherwise",
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// One line for people.
pub(crate) fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().map_or_else(|| machine[key].to_string(), str::to_owned);
    format!(
        "{}, {} cores, {}, kernel {}, {}, cgroup {}, load {}; {} build; executor: {}",
        text("cpu"),
        text("cores"),
        text("memory"),
        text("kernel"),
        text("filesystem"),
        text("cgroup"),
        text("load"),
        text("profile"),
        text("executor"),
    )
}

/// Waits until the kernel has cleared away what ended before, so that it is not counted against what is measured
/// next. Whether that was so in the end.
pub(crate) fn settle() -> bool {
    let start = Instant::now();
    let mut before = ticks();
    while start.elapsed() < QUIET_PATIENCE {
        std::thread::sleep(QUIET_TIME); // How busy it is shows only over some time.
        let now = ticks();
        if (now.1 - before.1) * QUIET_SHARE < now.0 - before.0 {
            return true;
        }
        before = now;
    }
    false
}

/// Time of all cores, and how much of it they were busy; in ticks (proc_stat(5)).
fn ticks() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let parts: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|part| part.parse().unwrap_or(0)).collect();
    let all: u64 = parts.iter().sum();
    let idle: u64 = parts.iter().skip(3).take(2).sum();
    (all, all - idle)
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
}

fn memory() -> String {
    let kibibytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<f64>();
    kibibytes.map_or_else(|_| "unknown memory".into(), |kibibytes| format!("{:.1} GiB", kibibytes / 1024.0 / 1024.0))
}

fn filesystem(directory: &Path) -> String {
    let output = Command::new("df").arg("--output=fstype").arg(directory).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().nth(1).map_or_else(|| "unknown filesystem".into(), |name| name.trim().to_owned())
}
