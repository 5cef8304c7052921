//! Control groups, version 1 and 2: which files hold a task's limits and its usage.

use crate::spawner::CgroupSetup;
use orrery_core::assignment::ContainerSpec;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// CPU shares of one CPU (the kernel's default, as Mesos counts).
const SHARES_PER_CPU: i64 = 1024;
/// Smallest share the kernel takes.
const SHARES_MIN: i64 = 2;
/// Period of CPU quotas, microseconds.
const PERIOD_US: i64 = 100_000;
/// Smallest quota the kernel takes, microseconds.
const QUOTA_MIN_US: i64 = 1_000;
/// Memory below which not even a shell starts, bytes; smaller limits are raised to it.
const MEMORY_MIN_BYTES: i64 = 8 << 20;
/// Most processes and threads of one task; a fork bomb ends here.
const PIDS_MAX: u32 = 16_384;
/// A task may have at most this part of all process ids of the machine, and all tasks together all
/// but this part: the node itself goes on working.
const PIDS_PART: u32 = 8;
/// Parent of all our groups.
const ROOT: &str = "orrery";
/// Controllers used.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];
/// Those of version 2, which accounts for CPU time by itself.
const CONTROLLERS_2: [&str; 3] = ["cpu", "memory", "pids"];

/// What the kernel offers here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// Directory of each controller, one hierarchy each.
    V1(Vec<(&'static str, PathBuf)>),
    /// The unified hierarchy.
    V2(PathBuf),
    /// None usable.
    None,
}

/// The groups of one node's tasks.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    layout: Layout,
    /// `orrery/<node>`.
    group: String,
    /// The kernel counts swap, so that a memory limit can hold with it.
    counts_swap: bool,
    /// Controllers of version 2 that this kernel does not offer: their limits do not hold.
    missing: Vec<&'static str>,
    pids: PidLimits,
}

/// Bounds on processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidLimits {
    /// Of one task.
    pub(crate) task: u32,
    /// Of all tasks of the machine.
    all: u32,
}

impl PidLimits {
    /// The bounds on a machine that has `most` process ids.
    fn of(most: u32) -> Self {
        let part = (most / PIDS_PART).max(1);
        Self { task: part.min(PIDS_MAX), all: most - part }
    }

    /// The bounds on this machine.
    pub(crate) fn detect() -> Self {
        let read = |name: &str| fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?.trim().parse().ok();
        Self::of(["pid_max", "threads-max"].into_iter().filter_map(read).min().unwrap_or(PIDS_MAX * PIDS_PART))
    }
}

/// Usage counters of one task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) cpu_user_seconds: f64,
    pub(crate) cpu_system_seconds: f64,
    pub(crate) periods: u64,
    pub(crate) throttled: u64,
    pub(crate) throttled_seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) mapped_bytes: u64,
    pub(crate) processes: u64,
}

/// Finds the mount points of cgroup file systems in the text of `/proc/self/mountinfo`.
fn layout(mountinfo: &str) -> Layout {
    let (mut first, mut second) = (Vec::new(), None);
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        match right.next() {
            Some("cgroup") => {
                let options = right.nth(1).unwrap_or("");
                for controller in CONTROLLERS {
                    if options.split(',').any(|option| option == controller) {
                        first.push((controller, PathBuf::from(point)));
                    }
                }
            }
            Some("cgroup2") => second = Some(PathBuf::from(point)),
            _ => {}
        }
    }
    match second {
        _ if first.iter().any(|(controller, _)| *controller == "memory") => Layout::V1(first),
        Some(point) => Layout::V2(point),
        None => Layout::None,
    }
}

