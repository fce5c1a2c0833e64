//! The listening sockets: bound once, kept here, given to each worker in turn. While no worker accepts, connections wait in them.
//!
//! A service manager may hand some over (`LISTEN_FDS`, sd_listen_fds(3)), and keep what we have for whoever starts after us
//! (`FDSTORE`, sd_notify(3)). What nobody accepts from is closed, here and there: connections would wait on it for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, anyhow};
use seawall_proxy::worker;

use crate::message::{Plan, Role, Socket, Wanted};
use crate::say::complain;

/// The first descriptor that a service manager hands over.
const FIRST: RawFd = 3;
/// More would be a mistake.
const MOST_GIVEN: RawFd = 4096;
/// How the names begin under which a service manager keeps sockets of ours.
const OURS: &str = "seawall-";

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
        given.fit(plan);
        for wanted in &plan.listen {
            let threads = threads(wanted.role, plan);
            if let Some(given) = given.take(wanted.address) {
                sockets.add_given(wanted.role, given, threads)?;
                continue;
            }
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
                    if let Some(given) = given.take(otherwise) {
                        sockets.add_given(wanted.role, given, threads)?;
                        continue;
                    }
                    bind(wanted.role, otherwise, threads)
                        .map_err(|error| cannot_listen(otherwise, &wanted.flag, &error))?
                }
            };
            sockets.add(wanted.role, bound, opened);
        }
        // Those for where it would have been served otherwise.
        let_go(given.0.into_values().flatten());
        Ok(sockets)
    }

    /// A service manager opens one socket for an address; all threads accept on it.
    fn add_given(&mut self, role: Role, given: Vec<Handed>, threads: usize) -> Result<()> {
        let first = given.first().ok_or_else(|| anyhow!("no socket"))?;
        let mut address = None;
        let mut opened = Vec::new();
        for nth in 0..threads {
            let socket = &given.get(nth).unwrap_or(first).socket;
            let listener = TcpListener::from(socket.try_clone()?);
            listener.set_nonblocking(true)?;
            address = Some(listener.local_addr()?);
            opened.push(listener.into());
        }
        if let Some(address) = address {
            self.add(role, address, opened);
        }
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

    /// What another process had is what we have: of what a service manager handed over, the rest is let go.
    pub fn are_all(&self, given: Given) {
        let ours: BTreeSet<u64> = self
            .all
            .iter()
            .filter_map(|(_, socket)| number(socket))
            .collect();
        let given = given.0.into_values().flatten();
        let rest = given
            .filter(|one| number(&one.socket).is_none_or(|number| !ours.contains(&number)))
            .collect::<Vec<_>>();
        if !rest.is_empty() {
            let_go(rest);
            self.store();
        }
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
            let words = format!("FDSTORE=1\nFDNAME={OURS}{role}-{}", told.thread);
            notify(&words, Some(socket.as_fd()));
        }
    }
}

