//! System calls that tasks may not make: a classic BPF deny list.

use nix::errno::Errno;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
const ERRNO: u32 = 0x0005_0000; // SECCOMP_RET_ERRNO

/// Offsets in `struct seccomp_data`, little endian.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENT_0: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64

/// First number of the x32 calls, which would go around the list.
const X32_BIT: u32 = 0x4000_0000;

/// Calls that change the machine rather than the task, answered with EPERM. Most need privileges
/// that tasks lack anyway; the list holds where a privilege slipped in.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Calls that hide their flags behind a pointer; ENOSYS makes every libc fall back to the ones below.
const HIDING: &[libc::c_long] = &[libc::SYS_clone3, libc::SYS_openat2, SYS_FCHMODAT2];
/// Linux 6.6, the same number everywhere.
const SYS_FCHMODAT2: libc::c_long = 452;

const SETUID: u32 = libc::S_ISUID;
/// Calls refused when each of the arguments named has any of its bits: number, then which argument and
/// which bits. User namespaces give back what was dropped. A program with the set-user-id bit on
/// files that the task shares with the node would make root of whoever runs it there (systemd:
/// RestrictSUIDSGID).
const BITS_DENIED: &[(libc::c_long, &[(u32, u32)])] = &[
    (libc::SYS_clone, &[(0, libc::CLONE_NEWUSER as u32)]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, &[(1, SETUID)]),
    (libc::SYS_fchmod, &[(1, SETUID)]),
    (libc::SYS_fchmodat, &[(2, SETUID)]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, &[(1, SETUID)]),
    (libc::SYS_mknodat, &[(2, SETUID)]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, &[(1, SETUID)]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, &[(1, CREATING), (2, SETUID)]),
    (libc::SYS_openat, &[(2, CREATING), (3, SETUID)]),
];
/// Without one of these the mode of an open is not looked at and may be anything.
const CREATING: u32 = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;

const fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const ALLOWED: libc::sock_filter = statement(RETURN, ALLOW);
const EPERM: libc::sock_filter = statement(RETURN, ERRNO | libc::EPERM as u32);
const ENOSYS: libc::sock_filter = statement(RETURN, ERRNO | libc::ENOSYS as u32);

/// What is to be done about one call.
enum Rule {
    Denied,
    Hiding,
    /// Of [`BITS_DENIED`].
    Bits(&'static [(u32, u32)]),
    /// The first argument may not be this.
    Not(u32),
}

impl Rule {
    /// Statements that end with an answer.
    fn statements(&self) -> Vec<libc::sock_filter> {
        match self {
            Self::Denied => vec![EPERM],
            Self::Hiding => vec![ENOSYS],
            Self::Bits(all) => {
                // Two statements for each argument, then the answer.
                let rest = |index: usize| 2 * (all.len() - index) as u8 - 1;
                let tests = all.iter().enumerate().flat_map(|(index, (argument, bits))| {
                    [statement(LOAD_WORD, OFFSET_ARGUMENT_0 + 8 * argument), jump(JUMP_ANY_BIT, *bits, 0, rest(index))]
                });
                tests.chain([EPERM, ALLOWED]).collect()
            }
            Self::Not(value) => {
                vec![statement(LOAD_WORD, OFFSET_ARGUMENT_0), jump(JUMP_EQUAL, *value, 0, 1), EPERM, ALLOWED]
            }
        }
    }
}

/// Finds the rule of a call by halving: the kernel tries all calls when the filter is put in place, and
/// tasks pay for each step.
fn search(rules: &[(u32, Rule)]) -> Vec<libc::sock_filter> {
    if let [] | [_] = rules {
        let found = rules.iter().flat_map(|(number, rule)| {
            let answer = rule.statements();
            std::iter::once(jump(JUMP_EQUAL, *number, 0, answer.len() as u8)).chain(answer)
        });
        return found.chain([ALLOWED]).collect();
    }
    let (low, high) = rules.split_at(rules.len() / 2);
    let below = search(low);
    // Fits a byte as long as the whole has fewer than 500 statements.
    let mut found = vec![jump(JUMP_GREATER_EQUAL, high[0].0, below.len() as u8, 0)];
    found.extend(below);
    found.extend(search(high));
    found
}

fn program() -> Vec<libc::sock_filter> {
    let denied = DENIED.iter().map(|number| (*number as u32, Rule::Denied));
    let hiding = HIDING.iter().map(|number| (*number as u32, Rule::Hiding));
    let bits = BITS_DENIED.iter().map(|(number, all)| (*number as u32, Rule::Bits(all)));
    let mut rules: Vec<(u32, Rule)> = denied.chain(hiding).chain(bits).collect();
    rules.push((libc::SYS_socket as u32, Rule::Not(libc::AF_VSOCK as u32)));
    rules.sort_by_key(|(number, _)| *number);
    let mut program = vec![
        statement(LOAD_WORD, OFFSET_ARCHITECTURE),
        jump(JUMP_EQUAL, NATIVE, 1, 0),
        ENOSYS,
        statement(LOAD_WORD, OFFSET_NUMBER),
        jump(JUMP_GREATER_EQUAL, X32_BIT, 0, 1),
        ENOSYS,
    ];
    program.extend(search(&rules));
    program
}

/// The program, made ready for the kernel.
pub(super) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    pub(super) fn new() -> Self {
        Self(program())
    }

