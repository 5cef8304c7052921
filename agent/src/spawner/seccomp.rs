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
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
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

const fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn program() -> Vec<libc::sock_filter> {
    let eperm = statement(RETURN, ERRNO | libc::EPERM as u32);
    let enosys = statement(RETURN, ERRNO | libc::ENOSYS as u32);
    let mut program = vec![
        statement(LOAD_WORD, OFFSET_ARCHITECTURE),
        jump(JUMP_EQUAL, NATIVE, 1, 0),
        enosys,
        statement(LOAD_WORD, OFFSET_NUMBER),
        jump(JUMP_GREATER_EQUAL, X32_BIT, 0, 1),
        enosys,
        // clone3 hides its flags behind a pointer; ENOSYS makes every libc fall back to clone.
        jump(JUMP_EQUAL, libc::SYS_clone3 as u32, 0, 1),
        enosys,
    ];
    for number in DENIED {
        program.push(jump(JUMP_EQUAL, *number as u32, 0, 1));
        program.push(eperm);
    }
    program.extend([
        jump(JUMP_EQUAL, libc::SYS_clone as u32, 0, 3),
        statement(LOAD_WORD, OFFSET_ARGUMENT_0),
        jump(JUMP_ANY_BIT, libc::CLONE_NEWUSER as u32, 0, 1),
        eperm,
        statement(RETURN, ALLOW),
    ]);
    program
}

/// Puts the filter on the calling thread and all its children, for good. Needs `no_new_privs`.
pub(super) fn confine() -> Result<(), Errno> {
    let mut filter = program();
    let header = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `header` points to a live program of `len` instructions, which the kernel copies.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const header) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small interpreter, so that the table is tested without confining the test process.
    fn run(number: u32, architecture: u32, argument: u32) -> u32 {
        let (program, mut at, mut accumulator) = (program(), 0usize, 0u32);
        loop {
            let step = program[at];
            at += 1;
            let holds = match step.code {
                LOAD_WORD => {
                    accumulator = match step.k {
                        OFFSET_NUMBER => number,
                        OFFSET_ARCHITECTURE => architecture,
                        _ => argument,
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

    #[test]
    fn denies_the_list_and_nothing_else() {
        for number in DENIED {
            assert_eq!(run(*number as u32, NATIVE, 0), ERRNO | libc::EPERM as u32, "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_chroot] {
            assert_eq!(run(number as u32, NATIVE, 0), ALLOW, "{number}");
        }
        assert_eq!(run(libc::SYS_clone as u32, NATIVE, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(run(libc::SYS_clone as u32, NATIVE, libc::CLONE_NEWUSER as u32), ERRNO | libc::EPERM as u32);
        assert_eq!(run(libc::SYS_clone3 as u32, NATIVE, 0), ERRNO | libc::ENOSYS as u32);
        assert_eq!(run(libc::SYS_read as u32, 3, 0), ERRNO | libc::ENOSYS as u32);
        assert_eq!(run(X32_BIT | libc::SYS_mount as u32, NATIVE, 0), ERRNO | libc::ENOSYS as u32);
    }
}
