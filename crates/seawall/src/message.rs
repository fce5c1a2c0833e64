//! What our processes say to each other. Fields may be added: who is older leaves out what it does not know, and who is newer
//! has a default, so that an upgrade and the way back work with either on the other side.
//!
//! Open files travel beside some of them; which ones is said there. Not here: how they travel ([`wire`](crate::wire)).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::here::Glass;

/// What the supervisor says to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first word. Beside it: the page where it tells what it runs.
    Begin(Begin),
    /// Listening sockets, which lie beside it in this order. Several messages, where there are many.
    Sockets(Vec<Socket>),
    /// Those were all sockets: compile, probe, and say [`FromWorker::Ready`].
    Prepare,
    /// Beside it: UDP sockets of an address, one for each thread.
    Datagrams {
        /// The address.
        address: SocketAddr,
        /// Another worker has sockets in the same group, and leaves. Only an older supervisor says so, which has the worker steer
        /// datagrams.
        #[serde(default)]
        leaves: Option<Leaves>,
        /// The supervisor steers datagrams to threads and workers.
        #[serde(default)]
        steered: bool,
    },
    /// Beside it: the sockets of one place in a group of UDP sockets, to be kept open: one that is closed changes the places of others.
    Place(Place),
    /// Workers of these generations live, and no others: what is for connections of another is answered by a stateless reset. For those
    /// alone that ask for it ([`Plan::resets`]).
    Living {
        /// Generations.
        generations: Vec<u64>,
    },
    /// Accept connections. Beside it, where another worker served before: its State, which may be empty, and the secrets of its
    /// session tickets.
    Serve,
    /// Read the configuration anew; with other flags, where some are given.
    Reload {
        /// The flags, as words of a command line.
        words: Option<Vec<String>>,
    },
    /// Beside it: an [`Order`](crate::order::Order) of the agent's.
    Order,
    /// The agent asks what was counted on trials.
    Count,
    /// Give up State for a worker that takes over, and what only one may write.
    HandOver,
    /// Another one serves: end what runs, however long it takes up to this.
    Retire {
        /// Milliseconds.
        within_ms: u64,
    },
    /// Nobody serves any more: end what runs.
    Drain {
        /// Milliseconds.
        within_ms: u64,
    },
    /// A supervisor that came later asks what there is.
    Describe,
}

/// How a worker begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Begin {
    /// Serve what was served last, whatever the file says by now.
    pub live: bool,
    /// What is served comes by orders of the agent's; the file is for the first start alone.
    pub managed: bool,
    /// Zones whose version brought workers down.
    pub quarantined: Vec<Quarantined>,
    /// The version of what all zones share that did so.
    pub platform: Option<u64>,
    /// No optional stage runs.
    pub safe_mode: bool,
}

/// A zone whose version brought workers down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quarantined {
    /// The zone's id.
    pub zone: u64,
    /// Its version, as a number.
    pub version: u64,
    /// It did so with its optional stages off, too: it is not served.
    pub left_out: bool,
    /// Seconds since 1970 when it was so decided.
    pub since: u64,
}

/// What a worker says to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// What it wants to listen on.
    Plan(Plan),
    /// It could serve: compiled, and each of its threads has answered a request of its own.
    Ready,
    /// It cannot serve, and told people why.
    Failed,
    /// It accepts connections; or what it serves has changed. Beside it, where they have changed: the secrets of its session
    /// tickets, in memory.
    Serving(Serving),
    /// A reload was refused, and people were told why.
    NotReloaded,
    /// What serves is kept in `DATA/live`.
    Kept,
    /// Beside it: its State.
    HandedOver,
    /// Beside it: what became of an order, [`Ordered`](crate::order::Ordered).
    Ordered,
    /// Beside it: what was counted, [`Counted`](crate::order::Counted).
    Counted,
    /// It was told to end by somebody else, and does.
    Leaving,
    /// What there is, for a supervisor that came later. Beside it: its page, and the secrets of its session tickets. It comes again,
    /// for each place in a group of UDP sockets that it keeps open, with those sockets after the first two files: an older supervisor
    /// takes no notice. [`FromWorker::Sockets`] follow, then [`FromWorker::Described`].
    Here(Here),
    /// Its listening sockets, which lie beside it in this order.
    Sockets(Vec<Socket>),
    /// That was all.
    Described,
}

/// What is to be listened on, and other things that are set up once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Addresses.
    pub listen: Vec<Wanted>,
    /// Worker threads.
    pub threads: usize,
    /// HTTP/3 is to be spoken where HTTPS is.
    pub http3: bool,
    /// It leaves it to the supervisor to steer datagrams. Older ones do it themselves, and know one other worker at most.
    pub steered: bool,
    /// It wants to be told which workers live.
    pub resets: bool,
}

/// Bounds that the supervisor must know; a reload may change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bounds {
    /// How long running requests may go on after a stop, in milliseconds.
    pub drain_ms: u64,
    /// How long they may go on when another worker serves, in milliseconds.
    pub retire_ms: u64,
    /// Bytes of memory from which a worker is replaced; 0 when nobody said.
    pub memory: u64,
    /// How long what is live must serve before it has proved good, in milliseconds.
    pub soak_ms: u64,
    /// Another worker waits beside this one, ready to serve.
    pub spare: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            drain_ms: 10_000,
            retire_ms: 300_000,
            memory: 0,
            soak_ms: 60_000,
            spare: false,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// For whom.
    pub role: Role,
    /// The address; with port 0 the system picks one.
    pub address: SocketAddr,
    /// Where that cannot be had.
    pub otherwise: Option<SocketAddr>,
    /// The flag with which it can be changed.
    pub flag: String,
}

