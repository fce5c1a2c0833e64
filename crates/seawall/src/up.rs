//! `seawall up`: everything on one machine, in one process.
//!
//! Everything that can be wrong is found before the first socket is opened; what serves is written to `up.json` only when it
//! serves. A reload compiles the file anew and swaps, or prints all problems and changes nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use seawall_guard::StageDef;
use seawall_model::Document;
use seawall_model::document::{AccessLog as LogChoice, Certificate};
use seawall_net::quic::Part;
use seawall_proxy::admin::{self, Admin};
use seawall_proxy::prober;
use seawall_proxy::slot::Slot;
use seawall_proxy::state::State;
use seawall_proxy::thread::Shared;
use seawall_proxy::worker::{self, Listener};
use seawall_telemetry::{AccessLog, LogConfig, LogTarget, Registry};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::certificates;
use crate::cli::{Listen, Up};
use crate::configure::{self, Configuration, tell_fixed, tell_refused};
use crate::data::{Data, random};
use crate::http3::Datagrams;
use crate::process::{VERSION, raise_descriptors, registry, room, small_pages};
use crate::say::{complain, say};
use crate::trouble::Troubles;

/// Bytes of log lines that may wait for the disk.
const LOG_QUEUE: usize = 2 << 20;
/// How long the requests that are cut at the end may take to say so, to their clients and in their Records.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Seconds after which clients that were not seen for long are forgotten.
const SWEEP: u64 = 60;
/// Below this many descriptors a busy site runs out.
const FEW_DESCRIPTORS: u64 = 4096;

/// Serves until it is told to stop.
///
/// # Errors
/// Whatever keeps it from serving, with what can be done.
pub fn run(up: &Up, stages: &'static [&'static StageDef]) -> Result<ExitCode> {
    small_pages();
    let parsed = configure::parsed(up);
    if let Some(problems) = configure::hopeless(up, &parsed, stages) {
        return Ok(told(&problems));
    }
    let data = Arc::new(Data::open(&up.data)?);
    let registry = registry();
    let state = Arc::new(State::new(registry.clone(), stages));
    let configuration = Configuration {
        up: Arc::new(up.clone()),
        data: data.clone(),
        state: state.clone(),
    };
    configuration.resume();
    let document = &parsed.document;
    let workers = up
        .workers
        .or(document.edge.workers)
        .unwrap_or_else(cores)
        .clamp(1, 1024);
    let listening = listen(up, document, workers)?;
    state.set_own_listeners(listening.all());
    if let Some(https) = listening.served.https.first() {
        state.set_https_port(https.port());
    }
    let keeper = certificates::restore(document, &state, configure::base(up), &data.path(""))?;
    let compiled = configuration.compile(&parsed, None);
    let Some(snapshot) = compiled.snapshot else {
        return Ok(told(&compiled.problems));
    };
    tell_refused(&compiled.problems, &compiled.refused);
    configuration.settle(&snapshot, &compiled.refused);
    let zones = snapshot.zones.len();
    let descriptors = raise_descriptors();
    let room = room(
        descriptors,
        workers,
        listening.threads.iter().map(Vec::len).sum(),
    );
    let log = AccessLog::open(log_config(document, &data))
        .context("the access log's writer cannot be started")?;
    registry.watch_log(log.status());
    let public = document.edge.public_https;
    let slot = Slot::new(Arc::new(snapshot));
    let quic = listening.datagrams.quic(&slot, public)?;
    let shared = Arc::new(Shared {
        slot,
        certificates: state.certificates.clone(),
        quic,
        began: Instant::now(),
        accepting: AtomicBool::new(true),
        gate: tokio::sync::Notify::new(),
        draining: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        drain: tokio::sync::Notify::new(),
        open: AtomicU64::new(0),
        threads: workers,
        room,
        ran_out: AtomicU64::new(0),
        node: data.node()?.into(),
        per_client: Mutex::default(),
    });
    let configured = Arc::new(AtomicU64::new(0));
    let Listening {
        served,
        threads,
        datagrams,
        admin,
    } = listening;
    beside(&shared, &state, &log, &configured, admin)?;
    let datagrams = datagrams.start(&shared)?;
    let workers = start(&shared, &registry, &log, threads, datagrams)?;
    announce(up, document, zones, &data, &served);
    if let Some(keeper) = keeper {
        keeper.start()?;
    }
    if descriptors < FEW_DESCRIPTORS {
        say(format_args!(
            "  note       only {descriptors} open files are allowed, which is {room} clients at once: raise LimitNOFILE (systemd) or ulimit -n"
        ));
    }
    let drain = up.drain.unwrap_or(document.edge.limits.drain);
    let stopped = wait(
        &configuration,
        &shared,
        &configured,
        &log,
        workers,
        drain,
        parsed.document,
    );
    data.forget();
    // What is logged up to here is written; a disk that hangs does not keep us.
    let _ = log.close(Duration::from_secs(1));
    stopped
}

