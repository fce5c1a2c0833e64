//! What the store in PostgreSQL must survive: kill -9 of either side, leaders that are stopped, a database that refuses, hangs,
//! is slow or not ours, replicas that do not confirm.

use std::io::Write;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use seawall_control::store::postgres::Patience;
use seawall_control::store::{Append, Change, Postgres, RequestId};
use seawall_control::{ConfigStore, StoreError};
use seawall_model::tempo::Kind;

use crate::child::{self, start};
use crate::lasting::filled;
use crate::properties::{append, document, zone};
use crate::server::{Server, open, signal};

/// Waits for something that comes.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let due = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < due, "{what} never came");
        sleep(Duration::from_millis(20));
    }
}

fn is_long() -> bool {
    std::env::var_os("SEAWALL_TEST_LONG").is_some()
}

/// Times that a test can wait for.
fn hurried() -> Patience {
    Patience {
        opens: Duration::from_secs(2),
        statement: Duration::from_millis(800),
        writers: Duration::from_millis(400),
        reads: Duration::from_secs(1),
        appends: Duration::from_secs(2),
        silent: Duration::from_secs(2),
        again: Duration::ZERO,
        ..Patience::default()
    }
}

/// Looks that a log is whole, what is derived is what it says, and its head is that version or the next one.
fn whole(store: &mut Postgres, told: u64, each: u64) -> u64 {
    let entries = store.last().expect("last");
    assert_eq!(store.verify().expect("verify"), Ok(entries));
    let head = store.head(&zone("a.test")).expect("head").expect("there");
    assert!(
        head.number == told || head.number == told + each,
        "told {told}, there {}",
        head.number
    );
    let derived = store.derived().expect("derived");
    assert_eq!(derived.versions.len() as u64, head.number);
    // The session of a writer that was killed leads until the server has seen its end.
    until("the end of its session", || match store.rebuild() {
        Err(StoreError::Refused(_)) => None,
        rebuilt => {
            rebuilt.expect("rebuilt");
            Some(())
        }
    });
    assert_eq!(store.derived().expect("derived"), derived);
    head.number
}

#[test]
fn kill_9_of_the_writer_loses_nothing_that_was_told() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    let rounds = if is_long() { 200 } else { 3 };
    for round in 0..rounds {
        let mut writer = start("write-postgres", url.as_ref());
        let mut told = 0;
        for _ in 0..10 + round % 17 {
            let line = writer.next("done").expect("it writes");
            told = line.parse().expect("a number");
        }
        sleep(Duration::from_micros(round * 137 % 1_500));
        writer.process.kill().expect("killed");
        writer.process.wait().expect("gone");
        while let Some(line) = writer.next("done") {
            told = line.parse().expect("a number");
        }
        let mut store = open(&url);
        whole(&mut store, told, 1);
        assert_eq!(store.running().expect("running").len(), 1);
    }
}

#[test]
fn kill_9_of_the_server_loses_nothing_that_was_told_and_doubles_nothing() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (_, url) = server.database();
    let rounds = if is_long() { 200 } else { 3 };
    let mut writer = start("insist-postgres", url.as_ref());
    let mut told = String::new();
    for round in 0..rounds {
        for _ in 0..15 + round % 17 {
            told = writer.next("done").expect("it writes on");
        }
        sleep(Duration::from_micros(round * 937 % 3_000));
        server.kill();
        server.run();
    }
    for _ in 0..5 {
        told = writer.next("done").expect("it writes on");
    }
    writer.process.kill().expect("killed");
    writer.process.wait().expect("gone");
    while let Some(line) = writer.next("done") {
        told = line;
    }
    let number = told
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    let number: u64 = number.expect("a number");
    let mut store = open(&url);
    let head = whole(&mut store, number, 2);
    // Each append made its two versions once, however often it was sent.
    let entries = store.log(1, 10_000).expect("log");
    let mut ids: Vec<_> = entries.iter().filter_map(|entry| entry.request).collect();
    ids.dedup();
    assert_eq!(ids.len() as u64 * 2, head.min(10_000));
    println!(
        "measured: PostgreSQL, {rounds} kills of the server: {head} versions there, told (number, unknown, failed) {told}"
    );
}

