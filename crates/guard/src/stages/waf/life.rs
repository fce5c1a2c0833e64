//! One request on its way through the rules, from its head to its response: what is kept of it between the phases, and what is said.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_model::{FieldId, Fuel, HttpVersion, RequestHead, RequestView, Spent};
use seawall_waf::{
    Body, CodingFault, Engine, Interruption, Left, Match, Program, Request, Response, Transaction,
    Workspace, plain,
};

use super::Waf;
use crate::edits::Edits;
use crate::events::{WafEvent, WafMatch};
use crate::kept::OfZone;
use crate::stage::{Follow, Inspect, ResponseView, Tell};
use crate::unfinished;
use crate::verdict::{Page, Reason, Reviewed, Verdict};

/// Field lines that rules see, of a request and of a response: more than a head may have.
const LINES: usize = 260;
/// Rules that a Record names.
const NAMED: usize = 8;

/// What is kept of a request between its phases.
pub(super) struct Life {
    pub(super) waf: Arc<Waf>,
    pub(super) asked: Asked,
    /// The rules that matched, for those who are told.
    pub(super) matched: Vec<u64>,
    /// None while a phase runs, and when one spent its fuel or failed.
    pub(super) left: Option<Left>,
}

/// A request, as it was asked.
pub(super) struct Asked {
    head: RequestHead,
    peer: SocketAddr,
    local: SocketAddr,
    client: IpAddr,
}

/// What the first phases came to.
pub(super) struct Begun {
    pub(super) verdict: Verdict,
    pub(super) matched: Vec<u64>,
    /// What its later phases need; None where there are none.
    pub(super) left: Option<Left>,
    /// Whether the body is to be looked at.
    pub(super) goes_on: bool,
}

impl Asked {
    pub(super) fn of(request: &RequestView<'_>) -> Self {
        Self {
            head: request.head.clone(),
            peer: request.conn.peer,
            local: request.conn.local,
            client: request.client,
        }
    }
}

/// Phase 1; and phase 2 where no body is to come, or none is wanted.
pub(super) fn begin(
    waf: &Waf,
    request: &RequestView<'_>,
    is_whole: bool,
    fuel: &mut Fuel,
) -> Result<Begun, Spent> {
    let exclusions = waf.exclusions(request, fuel)?;
    let (peer, local) = (request.conn.peer, request.conn.local);
    waf.set.with(|program, work| {
        let asked = (request.head, peer, local, request.client);
        asking(waf, asked, fuel, |seen, fuel| {
            let mut kept = waf.kept();
            let mut transaction = Transaction::new(program, &waf.zone, seen, work, &mut kept);
            for exclusion in exclusions {
                transaction.exclude(exclusion);
            }
            let asked = transaction.request_head(fuel).map(|_| ());
            unfinished(&transaction, asked)?;
            let goes_on = !is_whole
                && transaction.interrupted().is_none()
                && transaction.wants_request_body();
            if !goes_on {
                let asked = transaction.request_body(Body::default(), fuel).map(|_| ());
                unfinished(&transaction, asked)?;
                if waf.responses.is_none() || transaction.interrupted().is_some() {
                    transaction.log(fuel)?;
                }
            }
            let verdict = match goes_on {
                // What it comes to is said when the body was looked at.
                true => Verdict::Pass,
                false => waf.said(&seen, &transaction, "rule"),
            };
            Ok(Begun {
                verdict,
                matched: ids(transaction.matches()),
                left: leave(transaction, goes_on || waf.responses.is_some()),
                goes_on,
            })
        })
    })
}

/// Writes what outlives the request, and keeps what is asked for later where there is a later.
fn leave(mut transaction: Transaction<'_>, goes_on: bool) -> Option<Left> {
    if goes_on {
        return Some(transaction.leave());
    }
    transaction.settle();
    None
}

