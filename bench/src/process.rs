//! What `/proc` says of processes, and children that end with us.

use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A child that is killed when this is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Command that runs `program` on one core only.
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Where a program is, on the search path or where Debian keeps daemons.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Process id of the only process whose last argument is `argument`.
pub(crate) fn with_last_argument(argument: &str) -> anyhow::Result<i32> {
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = line.strip_suffix(b"\0").unwrap_or(&line);
        line.split(|byte| *byte == 0).next_back() == Some(argument.as_bytes())
    };
    all().into_iter().find(has).with_context(|| format!("no process has the argument {argument}"))
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Descendants of `root`, itself included, that run the same program: the parts of a daemon, not
/// what it started for its users.
pub(crate) fn own_tree(root: u32) -> Vec<i32> {
    let Ok(root) = i32::try_from(root) else { return Vec::new() };
    let program = fs::read_link(format!("/proc/{root}/exe")).ok();
    let parents: Vec<(i32, i32)> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(pid) = tree.get(next).copied() {
        next += 1;
        tree.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
    }
    tree.retain(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok() == program);
    tree
}

fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// CPU time of a process so far, in clock ticks of 10 ms (proc(5): fields 14 and 15).
pub(crate) fn cpu_ticks(pid: i32) -> u64 {
    let field = |fields: &[String], index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    stat(pid).map_or(0, |fields| field(&fields, 11) + field(&fields, 12))
}

/// CPU time of a process so far, all threads, nanoseconds.
pub(crate) fn cpu_nanoseconds(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let time = |path: PathBuf| fs::read_to_string(path).ok()?.split(' ').next()?.parse::<u64>().ok();
    threads.filter_map(|thread| time(thread.path().join("schedstat"))).sum()
}

/// Processes that a process has started and that are still there.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts.flat_map(|text| text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn memory_megabytes(pid: i32, names: &[&str]) -> Vec<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0 / 1e6
    };
    names.iter().map(field).collect()
}

/// Resident memory of a process in MB: all pages, and its share of the shared ones (PSS).
pub(crate) fn resident_megabytes(pid: i32) -> (f64, f64) {
    let found = memory_megabytes(pid, &["Rss:", "Pss:"]);
    (found[0], found[1])
}

/// Resident memory of a process in MB that is of no file: its heap, stacks and what it changed.
pub(crate) fn anonymous_megabytes(pid: i32) -> f64 {
    memory_megabytes(pid, &["Anonymous:"])[0]
}