#[test]
fn one_leads_and_the_next_one_waits() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (name, url) = server.database();
    let (mut first, mut second) = (open(&url), open(&url));
    assert!(first.lead().expect("asked"));
    assert!(first.lead().expect("asked"), "it does already");
    assert!(!second.lead().expect("asked"));
    let who = second.leader().expect("asked").expect("somebody");
    assert!(
        who.contains(&format!("pid {}", std::process::id())),
        "{who}"
    );
    let text = |text: &str| append(vec![document(&zone("a.test"), text)]);
    first.append(&text("one")).expect("appended");
    match second.append(&text("beside")) {
        Err(StoreError::Refused(why)) => assert!(why.contains("leads"), "{why}"),
        other => panic!("expected a refusal: {other:?}"),
    }
    assert_eq!(second.last().expect("last"), 1, "whoever reads may read");
    drop(first);
    until("its end", || second.lead().expect("asked").then_some(()));
    second.append(&text("two")).expect("appended");
    // Locks are a database's: another one on the same server is led by somebody else.
    let (_, other) = server.database();
    assert!(open(&other).lead().expect("asked"));
    assert_ne!(name, other);
}

#[test]
fn who_lost_the_lead_writes_nothing_even_if_it_does_not_know() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (name, url) = server.database();
    let (mut first, mut second) = (open(&url), open(&url));
    assert!(first.lead().expect("asked"));
    let text = |text: &str| append(vec![document(&zone("a.test"), text)]);
    first.append(&text("one")).expect("appended");
    // Those of this database: others are other tests'.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // A connection that ends while nobody else is there: it goes on, and nobody notices.
    server.sql(&name, end);
    until("a new connection", || first.append(&text("two")).ok());
    // And once more, with somebody who waits for it.
    server.sql(&name, end);
    until("the lead", || second.lead().expect("asked").then_some(()));
    let lost = until("the loss", || match first.append(&text("stale")) {
        Err(StoreError::Lost { what, .. }) => Some(what),
        Err(StoreError::Io { .. }) => None,
        other => panic!("expected a loss: {other:?}"),
    });
    assert!(lost.contains("another control"), "{lost}");
    // Also when the other one has gone again, having written.
    second.append(&text("three")).expect("appended");
    drop(second);
    until("the loss", || match first.append(&text("stale")) {
        Err(StoreError::Lost { what, .. }) => what.contains("wrote meanwhile").then_some(()),
        other => panic!("expected a loss: {other:?}"),
    });
    assert_eq!(open(&url).last().expect("last"), 3);
    // A lock that vanished under a session that lives, as behind a pool of connections that are shared.
    let (_, url) = server.database();
    let mut leader = open(&url);
    assert!(leader.lead().expect("asked"));
    leader.forget_the_lock();
    assert!(matches!(
        leader.append(&text("stale")),
        Err(StoreError::Lost { .. })
    ));
    assert_eq!(leader.last().expect("last"), 0);
}

#[test]
fn a_leader_that_was_stopped_appends_nothing_after_another_has_taken_over() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    let mut first = start("lead-postgres", url.as_ref());
    first.next("leads").expect("it leads");
    let mut input = first.process.stdin.take().expect("its input");
    writeln!(input, "one").expect("told");
    assert_eq!(first.next("done").as_deref(), Some("1"));
    let pid = first.process.id() as i32;
    signal(pid, libc::SIGSTOP);
    let mut second = open(&url);
    until("the lead", || second.lead().expect("asked").then_some(()));
    second
        .append(&append(vec![document(&zone("a.test"), "two")]))
        .expect("appended");
    // It was told while it was stopped, and wakes up in the belief that it leads.
    writeln!(input, "stale").expect("told");
    signal(pid, libc::SIGCONT);
    let error = first.next("error").expect("an error");
    println!("{error}");
    writeln!(input, "stale again").expect("told");
    let again = first.next("error").expect("an error");
    assert!(again.contains("Lost"), "{again}");
    assert_eq!(second.last().expect("last"), 2);
    first.process.kill().expect("killed");
    first.process.wait().expect("gone");
}