/// Makes the rules' view of a request.
fn asking<T>(
    waf: &Waf,
    (head, peer, local, client): (&RequestHead, SocketAddr, SocketAddr, IpAddr),
    fuel: &mut Fuel,
    ask: impl FnOnce(Request<'_>, &mut Fuel) -> Result<T, Spent>,
) -> Result<T, Spent> {
    fuel.spend(10 * head.fields.len() as u64)?;
    let mut lines: Vec<(&[u8], &[u8])> = Vec::with_capacity(head.fields.len().min(LINES) + 1);
    let mut has_host = false;
    for field in head.fields.iter().take(LINES) {
        has_host |= field.id == FieldId::Host;
        lines.push((field.name, field.value));
    }
    let is_old = matches!(head.version, HttpVersion::Http10 | HttpVersion::Http11);
    // In HTTP/2 and 3 the authority stands for it (RFC 9113 §8.3.1).
    if !has_host && !is_old {
        lines.push((b"Host", head.authority()));
    }
    let made;
    let line = if is_old && head.fields.raw().starts_with(head.method_bytes()) {
        let raw = head.fields.raw();
        let end = raw.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        raw.get(..end.unwrap_or(raw.len())).unwrap_or_default()
    } else {
        let mut line = head.method_bytes().to_vec();
        line.push(b' ');
        line.extend_from_slice(head.target());
        line.push(b' ');
        line.extend_from_slice(protocol(head.version));
        made = line;
        &made
    };
    let mut id = [0; 16];
    hex(waf.states.next_transaction(), &mut id);
    let request = Request {
        client,
        client_port: peer.port(),
        server: local.ip(),
        server_port: local.port(),
        line,
        method: head.method_bytes(),
        target: head.target(),
        protocol: protocol(head.version),
        headers: &lines,
        unique_id: &id,
        time: waf.states.unix_seconds(),
    };
    ask(request, fuel)
}

/// As rule sets have it: with a minor version also where there is none.
const fn protocol(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::Http10 => b"HTTP/1.0",
        HttpVersion::Http11 => b"HTTP/1.1",
        HttpVersion::Http2 => b"HTTP/2.0",
        HttpVersion::Http3 => b"HTTP/3.0",
    }
}

/// Sixteen hexadecimal digits; of neighbours they are unlike, for rules that draw lots by them.
fn hex(number: u64, out: &mut [u8; 16]) {
    let mut left = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for place in out {
        let digit = char::from_digit((left >> 60) as u32, 16).unwrap_or('0');
        *place = digit as u8;
        left <<= 4;
    }
}

fn ids(matches: &[Match]) -> Vec<u64> {
    matches.iter().map(|found| found.id).collect()
}

/// The rules that matched, each once, and the score.
fn about(transaction: &Transaction<'_>) -> Arc<str> {
    let mut named: Vec<u64> = Vec::new();
    for found in transaction.matches() {
        if !named.contains(&found.id) {
            named.push(found.id);
        }
    }
    let mut text = String::new();
    for (nth, id) in named.iter().take(NAMED).enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{id}");
    }
    if named.len() > NAMED {
        let _ = write!(text, ",+{}", named.len() - NAMED);
    }
    for (score, name) in [
        ("blocking_inbound_anomaly_score", "score"),
        ("blocking_outbound_anomaly_score", "response_score"),
    ] {
        match transaction.score(score) {
            0 => {}
            score => drop(write!(text, ";{name}={score}")),
        }
    }
    text.into()
}

/// Where the fuel ended, what had matched before is told beside that.
fn unfinished(transaction: &Transaction<'_>, asked: Result<(), Spent>) -> Result<(), Spent> {
    if asked.is_err() && !transaction.matches().is_empty() {
        unfinished::leave(about(transaction));
    }
    asked
}

