//! What serves needs no rights but to its own files: so it gives up all others before it reads the first byte.
//!
//! The supervisor binds; worker and agent drop their capabilities (capabilities(7)), can gain none (`PR_SET_NO_NEW_PRIVS`), and are refused
//! system calls that an edge never makes and an intruder would (seccomp(2)). Run as a user of its own, as the packages do, there is
//! nothing left to drop; run as root there is, and what root may write without any capability is given up beside it ([`writing`]).

pub mod writing;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::say::complain;

/// Reading files whoever owns them: a key of another user's, named in a document.
const CAP_DAC_READ_SEARCH: u32 = 2;
/// Writing them, which connecting to a socket is: an origin's that is another user's.
const CAP_DAC_OVERRIDE: u32 = 1;
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// System calls that are refused with EPERM: looking into other processes, loading code into the kernel, changing what is
/// mounted, clocks, accounts, namespaces.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Flags of clone(2) by which a process would get namespaces of its own, and with them capabilities again.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

#[repr(C)]
struct Head {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Who gives up what it does not need.
#[derive(Clone, Copy, Debug)]
pub enum Who<'p> {
    /// It connects to sockets and writes a log that may be other users'. What it may write of files, [`writing`] bounds.
    Worker,
    /// It writes nothing but its data folder.
    Agent(&'p Path),
}

/// For a process that only computes: no capability, and none of the system calls that nothing of ours needs.
pub fn confine() {
    let _ = capabilities(0).and_then(|()| refuse_system_calls());
}

/// Gives up what is not needed. That it could not is said, and no reason not to serve.
pub fn give_up(who: Who<'_>) {
    if let Err(error) = capabilities(kept(who)) {
        complain(format_args!("capabilities cannot be dropped: {error}"));
    }
    if let Err(error) = refuse_system_calls() {
        complain(format_args!(
            "system calls cannot be refused by seccomp: {error}"
        ));
    }
}

/// Capabilities that a process of root keeps: to files that a document names.
fn kept(who: Who<'_>) -> u32 {
    // SAFETY: it only tells.
    let own = unsafe { libc::geteuid() };
    if own != 0 {
        return 0;
    }
    let writes = match who {
        Who::Worker => true,
        Who::Agent(data) => std::fs::metadata(data).is_ok_and(|folder| folder.uid() != own),
    };
    1 << CAP_DAC_READ_SEARCH | u32::from(writes) << CAP_DAC_OVERRIDE
}

fn capabilities(kept: u32) -> std::io::Result<()> {
    // Nothing that we start gets any either. The bound may be lowered only by who has a right to it: without it there is
    // nothing to lower.
    for capability in 0..64 {
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    let mut head = Head {
        version: VERSION,
        pid: 0,
    };
    let mut before = [Sets::default(); 2];
    // SAFETY: both are laid out as the call wants them (capget(2)) and outlive it.
    let told = unsafe { libc::syscall(libc::SYS_capget, &raw mut head, before.as_mut_ptr()) };
    checked(told)?;
    // Who asks for more than it has, as root in a container, would get nothing done.
    let [permitted, _] = before.map(|sets| sets.permitted);
    let kept = kept & permitted;
    let ours = [
        Sets {
            effective: kept,
            permitted: kept,
            inheritable: 0,
        },
        Sets::default(),
    ];
    // SAFETY: both are laid out as the call wants them (capset(2)) and outlive it.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const head, ours.as_ptr()) };
    checked(done)
}

fn refuse_system_calls() -> std::io::Result<()> {
    if own_architecture() == 0 {
        return Ok(());
    }
    // SAFETY: numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    let filter = filter();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program and what it points to outlive the call, which only reads them.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
            0,
            0,
        )
    };
    checked(done.into())
}

/// The filter: for other architectures' calls and for those above EPERM, for the rest leave. One comparison for each. What becomes of
/// clone depends on its flags, which are behind a pointer in clone3: who is told that there is no clone3 calls clone.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    /// Set in the numbers of calls of x32, which has the architecture of x86-64.
    const X32: u32 = 0x4000_0000;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// Where the number, the architecture and the lower half of the first argument are in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST: u32 = if cfg!(target_endian = "little") {
        16
    } else {
        20
    };
    /// Steps from the comparison after the refused ones to that which refuses.
    const TO_REFUSAL: usize = 5;
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let count = REFUSED.len();
    let mut filter = vec![
        step(LOAD, 0, 0, ARCHITECTURE),
        // A call of another architecture has other numbers: it is refused as a whole.
        step(
            EQUAL,
            0,
            u8::try_from(count + 2 + TO_REFUSAL).unwrap_or(u8::MAX),
            own_architecture(),
        ),
        step(LOAD, 0, 0, NUMBER),
        // The same calls once more, with 32-bit pointers: nobody here makes them.
        step(
            ANY_BIT,
            u8::try_from(count + TO_REFUSAL).unwrap_or(u8::MAX),
            0,
            X32,
        ),
    ];
    for (nth, call) in REFUSED.iter().enumerate() {
        let to_refusal = u8::try_from(count - nth - 1 + TO_REFUSAL).unwrap_or(u8::MAX);
        filter.push(step(EQUAL, to_refusal, 0, *call as u32));
    }
    filter.extend([
        step(EQUAL, 5, 0, libc::SYS_clone3 as u32),
        step(EQUAL, 0, 2, libc::SYS_clone as u32),
        step(LOAD, 0, 0, FIRST),
        step(ANY_BIT, 1, 0, NAMESPACES as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, refuse),
        step(RETURN, 0, 0, unknown),
    ]);
    filter
}