/// How many threads accept what is for this role.
fn threads(role: Role, plan: &Plan) -> usize {
    match role {
        Role::Http | Role::Https | Role::Parent => plan.threads,
        Role::Admin => 1,
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

/// What a service manager handed over to this process for another one that it starts: open until this is dropped. A socket that is
/// open here would listen whatever that one closes.
#[derive(Debug, Default)]
pub struct ForAnother {
    /// How many descriptors that one has to look at.
    pub count: RawFd,
    _files: Vec<OwnedFd>,
}

impl ForAnother {
    /// Takes what `count` says was handed over: before anything else is opened, and once for a process.
    pub fn take_all(count: RawFd) -> Self {
        let count = count.clamp(0, MOST_GIVEN);
        let mut files = Vec::new();
        for raw in FIRST..FIRST.saturating_add(count) {
            // SAFETY: it only asks whether there is such a descriptor.
            if unsafe { libc::fcntl(raw, libc::F_GETFD) } >= 0 {
                // SAFETY: it is open, and whoever started us says that it is ours.
                files.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        Self {
            count,
            _files: files,
        }
    }
}

/// A socket that a service manager handed over.
#[derive(Debug)]
struct Handed {
    /// As the manager calls it; empty where it said nothing.
    name: String,
    socket: OwnedFd,
}

/// Sockets that a service manager handed over, by the addresses that they are bound to.
#[derive(Debug, Default)]
pub struct Given(BTreeMap<SocketAddr, Vec<Handed>>);

impl Given {
    /// Takes what `count` says was handed over, once for a process; their names are in `LISTEN_FDNAMES`.
    pub fn take_all(count: RawFd) -> Self {
        let mut given = Self::default();
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        for raw in FIRST..FIRST.saturating_add(count.clamp(0, MOST_GIVEN)) {
            let name = names.next().unwrap_or_default().to_owned();
            // SAFETY: it only asks whether there is such a descriptor.
            if unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                continue;
            }
            // SAFETY: it is open, and whoever started us says that it is ours.
            given.put(name, unsafe { OwnedFd::from_raw_fd(raw) });
        }
        for handed in given.0.values_mut() {
            // They come in any order. The first threads' stay when there are fewer.
            handed.sort_by_key(|one| thread(&one.name));
        }
        given
    }

    /// One more, if it has an address and connections can be taken from it; what has one and is something else is said to be so, and
    /// closed.
    fn put(&mut self, name: String, socket: OwnedFd) {
        let listens = is_listener(&socket);
        // Whatever it is, this only asks it for its address.
        let socket = TcpListener::from(socket);
        let Ok(address) = socket.local_addr() else {
            return;
        };
        if !listens {
            return complain(format_args!(
                "what the service manager handed over for {address} is no TCP listener (ListenStream), and is not used: take it out of the manager's \
                 unit; HTTP/3 has UDP sockets of its own"
            ));
        }
        let socket = socket.into();
        let handed = Handed { name, socket };
        self.0.entry(address).or_default().push(handed);
    }

    /// Closes what a plan has no use for, and says so to the manager: before anything is bound, which it might be in the way of.
    fn fit(&mut self, plan: &Plan) {
        let mut rest = Vec::new();
        self.0.retain(|address, handed| {
            let is_for =
                |wanted: &&Wanted| wanted.address == *address || wanted.otherwise == Some(*address);
            let wanted = plan.listen.iter().filter(is_for);
            let most = wanted.map(|wanted| threads(wanted.role, plan)).max();
            let most = most.unwrap_or(0).min(handed.len());
            rest.extend(handed.drain(most..));
            !handed.is_empty()
        });
        let_go(rest);
    }

    fn take(&mut self, address: SocketAddr) -> Option<Vec<Handed>> {
        self.0.remove(&address)
    }
}

/// The thread that a socket was for, by the name under which it was kept.
fn thread(name: &str) -> usize {
    let thread = name
        .strip_prefix(OURS)
        .and_then(|name| name.rsplit_once('-'));
    thread.map_or(0, |(_, thread)| thread.parse().unwrap_or(0))
}

/// Whether connections can be taken from it: it is for streams (a UDP socket is not), and listens.
fn is_listener(socket: &OwnedFd) -> bool {
    option(socket, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
        && option(socket, libc::SO_ACCEPTCONN) == Some(1)
}

fn option(socket: &OwnedFd, name: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both pointers are to values of ours that outlive the call, and the length is that of the first.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    (done == 0).then_some(value)
}

/// Which socket it is, whatever descriptor it has.
fn number(socket: &OwnedFd) -> Option<u64> {
    let file = File::from(socket.try_clone().ok()?);
    Some(file.metadata().ok()?.ino())
}

/// Closes sockets that nobody accepts from, and has a service manager do so that keeps them. What it still has to keep must be
/// [stored](Sockets::store) after that: a name may be that of several.
fn let_go(handed: impl IntoIterator<Item = Handed>) {
    let mut told = BTreeSet::new();
    for Handed { name, socket } in handed {
        let listener = TcpListener::from(socket);
        if !name.starts_with(OURS) {
            if let Ok(address) = listener.local_addr() {
                complain(format_args!(
                    "the service manager listens on {address}, and no thread accepts there: make it an address of [edge] http or https, or take \
                     it out of the manager's unit"
                ));
            }
            continue;
        }
        drop(listener);
        if told.insert(name.clone()) {
            notify(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
    }
}

/// Tells a service manager something, where there is one.
pub fn notify(words: &str, file: Option<BorrowedFd<'_>>) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = crate::wire::notify(&path, words, file) {
        complain(format_args!(
            "the service manager cannot be told ({error}); it is served all the same"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn of_what_is_handed_over_only_tcp_listeners_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // As a unit with ListenDatagram before ListenStream has them: at the same address.
        let datagrams = UdpSocket::bind(address).or_else(|_| UdpSocket::bind("127.0.0.1:0"));
        let connected = TcpStream::connect(address).unwrap();
        let stream = number(&OwnedFd::from(listener.try_clone().unwrap()));
        let mut given = Given::default();
        given.put(String::new(), datagrams.unwrap().into());
        given.put(String::new(), connected.into());
        given.put(String::new(), listener.into());
        // What is no socket of the internet at all is nobody's concern.
        given.put(String::new(), File::open("/dev/null").unwrap().into());
        assert_eq!(given.0.len(), 1);
        let taken = given.take(address).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken.first().and_then(|one| number(&one.socket)), stream);
    }
}
