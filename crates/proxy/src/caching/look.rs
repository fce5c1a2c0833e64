//! Before an origin is asked: what is stored, who asks already, and what is to be asked.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::cache::Joined;
use seawall_cache::disk::Reading;
use seawall_cache::fill::{Follower, Told};
use seawall_cache::key::{Key, Parts as KeyParts};
use seawall_cache::memory::{Entry, Found};
use seawall_cache::policy::{
    Failure, Forwarded, Status, Use, Vary, advice, asks_the_origin, consider, is_steering,
    is_usual, steers,
};
use seawall_guard::Admitted;
use seawall_model::{FieldId, Method, RequestHead};
use seawall_telemetry::Source;
use tokio::time::Instant;

use super::reading::Given;
use super::rules::Planned;
use super::{Cached, Way, background, now};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::forward::{self, Client};
use crate::relay;
use crate::snapshot::Zone;
use crate::thread::Parts;

/// Fields that make an answer good for one client only: the cache validates without them.
const OF_ONE: [&[u8]; 4] = [
    b"if-none-match",
    b"if-modified-since",
    b"if-range",
    b"range",
];

/// Whether a field makes an answer good for one client only.
pub(super) fn is_of_one(name: &[u8]) -> bool {
    OF_ONE.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Whether a request has the credentials of its client; not those that the zone adds for all.
fn has_credentials(admitted: &Admitted<'_>) -> bool {
    let mut fields = admitted.fields();
    admitted.head().fields.has(FieldId::Authorization)
        && fields.any(|(field, is_ours)| field.id == FieldId::Authorization && !is_ours)
}

/// How long the head of another one's answer is waited for. An origin that hangs must not hang all who ask for the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is on disk is waited for.
pub(super) const DISK: Duration = Duration::from_millis(500);
/// How often it is looked whether the client is still there, and may still be served.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What came of looking.
enum Looked {
    /// The client has its answer.
    Answered,
    /// The origin is asked.
    Goes(Box<Way>),
}

impl<'a> Exchange<'a, '_> {
    /// Answers from what is stored, or goes to the origin and stores what comes.
    pub async fn cached(
        &mut self,
        zone: &'a Arc<Zone>,
        planned: &Planned<'a>,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        self.cached = Cached {
            browser_ttl: planned.plan.browser_ttl,
            is_new: false,
            is_odd: self.steers(planned, admitted.head()),
            shape: Some(planned.shape),
        };
        if self.is_to_forget(zone, planned, admitted, parts).await {
            return;
        }
        let mut way = match self.look(zone, planned, admitted, parts).await {
            Looked::Answered => return,
            Looked::Goes(way) => way,
        };
        if zone.links.is_any() && !self.is_of_location() {
            way.look_at_links(zone.links, admitted.head());
            Box::pin(self.hint_early(zone, &way, admitted.head())).await;
        }
        let validates = way.lead.is_some() && way.seen.is_some();
        let sliced = way.seen.as_ref().map(|seen| seen.body.sliced().is_some());
        let is_sliced = sliced.unwrap_or(false);
        let key = Arc::clone(&way.key);
        self.way = Some(way);
        let has = |name: &[u8]| admitted.head().fields.named(name).is_some();
        // Of a large body that has changed a client gets the part that it asked for, and no more.
        let keeps_range = is_sliced && !has(b"if-range");
        let reduced = (validates && OF_ONE.iter().any(|name| has(name))).then(|| {
            admitted.reduced(|field, _| {
                let is_kept_range = keeps_range && field.name.eq_ignore_ascii_case(b"range");
                let stays = is_of_one(field.name) && !is_kept_range;
                (!stays).then_some(Cow::Borrowed(field.value))
            })
        });
        let asked = reduced.as_ref().unwrap_or(admitted);
        let mut relayed = relay::relay(self, zone, asked, parts).await;
        let Some(mut way) = self.way.take() else {
            return;
        };
        let fault = relayed.as_ref().err().map(|failed| failed.fault);
        let may_be_made_good = fault.is_some_and(|fault| !fault.is_of_one());
        if may_be_made_good && self.refusal.is_none() && !self.response.has_begun() {
            way.stands_in_for(Failure::Unreachable, now());
        }
        if let Some((entry, status)) = way.instead() {
            self.outcome.fault = None;
            let given = Given::Entry(entry, Some(Arc::clone(&way.key)));
            return self
                .give_kept(zone, &key, given, status, Source::Origin, admitted, parts)
                .await;
        }
        if let Err(failed) = &mut relayed {
            failed.fault = way.failed(failed.fault, false);
        }
        parts.cache.clone_from(&way.said);
        self.fetch_beside(zone, &mut way, admitted);
        let fault = fault.filter(|fault| fault.may_be_of_all());
        if let (Some(lead), Some(fault)) = (way.lead.take(), fault) {
            lead.fail_for_all(fault.answer().slug, fault.is_anybodys());
        }
        if let Err(failed) = relayed {
            self.failed(failed, zone, admitted, parts).await;
        }
    }

    /// What the client is told of a fault while an origin is asked; the cache's word of it goes with that.
    pub fn failed_on_its_way(&mut self, fault: Fault, parts: &mut Parts) -> Fault {
        let Some(way) = self.way.as_deref_mut() else {
            return fault;
        };
        let told = way.failed(fault, false);
        parts.cache.clone_from(&way.said);
        told
    }

    /// What is to be done with a request.
    async fn look(
        &mut self,
        zone: &'a Arc<Zone>,
        planned: &Planned<'_>,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Looked {
        let head = admitted.head();
        let cache = Arc::clone(&self.thread.shared.cache);
        let https = self.client.https;
        let key = Key::of(&KeyParts {
            zone: zone.id.0,
            https,
            request: head,
            shape: planned.shape,
        });
        let (key, fits) = match key {
            Some(key) => (Arc::new(key), true),
            None => (Arc::default(), false),
        };
        let is_odd = self.cached.is_odd;
        let has_credentials = has_credentials(admitted);
        let goes = |why| {
            let mut way = Box::new(Way::new(&cache, planned, &key, https, why));
            way.is_odd = is_odd;
            way.has_credentials = has_credentials;
            way
        };
        let bypass = |detail| {
            let mut way = goes(Forwarded::Bypass);
            way.detail = Some(detail);
            Looked::Goes(way)
        };
        match head.method {
            _ if !fits => return bypass("long"),
            Method::Get | Method::Head => {}
            _ => return Looked::Goes(goes(Forwarded::Method)),
        }
        if let Some(why) = planned.bypass {
            return bypass(why);
        }
        // A body is in no key (a "fat GET").
        if !self.body.is_done() {
            return bypass("body");
        }
        if asks_the_origin(head) {
            return bypass("condition");
        }
        let advised = advice(head, &planned.plan);
        let mut beside: Option<Vary> = None;
        let mut now = now();
        let mut found = cache.find(&key, head);
        if !matches!(found, Found::Entry(_))
            && let Some(reading) = cache.look_on_disk(&key)
            && let Some(entry) = self.read(reading, head).await
        {
            found = Found::Entry(entry);
            now = super::now();
        }
        loop {
            let (seen, why) = match found {
                Found::Entry(entry) => {
                    let used = consider(&entry.life, &advised, now, entry.stamp.outdated());
                    if used == Use::Validate {
                        (Some(entry), Forwarded::Stale)
                    } else {
                        let validates = used == Use::WhileValidated;
                        self.hit(zone, planned, &key, entry, validates, admitted, parts)
                            .await;
                        return Looked::Answered;
                    }
                }
                Found::Others(entry) => {
                    beside = Some(entry.vary.clone());
                    (None, Forwarded::VaryMiss)
                }
                Found::Nothing => (None, Forwarded::UriMiss),
            };
            if advised.only_if_cached {
                self.not_stored(zone, admitted, parts).await;
                return Looked::Answered;
            }
            let mut way = goes(why);
            if is_odd {
                // Nothing of it is stored, and nothing that is stored is judged by it.
                way.detail = Some("odd-request");
                return Looked::Goes(way);
            }
            way.seen = seen;
            if head.method == Method::Head {
                return Looked::Goes(way);
            }
            let has = |name: &&[u8]| head.fields.named(name).is_some();
            // What nobody asks for yet is asked for as it is, alone: all of it may be far more than a part, or than "not modified".
            let alone = way.seen.is_none() && OF_ONE.iter().any(has);
            let goes_alone = |way: &mut Way| {
                let lead = cache.alone(&key);
                match alone && head.fields.has(FieldId::Range) {
                    true => way.learns = (planned.plan.slice > 0).then(|| Box::new(lead)),
                    false => way.lead = Some(lead),
                }
            };
            let joined = match alone {
                true => cache
                    .follow(&key, head, beside.as_ref())
                    .map(Joined::Follow),
                false => Some(cache.join(&key, head, way.seen.as_ref(), beside.as_ref(), now)),
            };
            let Some(joined) = joined else {
                goes_alone(&mut way);
                return Looked::Goes(way);
            };
            match joined {
                Joined::Lead(lead) => {
                    way.lead = Some(lead);
                    return Looked::Goes(way);
                }
                Joined::Found(entry) => found = Found::Entry(entry),
                Joined::Follow(mut follower) => {
                    // For whoever's time is over while it waits.
                    way.say(Status {
                        forwarded: Some(why),
                        collapsed: true,
                        ..Status::default()
                    });
                    parts.cache.clone_from(&way.said);
                    let told = match self.told(zone, &mut follower, head).await {
                        Ok(told) => told,
                        Err(fault) => {
                            self.refuse(fault, Some(zone), head, parts).await;
                            return Looked::Answered;
                        }
                    };
                    let (given, ttl) = match told {
                        Told::Begun(begun) => (Given::Fill(begun, follower), None),
                        Told::Entry(entry) => {
                            let ttl = entry.ttl(super::now());
                            (Given::Entry(entry, Some(Arc::clone(&key))), Some(ttl))
                        }
                        Told::Lead(lead) if !alone => {
                            way.lead = Some(lead);
                            return Looked::Goes(way);
                        }
                        Told::Others(vary) => {
                            beside = Some(vary);
                            now = super::now();
                            found = cache.find(&key, head);
                            continue;
                        }
                        Told::Failed(failure, word) => {
                            if way.stands_in_for(failure, super::now()) {
                                return self.instead_of_waiting(zone, way, admitted, parts).await;
                            }
                            if let Some(fault) = word.and_then(Fault::of_all) {
                                let fault = way.failed(fault, true);
                                parts.cache.clone_from(&way.said);
                                self.refuse(fault, Some(zone), head, parts).await;
                                return Looked::Answered;
                            }
                            goes_alone(&mut way);
                            return Looked::Goes(way);
                        }
                        // Whoever asks for a part cannot lead those who ask for all: the next of them does.
                        Told::Alone | Told::Lead(_) => {
                            // First: a leader that nobody follows leaves nothing behind.
                            drop(follower);
                            goes_alone(&mut way);
                            return Looked::Goes(way);
                        }
                    };
                    let status = Status {
                        forwarded: Some(why),
                        ttl,
                        collapsed: true,
                        ..Status::default()
                    };
                    self.give_kept(zone, &key, given, status, Source::Cache, admitted, parts)
                        .await;
                    return Looked::Answered;
                }
            }
        }
    }

    /// Whether a request has fields that steer its origin elsewhere and are in no key. Those that the zone adds do not count, nor what
    /// a proxy says that is believed.
    fn steers(&self, planned: &Planned<'_>, head: &RequestHead) -> bool {
        let came = self.original.as_deref().unwrap_or(head);
        let is_known = |name: &[u8], value: &[u8]| {
            let is_it = |own: &[u8]| own.eq_ignore_ascii_case(name);
            let mut fields = came.fields.iter();
            planned.shape.fields.iter().any(|keyed| is_it(keyed))
                || is_usual(name, head.path())
                || !fields.any(|field| is_it(field.name) && field.value == value)
        };
        !self.client.trusted && steers(&head.fields, is_known)
    }

    /// What is on disk for a request. It is not waited for long: a disk that hangs is as none.
    async fn read(&mut self, mut reading: Reading, head: &RequestHead) -> Option<Arc<Entry>> {
        let read = self.alarm.wait(DISK, |cx| reading.poll(head, cx)).await;
        read.ok().flatten()
    }

    /// What comes of another one's request. Nobody waits for long where nothing comes: then it is as if that answer were not for
    /// all.
    async fn told(
        &mut self,
        zone: &Zone,
        follower: &mut Follower,
        head: &RequestHead,
    ) -> Result<Told, Fault> {
        let due = Instant::now() + PATIENCE.min(zone.timeouts.header);
        loop {
            let told = self.alarm.wait(LOOK, |cx| follower.poll_told(head, cx));
            if let Ok(told) = told.await {
                return Ok(told);
            }
            if self.response.is_gone() {
                return Err(Fault::ClientGone);
            }
            if !self.standing.holds(head) {
                return Err(Fault::Withdrawn);
            }
            if Instant::now() >= due {
                return Ok(Told::Alone);
            }
        }
    }

    async fn instead_of_waiting(
        &mut self,
        zone: &'a Arc<Zone>,
        mut way: Box<Way>,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) -> Looked {
        if let Some((entry, status)) = way.instead() {
            let given = Given::Entry(entry, Some(Arc::clone(&way.key)));
            self.give_kept(
                zone,
                &way.key,
                given,
                status,
                Source::Cache,
                admitted,
                parts,
            )
            .await;
        }
        Looked::Answered
    }

    /// Serves what is stored; where it is stale, it is validated beside.
    #[expect(
        clippy::too_many_arguments,
        reason = "whose request, and what is stored for it"
    )]
    async fn hit(
        &mut self,
        zone: &'a Arc<Zone>,
        planned: &Planned<'_>,
        key: &Arc<Key>,
        entry: Arc<Entry>,
        validates: bool,
        admitted: &Admitted<'_>,
        parts: &mut Parts,
    ) {
        if validates {
            self.validate_beside(zone, planned, key, &entry, admitted);
        }
        let status = Status {
            ttl: Some(entry.ttl(now())),
            // It would be fresh, but for a soft purge or a HEAD that says otherwise.
            detail: entry.stamp.outdated().map(|_| "outdated"),
            ..Status::default()
        };
        let given = Given::Entry(entry, Some(Arc::clone(key)));
        self.give_kept(zone, key, given, status, Source::Cache, admitted, parts)
            .await;
    }

    fn validate_beside(
        &self,
        zone: &Arc<Zone>,
        planned: &Planned<'_>,
        key: &Arc<Key>,
        entry: &Arc<Entry>,
        admitted: &Admitted<'_>,
    ) {
        let head: &RequestHead = admitted.head();
        let cache = &self.thread.shared.cache;
        // An answer to HEAD would bring no body, and keep others from asking for one meanwhile.
        if head.method != Method::Get || !background::has_room(self.thread) {
            return;
        }
        let Some(lead) = cache.lead(key, head, entry, now()) else {
            return;
        };
        let mut way = Box::new(Way::new(
            cache,
            planned,
            key,
            self.client.https,
            Forwarded::Stale,
        ));
        way.lead = Some(lead);
        way.seen = Some(Arc::clone(entry));
        let Client { https, trusted, .. } = self.client;
        let vary = &entry.vary;
        // Nothing of this client's but what chooses the response, be it by `Vary` or by the zone's key: who shares that gets what comes.
        // With what the zone puts in, without which its origin may answer otherwise, or what a proxy that is believed says of the URL.
        let asked = admitted.reduced(|field, is_ours| {
            if is_of_one(field.name) {
                return None;
            }
            let mut names = vary.names();
            let is_whole = is_ours
                || names.any(|kept| kept.eq_ignore_ascii_case(field.name))
                || (trusted && is_steering(field.name));
            match is_whole {
                true => Some(Cow::Borrowed(field.value)),
                false => planned.shape.counted(head, field),
            }
        });
        way.has_credentials = has_credentials(&asked);
        let node = &self.thread.shared.node;
        let common = forward::for_nobody(head, https, trusted, node);
        background::validate(self.thread, zone, asked, common, way);
    }

    /// `only-if-cached`, and it is not (RFC 9111 §5.2.1.7).
    async fn not_stored(&mut self, zone: &Arc<Zone>, admitted: &Admitted<'_>, parts: &mut Parts) {
        parts.to_client.clear();
        let said = b"seawall; fwd=request; detail=only-if-cached";
        parts.cache.extend_from_slice(said);
        parts.to_client.push_known(FieldId::CacheStatus, said);
        let text = b"Nothing is stored for this, and nothing else was to be asked.\n";
        let text_type = "text/plain; charset=utf-8";
        self.send(504, text_type, text, Some(zone), admitted.head(), parts)
            .await;
    }
}