/// Whom a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// HTTP in cleartext.
    Http,
    /// HTTP over TLS.
    Https,
    /// HTTP over TLS for other locations of the fleet.
    Parent,
    /// The admin port.
    Admin,
}

/// Sockets of a worker that leaves, in a group of UDP sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves {
    /// Which worker it is.
    pub generation: u64,
    /// How many sockets it has.
    pub threads: u16,
}

/// A place in a group of UDP sockets: as many as the threads of the worker that had it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The address of the group.
    pub address: SocketAddr,
    /// Which place, counted from 0 in the order in which they were bound.
    pub place: usize,
    /// The worker that has it, or had it last.
    pub generation: u64,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// For whom.
    pub role: Role,
    /// Where.
    pub address: SocketAddr,
    /// The worker thread that accepts on it.
    pub thread: usize,
}

/// What serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// How many zones.
    pub zones: usize,
    /// What is served, in words.
    pub what: String,
    /// No zone has a certificate of its own.
    pub self_signed: bool,
    /// What people should know.
    pub notes: Vec<String>,
    /// The version of what all zones share.
    pub platform: u64,
    /// Bounds.
    pub bounds: Bounds,
    /// What is published under this name is live: see [`Order::stand`](crate::order::Order::stand).
    pub stand: Option<String>,
}

/// A worker that runs already.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Here {
    /// Which it is.
    pub generation: u64,
    /// It accepts connections.
    pub serves: bool,
    /// What it wanted to listen on.
    pub plan: Plan,
    /// What it serves.
    pub serving: Serving,
    /// Addresses for which it has UDP sockets.
    pub datagrams: Vec<SocketAddr>,
    /// Whose sockets are beside it, if any are.
    pub place: Option<Place>,
}

/// What is asked of the supervisor, through `DATA/edge.sock`.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// `seawall up` is here, with these flags. It is told when the edge serves.
    Hello {
        /// The flags, as words of a command line.
        words: Vec<String>,
    },
    /// Control runs.
    Control {
        /// Its process.
        pid: i32,
        /// Where it answers over HTTP, once it does.
        #[serde(default)]
        dashboard: Option<SocketAddr>,
        /// The file with the first token.
        #[serde(default)]
        token_path: Option<PathBuf>,
    },
    /// What runs?
    Status,
    /// Break-glass: do something on this machine alone.
    Here(Glass),
    /// Read the configuration anew.
    Reload,
    /// End.
    Stop {
        /// How long running requests may go on, in milliseconds; none is as the configuration says.
        within_ms: Option<u64>,
    },
    /// Upgrade to the program at this path.
    Upgrade {
        /// The path.
        program: PathBuf,
    },
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It serves. `took_over` when it did before the asker came.
    Serving {
        /// Processes and addresses, as in `up.json`.
        up: serde_json::Value,
    },
    /// It ends.
    Stopping,
    /// What runs, as `seawall status --json` prints it.
    Status(serde_json::Value),
    /// A step of an upgrade.
    Progress(String),
    /// What was done on this machine alone.
    Here {
        /// In words.
        said: String,
    },
    /// It was done as asked.
    Done,
    /// `up` should go on as this program.
    Become {
        /// Its path.
        program: PathBuf,
    },
    /// It was not done.
    Refused {
        /// Why, and what can be done.
        why: String,
    },
}

/// What the supervisor says to the agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToAgent {
    /// Compile what the file says now, in a process of its own.
    Try,
    /// What is in `DATA/live` serves.
    Live {
        /// After so many milliseconds it has proved good.
        soak_ms: u64,
    },
    /// A worker died: what is live has not proved good.
    Died {
        /// It crashed or hung, and was not killed by somebody.
        crashed: bool,
        /// The zone that it served then, by its id, and the zone's version, as numbers.
        culprit: Option<(u64, u64)>,
        /// The version of what all zones share that it ran under, as a number; 0: that is not known.
        #[serde(default)]
        platform: u64,
        /// It died while it compiled something.
        #[serde(default)]
        compiled: bool,
    },
    /// A worker serves, which knows nothing of orders that an earlier one had.
    Serves {
        /// Which one.
        generation: u64,
        /// What is published under this name is live in it already.
        #[serde(default)]
        stand: Option<String>,
    },
    /// Beside it: what became of an order.
    Ordered,
    /// Beside it: what was counted.
    Counted,
    /// Does it live? To be answered at once, whatever else it does: [`FromAgent::Pong`].
    Ping,
    /// Break-glass: to be done, and answered.
    Here {
        /// Which of those that were asked.
        number: u64,
        /// What.
        here: Glass,
    },
}

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromAgent {
    /// Compiling ended, with problems or without; the worker may do it too.
    Tried,
    /// Beside it: an order for the worker that serves.
    Order {
        /// Which one that is: of what another one serves it says too little.
        generation: u64,
    },
    /// What was counted is asked for.
    Count,
    /// It lives: to [`ToAgent::Ping`].
    Pong,
    /// What came of something that was to be done on this machine alone.
    Here {
        /// Which.
        number: u64,
        /// What was done, or why it was not.
        said: Result<String, String>,
    },
    /// Compiling did not end, or took the process down.
    Deadly {
        /// How.
        why: String,
    },
}
