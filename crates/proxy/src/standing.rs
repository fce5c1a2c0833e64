//! Whether a request that was admitted long ago still would be: tunnels and streams outlive the configuration that let them in.
//!
//! When another configuration is live, the stages that can do so judge the request once more, as it came. The first look costs a
//! load; judging happens once for each swap.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use seawall_guard::blame::{self, Phase, Runs};
use seawall_guard::{Scope, Subject};
use seawall_model::{ConnFacts, RequestHead};

use crate::thread::Thread;

/// How often a tunnel that is silent looks: a ban must close it within ten seconds.
pub const LOOK: Duration = Duration::from_secs(3);

/// Who was admitted, and under which configuration.
pub struct Standing<'a> {
    thread: &'a Thread,
    conn: &'a ConnFacts,
    client: IpAddr,
    https: bool,
    judged: Cell<u64>,
    /// What the zone was made of.
    content: u64,
    scope: Scope,
}

impl<'a> Standing<'a> {
    /// Admitted just now.
    ///
    /// `content` tells what the zone was made of: as long as that is the same, there is nothing to judge anew. `scope`: by these
    /// stages.
    pub fn new(
        thread: &'a Thread,
        conn: &'a ConnFacts,
        client: IpAddr,
        https: bool,
        content: u64,
        scope: Scope,
    ) -> Self {
        Self {
            thread,
            conn,
            client,
            https,
            judged: Cell::new(thread.snapshot.generation()),
            content,
            scope,
        }
    }

    /// Whether the request would still be admitted.
    #[inline]
    pub fn holds(&self, head: &RequestHead) -> bool {
        let live = self.thread.snapshot.generation();
        live == self.judged.get() || self.judge(head, live)
    }

    #[cold]
    fn judge(&self, head: &RequestHead, live: u64) -> bool {
        self.judged.set(live);
        let snapshot = self.thread.snapshot.load();
        let from = self.conn.peer.ip();
        let chosen = snapshot.choose(head.authority(), from, self.client);
        let Some(zone) = chosen.zone else {
            return false;
        };
        let snapshot = chosen.snapshot;
        if zone.content == self.content && !zone.guard.is_anything_killed() {
            return true;
        }
        let subject = Subject {
            conn: self.conn,
            client: self.client,
            https: self.https,
            now: self.thread.shared.now(),
            scope: self.scope,
        };
        // By a configuration that did not let it in: what comes of it is that one's doing.
        let _meanwhile = blame::meanwhile(&Runs {
            zone: zone.id.0,
            version: zone.version_number,
            platform: snapshot.platform,
            stage: Phase::Between.alone(),
            ray: 0,
        });
        zone.guard.judge_again(head, &subject).is_ok()
    }
}
