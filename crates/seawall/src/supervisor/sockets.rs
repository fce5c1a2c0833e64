//! The listening sockets: bound once, kept here, given to each worker in turn. While no worker accepts, connections wait in them.
//!
//! A service manager may hand some over (`LISTEN_FDS`, sd_listen_fds(3)), and keep what we have for whoever starts after us
//! (`FDSTORE`, sd_notify(3)).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Result, anyhow};
use seawall_proxy::worker;

use crate::message::{Plan, Role, Socket, Wanted};

/// The first descriptor that a service manager hands over.
const FIRST: RawFd = 3;
/// More would be a mistake.
const MOST_GIVEN: RawFd = 4096;

/// All that is listened on.
#[derive(Debug, Default)]
pub struct Sockets {
    all: Vec<(Socket, OwnedFd)>,
    /// What people should know of how they came about.
    pub notes: Vec<String>,
}

impl Sockets {
    /// Opens what a plan asks for. Sockets that were given for one of its addresses take its place.
    ///
    /// # Errors
    /// What cannot be listened on, why, and what can be done.
    pub fn open(plan: &Plan, mut given: Given) -> Result<Self> {
        let mut sockets = Self::default();
        for wanted in &plan.listen {
            if let Some(given) = given.take(wanted.address) {
                sockets.add_given(wanted, given, plan.threads)?;
                continue;
            }
            let threads = match wanted.role {
                Role::Http | Role::Https | Role::Parent => plan.threads,
                Role::Admin => 1,
            };
            let (bound, opened) = match bind(wanted.role, wanted.address, threads) {
                Ok(opened) => opened,
                Err(error) => {
                    let Some(otherwise) = wanted.otherwise else {
                        return Err(cannot_listen(wanted.address, &wanted.flag, &error));
                    };
                    sockets.notes.push(format!(
                        "port {} cannot be bound ({error}): serving on {otherwise} instead",
                        wanted.address.port()
                    ));
                    bind(wanted.role, otherwise, threads)
                        .map_err(|error| cannot_listen(otherwise, &wanted.flag, &error))?
                }
            };
            sockets.add(wanted.role, bound, opened);
        }
        Ok(sockets)
    }

    /// A service manager opens one socket for an address; all threads accept on it.
    fn add_given(&mut self, wanted: &Wanted, given: Vec<OwnedFd>, threads: usize) -> Result<()> {
        let first = given.first().ok_or_else(|| anyhow!("no socket"))?.as_fd();
        let mut opened = Vec::new();
        let threads = if wanted.role == Role::Admin {
            1
        } else {
            threads
        };
        for nth in 0..threads {
            let socket = given.get(nth).map_or(first, AsFd::as_fd);
            opened.push(socket.try_clone_to_owned()?);
        }
        let listener = TcpListener::from(first.try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        self.add(wanted.role, listener.local_addr()?, opened);
        Ok(())
    }

    fn add(&mut self, role: Role, address: SocketAddr, opened: Vec<OwnedFd>) {
        for (thread, socket) in opened.into_iter().enumerate() {
            let told = Socket {
                role,
                address,
                thread,
            };
            self.all.push((told, socket));
        }
    }

    /// What another process had.
    pub fn adopt(&mut self, told: Vec<Socket>, files: Vec<OwnedFd>) {
        self.all.extend(told.into_iter().zip(files));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// For messages with at most `files` of them each.
    pub fn in_parts(
        &self,
        files: usize,
    ) -> impl Iterator<Item = (Vec<Socket>, Vec<BorrowedFd<'_>>)> {
        self.all.chunks(files.max(1)).map(|part| {
            part.iter()
                .map(|(told, socket)| (told.clone(), socket.as_fd()))
                .unzip()
        })
    }

    /// The addresses of a role, each once, in the order of the plan.
    pub fn addresses(&self, role: Role) -> Vec<SocketAddr> {
        let of_role = self.all.iter().filter(|(told, _)| told.role == role);
        let mut addresses: Vec<SocketAddr> = of_role.map(|(told, _)| told.address).collect();
        addresses.dedup();
        addresses
    }

    /// Has a service manager keep them, under names that say what they are. A manager that keeps nothing does not mind.
    pub fn store(&self) {
        for (told, socket) in &self.all {
            let role = match told.role {
                Role::Http => "http",
                Role::Https => "https",
                Role::Parent => "parent",
                Role::Admin => "admin",
            };
            // Colons end a name there; the address is asked of the socket itself later.
            let words = format!("FDSTORE=1\nFDNAME=seawall-{role}-{}", told.thread);
            notify(&words, Some(socket.as_fd()));
        }
    }
}

fn bind(
    role: Role,
    address: SocketAddr,
    threads: usize,
) -> std::io::Result<(SocketAddr, Vec<OwnedFd>)> {
    if role == Role::Admin {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        return Ok((listener.local_addr()?, vec![listener.into()]));
    }
    let (bound, sockets) = worker::bind(address, threads)?;
    Ok((bound, sockets.into_iter().map(OwnedFd::from).collect()))
}

fn cannot_listen(address: SocketAddr, flag: &str, error: &std::io::Error) -> anyhow::Error {
    let help = match error.kind() {
        ErrorKind::AddrInUse => "`ss -ltnp` tells by whom; choose another",
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for root and CAP_NET_BIND_SERVICE; choose another"
        }
        ErrorKind::AddrNotAvailable => "no interface of this machine has it; choose another",
        _ => "choose another",
    };
    anyhow!("cannot listen on {address}: {error} ({help} with {flag})")
}

/// Sockets that a service manager handed over, by the addresses that they are bound to.
#[derive(Debug, Default)]
pub struct Given(BTreeMap<SocketAddr, Vec<OwnedFd>>);

impl Given {
    /// Takes what `count` says was handed over, once for a process.
    pub fn take_all(count: RawFd) -> Self {
        let mut given = Self::default();
        for raw in FIRST..FIRST.saturating_add(count.clamp(0, MOST_GIVEN)) {
            // SAFETY: it only asks whether there is such a descriptor.
            if unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                continue;
            }
            // SAFETY: it is open, and whoever started us says that it is ours.
            let socket = unsafe { OwnedFd::from_raw_fd(raw) };
            let listener = TcpListener::from(socket);
            if let Ok(address) = listener.local_addr() {
                given.0.entry(address).or_default().push(listener.into());
            }
        }
        given
    }

    fn take(&mut self, address: SocketAddr) -> Option<Vec<OwnedFd>> {
        self.0
            .remove(&address)
            .filter(|sockets| !sockets.is_empty())
    }
}

/// Tells a service manager something, where there is one.
pub fn notify(words: &str, file: Option<BorrowedFd<'_>>) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = crate::wire::notify(&path, words, file) {
        crate::say::complain(format_args!(
            "the service manager cannot be told ({error}); it is served all the same"
        ));
    }
}
