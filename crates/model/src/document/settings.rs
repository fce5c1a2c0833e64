//! How a zone is served: everything that has a default, which most of many zones leave as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use super::balance::{Balance, Circuit, Outlier};
use super::cache::ZoneCache;
use super::compress::Compress;
use super::guard::{
    Maintenance, ZoneBody, ZoneDdos, ZoneHotlink, ZoneHygiene, ZoneLists, ZoneTransform,
};
use super::headers::HeaderEdits;
use super::lists::ListNames;
use super::origin::{HealthCheck, Passive, Retry, Timeouts};
use super::rate::{RateLimit, ZoneRate};
use super::reader::{Reader, put};
use super::rule::{Rule, ZoneRules};
use super::waf::ZoneWaf;
use super::write::Entries;
use super::zone::{Certificate, Hsts, Tls};
use crate::problem::Wrong;

/// How a zone is served: everything that has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    /// Active checks of the origins. Default: none.
    pub health: Option<HealthCheck>,
    /// What failures of real requests do to an origin.
    pub passive: Passive,
    /// Which origin gets a request.
    pub balance: Balance,
    /// Ejection of origins that fail more often than the others.
    pub outlier: Outlier,
    /// What each origin may be given at once.
    pub circuit: Circuit,
    /// How long an origin is waited for.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retry: Retry,
    /// What of its responses is kept here.
    pub cache: ZoneCache,
    /// What is compressed on its way to the client. Default: nothing.
    pub compress: Option<Compress>,
    /// TLS towards clients.
    pub tls: Tls,
    /// Whether plain HTTP is redirected to HTTPS. Default false.
    pub redirect_https: bool,
    /// `Strict-Transport-Security`. Default: not sent.
    pub hsts: Option<Hsts>,
    /// Edits of what the origin gets.
    pub request_headers: HeaderEdits,
    /// Edits of what the client gets.
    pub response_headers: HeaderEdits,
    /// Bytes of a request body. Default: no limit.
    pub max_body: Option<u64>,
    /// Whether WebSocket upgrades are let through. Default true.
    pub websocket: bool,
    /// Some of its requests are kept in memory for a while, to judge changes by.
    pub replay: bool,
    /// Whether only files and this machine's owner change it, and not the API. Default false.
    pub managed_by_file: bool,
    /// What becomes of requests that an expression fits, in this order: `[[zone.rule]]`. Default: none.
    pub rules: Vec<Rule>,
    /// The stage `rules` as a whole: `[zone.rules]`.
    pub rule_stage: ZoneRules,
    /// How many requests somebody may make in a time: `[[zone.rate_limit]]`. Default: no limits.
    pub rate_limits: Vec<RateLimit>,
    /// The stage `rate` as a whole: `[zone.rate]`.
    pub rate: ZoneRate,
    /// The stage `lists`: client addresses that are refused or let through.
    pub lists: ZoneLists,
    /// The stage `ddos`: limits on one client address.
    pub ddos: ZoneDdos,
    /// The stage `body`: what request bodies may hold.
    pub body: ZoneBody,
    /// The stage `hotlink`: files that other sites embed.
    pub hotlink: ZoneHotlink,
    /// The stage `hygiene`: headers of responses.
    pub hygiene: ZoneHygiene,
    /// The stage `transform`: `redirect_https` and `request_headers`.
    pub transform: ZoneTransform,
    /// The stage `waf`: rules in SecLang.
    pub waf: ZoneWaf,
    /// Whether the zone answers 503 with a page that says why.
    pub maintenance: Maintenance,
}

impl Default for ZoneSettings {
    fn default() -> Self {
        Self {
            health: None,
            passive: Passive::default(),
            balance: Balance::default(),
            outlier: Outlier::default(),
            circuit: Circuit::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            cache: ZoneCache::default(),
            compress: None,
            tls: Tls::default(),
            redirect_https: false,
            hsts: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            max_body: None,
            websocket: true,
            replay: true,
            managed_by_file: false,
            rules: Vec::new(),
            rule_stage: ZoneRules::default(),
            rate_limits: Vec::new(),
            rate: ZoneRate::default(),
            lists: ZoneLists::default(),
            ddos: ZoneDdos::default(),
            body: ZoneBody::default(),
            hotlink: ZoneHotlink::default(),
            hygiene: ZoneHygiene::default(),
            transform: ZoneTransform::default(),
            waf: ZoneWaf::default(),
            maintenance: Maintenance::default(),
        }
    }
}