impl Cgroups {
    /// Creates the node's groups. The text says which limits do not hold and why, if so.
    pub(crate) fn set_up(node: &str) -> (Self, Option<String>) {
        let layout = layout(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        Self::set_up_in(layout, node)
    }

    fn set_up_in(layout: Layout, node: &str) -> (Self, Option<String>) {
        let mut cgroups =
            Self { layout, group: format!("{ROOT}/{node}"), counts_swap: false, missing: Vec::new(), pids: PidLimits::detect() };
        if let Layout::V2(point) = &cgroups.layout {
            let offered = fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
            let is_missing = |controller: &&str| !offered.split_whitespace().any(|offered| offered == *controller);
            cgroups.missing = CONTROLLERS_2.into_iter().filter(is_missing).collect();
        }
        match cgroups.create() {
            Ok(()) => {
                let swap = cgroups.directory("memory", "").map(|directory| directory.join(cgroups.swap_file()));
                cgroups.counts_swap = swap.is_some_and(|file| file.exists());
                let complaint = (!cgroups.missing.is_empty()).then(|| {
                    format!(
                        "limits of {} do not hold: the kernel does not offer these cgroup controllers",
                        cgroups.missing.join(", ")
                    )
                });
                (cgroups, complaint)
            }
            Err(because) => {
                (Self { layout: Layout::None, ..cgroups }, Some(format!("CPU and memory limits are not enforced: {because}")))
            }
        }
    }

    fn create(&self) -> Result<(), String> {
        let fail = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        match &self.layout {
            Layout::None => Err("no cgroup file system is mounted".into()),
            Layout::V1(controllers) => controllers.iter().try_for_each(|(controller, point)| {
                let group = point.join(&self.group);
                fs::create_dir_all(&group).map_err(|error| fail(&group, error))?;
                if *controller == "pids" {
                    let file = point.join(ROOT).join("pids.max");
                    fs::write(&file, self.pids.all.to_string()).map_err(|error| fail(&file, error))?;
                }
                if *controller == "memory" {
                    // The default on most systems; fails where it already holds.
                    let _ = fs::write(point.join(ROOT).join("memory.use_hierarchy"), "1");
                }
                let probe = group.join("probe");
                fs::create_dir_all(&probe).and_then(|()| fs::remove_dir(&probe)).map_err(|error| fail(&probe, error))
            }),
            Layout::V2(point) => {
                let group = point.join(&self.group);
                fs::create_dir_all(&group).map_err(|error| fail(&group, error))?;
                let offered = CONTROLLERS_2.into_iter().filter(|controller| !self.missing.contains(controller));
                let wanted = offered.map(|controller| format!("+{controller}")).collect::<Vec<_>>().join(" ");
                for directory in [point.clone(), point.join(ROOT), group] {
                    let file = directory.join("cgroup.subtree_control");
                    fs::write(&file, &wanted).map_err(|error| fail(&file, error))?;
                }
                if self.missing.contains(&"pids") {
                    return Ok(());
                }
                let file = point.join(ROOT).join("pids.max");
                fs::write(&file, self.pids.all.to_string()).map_err(|error| fail(&file, error))
            }
        }
    }

    /// File that bounds memory and swap together (version 1), or swap (version 2).
    fn swap_file(&self) -> &'static str {
        if matches!(self.layout, Layout::V2(_)) { "memory.swap.max" } else { "memory.memsw.limit_in_bytes" }
    }

    /// Removes the node's own groups, once no task is left.
    pub(crate) fn remove_node(&self) {
        for directory in self.directories("") {
            // What is still in use stays.
            let _ = fs::remove_dir(directory);
        }
    }

    /// Removes groups of tasks that are not in `alive`: what was still busy when its task ended. Returns those
    /// that are busy still. `alive` is asked after the groups have been listed, so that one that begins
    /// meanwhile is safe.
    pub(crate) fn sweep(&self, alive: impl FnOnce() -> BTreeSet<String>) -> Vec<String> {
        let names: BTreeSet<String> = self
            .directories("")
            .iter()
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flat_map(Iterator::flatten)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.difference(&alive()).filter(|name| !self.remove(name)).cloned().collect()
    }

    /// Whether tasks have groups here.
    pub(crate) const fn are_used(&self) -> bool {
        !matches!(self.layout, Layout::None)
    }