fn told(problems: &seawall_model::Problems) -> ExitCode {
    complain(format_args!(
        "the configuration has problems, nothing is served:\n{problems}"
    ));
    ExitCode::FAILURE
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn log_config(document: &Document, data: &Data) -> LogConfig {
    match &document.edge.access_log {
        LogChoice::Off => LogConfig {
            target: LogTarget::Off,
            ..LogConfig::default()
        },
        LogChoice::File(file) => LogConfig {
            target: if file.file.as_os_str() == "-" {
                LogTarget::Stdout
            } else {
                LogTarget::File(data.path(&file.file))
            },
            rotate_at: file.rotate_at,
            keep: file.keep as usize,
            queue_bytes: LOG_QUEUE,
        },
    }
}

/// What is listened on.
struct Listening {
    served: Served,
    threads: Vec<Vec<Listener>>,
    datagrams: Datagrams,
    admin: Option<TcpListener>,
}

/// The addresses in use, and what was left out.
#[derive(Default)]
struct Served {
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    notes: Vec<String>,
}

impl Listening {
    fn all(&self) -> Vec<SocketAddr> {
        let Served {
            http, https, admin, ..
        } = &self.served;
        http.iter().chain(https).chain(admin).copied().collect()
    }
}

fn listen(up: &Up, document: &Document, workers: usize) -> Result<Listening> {
    let mut served = Served::default();
    let mut threads: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let edge = &document.edge;
    for (tls, flag, own, name) in [
        (false, up.http, &edge.http, "--http"),
        (true, up.https, &edge.https, "--https"),
    ] {
        let addresses = match flag {
            Some(listen) => listen.address().into_iter().collect(),
            None => own.clone(),
        };
        // A real site belongs on the ports that browsers try; without the right to bind them, on the usual ones.
        let public = flag.is_none() && up.config.is_none() && !up.host.is_empty();
        for address in addresses {
            let wanted = if public {
                SocketAddr::new(address.ip(), if tls { 443 } else { 80 })
            } else {
                address
            };
            let (bound, sockets) = match worker::bind(wanted, workers) {
                Ok(bound) => bound,
                Err(error) if public => {
                    served.notes.push(format!(
                        "port {} cannot be bound ({error}): serving on {address} instead",
                        wanted.port()
                    ));
                    worker::bind(address, workers)
                        .map_err(|error| cannot_listen(address, name, &error))?
                }
                Err(error) => return Err(cannot_listen(wanted, name, &error)),
            };
            for (thread, socket) in threads.iter_mut().zip(sockets) {
                thread.push(Listener {
                    socket,
                    tls,
                    own: false,
                });
            }
            if tls {
                &mut served.https
            } else {
                &mut served.http
            }
            .push(bound);
        }
    }
    let udp: &[SocketAddr] = if edge.http3 { &served.https } else { &[] };
    let datagrams = Datagrams::bind(udp, workers, &mut served.notes);
    let admin = up.admin.map_or(edge.admin, Listen::address);
    let admin = match admin {
        None => None,
        Some(address) => {
            let listener = TcpListener::bind(address)
                .map_err(|error| cannot_listen(address, "--admin", &error))?;
            listener.set_nonblocking(true)?;
            served.admin = Some(listener.local_addr()?);
            Some(listener)
        }
    };
    if served.http.is_empty() && served.https.is_empty() {
        bail!("neither HTTP nor HTTPS is listened on (give --http or --https an address)");
    }
    for (flag, name) in [(up.dashboard, "dashboard"), (up.status_page, "status page")] {
        if flag != Some(Listen::None) {
            served.notes.push(format!(
                "the {name} is not in this build, so it is not opened"
            ));
        }
    }
    Ok(Listening {
        served,
        threads,
        datagrams,
        admin,
    })
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

/// Starts the thread beside the workers: admin port, DNS, probes.
fn beside(
    shared: &Arc<Shared>,
    state: &State,
    log: &AccessLog,
    configured: &Arc<AtomicU64>,
    listener: Option<TcpListener>,
) -> Result<()> {
    let guard = state.guard.clone();
    let (shared, registry, status, configured) = (
        shared.clone(),
        state.registry.clone(),
        log.status().clone(),
        configured.clone(),
    );
    let seed = random()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("beside".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                if let Some(listener) =
                    listener.and_then(|listener| tokio::net::TcpListener::from_std(listener).ok())
                {
                    let admin = Admin {
                        shared: shared.clone(),
                        registry,
                        guard,
                        log: status,
                        configured,
                    };
                    tokio::task::spawn_local(admin::serve(listener, Rc::new(admin)));
                }
                prober::run(shared, seed).await;
            });
        })?;
    Ok(())
}

fn start(
    shared: &Arc<Shared>,
    registry: &Arc<Registry>,
    log: &AccessLog,
    threads: Vec<Vec<Listener>>,
    datagrams: Vec<Receiver<Part>>,
) -> Result<Vec<JoinHandle<std::io::Result<()>>>> {
    let mut workers = Vec::new();
    for (index, (listeners, datagrams)) in threads.into_iter().zip(datagrams).enumerate() {
        let (shared, shard, buffer, seed) =
            (shared.clone(), registry.shard(), log.buffer(), random()?);
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        workers.push(
            thread.spawn(move || worker::run(shared, shard, buffer, seed, listeners, datagrams))?,
        );
    }
    Ok(workers)
}

