//! What a task cannot do to the node, to other tasks and to the agent, tried from inside a task.
#![expect(unsafe_code, reason = "the probes make system calls that have no safe form")]

mod common;

use common::{Cluster, assignment, config, file, is_root, log, spec};
use nix::errno::Errno;
use orrery_core::Scalar;
use orrery_core::assignment::CommandSpec;
use orrery_core::instance::Condition;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Tells the probes that they run in a task, and where the things are that they must not reach.
const TARGETS: &str = "ORRERY_PROBE_TARGETS";

fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<(), Errno> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: every probe passes numbers, null or pointers to live C strings, and is expected to fail.
    Errno::result(unsafe { libc::syscall(number, first, second, third, fourth, fifth) }).map(drop)
}

fn text(text: &'static std::ffi::CStr) -> usize {
    text.as_ptr() as usize
}

/// System calls that must fail, in the safest form that would show a success.
fn calls() -> Vec<(&'static str, libc::c_long, [usize; 5])> {
    let root = text(c"/");
    let zero = [0usize; 5];
    let user = libc::CLONE_NEWUSER as usize;
    vec![
        ("mount", libc::SYS_mount, [text(c"none"), text(c"/tmp"), text(c"tmpfs"), 0, 0]),
        ("remount writable", libc::SYS_mount, [0, text(c"/sys"), 0, (libc::MS_REMOUNT | libc::MS_BIND) as usize, 0]),
        ("umount /proc", libc::SYS_umount2, [text(c"/proc"), libc::MNT_DETACH as usize, 0, 0, 0]),
        ("umount /dev", libc::SYS_umount2, [text(c"/dev"), libc::MNT_DETACH as usize, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [libc::AT_FDCWD as usize, root, 1, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [root, root, 0, 0, 0]),
        ("unshare mounts", libc::SYS_unshare, [libc::CLONE_NEWNS as usize, 0, 0, 0, 0]),
        ("unshare user", libc::SYS_unshare, [user, 0, 0, 0, 0]),
        ("clone user", libc::SYS_clone, [user | libc::SIGCHLD as usize, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, zero),
        ("setns", libc::SYS_setns, zero),
        ("ptrace init", libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 1, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, zero),
        ("init_module", libc::SYS_init_module, zero),
        ("finit_module", libc::SYS_finit_module, zero),
        ("delete_module", libc::SYS_delete_module, [text(c"no_such_module"), 0, 0, 0, 0]),
        ("kexec_load", libc::SYS_kexec_load, zero),
        // Only switches what Ctrl-Alt-Del does.
        ("reboot", libc::SYS_reboot, [0xfee1_dead, 0x2812_1969, 0, 0, 0]),
        ("sethostname", libc::SYS_sethostname, [text(c"x"), 1, 0, 0, 0]),
        ("swapon", libc::SYS_swapon, [text(c"/none"), 0, 0, 0, 0]),
        ("acct", libc::SYS_acct, zero),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("settimeofday", libc::SYS_settimeofday, zero),
        ("bpf", libc::SYS_bpf, zero),
        ("perf_event_open", libc::SYS_perf_event_open, zero),
        ("userfaultfd", libc::SYS_userfaultfd, zero),
        ("io_uring_setup", libc::SYS_io_uring_setup, zero),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, zero),
        ("fanotify_init", libc::SYS_fanotify_init, zero),
        ("add_key", libc::SYS_add_key, [text(c"user"), text(c"x"), text(c"y"), 1, -2isize as usize]),
        ("keyctl", libc::SYS_keyctl, [0, -3isize as usize, 0, 0, 0]),
        ("raw socket", libc::SYS_socket, [libc::AF_INET as usize, libc::SOCK_RAW as usize, libc::IPPROTO_ICMP as usize, 0, 0]),
        ("packet socket", libc::SYS_socket, [libc::AF_PACKET as usize, libc::SOCK_RAW as usize, 0x300, 0, 0]),
        ("vsock", libc::SYS_socket, [libc::AF_VSOCK as usize, libc::SOCK_STREAM as usize, 0, 0, 0]),
        ("mknod", libc::SYS_mknodat, [libc::AT_FDCWD as usize, text(c"disk"), (libc::S_IFBLK | 0o600) as usize, 0x100, 0]),
        (
            "mknod in /dev",
            libc::SYS_mknodat,
            [libc::AT_FDCWD as usize, text(c"/dev/disk"), (libc::S_IFBLK | 0o600) as usize, 0x100, 0],
        ),
        ("nice", libc::SYS_setpriority, [0, 0, -5isize as usize, 0, 0]),
        ("set-user-id", libc::SYS_fchmodat, [libc::AT_FDCWD as usize, text(c"."), 0o4755, 0, 0]),
    ]
}

/// Files whose opening for writing would be a way out.
const CONTROLS: [&str; 8] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/proc/1/mem",
    "/sys/kernel/uevent_helper",
    "/etc/orrery-probe",
    "/usr/bin/orrery-probe",
];

/// Paths that must not lead anywhere.
const ABSENT: [&str; 8] =
    ["/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg", "/dev/kvm", "/proc/1/root/proc", "/proc/1/cwd/", "/proc/kcore/x"];

fn mount_points(kinds: &[&str]) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let parse = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.to_owned();
        kinds.contains(&fields.next()?).then(|| point.into())
    };
    mounts.lines().filter_map(parse).collect()
}

