//! One worker's State goes on where another's has stopped.

mod workers;

use seawall_harness::client::{Connection, Target};
use seawall_proxy::origin::Outcome;
use seawall_proxy::stages::STAGES;
use workers::{Sockets, Worker, snapshot, state};

const TEXT: &str = "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{ url = \"sample\" }]\n\
                    [zone.lists]\nonly = [\"192.0.2.0/24\"]\n\
                    [[zone]]\nname = \"b.test\"\nhosts = [\"b.test\"]\n\
                    origin = [{ url = \"http://127.0.0.1:1\" }, { url = \"http://127.0.0.1:2\" }]\n";

fn metrics(worker: &Worker) -> String {
    let mut out = String::new();
    seawall_telemetry::render(&worker.state.registry, &mut out);
    out
}

#[test]
fn counters_go_on_and_an_origin_that_is_down_stays_down() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sockets = Sockets::bind(false);
        let old = Worker::start(state(STAGES), TEXT, &[&sockets]);
        let target = Target {
            address: sockets.address,
            tls: None,
        };
        for _ in 0..3 {
            let mut client = Connection::open(&target).await.unwrap();
            let get = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            let answer = client.exchange("GET", get).await.unwrap().unwrap();
            assert_eq!(answer.status, 403, "the list is for others");
        }
        let line = "seawall_requests_total{zone=\"a.test\",status=\"4xx\",http=\"HTTP/1.1\"} 3";
        let counted = || {
            metrics(&old)
                .lines()
                .any(|other| other == line)
                .then_some(())
        };
        seawall_harness::patience::until(line, counted)
            .await
            .unwrap();
        let live = old.shared.slot.load();
        let pool = live.zone(b"b.test").unwrap().pool();
        for _ in 0..5 {
            pool.report(0, Outcome::ConnectFailed, old.state.guard.now());
        }
        let handed = old.state.hand_over();

        let new = state(STAGES);
        new.zone_ids.restore(
            old.state
                .zone_ids
                .all()
                .iter()
                .map(|(name, id)| (name.as_str(), *id)),
        );
        let snapshot = snapshot(&new, TEXT);
        let refused = || new.guard.stage_totals()[0].1[0];
        let out = || {
            snapshot
                .zone(b"b.test")
                .unwrap()
                .pool()
                .describe(old.state.guard.now())
                .members[0]
                .ejected_for_ms
        };
        // Cut short it changes nothing.
        for length in [0, 1, 16, handed.len() / 2, handed.len() - 1] {
            new.take_over(&handed[..length], old.state.guard.now());
            assert_eq!((refused(), out()), (0, None));
        }
        new.take_over(&handed, old.state.guard.now());
        // The same once more changes nothing either.
        new.take_over(&handed, old.state.guard.now());
        assert_eq!(
            new.guard.stage_totals()[0],
            ("lists".into(), [3, 0, 0, 0, 0, 0])
        );
        assert!(out().is_some_and(|ms| ms > 1_000), "{:?}", out());
        let mut text = String::new();
        seawall_telemetry::render(&new.registry, &mut text);
        assert!(text.lines().any(|other| other == line), "{text}");
    });
}
