//! What the cache has to do with a request that goes to an origin, and with the answer.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use seawall_cache::cache::Cache;
use seawall_cache::fill::Lead;
use seawall_cache::key::{Key, Query};
use seawall_cache::memory::{Entry, Found};
use seawall_cache::policy::{
    Again, Answer, Failure, Forwarded, Freshened, HeadUpdate, Kept, Part, Plan, Refused, Status,
    Time, Times, freshen, invalidated, invalidates, keep, keep_of_post, keep_part, may_be_sliced,
    may_stand_in, must_be_validated, update_by_head, validators,
};
use seawall_cache::slices::{Sliced, Slicer, Slices};
use seawall_model::{Fields, Method, RequestHead, ResponseHead};

use super::digest::Verifier;
use super::links::Looked;
use super::rules::Planned;
use super::{now, parents};
use crate::fault::Fault;

/// A request on its way to an origin, as the cache sees it.
pub struct Way {
    pub(super) cache: Arc<Cache>,
    pub(super) plan: Plan,
    pub(super) key: Arc<Key>,
    pub(super) https: bool,
    /// What of a query counts by the zone's rules: the forms of a URL that become invalid together.
    queries: Arc<[Query]>,
    /// It has fields that steer its origin elsewhere: what comes is for its client alone.
    pub(super) is_odd: bool,
    /// It has its client's own credentials: what comes may be about them, and says nothing of what others get.
    pub(super) has_credentials: bool,
    /// The answer that came is kept.
    keeps: bool,
    /// Who fetches for others, and for the store.
    pub(super) lead: Option<Lead>,
    /// Who would store a part that comes, where it is one of a large body: nobody waits for it.
    pub(super) learns: Option<Box<Lead>>,
    /// Takes slices of the body that passes.
    slicer: Option<Box<Slicer>>,
    /// Compares the body that is kept with what was said of it.
    verifier: Option<Box<Verifier>>,
    /// What is stored, and may not be used as it is.
    pub(super) seen: Option<Arc<Entry>>,
    pub(super) why: Forwarded,
    pub(super) requested: Time,
    /// The number of purges before the request went out.
    begun: u64,
    pub(super) detail: Option<&'static str>,
    /// What is served in place of the origin's answer, and what is said of that.
    pub(super) instead: Option<(Arc<Entry>, Status<'static>)>,
    /// What the answer says that its page needs.
    pub(super) links: Option<Box<Looked>>,
    /// What of the zone has become invalid, for parents.
    pub(super) outdated: Vec<Vec<u8>>,
    /// The number of that in the cache, where any of it may be on disk.
    pub(super) outdated_on_disk: Option<u64>,
    /// What `Cache-Status` says.
    pub(super) said: Vec<u8>,
}

impl Way {
    /// Goes on, for this reason.
    pub(super) fn new(
        cache: &Arc<Cache>,
        planned: &Planned<'_>,
        key: &Arc<Key>,
        https: bool,
        why: Forwarded,
    ) -> Self {
        Self {
            cache: Arc::clone(cache),
            plan: planned.plan,
            queries: Arc::clone(planned.queries),
            is_odd: false,
            has_credentials: false,
            keeps: false,
            key: Arc::clone(key),
            https,
            lead: None,
            learns: None,
            slicer: None,
            verifier: None,
            seen: None,
            why,
            requested: now(),
            begun: cache.begun(),
            detail: None,
            instead: None,
            links: None,
            outdated: Vec::new(),
            outdated_on_disk: None,
            said: Vec::new(),
        }
    }

    /// Goes past the cache, for a reason in a word.
    pub(super) fn past(cache: &Arc<Cache>, https: bool, detail: &'static str) -> Self {
        let (planned, key) = (Planned::bypass(), Arc::default());
        Self {
            detail: Some(detail),
            ..Self::new(cache, &planned, &key, https, Forwarded::Partial)
        }
    }

    /// What makes the request conditional on what is stored.
    pub fn add_validators(&self, fields: &mut Fields) {
        if self.lead.is_some()
            && let Some(seen) = &self.seen
        {
            for (name, value) in validators(&seen.head) {
                fields.append(name.as_bytes(), value);
            }
        }
    }

    /// By what a parent is chosen, where one may be asked: what may be stored there, and can be asked for again. A parent believes this
    /// location, and would not see that what is asked is odd.
    pub fn parent_key(&self) -> Option<parents::Key> {
        let eligible = self.plan.eligible && !self.is_odd && self.why != Forwarded::Bypass;
        let asked = eligible && self.why != Forwarded::Method;
        asked.then(|| parents::key(&self.key.host, &self.key.target))
    }