impl ZoneSettings {
    /// All as it is by default, once for all zones.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<ZoneSettings>> = LazyLock::new(Arc::default);
        SHARED.clone()
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = match &mut self.tls.certificate {
            Certificate::Files(files) => [Some(&mut files.cert), Some(&mut files.key)],
            Certificate::SelfSigned | Certificate::Acme => [None, None],
        };
        let own = own.into_iter().flatten();
        own.chain(&mut self.tls.client_ca)
            .chain(&mut self.maintenance.page)
            .chain(self.waf.files_mut())
    }

    pub(super) fn read(reader: &mut Reader<'_, '_>, lists: &ListNames<'_>) -> Self {
        let mut zone = Self::default();
        put(&mut zone.redirect_https, reader.flag("redirect_https"));
        put(&mut zone.websocket, reader.flag("websocket"));
        put(&mut zone.replay, reader.flag("replay"));
        zone.managed_by_file = reader.choice("managed_by") == Some("file");
        zone.max_body = reader.size("max_body");
        zone.health = reader.table("health").map(HealthCheck::read);
        put(
            &mut zone.passive,
            reader.table("passive").map(Passive::read),
        );
        zone.read_spread(reader);
        put(
            &mut zone.timeouts,
            reader.table("timeouts").map(Timeouts::read),
        );
        put(&mut zone.retry, reader.table("retry").map(Retry::read));
        put(&mut zone.cache, reader.table("cache").map(ZoneCache::read));
        zone.compress = reader.table("compress").map(Compress::read);
        put(&mut zone.tls, reader.table("tls").map(Tls::read));
        zone.hsts = reader.table("hsts").map(Hsts::read);
        let edits = reader
            .table("request_headers")
            .map(|reader| HeaderEdits::read(reader, true));
        put(&mut zone.request_headers, edits);
        let edits = reader
            .table("response_headers")
            .map(|reader| HeaderEdits::read(reader, false));
        put(&mut zone.response_headers, edits);
        zone.read_guard(reader, lists);
        zone
    }

    /// How requests are spread over the origins.
    fn read_spread(&mut self, reader: &mut Reader<'_, '_>) {
        put(
            &mut self.balance,
            reader.table("balance").map(Balance::read),
        );
        put(
            &mut self.outlier,
            reader.table("outlier").map(Outlier::read),
        );
        put(
            &mut self.circuit,
            reader.table("circuit").map(Circuit::read),
        );
    }

    fn read_guard(&mut self, reader: &mut Reader<'_, '_>, lists: &ListNames<'_>) {
        let (most, mut names) = (reader.limits.rules_per_zone, BTreeMap::new());
        let rules = reader.tables("rule", most, |reader| Rule::read(reader, &mut names));
        put(&mut self.rules, rules);
        match reader.peek("rules") {
            Some(found) if found.value.is_array() => {
                reader.take("rules");
                let help = "write [[zone.rule]] for each rule; [zone.rules] is the stage";
                let wrong = Wrong::new("is a list, not a table", help);
                reader.refuse("rules", Some(found.offset), wrong);
            }
            _ => put(
                &mut self.rule_stage,
                reader.table("rules").map(ZoneRules::read),
            ),
        }
        let mut names = BTreeMap::new();
        let limits = reader.tables("rate_limit", most, |reader| {
            RateLimit::read(reader, &mut names)
        });
        put(&mut self.rate_limits, limits);
        put(&mut self.rate, reader.table("rate").map(ZoneRate::read));
        let read = reader.table("lists");
        put(
            &mut self.lists,
            read.map(|reader| ZoneLists::read(reader, lists)),
        );
        put(&mut self.ddos, reader.table("ddos").map(ZoneDdos::read));
        put(&mut self.body, reader.table("body").map(ZoneBody::read));
        put(
            &mut self.hotlink,
            reader.table("hotlink").map(ZoneHotlink::read),
        );
        put(
            &mut self.hygiene,
            reader.table("hygiene").map(ZoneHygiene::read),
        );
        put(
            &mut self.transform,
            reader.table("transform").map(ZoneTransform::read),
        );
        let read = reader.table("waf");
        put(
            &mut self.waf,
            read.map(|reader| ZoneWaf::read(reader, lists)),
        );
        let read = reader.table("maintenance");
        put(
            &mut self.maintenance,
            read.map(|reader| Maintenance::read(reader, lists)),
        );
    }

    pub(super) fn add_to(&self, entries: &mut Entries) {
        let default = Self::default();
        entries.flag(
            "redirect_https",
            self.redirect_https,
            default.redirect_https,
        );
        entries.flag("websocket", self.websocket, default.websocket);
        entries.flag("replay", self.replay, default.replay);
        if self.managed_by_file {
            entries.text("managed_by", "file");
        }
        if let Some(bytes) = self.max_body {
            entries.size("max_body", bytes, u64::MAX);
        }
        if let Some(health) = &self.health {
            entries.table("health", health.entries());
        }
        entries.table_if("passive", self.passive.entries());
        entries.table_if("balance", self.balance.entries());
        entries.table_if("outlier", self.outlier.entries());
        entries.table_if("circuit", self.circuit.entries());
        entries.table_if("timeouts", self.timeouts.entries());
        entries.table_if("retry", self.retry.entries());
        entries.table_if("cache", self.cache.entries());
        if let Some(compress) = &self.compress {
            entries.table("compress", compress.entries());
        }
        entries.table_if("tls", self.tls.entries());
        if let Some(hsts) = &self.hsts {
            entries.table("hsts", hsts.entries());
        }
        entries.table_if("request_headers", self.request_headers.entries());
        entries.table_if("response_headers", self.response_headers.entries());
        entries.sections("rule", self.rules.iter().map(Rule::entries).collect());
        entries.table_if("rules", self.rule_stage.entries());
        let limits = self.rate_limits.iter().map(RateLimit::entries);
        entries.sections("rate_limit", limits.collect());
        entries.table_if("rate", self.rate.entries());
        entries.table_if("lists", self.lists.entries());
        entries.table_if("ddos", self.ddos.entries());
        entries.table_if("body", self.body.entries());
        entries.table_if("hotlink", self.hotlink.entries());
        entries.table_if("hygiene", self.hygiene.entries());
        entries.table_if("transform", self.transform.entries());
        entries.table_if("waf", self.waf.entries());
        entries.table_if("maintenance", self.maintenance.entries());
    }
}
