//! How a worker dies: what killed it is written into its page and onto standard error, and then it dies of that all the same.
//!
//! A panic kills nobody, and is told in one line: looking for the names of a whole stack takes a thread seconds, whatever the environment
//! asks for, and of panics that every request brings there is no end.
//!
//! Only what is allowed in a signal handler is done in one (`signal-safety(7)`): nothing is allocated, no lock is taken.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use seawall_guard::blame;

use crate::page::SharedPage;
use crate::say::complain;

/// Panics that a process tells of.
const PANICS: u32 = 100;

/// What a process dies of that is its own doing.
const DEADLY: [(i32, &str); 6] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGSYS, "SIGSYS"),
];

static PAGE: AtomicPtr<SharedPage> = AtomicPtr::new(std::ptr::null_mut());

/// Signals of a terminal are for `seawall up`: it says what is to be done.
pub fn in_the_background() {
    for signal in [
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ] {
        // SAFETY: no handler of ours is called.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// A panic is told in a line, and after a hundred of them no more: how many there are is counted where they are caught.
fn panicked(info: &PanicHookInfo<'_>) {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    let nth = TOLD.fetch_add(1, Ordering::Relaxed);
    if nth < PANICS {
        let last = if nth + 1 == PANICS {
            "; further ones are not told"
        } else {
            ""
        };
        complain(format_args!("{info}{last}"));
    }
    // So that it never begins anew.
    if nth > u32::MAX / 2 {
        TOLD.store(PANICS, Ordering::Relaxed);
    }
}

/// From now on a death is told in this page, and a panic in a line.
pub fn keep_in(page: &'static SharedPage) {
    std::panic::set_hook(Box::new(panicked));
    PAGE.store(std::ptr::from_ref(page).cast_mut(), Ordering::Release);
    for (signal, _) in DEADLY {
        // SAFETY: of this struct all bytes may be nought.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = dying as extern "C" fn(i32) as libc::sighandler_t;
        // On a stack of its own, should ours be at its end; and once: the second time it is deadly as ever.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
        // SAFETY: the handler does only what a handler may.
        unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    }
}

/// What a signal is called.
pub fn name(signal: i32) -> Option<&'static str> {
    let more = [(libc::SIGKILL, "SIGKILL"), (libc::SIGTERM, "SIGTERM")];
    let mut all = DEADLY.iter().chain(&more);
    all.find(|(number, _)| *number == signal)
        .map(|(_, name)| *name)
}

extern "C" fn dying(signal: i32) {
    // SAFETY: it is null or was leaked, so that it is there for ever.
    if let Some(page) = unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
        blame::Page::of(page.words()).mark_dying(blame::own_slot(), signal as u64);
    }
    say(b"seawall: the worker dies of ");
    say(name(signal).unwrap_or("a signal").as_bytes());
    say(b"\n");
    // Where the signal was sent by `abort`, or by another process, nothing would raise it again.
    // SAFETY: it is allowed in a handler; it is blocked until we return, and deadly then.
    unsafe { libc::raise(signal) };
}

fn say(bytes: &[u8]) {
    // SAFETY: the bytes are there until the call is over; what becomes of it is nobody's concern any more.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}