/// What a transaction has come to; where rules only watch, what it would have come to.
fn verdict(transaction: &Transaction<'_>, refused: &'static str, watches: bool) -> Verdict {
    let would = transaction.would_interrupt().filter(|_| watches);
    let stopped = transaction.interrupted().or(would);
    let Some(stopped) = stopped else {
        return match transaction.matches() {
            [] => Verdict::Pass,
            _ => Verdict::Note(Reason::about("matched", about(transaction))),
        };
    };
    let reason = Reason::about(refused, about(transaction));
    match &stopped.how {
        Interruption::Deny(status) if (400..600).contains(status) => Verdict::Deny(*status, reason),
        Interruption::Deny(_) | Interruption::Drop => Verdict::Deny(403, reason),
        Interruption::Redirect(status, to) => {
            let page = Page::Redirect {
                status: *status,
                location: to
                    .bytes()
                    .filter(|byte| (0x21..0x7f).contains(byte))
                    .collect(),
            };
            Verdict::Respond(page, reason)
        }
    }
}

impl Waf {
    /// What outlives requests, now.
    fn kept(&self) -> OfZone<'_> {
        OfZone {
            all: &self.states.kept,
            zone: self.id,
            now: self.states.unix_seconds(),
        }
    }

    /// What a transaction has come to; told to those who ask for events.
    fn said(
        &self,
        request: &Request<'_>,
        transaction: &Transaction<'_>,
        refused: &'static str,
    ) -> Verdict {
        let watches = self.zone.engine != Some(Engine::On);
        let said = verdict(transaction, refused, watches);
        let said = match self.is_shadow {
            true => shadowed(said),
            false => said,
        };
        let (reason, status) = match &said {
            Verdict::Deny(status, reason) => (reason.name, *status),
            Verdict::Respond(Page::Redirect { status, .. }, reason) => (reason.name, *status),
            Verdict::Note(reason) => (reason.name, 0),
            _ => return said,
        };
        if self.events > 0 {
            let time = self.states.unix_seconds();
            let text = |bytes: &[u8]| -> String {
                let text = String::from_utf8_lossy(bytes);
                text.chars().filter(|c| !c.is_control()).take(200).collect()
            };
            let path = request.target.split(|byte| *byte == b'?').next();
            let events = &self.states.waf_events;
            events.add(self.id, self.events, time, || WafEvent {
                time,
                zone: self.name.clone(),
                client: request.client,
                method: text(request.method),
                path: text(path.unwrap_or_default()),
                reason,
                status,
                matches: WafMatch::all(transaction),
            });
        }
        said
    }
}

/// What a shadow's verdict is: told, with what it would have been.
fn shadowed(said: Verdict) -> Verdict {
    let (reason, would) = match said {
        Verdict::Deny(status, reason) => (reason, format!(";would={status}")),
        Verdict::Respond(Page::Redirect { status, .. }, reason) => {
            (reason, format!(";would={status}"))
        }
        Verdict::Note(reason) => (reason, String::new()),
        said => return said,
    };
    let about = reason.about.as_deref().unwrap_or_default();
    Verdict::Note(Reason::about("shadow", format!("{about}{would}").into()))
}

/// What a phase looks at besides the request's head.
#[derive(Clone, Copy)]
struct Given<'g> {
    body: Body<'g>,
    /// What an origin takes for the body that takes its codings not off.
    readings: &'g [&'g [u8]],
    response: Option<Response<'g>>,
}