/// Runs in a task; prints one line for each thing that was possible.
#[test]
#[ignore = "runs inside a task, started by the tests below"]
fn probes() {
    let targets = std::env::var(TARGETS).expect("only inside a task: some probes would change the node");
    let targets: serde_json::Value = serde_json::from_str(&targets).unwrap();
    let path = |name: &str| PathBuf::from(targets[name].as_str().unwrap());
    let mut possible = Vec::new();
    let mut tried = 0;
    let mut expect_failure = |name: &str, worked: bool| {
        tried += 1;
        if worked {
            possible.push(name.to_owned());
        }
    };
    for (name, number, arguments) in calls() {
        match call(number, arguments) {
            Ok(()) => expect_failure(name, true),
            // The kernel looked at the arguments: nothing had forbidden the call itself.
            Err(Errno::EFAULT | Errno::EINVAL | Errno::EBADF) => expect_failure(&format!("{name}, with better arguments"), true),
            Err(_) => expect_failure(name, false),
        }
    }
    for control in CONTROLS {
        expect_failure(
            control,
            fs::OpenOptions::new().write(true).create(control.ends_with("probe")).truncate(false).open(control).is_ok(),
        );
    }
    for absent in ABSENT {
        expect_failure(absent, fs::metadata(absent).is_ok());
    }
    // The numbers may be listed, but lead nowhere.
    let leads = |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| fs::read_link(entry.path()).is_ok());
    expect_failure("files of /proc/1", fs::read_dir("/proc/1/fd").is_ok_and(|mut entries| entries.any(leads)));
    expect_failure("program of /proc/1", fs::read_link("/proc/1/exe").is_ok());
    expect_failure("/etc/shadow", fs::read("/etc/shadow").is_ok_and(|bytes| !bytes.is_empty()));
    // Control groups, wherever they are mounted.
    for point in mount_points(&["cgroup", "cgroup2"]) {
        let name = |what: &str| format!("{what} in {}", point.display());
        expect_failure(&name("mkdir"), fs::create_dir(point.join("orrery-probe")).is_ok());
        for control in ["cgroup.procs", "release_agent", "notify_on_release"] {
            expect_failure(&name(control), fs::OpenOptions::new().write(true).open(point.join(control)).is_ok());
        }
    }
    // The agent, its records and credentials, other tasks.
    let agent = path("agent");
    for inside in ["tasks", "spawner/spawner.sock", "node-id", "epoch", "lock"] {
        expect_failure(&format!("the agent's {inside}"), agent.join(inside).exists());
    }
    expect_failure("create a file in the agent's directory", fs::write(agent.join("tasks.new"), "").is_ok());
    expect_failure("another sandbox", path("other").exists());
    expect_failure("other hidden files", path("secret").exists() || fs::read(path("secret")).is_ok());
    expect_failure("a hidden socket", UnixStream::connect(path("socket")).is_ok());
    // Of the node's processes neither number nor trace.
    let outside = i32::try_from(targets["pid"].as_i64().unwrap()).unwrap();
    expect_failure("see a process of the node", Path::new("/proc").join(outside.to_string()).exists());
    expect_failure("signal a process of the node", call(libc::SYS_kill, [outside as usize, 0, 0, 0, 0]).is_ok());
    // A device that somebody left on the node's disk.
    expect_failure("open a device node", fs::File::open(path("device")).is_ok());
    // The classic way out of a changed root.
    let _ = fs::create_dir("jail");
    let here = fs::File::open(".").unwrap();
    if call(libc::SYS_chroot, [text(c"jail"), 0, 0, 0, 0]).is_ok() {
        nix::unistd::fchdir(&here).unwrap();
        for _ in 0..64 {
            std::env::set_current_dir("..").unwrap();
        }
        let relative = agent.strip_prefix("/").unwrap();
        expect_failure("out of a changed root", relative.join("tasks").exists());
        expect_failure("processes out of a changed root", Path::new("proc").join(outside.to_string()).exists());
    }
    println!("tried {tried}");
    for name in possible {
        println!("possible: {name}");
    }
}