/// `AUDIT_ARCH_…` of linux/audit.h; 0 for those that we do not know, where nothing is filtered.
const fn own_architecture() -> u32 {
    if cfg!(target_arch = "x86_64") {
        0xc000_003e
    } else if cfg!(target_arch = "aarch64") {
        0xc000_00b7
    } else {
        0
    }
}

fn checked(result: libc::c_long) -> std::io::Result<()> {
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a call failed, if it did.
    fn told(result: libc::c_long) -> Option<i32> {
        let failed = result < 0;
        failed.then(|| std::io::Error::last_os_error().raw_os_error().unwrap())
    }

    /// Makes a process that ends at once, with these flags; why there is none.
    fn cloned(flags: i32) -> Option<i32> {
        let flags = libc::c_long::from(flags | libc::SIGCHLD);
        // SAFETY: as fork(2) calls it: the child has a copy of all, and does nothing but end.
        let child =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
        if child == 0 {
            // SAFETY: it ends the child, and runs nothing of ours.
            unsafe { libc::_exit(0) };
        }
        let why = told(child);
        if why.is_none() {
            // SAFETY: a child of ours; nobody asks how it ended.
            unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) };
        }
        why
    }

    #[test]
    fn a_worker_of_root_may_write_what_is_others_and_an_agent_where_its_folder_is() {
        // SAFETY: it only tells.
        let is_root = unsafe { libc::geteuid() } == 0;
        let of_root = u32::from(is_root);
        let reads = of_root << CAP_DAC_READ_SEARCH;
        assert_eq!(kept(Who::Worker), reads | of_root << CAP_DAC_OVERRIDE);
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        assert_eq!(kept(Who::Agent(folder)), reads);
        // Root in a container may not be allowed to give anything away.
        if is_root && std::os::unix::fs::chown(folder, Some(65534), None).is_ok() {
            assert_eq!(
                kept(Who::Agent(folder)),
                reads | of_root << CAP_DAC_OVERRIDE
            );
        }
    }

    #[test]
    fn who_gave_up_is_refused_what_an_edge_never_does_and_still_has_files() {
        let folder = tempfile::tempdir().unwrap();
        // It concerns one thread and those it starts; the other tests keep what they have.
        let given_up = folder.path().to_owned();
        std::thread::spawn(move || {
            give_up(Who::Agent(&given_up));
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            assert_eq!(
                (line("Seccomp:"), line("NoNewPrivs:")),
                ("2".into(), "1".into())
            );
            for name in ["CapEff:", "CapPrm:"] {
                let left = u64::from_str_radix(&line(name), 16).unwrap();
                assert_eq!(left & !(1 << CAP_DAC_READ_SEARCH), 0, "{name} {left:x}");
            }
            // SAFETY: it only tells.
            if unsafe { libc::geteuid() } == 0 {
                assert_eq!(line("CapBnd:"), "0000000000000000");
            }
            // SAFETY: numbers and null pointers, for calls that are refused before they look at them.
            let refused = unsafe {
                [
                    told(libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0)),
                    told(libc::syscall(libc::SYS_unshare, 0)),
                    told(libc::syscall(libc::SYS_setns, -1, 0)),
                    told(libc::syscall(libc::SYS_bpf, 0, 0, 0)),
                    // As x32 has it: where the kernel has none of that, it would say so with another number.
                    told(libc::syscall(0x4000_0000 | libc::SYS_getpid)),
                ]
            };
            assert_eq!(refused, [Some(libc::EPERM); 5]);
            for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
                assert_eq!(cloned(flag), Some(libc::EPERM), "{flag:x}");
            }
            assert_eq!(cloned(0), None);
            // SAFETY: a null pointer, which is refused before it is looked at.
            let newer = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0_usize) };
            assert_eq!(told(newer), Some(libc::ENOSYS));
            // Without clone3 there are threads and programs all the same.
            std::thread::spawn(|| ()).join().unwrap();
            let ended = std::process::Command::new("true").status().unwrap();
            assert!(ended.success());
            std::fs::write(given_up.join("file"), "text").unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        })
        .join()
        .unwrap();
    }
}