    /// Puts the filter on the calling thread and all its children, for good. Needs `no_new_privs`.
    pub(super) fn confine(&self) -> Result<(), Errno> {
        let header = libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: `header` points to a live program of `len` instructions, which the kernel copies and does not change.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const header) };
        Errno::result(result).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small interpreter, so that the table is tested without confining the test process.
    fn run_with(number: u32, architecture: u32, arguments: [u32; 6]) -> u32 {
        let (program, mut at, mut accumulator) = (program(), 0usize, 0u32);
        loop {
            let step = program[at];
            at += 1;
            let holds = match step.code {
                LOAD_WORD => {
                    accumulator = match step.k {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        offset => arguments[(offset - OFFSET_ARGUMENT_0) as usize / 8],
                    };
                    continue;
                }
                RETURN => return step.k,
                JUMP_EQUAL => accumulator == step.k,
                JUMP_GREATER_EQUAL => accumulator >= step.k,
                _ => accumulator & step.k != 0,
            };
            at += usize::from(if holds { step.jt } else { step.jf });
        }
    }

    fn run(number: u32, architecture: u32, argument: u32) -> u32 {
        run_with(number, architecture, [argument, 0, 0, 0, 0, 0])
    }

    #[test]
    fn denies_the_list_and_nothing_else() {
        assert!(program().len() < 500);
        let listed = |number: u32| {
            let bits = BITS_DENIED.iter().map(|(number, _)| number);
            DENIED.iter().chain(HIDING).chain(bits).any(|listed| *listed as u32 == number)
        };
        for number in (0..1000).filter(|number| !listed(*number)) {
            assert_eq!(run(number, NATIVE, 0), ALLOW, "{number}");
        }
        for number in DENIED {
            assert_eq!(run(*number as u32, NATIVE, 0), ERRNO | libc::EPERM as u32, "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_chroot] {
            assert_eq!(run(number as u32, NATIVE, 0), ALLOW, "{number}");
        }
        assert_eq!(run(libc::SYS_clone as u32, NATIVE, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(run(libc::SYS_clone as u32, NATIVE, libc::CLONE_NEWUSER as u32), ERRNO | libc::EPERM as u32);
        for (number, all) in BITS_DENIED {
            let mut arguments = [0; 6];
            for (argument, bits) in *all {
                assert_eq!(run_with(*number as u32, NATIVE, arguments), ALLOW, "{number} {arguments:?}");
                // Any of the bits is enough.
                arguments[*argument as usize] = 1 << bits.trailing_zeros();
            }
            assert_eq!(run_with(*number as u32, NATIVE, arguments), ERRNO | libc::EPERM as u32, "{number}");
        }
        let reading = [0, 0, libc::O_RDONLY as u32, 0o4755, 0, 0];
        assert_eq!(run_with(libc::SYS_openat as u32, NATIVE, reading), ALLOW);
        assert_eq!(run(libc::SYS_socket as u32, NATIVE, libc::AF_VSOCK as u32), ERRNO | libc::EPERM as u32);
        assert_eq!(run(libc::SYS_socket as u32, NATIVE, libc::AF_INET as u32), ALLOW);
        for number in HIDING {
            assert_eq!(run(*number as u32, NATIVE, 0), ERRNO | libc::ENOSYS as u32, "{number}");
        }
        assert_eq!(run(libc::SYS_read as u32, 3, 0), ERRNO | libc::ENOSYS as u32);
        assert_eq!(run(X32_BIT | libc::SYS_mount as u32, NATIVE, 0), ERRNO | libc::ENOSYS as u32);
    }
}