impl Life {
    /// Goes on with the transaction, with what its next phase looks at.
    fn go_on<T>(
        &mut self,
        given: Given<'_>,
        fuel: &mut Fuel,
        ask: impl for<'x> FnOnce(
            &mut Transaction<'x>,
            Given<'x>,
            &Request<'_>,
            &mut Fuel,
        ) -> Result<T, Spent>,
    ) -> Result<Option<T>, Spent> {
        let Some(left) = self.left.take() else {
            return Ok(None);
        };
        let Self { waf, asked, .. } = self;
        // The response's phases are the last ones.
        let follows = waf.responses.is_some() && given.response.is_none();
        let seen = (&asked.head, asked.peer, asked.local, asked.client);
        let run = |program: &Program, work: &mut Workspace| {
            asking(waf, seen, fuel, |seen, fuel| {
                let mut kept = waf.kept();
                let mut transaction =
                    Transaction::resume(program, seen, left, work, &mut kept, fuel)?;
                let came = ask(&mut transaction, given, &seen, fuel)?;
                let matched = ids(transaction.matches());
                let goes_on = follows && transaction.interrupted().is_none();
                Ok((came, matched, leave(transaction, goes_on)))
            })
        };
        let (came, matched, left) = waf.set.with(run)?;
        self.matched = matched;
        self.left = left;
        Ok(Some(came))
    }
}

