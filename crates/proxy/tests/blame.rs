//! What a worker's blame page says while it serves: which zone, version and stage each thread runs, and that it runs.

mod workers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_guard::blame::{Phase, Runs};
use seawall_guard::{
    Budget, OnFault, OnKill, OnSpent, Seam, Seams, Stage, StageDef, Verdict, ZoneInput,
};
use seawall_harness::client::{Connection, Target};
use seawall_harness::patience::until;
use seawall_model::document::{SkipSet, StageMode};
use seawall_model::{Fuel, RequestView, Spent};
use workers::{Sockets, THREADS, Worker, state};

/// Does not come back before it is let go, as a loop that no fuel meters.
struct Hangs;

static LET_GO: AtomicBool = AtomicBool::new(false);

impl Stage for Hangs {
    fn judge(&self, request: &RequestView<'_>, _: &mut Fuel) -> Result<Verdict, Spent> {
        while request.head.path() == b"/hang" && !LET_GO.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Verdict::Pass)
    }
}

static IDLE: StageDef = StageDef {
    name: "idle",
    what: "Does nothing.",
    budget: Budget {
        fuel: 1,
        body_fuel: 0,
        body: 0,
    },
    on_spent: OnSpent::Pass,
    on_fault: OnFault::Open,
    on_kill: OnKill::Off,
    needs: &[],
    reasons: &[],
    asks_again: false,
    optional: true,
    skipped_by: SkipSet::NONE,
    build: |_: &mut ZoneInput<'_>| Seams::new(StageMode::Off),
};

static HANGS: StageDef = StageDef {
    name: "hangs",
    what: "Hangs.",
    build: |_| {
        let mut seams = Seams::new(StageMode::Enforce);
        seams.add(Seam::Judge(Box::new(Hangs)));
        seams
    },
    ..IDLE
};

static STAGES: &[&StageDef] = &[&IDLE, &HANGS];

const TEXT: &str = "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{ url = \"sample\" }]\n\
                    [[zone]]\nname = \"b.test\"\nhosts = [\"b.test\"]\norigin = [{ url = \"sample\" }]\n";

fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills a struct of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

#[test]
fn a_stage_that_hangs_is_named_with_its_zone_and_its_thread_is_told_from_the_others() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let sockets = Sockets::bind(false);
        let worker = Worker::start(state(STAGES), TEXT, &[&sockets]);
        let target = Target {
            address: sockets.address,
            tls: None,
        };
        let page = worker.page;
        let beat = |slot: usize| page.heartbeat(slot);
        let all = || (0..THREADS).all(|slot| beat(slot) > 0).then_some(());
        until("every thread's first heartbeat", all).await.unwrap();
        let first: Vec<u64> = (0..THREADS).map(beat).collect();
        let more = || {
            (0..THREADS)
                .all(|slot| beat(slot) > first[slot])
                .then_some(())
        };
        until("every thread's next heartbeat", more).await.unwrap();
        let mut served = Connection::open(&target).await.unwrap();
        let get = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let answer = served.exchange("GET", get).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        // Its client may have the answer a moment before the thread is back.
        let idle = || (0..THREADS).all(|slot| page.read(slot).is_none());
        until("what was served to be over", || idle().then_some(()))
            .await
            .unwrap();

        let mut hung = Connection::open(&target).await.unwrap();
        hung.send(b"GET /hang HTTP/1.1\r\nHost: b.test\r\n\r\n")
            .await;
        let stale = || page.stale(now(), 600).next();
        let slot = until("a thread that does not move", stale).await.unwrap();
        let snapshot = worker.shared.slot.load();
        let zone = snapshot.zone(b"b.test").unwrap();
        let seen = page.read(slot).unwrap();
        let expected = Runs {
            zone: zone.id.0,
            version: zone.version_number,
            platform: snapshot.platform,
            stage: Phase::Judge.with(1),
            ray: seen.ray,
        };
        assert_eq!(seen, expected);
        assert_eq!(format!("{:012x}", seen.version), *zone.version);
        assert!(seen.platform != 0 && seen.ray != 0);
        let others = (0..THREADS).filter(|other| *other != slot);
        let moving = || page.stale(now(), 600).eq([slot]).then_some(());
        until("the other threads, which go on", moving)
            .await
            .unwrap();
        assert_eq!(others.clone().filter_map(|slot| page.read(slot)).count(), 0);

        LET_GO.store(true, Ordering::Release);
        let answer = hung.response("GET").await.unwrap().unwrap();
        // The same as its client was told, so that a report can be found again in the log.
        let ray = answer.ray().unwrap();
        assert!(ray.starts_with(&format!("{:016x}-", seen.ray)), "{ray}");
        let over = || page.read(slot).is_none().then_some(());
        until("the hung request to be over", over).await.unwrap();
    });
}
