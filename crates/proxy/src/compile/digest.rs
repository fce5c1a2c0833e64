//! What something is, as a number: zones of two documents that have the same number are the same zone, and are compiled once.
//!
//! Everything is taken apart field by field, without `..`: a field that is added to a document and forgotten here does not
//! compile. The number is the same on every machine and in every process. It tells changes apart, not forgeries: who can choose
//! both documents may find two that share one, and harms only the zone that is his.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use seawall_model::document::{
    AccessLog, Acme, AnnouncedListeners, Balance, By, CacheKey, CacheMode, CacheRule, Certificate,
    CertificateFiles, Circuit, ClientCertificates, Coding, Compress, Edge, EdgeLimits, EdgeTtlMode,
    Eligibility, HeaderEdits, HealthCheck, Hsts, IpList, KeyQuery, ListRef, LogFile, Maintenance,
    Origin, OriginUrl, Outlier, Outward, Parent, Passive, Protocol, ProxyProtocol, RateAction,
    RateLimit, Retry, Rule, RuleAction, RuleTarget, SkipSet, StageMode, Timeouts, Tls, TlsVersion,
    WafException, WafOpenApi, WafShadow, Zone, ZoneBody, ZoneCache, ZoneDdos, ZoneHotlink,
    ZoneHygiene, ZoneLists, ZoneRate, ZoneRules, ZoneSettings, ZoneTransform, ZoneWaf,
};
use seawall_model::{Host, HostPattern, Network};

/// An odd number without a pattern: the fraction of the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that grows out of all that is added, in its order.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Digest {
    /// The number of one thing.
    pub fn of(thing: &(impl Fold + ?Sized)) -> u64 {
        let mut digest = Self::default();
        digest.add(thing);
        digest.finish()
    }

    /// Adds a thing.
    pub fn add(&mut self, thing: &(impl Fold + ?Sized)) {
        thing.fold(self);
    }

    /// Adds a number: both halves of the product, so that no bit is lost upwards.
    #[inline]
    pub fn number(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number).wrapping_mul(u128::from(SPREAD));
        self.0 = (product as u64 ^ (product >> 64) as u64)
            .rotate_left(23)
            .wrapping_add(SPREAD);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let last = rest.iter().rev();
            self.number(last.fold(0, |all, byte| all << 8 | u64::from(*byte)));
        }
    }

    /// The number.
    pub fn finish(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(SPREAD);
        mixed ^ mixed >> 29
    }

    /// The number as versions are written: 12 hexadecimal digits.
    pub fn version(number: u64) -> Box<str> {
        format!("{:012x}", Self::version_number(number)).into()
    }

    /// The number that the digits of a version are.
    pub const fn version_number(number: u64) -> u64 {
        number >> 16
    }
}

/// What can be added to a digest.
pub trait Fold {
    /// Adds it.
    fn fold(&self, digest: &mut Digest);
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Fold for $type {
            #[inline]
            fn fold(&self, digest: &mut Digest) {
                digest.number(u64::from(*self));
            }
        })*
    };
}

numbers!(bool u8 u16 u32 u64);

impl Fold for usize {
    fn fold(&self, digest: &mut Digest) {
        digest.number(*self as u64);
    }
}

impl Fold for str {
    fn fold(&self, digest: &mut Digest) {
        digest.bytes(self.as_bytes());
    }
}

impl Fold for &str {
    fn fold(&self, digest: &mut Digest) {
        digest.bytes(self.as_bytes());
    }
}

impl Fold for String {
    fn fold(&self, digest: &mut Digest) {
        digest.bytes(self.as_bytes());
    }
}

impl Fold for PathBuf {
    fn fold(&self, digest: &mut Digest) {
        digest.bytes(self.as_os_str().as_encoded_bytes());
    }
}

/// Bytes, as what a file holds.
pub struct Bytes<'a>(pub &'a [u8]);

impl Fold for Bytes<'_> {
    fn fold(&self, digest: &mut Digest) {
        digest.bytes(self.0);
    }
}

impl Fold for Duration {
    fn fold(&self, digest: &mut Digest) {
        digest.number(self.as_secs());
        digest.number(self.subsec_nanos().into());
    }
}

impl Fold for IpAddr {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::V4(v4) => digest.number(v4.to_bits().into()),
            Self::V6(v6) => {
                let bits = v6.to_bits();
                digest.number(1 << 32);
                digest.number((bits >> 64) as u64);
                digest.number(bits as u64);
            }
        }
    }
}

impl Fold for std::net::SocketAddr {
    fn fold(&self, digest: &mut Digest) {
        self.ip().fold(digest);
        self.port().fold(digest);
    }
}