/// Writes `up.json` and prints one line per listener.
fn announce(up: &Up, document: &Document, zones: usize, data: &Data, served: &Served) {
    let first = |addresses: &[SocketAddr]| addresses.first().map(ToString::to_string);
    let mut json = Map::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            json.insert(key.into(), Value::from(value));
        }
    };
    put("http", first(&served.http));
    put("https", first(&served.https));
    put("admin", served.admin.map(|admin| admin.to_string()));
    json.insert("pids".into(), json!({ "worker": std::process::id() }));
    data.keep(
        "up.json",
        format!("{:#}\n", Value::Object(json)).as_bytes(),
        0o644,
    );
    say(format_args!(
        "Seawall {VERSION} serves {}",
        serves(up, zones)
    ));
    for address in &served.http {
        say(format_args!("  http       http://{}", shown(*address)));
    }
    let all_self_signed = document
        .zones
        .iter()
        .all(|zone| !matches!(zone.tls.certificate, Certificate::Files(_)));
    for address in &served.https {
        let note = if all_self_signed {
            "   (self-signed certificate: browsers will warn)"
        } else {
            ""
        };
        say(format_args!(
            "  https      https://{}{note}",
            shown(*address)
        ));
    }
    if let Some(admin) = served.admin {
        say(format_args!(
            "  admin      http://{admin}   (/healthz /readyz /metrics /state)"
        ));
    }
    if document
        .zones
        .iter()
        .any(|zone| zone.tls.certificate == Certificate::Acme)
    {
        say(format_args!(
            "  note       certificates come by ACME ({}); self-signed ones are served until they are there",
            document.edge.acme.directories.join(", ")
        ));
    }
    for note in &served.notes {
        say(format_args!("  note       {note}"));
    }
    say(format_args!("  data       {}", data.path("").display()));
}

fn serves(up: &Up, zones: usize) -> String {
    match (&up.config, &up.origin) {
        (Some(file), _) => format!("{zones} zone(s) of {}", file.display()),
        (None, Some(origin)) => origin.clone(),
        (None, None) => "its sample site (put your own behind it with --origin URL)".into(),
    }
}

fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn wait(
    configuration: &Configuration,
    shared: &Arc<Shared>,
    configured: &AtomicU64,
    log: &AccessLog,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    drain: Duration,
    mut live: Document,
) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        // Unhandled it would end us.
        let mut upgrade = signal(SignalKind::user_defined2())?;
        let mut troubles = Troubles::new(log.status().clone());
        // Freeing a large configuration takes long: it is done here, not on a worker that let go of it last.
        let mut retired = Vec::new();
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let mut looks = 0u64;
        let (done, mut prepared) = tokio::sync::mpsc::channel(1);
        let mut waiting = 0usize;
        let mut patience = drain;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = quit.recv() => {
                    patience = Duration::ZERO;
                    break;
                }
                _ = hang_up.recv() => {
                    log.reopen();
                    // One at a time; what comes meanwhile is one more, afterwards.
                    waiting += 1;
                    if waiting == 1 {
                        configuration.prepare(shared.slot.load(), done.clone());
                    }
                }
                Some(made) = prepared.recv() => {
                    match made {
                        Some(made) => {
                            if let Some(document) =
                                configuration.put_live(made, shared, configured, &mut retired)
                            {
                                tell_fixed(&live, &document);
                                live = document;
                            }
                        }
                        None => complain("not reloaded: compiling failed; please report it"),
                    }
                    waiting = usize::from(waiting > 1);
                    if waiting == 1 {
                        configuration.prepare(shared.slot.load(), done.clone());
                    }
                }
                _ = upgrade.recv() => complain("an upgrade without a restart is not in this build"),
                _ = look.tick() => {
                    troubles.look(shared);
                    looks += 1;
                    if looks.is_multiple_of(SWEEP) {
                        configuration.state.guard.clients.sweep(shared.now());
                    }
                    let before = retired.len();
                    retired.retain(|old| Arc::strong_count(old) > 1);
                    if retired.len() < before {
                        // What only those held.
                        configuration.state.guard.sweep();
                    }
                    if let Some(worker) = workers.iter().find(|worker| worker.is_finished()) {
                        bail!("{} ended by itself", worker.thread().name().unwrap_or("a worker"));
                    }
                }
            }
        }
        shared.draining.store(true, Ordering::Relaxed);
        shared.drain.notify_waiters();
        let running = || workers.iter().any(|worker| !worker.is_finished());
        if !patience.is_zero() {
            say(format_args!(
                "Seawall stops: idle connections close now, running requests have {} s",
                patience.as_secs_f64()
            ));
        }
        let due = Instant::now() + patience;
        while Instant::now() < due && running() {
            tokio::select! {
                _ = quit.recv() => break,
                _ = interrupt.recv() => break,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
        shared.stopping.store(true, Ordering::Relaxed);
        let due = Instant::now() + LAST_WORDS;
        while Instant::now() < due && running() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(ExitCode::SUCCESS)
    })
}