#[test]
fn a_database_that_hangs_or_is_slow_ends_in_an_error() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (name, url) = server.database();
    let mut store = Postgres::open_with(&url, hurried()).expect("opens");
    filled(&mut store);
    let last = store.last().expect("last");
    let text = append(vec![document(&zone("a.test"), "new")]);
    // Another one holds the right to write for longer than is waited.
    let hold = |sql: &str| {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--dbname",
            &url.replace("postgres:", "postgresql:"),
        ]);
        psql.args(["--command", sql]).spawn().expect("psql")
    };
    let busy =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted";
    let mut holder =
        hold("BEGIN; SELECT pg_advisory_xact_lock(1398235500, 1); SELECT pg_sleep(60)");
    until("the lock", || {
        (server.sql(&name, busy) == "1").then_some(())
    });
    assert!(matches!(store.append(&text), Err(StoreError::Busy)));
    server.sql(
        &name,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
    );
    let _ = holder.wait();
    until("its turn", || store.append(&text).ok());
    // The server hears nothing: all of its processes are stopped, and the kernel answers for them.
    server.signal_all(libc::SIGSTOP);
    let error = store.append(&text).expect_err("no answer");
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    let error = store.last().expect_err("no answer");
    assert!(error.to_string().contains("no answer within"), "{error}");
    assert!(error.may_come_again());
    server.signal_all(libc::SIGCONT);
    assert_eq!(until("an answer", || store.last().ok()), last + 1);
    assert_eq!(store.verify().expect("verify"), Ok(last + 1));
}

#[test]
fn a_commit_that_no_replica_confirms_is_unknown_and_known_when_it_is_sent_again() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (name, url) = server.database();
    let mut store = Postgres::open_with(&url, hurried()).expect("opens");
    assert!(store.lead().expect("asked"));
    let request = Append {
        request: Some(RequestId([9; 16])),
        ..append(vec![document(&zone("a.test"), "one")])
    };
    let need = |names: &str| {
        server.sql(
            "postgres",
            &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"),
        );
        server.sql("postgres", "SELECT pg_reload_conf()");
        until("the setting", || {
            (server.sql("postgres", "SHOW synchronous_standby_names") == names).then_some(())
        });
    };
    need("far");
    let error = store.append(&request).expect_err("nobody confirms");
    assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
    assert!(
        !error.may_come_again(),
        "without its id it would be doubled"
    );
    // The server waits on, and nobody leads meanwhile: what was not confirmed is still to come.
    let waits = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert!(matches!(store.last(), Err(StoreError::Lost { .. })));
    // Somebody calls the wait off: the server then calls it done, and it is not.
    assert_eq!(server.sql(&name, waits), "t");
    drop(store);
    let patience = Patience {
        appends: Duration::from_secs(60),
        ..hurried()
    };
    let mut store = Postgres::open_with(&url, patience).expect("opens");
    until("the lead", || store.lead().expect("asked").then_some(()));
    let other = append(vec![document(&zone("a.test"), "two")]);
    let cancelled = std::thread::scope(|scope| {
        scope.spawn(|| {
            until("a commit that waits", || {
                (server.sql(&name, waits) == "t").then_some(())
            });
        });
        store.append(&other)
    });
    assert!(
        matches!(cancelled, Err(StoreError::Unknown(_))),
        "{cancelled:?}"
    );
    need("");
    let again = until("an answer", || store.append(&request).ok());
    assert!(again.again, "it was there: {again:?}");
    assert_eq!(
        store
            .head(&zone("a.test"))
            .expect("head")
            .map(|head| head.number),
        Some(2)
    );
}

#[test]
fn databases_that_are_not_there_not_ours_or_not_to_be_relied_on_are_named() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (name, url) = server.database();
    let told = |url: &str| Postgres::open_with(url, hurried()).expect_err("cannot be opened");
    let gone = server.url("nosuch");
    let error = told(&gone);
    assert!(error.to_string().contains("nosuch"), "{error}");
    let nowhere = "postgres://ada:s3cret@127.0.0.1:1/edge";
    let error = told(nowhere);
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    let error = error.to_string();
    assert!(
        error.contains("127.0.0.1:1") && !error.contains("s3cret"),
        "{error}"
    );
    filled(&mut open(&url));
    server.sql(&name, "UPDATE seawall.about SET schema = 2");
    assert!(matches!(
        told(&url),
        StoreError::Newer {
            found: 2,
            known: 1,
            ..
        }
    ));
    let (other, url) = server.database();
    server.sql(
        &other,
        "CREATE SCHEMA seawall; CREATE TABLE seawall.boats (name text)",
    );
    assert!(matches!(told(&url), StoreError::Foreign { .. }));
    assert_eq!(
        server.sql(&other, "SELECT count(*) FROM seawall.boats"),
        "0"
    );
    server.sql(
        "postgres",
        "CREATE DATABASE odd ENCODING 'SQL_ASCII' TEMPLATE template0",
    );
    assert!(told(&server.url("odd")).to_string().contains("UTF8"));
}