impl<T: Fold> Fold for Option<T> {
    fn fold(&self, digest: &mut Digest) {
        match self {
            None => digest.number(0),
            Some(thing) => {
                digest.number(1);
                thing.fold(digest);
            }
        }
    }
}

impl<T: Fold> Fold for Vec<T> {
    fn fold(&self, digest: &mut Digest) {
        self.len().fold(digest);
        for thing in self {
            thing.fold(digest);
        }
    }
}

impl<A: Fold, B: Fold> Fold for (A, B) {
    fn fold(&self, digest: &mut Digest) {
        self.0.fold(digest);
        self.1.fold(digest);
    }
}

impl Fold for RangeInclusive<u16> {
    fn fold(&self, digest: &mut Digest) {
        self.start().fold(digest);
        self.end().fold(digest);
    }
}

impl Fold for Network {
    fn fold(&self, digest: &mut Digest) {
        self.address().fold(digest);
        self.prefix().fold(digest);
    }
}

/// Structs, by all of their fields.
macro_rules! structs {
    ($($type:ident { $($field:ident),* $(,)? })*) => {
        $(impl Fold for $type {
            fn fold(&self, digest: &mut Digest) {
                let $type { $($field),* } = self;
                $($field.fold(digest);)*
            }
        })*
    };
}

impl<T: Fold> Fold for std::sync::Arc<T> {
    fn fold(&self, digest: &mut Digest) {
        (**self).fold(digest);
    }
}

structs! {
    Zone { name, hosts, origins, settings }
    ZoneSettings {
        health, passive, balance, outlier, circuit, cache, compress, timeouts, retry, tls, redirect_https, hsts,
        request_headers, response_headers, max_body, websocket, replay, managed_by_file, rules, rule_stage,
        rate_limits, rate, lists, ddos, body, hotlink, hygiene, transform, waf, maintenance,
    }
    Origin { url, weight, protocol, host, sni, verify, ca, proxy_protocol, dotfiles, client_certificate }
    CertificateFiles { cert, key }
    HealthCheck { path, every, timeout, status, host, healthy_after, unhealthy_after }
    Passive { failures, eject_for }
    Balance { by, most_load_percent, slow_start }
    Outlier { deviation_percent, interval, requests, most_percent }
    Circuit { connections, pending, requests, retries }
    ZoneCache { mode, development_mode, slice, deception_armor, verify_digest, shield, early_hints, prefetch, rules }
    CacheRule {
        when, cache, edge_ttl, edge_ttl_mode, browser_ttl, serve_stale, store_set_cookie, key,
    }
    CacheKey { query, headers, cookies, device_type }
    Compress { codings, types, least }
    Timeouts { connect, header, idle, total }
    Retry { attempts, budget_percent }
    Tls { certificate, min_version, client, client_ca }
    Hsts { max_age, include_subdomains, preload }
    HeaderEdits { set, add, remove }
    Rule { name, when, action, mode }
    ZoneRules { mode, threshold }
    RateLimit { name, when, by, requests, per, action, mode }
    ZoneRate { mode, headers }
    ZoneLists { mode, block, allow, skip, only }
    ZoneDdos { mode, requests_per_client, errors_per_client, per, concurrent_per_client }
    ZoneBody { mode, content_types, json_depth }
    ZoneHotlink { mode, enabled, extensions, allow }
    ZoneHygiene { mode, remove, nosniff }
    ZoneTransform { mode }
    ZoneWaf {
        mode, ruleset, paranoia, threshold, response_threshold, responses, body_limit, pass_longer, response_limit,
        debug_header, exceptions, refuse_longer_response, pass_coded, methods, managed, patches, events, shadow, openapi,
    }
    WafShadow { ruleset, paranoia, threshold }
    WafOpenApi { mode, file, strict }
    WafException { rules, tags, targets, paths }
    Maintenance { enabled, message, page, retry_after, allow }
    IpList { ips, texts, numbers, hosts, file }
    Edge {
        location, http, https, http3, admin, workers, spare, trusted_proxies, proxy_protocol, outward, parents,
        unready_when, kill, public_http,
        public_https, access_log, acme, limits,
    }
    Parent { name, host, port, of }
    Acme { contact, directories, ca, challenges, dns_hook, on_demand, on_demand_most }
    Outward { public, private, loopback }
    AnnouncedListeners { http, https }
    LogFile { file, rotate_at, keep }
    EdgeLimits {
        head_bytes, target_bytes, fields, header_timeout, idle_timeout, body_idle_timeout,
        body_min_rate, write_timeout, connections, connections_per_client,
        requests_per_connection, requests_in_progress, body_memory, cache_memory, cache_disk, client_table, h2_streams,
        tls_handshake_timeout, drain, retire, memory, soak,
    }
}