    /// How long browsers are told that the answer is fresh, in seconds: it is kept here, and a rule says so.
    pub fn browser_ttl(&self) -> Option<u32> {
        self.plan.browser_ttl.filter(|_| self.keeps)
    }

    /// What `Cache-Status` says, once the answer's head has come.
    pub fn said(&self) -> &[u8] {
        &self.said
    }

    /// Who fetches for others, while a body comes that they get.
    pub fn lead(&mut self) -> &mut Option<Lead> {
        &mut self.lead
    }

    /// A part of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(lead) = &mut self.lead {
            lead.push(bytes);
        }
        if let Some(slicer) = &mut self.slicer {
            slicer.push(bytes);
        }
    }

    /// Whether so many bytes more may come. They are to be given away only then.
    ///
    /// # Errors
    /// [`Fault::OriginProtocol`] where a part is longer than it says: not one byte of it can be trusted, and nothing of it stays stored.
    pub fn fits(&mut self, more: usize) -> Result<(), Fault> {
        match self.slicer.take_if(|slicer| !slicer.fits(more)) {
            None => Ok(()),
            Some(slicer) => {
                slicer.forget();
                Err(Fault::OriginProtocol)
            }
        }
    }

    /// A part of the body that is to be given away, the last one perhaps.
    ///
    /// # Errors
    /// [`Fault::WrongDigest`] where the body is not what was said of it: it is not stored, and its end is not to be given away.
    pub fn verify(&mut self, bytes: &[u8], is_last: bool) -> Result<(), Fault> {
        let Some(verifier) = &mut self.verifier else {
            return Ok(());
        };
        verifier.take(bytes);
        if !is_last {
            return Ok(());
        }
        match self.verifier.take().is_none_or(|all| all.agrees()) {
            true => Ok(()),
            false => {
                self.lead = None;
                Err(Fault::WrongDigest)
            }
        }
    }

    /// All of the body is there.
    pub fn finish(&mut self) {
        if let Some(lead) = self.lead.take() {
            // Why it is not stored was said already, or is for the store to know: the client has its answer.
            let _ = lead.finish();
        }
    }

    /// The final head of the origin's answer to `request`, with a body of `length` bytes where that is known. True: something else
    /// is served in its place ([`Way::instead`]).
    pub fn arrived(
        &mut self,
        request: &RequestHead,
        response: &ResponseHead,
        length: Option<u64>,
    ) -> bool {
        let now = now();
        let status = response.status;
        if std::mem::take(&mut self.keeps) {
            // An answer that broke off came before, and another one was asked: what came of the first is in nobody's way.
            self.slicer = None;
            if let Some(lead) = self.lead.take() {
                lead.fail(Failure::Unreachable);
            }
        }
        self.learn_links(response);
        let plan = self.plan;
        let answer = Answer {
            request,
            response,
            plan: &plan,
            times: Times {
                requested: self.requested,
                received: now,
            },
        };
        // Before it makes that invalid itself.
        let is_post = request.method == Method::Post;
        let posted = is_post.then(|| self.posted(&answer)).flatten();
        let own_purges = match invalidates(request.method, status) {
            true => self.invalidate(request, response),
            false => 0,
        };
        let taken = match request.method {
            Method::Head => {
                self.head(&answer);
                false
            }
            _ if self.lead.is_none() => false,
            _ => self.validated(&answer) || self.stands_in_for(Failure::Status(status), now),
        };
        if !taken {
            let stored = match request.method {
                Method::Get if self.learns.is_some() => self.learn(&answer, length),
                Method::Get => self.keep(&answer, length, now),
                Method::Post => self.keep_posted(posted, own_purges, &answer, length),
                _ => false,
            };
            self.keeps = stored;
            let is_kept = self.lead.is_some() && plan.verifies;
            self.verifier = is_kept
                .then(|| Verifier::of(response).map(Box::new))
                .flatten();
            self.say(Status {
                forwarded: Some(self.why),
                stored,
                detail: self.detail,
                ..Status::default()
            });
        }
        taken
    }

    /// No answer came that the client gets, to this request or (`collapsed`) to the one that it has waited for. Notes what is said of
    /// that; tells what the client is told of the fault.
    pub(super) fn failed(&mut self, fault: Fault, collapsed: bool) -> Fault {
        let is_needed = self.seen.as_ref().is_some_and(|seen| {
            let outdated = seen.stamp.outdated();
            must_be_validated(&seen.life, now(), outdated)
        });
        let told = match is_needed {
            true => fault.without_validation(),
            false => fault,
        };
        let detail = match told {
            // The Record's `error` does not say it.
            Fault::NotValidated(why) => Some(why),
            _ => self.detail,
        };
        self.say(Status {
            forwarded: Some(self.why),
            collapsed,
            detail,
            ..Status::default()
        });
        told
    }

    /// What is served in place of the origin's answer.
    pub(super) fn instead(&mut self) -> Option<(Arc<Entry>, Status<'static>)> {
        self.instead.take()
    }

    pub(super) fn say(&mut self, status: Status<'_>) {
        self.said.clear();
        status.write(&mut self.said);
    }

    const fn scheme(&self) -> &'static [u8] {
        if self.https { b"https" } else { b"http" }
    }

    /// Purges what an unsafe request makes invalid; tells how many purges that was.
    fn invalidate(&mut self, request: &RequestHead, response: &ResponseHead) -> usize {
        let mut purges = 0;
        for target in invalidated(request, self.scheme(), &response.fields) {
            let (zone, host) = (self.key.zone, &self.key.host);
            let purged = self.cache.outdate_url(zone, host, &target, &self.queries);
            purges += purged.purges;
            self.outdated_on_disk = self.outdated_on_disk.max(purged.number);
            self.outdated.push(target.to_vec());
        }
        purges
    }

    fn head(&self, answer: &Answer<'_>) {
        let Some(stored) = self.asked_about(answer.request) else {
            return;
        };
        match update_by_head(&stored.head, answer) {
            HeadUpdate::Updated(kept) => {
                let (key, request) = (&self.key, answer.request);
                let _ = self
                    .cache
                    .validated(key, &stored, *kept, request, self.begun);
            }
            HeadUpdate::Outdated if !self.has_credentials => {
                stored.stamp.outdate(answer.times.received);
            }
            HeadUpdate::Outdated | HeadUpdate::Unrelated => {}
        }
    }

    /// What the answer to a HEAD is about: what is stored now, unless it came after the HEAD was sent.
    fn asked_about(&self, request: &RequestHead) -> Option<Arc<Entry>> {
        let seen = self.seen.as_ref()?;
        match self.cache.find(&self.key, request) {
            Found::Entry(stored) => {
                let is_before = stored.life.received < self.requested;
                (is_before || Arc::ptr_eq(&stored, seen)).then_some(stored)
            }
            // It may lie on disk alone.
            Found::Others(_) | Found::Nothing => Some(Arc::clone(seen)),
        }
    }

    /// A 304 to our own conditions.
    fn validated(&mut self, answer: &Answer<'_>) -> bool {
        let Some(seen) = self.seen.clone() else {
            return false;
        };
        if answer.response.status != 304 || validators(&seen.head).next().is_none() {
            return false;
        }
        let Some(mut lead) = self.lead.take() else {
            return false;
        };
        let received = answer.times.received;
        let entry = match freshen(&seen.head, answer) {
            Freshened::Updated(kept) => {
                let (cache, request) = (&self.cache, answer.request);
                let (entry, _) = cache.validated(&self.key, &seen, *kept, request, lead.begun());
                lead.resolve(Arc::clone(&entry));
                entry
            }
            Freshened::Once(head, refused) => {
                lead.give_up(refused.again(self.has_credentials), received);
                if !self.is_for_who_asks(refused) {
                    self.cache.forget(&self.key, &seen);
                }
                self.cache.once(&seen, *head)
            }
            Freshened::Mismatch => {
                self.cache.forget(&self.key, &seen);
                lead.give_up(Again::Nobody, received);
                seen
            }
        };
        let status = Status {
            forwarded: Some(self.why),
            origin_status: Some(304),
            ttl: Some(entry.ttl(received)),
            ..Status::default()
        };
        self.instead = Some((entry, status));
        true
    }

    /// Whether what is stored stands in for a failure; it is served then.
    pub(super) fn stands_in_for(&mut self, failure: Failure, now: Time) -> bool {
        let Some(seen) = self.seen.clone() else {
            return false;
        };
        let outdated = seen.stamp.outdated();
        if !may_stand_in(&seen.life, failure, &self.plan, now, outdated) {
            return false;
        }
        if let Some(lead) = self.lead.take() {
            lead.fail(failure);
        }
        let status = Status {
            forwarded: Some(self.why),
            origin_status: match failure {
                Failure::Status(status) => Some(status),
                Failure::Unreachable => None,
            },
            ttl: Some(seen.ttl(now)),
            detail: Some(match failure {
                Failure::Status(_) => "stale-if-error",
                Failure::Unreachable => "stale-unreachable",
            }),
            ..Status::default()
        };
        self.instead = Some((seen, status));
        true
    }

    /// What of an answer to POST may be kept for those who GET the same, with the number of purges up to which none since it was sent
    /// is about it.
    fn posted(&self, answer: &Answer<'_>) -> Option<(Kept, u64)> {
        if self.is_odd {
            return None;
        }
        let kept = keep_of_post(answer, self.scheme()).ok()?;
        let until = self.cache.begun();
        let fields = &answer.response.fields;
        let was_purged = self.cache.was_purged(&self.key, self.begun, fields);
        (!was_purged).then_some((kept, until))
    }

    /// Whether an answer to POST is kept, which has made so many purges itself: what they are about is older.
    fn keep_posted(
        &mut self,
        posted: Option<(Kept, u64)>,
        own_purges: usize,
        answer: &Answer<'_>,
        length: Option<u64>,
    ) -> bool {
        let Some((kept, until)) = posted else {
            return false;
        };
        let mut lead = self.cache.alone(&self.key);
        if lead.begun() != until + own_purges as u64 {
            // Somebody else has purged something in this very moment, which may be this.
            return false;
        }
        let keeps = lead.begin(kept, answer.request, length, 0, answer.times.received);
        self.lead = keeps.then_some(lead);
        keeps
    }

    /// Whether an answer may be refused for what its request has, and says nothing then of what is stored.
    const fn is_for_who_asks(&self, refused: Refused) -> bool {
        self.has_credentials || refused.is_of_request()
    }

    /// Whether the answer is kept.
    fn keep(&mut self, answer: &Answer<'_>, length: Option<u64>, now: Time) -> bool {
        let slices = self.slice() > 0;
        let has_credentials = self.has_credentials;
        let Some(lead) = &mut self.lead else {
            return false;
        };
        let is_large = length.is_some_and(|length| length > self.cache.most() as u64);
        match keep(answer) {
            Ok(kept) if is_large && slices && may_be_sliced(&kept.head) => {
                let lead = self.lead.take();
                return self.in_slices(lead, kept, answer, length.unwrap_or(0), None);
            }
            Err(Refused::Partial) if slices && keep_part(answer).is_ok() => {
                // Of what is stored there is another version.
                if let Some(seen) = &self.seen {
                    self.cache.forget(&self.key, seen);
                }
                self.learns = self.lead.take().map(Box::new);
                return self.learn(answer, length);
            }
            Ok(kept) => {
                if lead.begin(kept, answer.request, length, 0, now) {
                    return true;
                }
                self.detail = Some("too-large");
            }
            Err(refused) => {
                // Of a 304 to the client's own conditions nothing follows for others.
                let again = match answer.response.status {
                    304 => Again::Nobody,
                    _ => refused.again(has_credentials),
                };
                lead.give_up(again, now);
                self.detail = Some(refused.word());
                // What is stored is not what there is any more.
                if !self.is_for_who_asks(refused)
                    && answer.response.status < 500
                    && let Some(seen) = &self.seen
                {
                    self.cache.forget(&self.key, seen);
                }
            }
        }
        self.lead = None;
        false
    }

    /// Bytes of a slice; 0 where nothing is stored in slices.
    fn slice(&self) -> u32 {
        const LEAST: u32 = 64 << 10;
        let most = u32::try_from(self.cache.most() / 2).unwrap_or(u32::MAX);
        match self.plan.slice.min(most) {
            LEAST.. => self.plan.slice.min(most),
            _ => 0,
        }
    }

    /// A part came: where it is one of a large body, and as long as it says, that is stored in slices from now on.
    fn learn(&mut self, answer: &Answer<'_>, length: Option<u64>) -> bool {
        let Some(lead) = self.learns.take() else {
            return false;
        };
        let Ok((kept, range)) = keep_part(answer) else {
            return false;
        };
        let found = self.cache.find(&self.key, answer.request);
        let is_known = matches!(found, Found::Entry(_));
        let is_another = length.is_some_and(|length| length != range.part.length);
        if is_known || is_another || range.total <= self.cache.most() as u64 {
            return false;
        }
        self.in_slices(Some(*lead), kept, answer, range.total, Some(range.part))
    }

    /// Stores a response in slices; what comes of it is this part, or all.
    fn in_slices(
        &mut self,
        lead: Option<Lead>,
        kept: Kept,
        answer: &Answer<'_>,
        length: u64,
        part: Option<Part>,
    ) -> bool {
        let random = || u128::from(RandomState::new().hash_one(0));
        let sliced = Sliced::new(random() << 64 | random(), self.slice());
        let now = answer.times.received;
        let lead = lead.map(|lead| lead.begin_in_slices(kept, answer.request, sliced, length, now));
        let Some(entry) = lead.flatten() else {
            return false;
        };
        let slices = Slices::of(&self.cache, &self.key, &entry);
        let slicer = slices.map(|slices| match part {
            None => Slicer::new(slices, 0, now),
            Some(part) => Slicer::of_part(slices, part, now),
        });
        self.slicer = slicer.map(Box::new);
        true
    }
}
