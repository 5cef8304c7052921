//! Which files are written, in directories that look like the kernel's and in its own.

use super::*;

#[test]
fn finds_hierarchies() {
    let hybrid = "30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let Layout::V1(found) = layout(hybrid) else { panic!("version 1 expected") };
    assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["cpu", "cpuacct", "memory"]);
    let cgroups = Cgroups {
        layout: Layout::V1(found),
        group: "orrery/n".into(),
        counts_swap: false,
        missing: Vec::new(),
        pids: PidLimits::of(100),
    };
    assert_eq!(
        cgroups.directories("c"),
        [Path::new("/sys/fs/cgroup/cpu,cpuacct/orrery/n/c"), Path::new("/sys/fs/cgroup/memory/orrery/n/c")]
    );
    assert_eq!(layout("32 24 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), Layout::V2("/sys/fs/cgroup".into()));
    assert_eq!(layout("1 2 3"), Layout::None);
}

fn spec() -> ContainerSpec {
    serde_json::from_value(serde_json::json!({
        "name": "c", "executor": "process", "command": null, "image": null, "user": null, "cpus": 0.5, "cpus_limit": 1.5,
        "mem_limit": 64, "disk": 0, "gpus": 0, "env": {}, "fetch": [], "volumes": [], "network": "host",
        "network_name": null, "ports": [], "health_checks": [], "readiness_checks": [], "labels": {}, "tty": false,
    }))
    .unwrap()
}

fn content(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A directory that looks like the kernel's: what is written to which file, in the right place.
#[test]
fn version_2_files() {
    let root = tempfile::tempdir().unwrap();
    let group = root.path().join("orrery/n");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("memory.swap.max"), "max").unwrap();
    fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n").unwrap();
    let (cgroups, complaint) = Cgroups::set_up_in(Layout::V2(root.path().into()), "n");
    assert_eq!(complaint, None);
    for directory in ["", "orrery", "orrery/n"] {
        assert_eq!(content(&root.path().join(directory), "cgroup.subtree_control"), "+cpu +memory +pids");
    }
    assert_eq!(content(root.path(), "orrery/pids.max"), cgroups.pids.all.to_string());
    for setup in cgroups.setups("c", &spec()) {
        setup.enter().unwrap();
    }
    let task = group.join("c");
    // 512 shares of 2 to 262144 on the scale of 1 to 10000, as the kernel converts.
    for (name, wanted) in [
        ("cpu.weight", "20"),
        ("cpu.max", "150000 100000"),
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("pids.max", &cgroups.pids.task.to_string()),
        ("cgroup.procs", "0"),
    ] {
        assert_eq!(content(&task, name), wanted, "{name}");
    }
    assert!(!cgroups.out_of_memory("c"));
    fs::write(task.join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
    assert!(cgroups.out_of_memory("c"));
    fs::write(task.join("memory.current"), "4096\n").unwrap();
    fs::write(task.join("cpu.stat"), "usage_usec 3\nuser_usec 2000000\nnr_throttled 7\n").unwrap();
    let usage = cgroups.usage("c");
    assert_eq!((usage.memory_bytes, usage.cpu_user_seconds, usage.throttled), (4096, 2.0, 7));
    // Whatever is left in the group is killed as one.
    fs::write(task.join("cgroup.kill"), "").unwrap();
    assert!(!cgroups.remove("c"));
    assert_eq!(content(&task, "cgroup.kill"), "1");
}

/// The kernel itself: whatever it offers in version 2 holds for a process that enters, and the group ends with it.
#[test]
fn version_2_of_this_kernel() {
    let root = tempfile::tempdir().unwrap();
    let at = |flags| nix::mount::mount(Some("cgroup2"), root.path(), Some("cgroup2"), flags, None::<&str>);
    if let Err(error) = at(nix::mount::MsFlags::empty()) {
        eprintln!("SKIPPED: this test mounts a cgroup file system, which needs root: {error}");
        return;
    }
    let node = format!("test-{}", std::process::id());
    let (cgroups, complaint) = Cgroups::set_up_in(Layout::V2(root.path().into()), &node);
    assert!(cgroups.are_used(), "{complaint:?}");
    let offered = content(root.path(), "cgroup.controllers");
    let has = |controller: &str| offered.split_whitespace().any(|offered| offered == controller);
    eprintln!("version 2 offers: {offered}");
    let missing: Vec<&str> = CONTROLLERS_2.into_iter().filter(|controller| !has(controller)).collect();
    assert_eq!(complaint.is_none(), missing.is_empty());
    assert!(missing.iter().all(|controller| complaint.as_ref().unwrap().contains(controller)));

    let setups = cgroups.setups("c", &spec());
    let [setup] = setups.as_slice() else { panic!("one group: {setups:?}") };
    setup.create().unwrap();
    for (controller, file) in [("cpu", "cpu.max"), ("memory", "memory.max"), ("pids", "pids.max")] {
        assert_eq!(setup.files.iter().any(|(name, _)| name == file), has(controller), "{file}");
    }
    for (name, written) in &setup.files {
        assert_eq!(content(&setup.directory, name).trim(), written, "{name}");
    }
    // A shell that enters by itself, and forks.
    let group = &setup.directory;
    let script = format!("echo 0 >{}; sleep 1000 & echo in; wait", group.join("cgroup.procs").display());
    let mut shell =
        std::process::Command::new("/bin/sh").args(["-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = [0; 3];
    std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
    let usage = cgroups.usage("c");
    assert_eq!((usage.processes, processes(group).len()), (2, 2));
    assert!(usage.cpu_user_seconds + usage.cpu_system_seconds > 0.0, "{usage:?}");
    assert!(!cgroups.out_of_memory("c"));

    // What outlived its init is killed as one; then the group can go.
    assert!(!cgroups.remove("c"), "busy");
    let status = shell.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !cgroups.remove("c") {
        assert!(std::time::Instant::now() < deadline, "{:?}", processes(group));
        std::thread::yield_now();
    }
    assert!(!group.exists());
    cgroups.remove_node();
    nix::mount::umount(root.path()).unwrap();
}

#[test]
fn version_1_files() {
    let root = tempfile::tempdir().unwrap();
    let points = CONTROLLERS.map(|controller| (controller, root.path().join(controller)));
    for (_, point) in &points {
        fs::create_dir_all(point.join("orrery/n")).unwrap();
    }
    fs::write(root.path().join("memory/orrery/n/memory.memsw.limit_in_bytes"), "").unwrap();
    let (cgroups, complaint) = Cgroups::set_up_in(Layout::V1(points.into()), "n");
    assert_eq!(complaint, None);
    for setup in cgroups.setups("c", &spec()) {
        setup.enter().unwrap();
    }
    for (name, wanted) in [
        ("cpu/orrery/n/c/cpu.shares", "512"),
        ("cpu/orrery/n/c/cpu.cfs_quota_us", "150000"),
        ("memory/orrery/n/c/memory.limit_in_bytes", "67108864"),
        ("memory/orrery/n/c/memory.memsw.limit_in_bytes", "67108864"),
        ("pids/orrery/n/c/pids.max", &cgroups.pids.task.to_string()),
        ("cpuacct/orrery/n/c/cgroup.procs", "0"),
    ] {
        assert_eq!(content(root.path(), name), wanted, "{name}");
    }
}

#[test]
fn process_limits_leave_room_for_the_node() {
    assert_eq!(PidLimits::of(32_768), PidLimits { task: 4_096, all: 28_672 });
    assert_eq!(PidLimits::of(4_194_304), PidLimits { task: PIDS_MAX, all: 3_670_016 });
    assert_eq!(PidLimits::of(1), PidLimits { task: 1, all: 0 });
}

#[test]
fn reads_keyed_files() {
    let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    assert_eq!(keyed(text, "oom_kill"), 3);
    assert_eq!(keyed(text, "absent"), 0);
}