/// Everything the probes try to reach, on the node.
struct Targets {
    directory: tempfile::TempDir,
    _listener: UnixListener,
}

impl Targets {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path();
        fs::create_dir(path.join("controller")).unwrap();
        fs::write(path.join("controller/secret"), "x").unwrap();
        let listener = UnixListener::bind(path.join("engine.sock")).unwrap();
        fs::set_permissions(path.join("engine.sock"), fs::Permissions::from_mode(0o666)).unwrap();
        // The memory device: opening it needs no more than the node.
        let device = nix::sys::stat::makedev(1, 5);
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        nix::sys::stat::mknod(&path.join("device"), nix::sys::stat::SFlag::S_IFCHR, mode, device).unwrap();
        fs::set_permissions(path.join("device"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(fs::metadata(path.join("device")).unwrap().file_type().is_char_device());
        assert!(fs::File::open(path.join("device")).is_ok(), "the node itself may open it");
        Self { directory, _listener: listener }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out_of_a_task() {
    if !is_root() {
        eprintln!("SKIPPED nothing_leads_out_of_a_task: namespaces need root");
        return;
    }
    let (targets, data) = (Targets::new(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut config = config(data.path());
    let place = |name: &str| targets.directory.path().join(name);
    config.hidden = vec![place("controller"), place("engine.sock")];
    let mut cluster = Cluster::with(config).await;
    let neighbour = cluster.run(&assignment(spec("echo secret > mine; echo up > up; sleep 1234"))).await;
    let other = cluster.running(&neighbour).await.sandbox.unwrap();
    file(&Path::new(&other).join("up")).await;
    let described = serde_json::json!({
        "agent": data.path(), "other": Path::new(&other).join("mine"), "secret": place("controller/secret"),
        "socket": place("engine.sock"), "device": place("device"), "pid": std::process::id(),
    });
    // Where every user may read it.
    let program = targets.directory.path().join("probe");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for user in [None, Some("nobody")] {
        let mut container = spec("");
        let arguments = [program.to_str().unwrap(), "--ignored", "--exact", "probes", "--nocapture", "--test-threads=1"];
        container.command = Some(CommandSpec::Arguments(arguments.map(String::from).into()));
        container.user = user.map(String::from);
        container.mem_limit = Some(Scalar::from_units(512));
        container.env.insert(TARGETS.into(), described.to_string());
        let task = cluster.run(&assignment(container)).await;
        let report = cluster.ended(&task).await;
        let out = log(&report, "stdout");
        assert_eq!(report.condition, Condition::Finished, "{out} {} {report:#?}", log(&report, "stderr"));
        assert!(out.contains("tried "), "{out}");
        let possible: Vec<&str> = out.lines().filter(|line| line.starts_with("possible")).collect();
        assert_eq!(possible, [""; 0], "as {user:?}");
    }
    // What is hidden is not spoilt for its owner, and the neighbour is alive.
    assert_eq!(fs::read_to_string(place("controller/secret")).unwrap(), "x");
    assert!(UnixStream::connect(place("engine.sock")).is_ok());
    assert_eq!(cluster.reports[&neighbour].condition, Condition::Running);
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_in_its_task() {
    if !is_root() {
        eprintln!("SKIPPED a_fork_bomb_stays_in_its_task: control groups need root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(directory.path()).await;
    // Forks until the kernel refuses, and keeps what it has got: a shell that cannot fork ends, its
    // children and the outer shell stay.
    let bomb = "mkfifo never; (while :; do read x < never & done) 2>refused; echo full > full; read x < never";
    let mut bomb = assignment(spec(bomb));
    bomb.containers[0].mem_limit = Some(Scalar::from_units(4096));
    let task = cluster.run(&bomb).await;
    let report = cluster.running(&task).await;
    file(&Path::new(report.sandbox.as_ref().unwrap()).join("full")).await;
    assert_ne!(fs::read_to_string(Path::new(report.sandbox.as_ref().unwrap()).join("refused")).unwrap(), "");
    // Others start and end meanwhile, and the bomb can be stopped.
    let other = cluster.run(&assignment(spec("true | true; echo fine"))).await;
    let ended = cluster.ended(&other).await;
    assert_eq!((ended.condition, log(&ended, "stdout").as_str()), (Condition::Finished, "fine\n"));
    cluster.stop(&task).await;
    assert!(cluster.ended(&task).await.condition.is_terminal());
    cluster.finish().await;
}
