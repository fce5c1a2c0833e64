//! Signals, and what they ask for. None is lost while a process becomes another program: it waits until that one hears signals.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::message::Request;

/// Those that ask for something.
const OURS: [libc::c_int; 5] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR2,
];
/// The runtime tells at once of those that have come; from then on none is on its way.
const CAUGHT: Duration = Duration::from_millis(5);

/// Those that ask for something.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    upgrade: Signal,
}

/// As long as this lives signals wait: for the program that this process becomes, or for us again.
pub struct Kept;

impl Drop for Kept {
    fn drop(&mut self) {
        let_through();
    }
}

impl Signals {
    /// From now on they do not end us; those that waited for us come. Must run in a runtime, and before what takes its time: the
    /// program that this process was has them wait.
    ///
    /// # Errors
    /// When the system does not let us handle them.
    pub fn new() -> std::io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        };
        let_through();
        Ok(signals)
    }

    /// What the next one asks for; an upgrade is to what lies at `program` then.
    pub async fn next(&mut self, program: &Path) -> Request {
        match self.caught().await {
            libc::SIGHUP => Request::Reload,
            libc::SIGUSR2 => Request::Upgrade {
                program: program.to_owned(),
            },
            libc::SIGQUIT => Request::Stop { within_ms: Some(0) },
            _ => Request::Stop { within_ms: None },
        }
    }

    /// Has them wait for the program that this process is about to become. So do those that have come and that nobody has looked at,
    /// and those in `again`: what they asked for was not done.
    pub async fn keep(&mut self, again: &[libc::c_int]) -> Kept {
        mask(libc::SIG_BLOCK);
        let kept = Kept;
        let mut came = again.to_vec();
        while let Ok(signal) = tokio::time::timeout(CAUGHT, self.caught()).await {
            came.push(signal);
        }
        for signal in came {
            // SAFETY: a number. It waits for this thread, which is the one that becomes the next program.
            unsafe { libc::raise(signal) };
        }
        kept
    }

    async fn caught(&mut self) -> libc::c_int {
        tokio::select! {
            _ = self.terminate.recv() => libc::SIGTERM,
            _ = self.interrupt.recv() => libc::SIGINT,
            _ = self.quit.recv() => libc::SIGQUIT,
            _ = self.hang_up.recv() => libc::SIGHUP,
            _ = self.upgrade.recv() => libc::SIGUSR2,
        }
    }
}

/// Lets them come. Allowed between fork and exec: who is started inherits that they wait.
pub fn let_through() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: libc::c_int) {
    // SAFETY: of this set all bytes may be nought.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to a set that outlives the calls; what was before is not asked for.
    unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in OURS {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it waits for this thread.
    fn waits(signal: libc::c_int) -> bool {
        // SAFETY: of this set all bytes may be nought; both calls get a pointer to it.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            assert_eq!(libc::sigpending(&raw mut set), 0);
            libc::sigismember(&raw const set, signal) == 1
        }
    }

    #[test]
    fn what_comes_while_they_are_kept_waits_and_is_heard_afterwards() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signals = Signals::new().unwrap();
            let kept = signals.keep(&[libc::SIGHUP]).await;
            // SAFETY: a number.
            unsafe { libc::raise(libc::SIGQUIT) };
            assert!(waits(libc::SIGHUP) && waits(libc::SIGQUIT));
            assert!(!waits(libc::SIGTERM));
            drop(kept);
            assert!(!waits(libc::SIGHUP) && !waits(libc::SIGQUIT));
            let program = Path::new("seawall");
            let mut heard = [signals.next(program).await, signals.next(program).await];
            heard.sort_by_key(|request| matches!(request, Request::Reload));
            assert!(matches!(
                heard,
                [Request::Stop { within_ms: Some(0) }, Request::Reload]
            ));
        });
    }
}