#[test]
fn a_server_that_does_not_write_what_it_confirms_is_refused() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let (_, url) = server.database();
    let error = Postgres::open(&url).expect_err("refused").to_string();
    assert!(error.contains("fsync"), "{error}");
}

#[test]
fn what_was_changed_behind_its_back_is_named_and_what_is_derived_is_healed() {
    let Some(server) = Server::shared() else {
        return;
    };
    let first = "(SELECT hash FROM versions WHERE chain = 'zone/a.test' AND number = 1)";
    let bad = [
        (
            5,
            "UPDATE log SET why = 'nothing to see here' WHERE seq = 5".to_owned(),
        ),
        (5, "DELETE FROM log WHERE seq = 5".to_owned()),
        (7, "UPDATE log SET body = 'x' WHERE seq = 7".to_owned()),
        (
            4,
            r"UPDATE log SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 4".to_owned(),
        ),
        (1, format!("DELETE FROM documents WHERE hash = {first}")),
        (
            1,
            format!(r"UPDATE documents SET zstd = '\x00' WHERE hash = {first}"),
        ),
    ];
    for (seq, sql) in bad {
        let (name, url) = server.database();
        filled(&mut open(&url));
        server.sql(&name, &format!("SET search_path = seawall; {sql}"));
        let broken = open(&url).verify().expect("verify").expect_err(&sql);
        assert_eq!(broken.seq, seq, "{sql}: {broken}");
    }
    let (name, url) = server.database();
    let mut store = open(&url);
    filled(&mut store);
    let before = store.derived().expect("derived");
    server.sql(
        &name,
        "SET search_path = seawall; DELETE FROM heads; UPDATE versions SET number = number + 100; DELETE FROM rollouts; DELETE FROM standing",
    );
    assert_ne!(store.derived().expect("derived"), before);
    store.rebuild().expect("rebuilt");
    assert_eq!(store.derived().expect("derived"), before);
}

/// Time is printed and not judged.
#[test]
fn many_zones_in_one_append() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    let mut store = open(&url);
    let zones: u32 = if is_long() { 100_000 } else { 5_000 };
    let change = |nth| {
        let chain = zone(&format!("z{nth}.test"));
        let text = format!(
            "schema = 1\n\n[[zone]]\nname = \"z{nth}.test\"\nhosts = [\"z{nth}.test\"]\norigin = [{{ url = \"http://10.0.0.1:8080\" }}]\n"
        );
        let start = Change::Start {
            kind: Kind::Zone,
            chain: chain.clone(),
            from: None,
            with: None,
        };
        [document(&chain, &text), start]
    };
    let changes: Vec<Change> = (0..zones).flat_map(change).collect();
    let measured = |what: &str, begun: Instant| {
        println!(
            "measured: PostgreSQL, {zones} zones, {what} = {:.2} s",
            begun.elapsed().as_secs_f64()
        );
    };
    let begun = Instant::now();
    let done = store.append(&append(changes)).expect("appended");
    measured("one append", begun);
    assert_eq!(done.last, 2 * u64::from(zones));
    let begun = Instant::now();
    assert_eq!(store.verify().expect("verify"), Ok(done.last));
    measured("verified", begun);
    let before = store.derived().expect("derived");
    let begun = Instant::now();
    store.rebuild().expect("rebuilt");
    measured("rebuilt", begun);
    assert_eq!(store.derived().expect("derived"), before);
    let begun = Instant::now();
    for nth in 0..100 {
        let text = child::text(nth);
        store
            .append(&append(vec![document(&zone("a.test"), &text)]))
            .expect("appended");
    }
    measured("100 appends of one version", begun);
}

#[test]
fn the_way_is_encrypted_and_ends_at_who_was_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let options = ["ssl=on", "listen_addresses=127.0.0.1"];
    let mut certificate = None;
    let made = Server::start_with(&options, port, |server| {
        certificate = Some(server.certificate());
    });
    let (Some(server), Some(certificate)) = (made, certificate) else {
        return;
    };
    let (name, _) = server.database();
    let url = format!("postgres://seawall@127.0.0.1:{port}/{name}?sslmode=require");
    let error = Postgres::open_with(&url, hurried()).expect_err("not believed");
    assert!(error.to_string().contains("certificate"), "{error}");
    let url = format!("{url}&sslrootcert={}", certificate.display());
    let mut store = Postgres::open(&url).expect("opens");
    filled(&mut store);
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name LIKE 'seawall%'";
    assert_eq!(server.sql(&name, sql), "1");
}