fn locked(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gathers a body, and asks phase 2 when it is whole.
pub(super) struct Reader {
    life: Arc<Mutex<Life>>,
    codings: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// It was looked at: rules are asked once.
    looked: bool,
}

impl Reader {
    pub(super) fn new(life: Arc<Mutex<Life>>, request: &RequestView<'_>) -> Self {
        let codings = request.head.fields.all(FieldId::ContentEncoding);
        Self {
            life,
            codings: codings.map(<[u8]>::to_vec).collect(),
            body: Vec::new(),
            looked: false,
        }
    }

    fn look(&mut self, mut cut: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        if std::mem::replace(&mut self.looked, true) {
            return Ok(Verdict::Pass);
        }
        let mut body = std::mem::take(&mut self.body);
        let mut life = locked(&self.life);
        let follows = life.waf.responses.is_some();
        let codings = self.codings.iter().map(Vec::as_slice);
        let (mut coded, mut between): (Vec<u8>, Vec<u8>) = Default::default();
        let mut note = "beginning";
        match plain(codings, &body, !cut, life.waf.body_limit, fuel) {
            Ok(None) => {}
            Ok(Some(plain)) if plain.cut && !life.waf.pass_longer => {
                return Ok(Verdict::Deny(413, Reason::plain("too_long")));
            }
            Ok(Some(plain)) => {
                cut = plain.cut;
                coded = std::mem::replace(&mut body, plain.bytes);
                between = plain.between;
            }
            Err(CodingFault::Spent(spent)) => return Err(spent),
            Err(_) if !life.waf.pass_coded => {
                return Ok(Verdict::Deny(415, Reason::plain("coded")));
            }
            Err(_) => {
                cut = true;
                note = "coded";
            }
        }
        let readings = [coded.as_slice(), between.as_slice()];
        let there = readings.iter().take_while(|reading| !reading.is_empty());
        let readings = readings.get(..there.count()).unwrap_or_default();
        let given = Given {
            body: Body { bytes: &body, cut },
            readings,
            response: None,
        };
        let waf = life.waf.clone();
        let said = life.go_on(given, fuel, |transaction, given, request, fuel| {
            transaction.read_also(given.readings);
            let asked = transaction.request_body(given.body, fuel).map(|_| ());
            unfinished(transaction, asked)?;
            if !follows || transaction.interrupted().is_some() {
                transaction.log(fuel)?;
            }
            Ok(waf.said(request, transaction, "rule"))
        })?;
        Ok(match said.unwrap_or_default() {
            said if waf.is_shadow => said,
            Verdict::Pass if cut => Verdict::Note(Reason::plain(note)),
            Verdict::Note(reason) if cut => Verdict::Note(Reason {
                name: note,
                about: reason.about,
            }),
            said => said,
        })
    }
}

impl Inspect for Reader {
    fn feed(&mut self, piece: &[u8], end: bool, fuel: &mut Fuel) -> Result<Verdict, Spent> {
        fuel.spend_bytes(piece.len(), 8)?;
        let (limit, pass_longer) = {
            let life = locked(&self.life);
            (life.waf.body_limit, life.waf.pass_longer)
        };
        let room = limit.saturating_sub(self.body.len());
        let fits = piece.len() <= room;
        self.body
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
        match (fits, pass_longer, end) {
            (true, _, false) => Ok(Verdict::Pass),
            (true, _, true) => self.look(false, fuel),
            (false, true, _) => self.look(true, fuel),
            (false, false, _) => Ok(Verdict::Deny(413, Reason::plain("too_long"))),
        }
    }
}

/// Asks phases 3 to 5.
pub(super) struct Answered(pub(super) Arc<Mutex<Life>>);

impl Follow for Answered {
    fn review(&mut self, response: &ResponseView<'_>, fuel: &mut Fuel) -> Result<Reviewed, Spent> {
        fuel.spend(100 + 10 * response.head.fields.len() as u64)?;
        let mut life = locked(&self.0);
        let before = life.matched.len();
        let waf = life.waf.clone();
        let most = waf.response_limit;
        let fields: Vec<(&[u8], &[u8])> = response
            .head
            .fields
            .iter()
            .take(LINES)
            .map(|field| (field.name, field.value))
            .collect();
        let kind = response.head.fields.first(FieldId::ContentType);
        let kind = kind.unwrap_or_default();
        let head = Response {
            status: response.head.status,
            protocol: b"HTTP/1.1",
            headers: &fields,
        };
        // Whether it is whole is not known: what is there is looked at.
        let codings = response.head.fields.all(FieldId::ContentEncoding);
        let is_longer = response.body.len() > most;
        let taken_off = plain(codings, response.body, false, most, fuel);
        let (body, is_part) = match &taken_off {
            Ok(None) => (
                response.body.get(..most).unwrap_or(response.body),
                is_longer,
            ),
            Ok(Some(plain)) => (
                plain.bytes.as_slice(),
                is_longer || plain.bytes.len() >= most,
            ),
            Err(CodingFault::Spent(spent)) => return Err(*spent),
            Err(_) => (&[][..], true),
        };
        let given = Given {
            body: Body {
                bytes: body,
                cut: is_part,
            },
            readings: &[],
            response: Some(head),
        };
        let mut looks = false;
        let said = life.go_on(given, fuel, |transaction, given, request, fuel| {
            if let Some(head) = given.response {
                transaction.response_head(head, fuel)?;
            }
            looks = transaction.wants_response_body(kind);
            let body = match looks {
                true => given.body,
                false => Body::default(),
            };
            transaction.response_body(body, fuel)?;
            transaction.log(fuel)?;
            Ok(match transaction.matches().len() > before {
                true => waf.said(request, transaction, "response"),
                false => Verdict::Pass,
            })
        })?;
        let noted = |reason| Reviewed::Edit(Arc::new(Edits::default()), Some(reason));
        Ok(match said.unwrap_or_default() {
            Verdict::Deny(status, reason) => Reviewed::Deny(status, reason),
            Verdict::Respond(_, reason) => Reviewed::Deny(403, reason),
            Verdict::Note(reason) if waf.is_shadow => noted(reason),
            _ if looks && is_part && waf.refuse_longer_response => {
                Reviewed::Deny(502, Reason::plain("response_too_long"))
            }
            Verdict::Note(reason) if looks && is_part => noted(Reason {
                name: "response_beginning",
                about: reason.about,
            }),
            Verdict::Note(reason) => noted(reason),
            _ if looks && is_part && !waf.is_shadow => noted(Reason::plain("response_beginning")),
            _ => Reviewed::Same,
        })
    }
}

/// Tells which rules matched.
pub(super) struct Teller(pub(super) Arc<Mutex<Life>>);

impl Tell for Teller {
    fn field(&self) -> Option<(&'static str, String)> {
        let mut all = locked(&self.0).matched.clone();
        all.sort_unstable();
        all.dedup();
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        (!shown.is_empty()).then(|| ("seawall-waf-rules", shown.join(",")))
    }
}