/// Enums without fields, by the order in which they stand here.
macro_rules! words {
    ($($type:ident { $($word:ident = $number:literal),* $(,)? })*) => {
        $(impl Fold for $type {
            fn fold(&self, digest: &mut Digest) {
                digest.number(match self {
                    $(Self::$word => $number,)*
                });
            }
        })*
    };
}

words! {
    Protocol { Auto = 0, Http1 = 1, Http2 = 2 }
    ProxyProtocol { Off = 0, V1 = 1, V2 = 2 }
    Coding { Zstd = 0, Brotli = 1, Gzip = 2 }
    TlsVersion { Tls12 = 0, Tls13 = 1 }
    ClientCertificates { Off = 0, Optional = 1, Required = 2 }
    StageMode { Off = 0, Watch = 1, Enforce = 2 }
    RateAction { Block = 0, Log = 1 }
    CacheMode { Off = 0, Standard = 1, Everything = 2 }
    Eligibility { Eligible = 0, Bypass = 1 }
    EdgeTtlMode { RespectOrigin = 0, OverrideOrigin = 1 }
}

impl Fold for SkipSet {
    fn fold(&self, digest: &mut Digest) {
        for word in self.words() {
            word.fold(digest);
        }
        digest.number(u64::MAX);
    }
}

impl Fold for HostPattern {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Any => digest.number(0),
            Self::Exact(host) => {
                digest.number(1);
                host.fold(digest);
            }
            Self::Under(name) => {
                digest.number(2);
                name.fold(digest);
            }
        }
    }
}

impl Fold for By {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Load => digest.number(0),
            Self::Client => digest.number(1),
            Self::Path => digest.number(2),
            Self::Header(name) => {
                digest.number(3);
                name.fold(digest);
            }
            Self::Cookie(name) => {
                digest.number(4);
                name.fold(digest);
            }
        }
    }
}

impl Fold for KeyQuery {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::All => digest.number(0),
            Self::Ignored => digest.number(1),
            Self::Include(names) => {
                digest.number(2);
                names.fold(digest);
            }
            Self::Exclude(names) => {
                digest.number(3);
                names.fold(digest);
            }
        }
    }
}

impl Fold for OriginUrl {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Sample => digest.number(0),
            Self::Server { tls, host, port } => {
                digest.number(1);
                tls.fold(digest);
                match host {
                    Host::Name(name) => name.fold(digest),
                    Host::Ip(ip) => {
                        digest.number(u64::MAX);
                        ip.fold(digest);
                    }
                }
                port.fold(digest);
            }
            Self::Unix(path) => {
                digest.number(2);
                path.fold(digest);
            }
            Self::Files(path) => {
                digest.number(3);
                path.fold(digest);
            }
        }
    }
}

impl Fold for ListRef {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Named(name) => {
                digest.number(0);
                name.fold(digest);
            }
            Self::Network(network) => {
                digest.number(1);
                network.fold(digest);
            }
        }
    }
}

impl Fold for Certificate {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::SelfSigned => digest.number(0),
            Self::Acme => digest.number(1),
            Self::Files(files) => {
                digest.number(2);
                files.fold(digest);
            }
        }
    }
}

impl Fold for AccessLog {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Off => digest.number(0),
            Self::File(file) => {
                digest.number(1);
                file.fold(digest);
            }
        }
    }
}

impl Fold for RuleTarget {
    fn fold(&self, digest: &mut Digest) {
        match self {
            Self::Text(text) => {
                digest.number(0);
                text.fold(digest);
            }
            Self::Expression(text) => {
                digest.number(1);
                text.fold(digest);
            }
        }
    }
}

impl Fold for RuleAction {
    fn fold(&self, digest: &mut Digest) {
        self.word().fold(digest);
        match self {
            Self::Log => {}
            Self::Skip(set) => set.fold(digest),
            Self::Block { status } => status.fold(digest),
            Self::Redirect {
                status,
                to,
                keep_path,
                keep_query,
            } => {
                status.fold(digest);
                to.fold(digest);
                keep_path.fold(digest);
                keep_query.fold(digest);
            }
            Self::Rewrite {
                path,
                strip_prefix,
                add_prefix,
                query,
            } => {
                path.fold(digest);
                strip_prefix.fold(digest);
                add_prefix.fold(digest);
                query.fold(digest);
            }
            Self::Header(edits) => edits.fold(digest),
            Self::Weigh(score) => score.fold(digest),
        }
    }
}

#[cfg(test)]
mod tests;