    /// Kills every process of a task, its init among them; `false` when none is left.
    pub(crate) fn kill(&self, container: &str) -> bool {
        let found: BTreeSet<i32> = self.directories(container).iter().flat_map(|directory| processes(directory)).collect();
        for process in &found {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*process), nix::sys::signal::Signal::SIGKILL);
        }
        !found.is_empty()
    }

    /// Directories of a task's groups, each once.
    pub(crate) fn directories(&self, container: &str) -> Vec<PathBuf> {
        let of = |point: &Path| point.join(&self.group).join(container);
        match &self.layout {
            Layout::V1(controllers) => {
                let mut directories: Vec<PathBuf> = controllers.iter().map(|(_, point)| of(point)).collect();
                directories.sort();
                directories.dedup();
                directories
            }
            Layout::V2(point) => vec![of(point)],
            Layout::None => Vec::new(),
        }
    }

    fn directory(&self, controller: &str, container: &str) -> Option<PathBuf> {
        match &self.layout {
            Layout::V1(controllers) => {
                let (_, point) = controllers.iter().find(|(name, _)| *name == controller)?;
                Some(point.join(&self.group).join(container))
            }
            Layout::V2(_) if self.missing.contains(&controller) => None,
            Layout::V2(point) => Some(point.join(&self.group).join(container)),
            Layout::None => None,
        }
    }

    /// The groups of a task with its limits.
    pub(crate) fn setups(&self, container: &str, spec: &ContainerSpec) -> Vec<CgroupSetup> {
        let shares = (spec.cpus.thousandths().saturating_mul(SHARES_PER_CPU) / 1000).max(SHARES_MIN);
        let quota = spec.cpus_limit.map(|limit| (limit.thousandths().saturating_mul(PERIOD_US) / 1000).max(QUOTA_MIN_US));
        let memory = spec.mem_limit.map(|limit| (limit.thousandths().saturating_mul(1 << 20) / 1000).max(MEMORY_MIN_BYTES));
        let version_1 = matches!(self.layout, Layout::V1(_));
        let mut setups: Vec<CgroupSetup> =
            self.directories(container).into_iter().map(|directory| CgroupSetup { directory, files: Vec::new() }).collect();
        let mut add = |controller: &str, name: &str, content: String| {
            let directory = self.directory(controller, container);
            if let Some(setup) = setups.iter_mut().find(|setup| Some(&setup.directory) == directory.as_ref()) {
                setup.files.push((name.to_owned(), content));
            }
        };
        if version_1 {
            add("cpu", "cpu.shares", shares.to_string());
            if let Some(quota) = quota {
                add("cpu", "cpu.cfs_period_us", PERIOD_US.to_string());
                add("cpu", "cpu.cfs_quota_us", quota.to_string());
            }
            if let Some(memory) = memory {
                add("memory", "memory.limit_in_bytes", memory.to_string());
                if self.counts_swap {
                    add("memory", self.swap_file(), memory.to_string());
                }
            }
        } else {
            // The kernel's own conversion between the two scales.
            add("cpu", "cpu.weight", (1 + (shares.min(262_144) - 2) * 9_999 / 262_142).to_string());
            if let Some(quota) = quota {
                add("cpu", "cpu.max", format!("{quota} {PERIOD_US}"));
            }
            if let Some(memory) = memory {
                add("memory", "memory.max", memory.to_string());
                if self.counts_swap {
                    add("memory", self.swap_file(), "0".into());
                }
            }
        }
        add("pids", "pids.max", self.pids.task.to_string());
        setups
    }

    /// Whether the kernel killed one of the task's processes for memory.
    pub(crate) fn out_of_memory(&self, container: &str) -> bool {
        let name = if matches!(self.layout, Layout::V2(_)) { "memory.events" } else { "memory.oom_control" };
        self.directory("memory", container)
            .and_then(|directory| fs::read_to_string(directory.join(name)).ok())
            .is_some_and(|text| keyed(&text, "oom_kill") > 0)
    }

    /// Removes the groups of a task that has ended; `false` when one is still busy.
    pub(crate) fn remove(&self, container: &str) -> bool {
        let mut clean = true;
        for directory in self.directories(container) {
            if let Err(error) = fs::remove_dir(&directory)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                clean = false;
                // Something outlived its init, which only a process outside the namespace can. Version
                // 2 kills a group as one.
                let kill = directory.join("cgroup.kill");
                if kill.exists() && fs::write(kill, "1").is_ok() {
                    continue;
                }
                for process in fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default().lines() {
                    if let Ok(process) = process.parse() {
                        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
                    }
                }
            }
        }
        clean
    }

    /// Usage of a running task.
    pub(crate) fn usage(&self, container: &str) -> Usage {
        let read = |controller: &str, name: &str| {
            let directory = self.directory(controller, container);
            directory.and_then(|directory| fs::read_to_string(directory.join(name)).ok()).unwrap_or_default()
        };
        let number = |text: String| text.trim().parse().unwrap_or(0);
        let any = self.directories(container).into_iter().next();
        let common = |name: &str| any.as_ref().and_then(|group| fs::read_to_string(group.join(name)).ok()).unwrap_or_default();
        let processes = common("cgroup.procs").lines().count() as u64;
        if matches!(self.layout, Layout::V2(_)) {
            let (cpu, memory) = (common("cpu.stat"), read("memory", "memory.stat"));
            return Usage {
                cpu_user_seconds: keyed(&cpu, "user_usec") as f64 / 1e6,
                cpu_system_seconds: keyed(&cpu, "system_usec") as f64 / 1e6,
                periods: keyed(&cpu, "nr_periods"),
                throttled: keyed(&cpu, "nr_throttled"),
                throttled_seconds: keyed(&cpu, "throttled_usec") as f64 / 1e6,
                memory_bytes: number(read("memory", "memory.current")),
                rss_bytes: keyed(&memory, "anon"),
                cache_bytes: keyed(&memory, "file"),
                mapped_bytes: keyed(&memory, "file_mapped"),
                processes,
            };
        }
        let (cpu, memory) = (read("cpu", "cpu.stat"), read("memory", "memory.stat"));
        Usage {
            cpu_user_seconds: number(read("cpuacct", "cpuacct.usage_user")) as f64 / 1e9,
            cpu_system_seconds: number(read("cpuacct", "cpuacct.usage_sys")) as f64 / 1e9,
            periods: keyed(&cpu, "nr_periods"),
            throttled: keyed(&cpu, "nr_throttled"),
            throttled_seconds: keyed(&cpu, "throttled_time") as f64 / 1e9,
            memory_bytes: number(read("memory", "memory.usage_in_bytes")),
            rss_bytes: keyed(&memory, "total_rss"),
            cache_bytes: keyed(&memory, "total_cache"),
            mapped_bytes: keyed(&memory, "total_mapped_file"),
            processes,
        }
    }
}

/// Processes of a group and of those that a task has made in it.
fn processes(group: &Path) -> Vec<i32> {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for processes that have no number in our namespace, and for our own group when it is sent a signal.
    let mut found: Vec<i32> = listed.lines().filter_map(|line| line.parse().ok()).filter(|process| *process > 0).collect();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

/// Number after `key` in a file of `key number` lines.
fn keyed(text: &str, key: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    found.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "cgroup_test.rs"]
mod tests;
