//! A request, taken apart as far as its route says what is in it; and a reply.

use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use seawall_control::version::{Chain, Hash};
use seawall_model::{FieldId, RequestHead};
use seawall_net::alarm::Alarm;
use seawall_net::downstream::{BodyPace, ClientBody};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::problem::Problem;
use super::route::{Gives, In, LONGEST_WAIT, Optional, Route, Takes};
use crate::control::asks::{
    Answer, Ask, Asked, KillMade, Place, PurgeMade, Request, Standing, TokenTold, When,
};
use crate::token::Token;

/// Parameters of one query.
const PARAMS: usize = 16;
/// Bytes of an `Idempotency-Key`.
const LONGEST_KEY: usize = 256;
/// How patient we are with content.
const PACE: BodyPace = BodyPace {
    idle: Duration::from_secs(10),
    rate: 4 << 10,
};
/// The longest that it may take altogether.
const WHOLE: Duration = Duration::from_secs(120);

/// A request.
#[derive(Default)]
pub struct Call {
    /// What stands where its path has `{names}`.
    values: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    /// What it is of, where its path says so.
    pub chain: Option<Chain>,
    /// Fields of the head that its route knows.
    head: Vec<(&'static str, String)>,
    /// The content.
    pub body: Vec<u8>,
    /// How long a change is waited for.
    pub wait: Option<Duration>,
    /// The request, as far as the same one is the same again.
    line: String,
}

impl Call {
    /// From what its path holds, and its query.
    ///
    /// # Errors
    /// A query that is none.
    pub fn new(values: Vec<(&'static str, String)>, query: &str) -> Result<Self, Problem> {
        let mut call = Self {
            values,
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) = decoded.ok_or_else(|| {
                Problem::of("bad_parameter").saying("the query is no UTF-8 with %XX")
            })?;
            if call.query.iter().any(|(known, _)| *known == name) || call.query.len() >= PARAMS {
                let detail = format!("{name:.100?} is there twice, or there are too many");
                return Err(Problem::of("bad_parameter").saying(detail));
            }
            call.query.push((name, value));
        }
        Ok(call)
    }

    /// Holds it against what its route knows, and takes in the fields of its head that the route has.
    ///
    /// # Errors
    /// A parameter that the route does not have, a `wait` that is none.
    pub fn check(&mut self, route: &Route, head: &RequestHead) -> Result<(), Problem> {
        for (name, _) in &self.query {
            let known =
                |param: &super::route::Param| param.place == In::Query && param.name == name;
            if !route.params.iter().any(known) {
                let names = route.params.iter().filter(|one| one.place == In::Query);
                let names: Vec<&str> = names.map(|param| param.name).collect();
                let there_are = if names.is_empty() {
                    "there is none here".to_owned()
                } else {
                    format!("there are {}", names.join(", "))
                };
                let detail = format!("{name:.100?} is no parameter: {there_are}");
                return Err(Problem::of("unknown_parameter").saying(detail));
            }
        }
        for param in route.params.iter().filter(|one| one.place == In::Head) {
            let Some(value) = head.fields.named(param.name.as_bytes()) else {
                continue;
            };
            let value = std::str::from_utf8(value).map_err(|_| bad(param.name, "is no text"))?;
            self.head.push((param.name, value.trim().to_owned()));
        }
        self.wait = match self.param("wait") {
            None => None,
            Some(_) => Some(Duration::from_secs(
                self.number::<u64>("wait")?
                    .unwrap_or(0)
                    .min(LONGEST_WAIT.as_secs()),
            )),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.line = format!("{} {}", text(head.method_bytes()), text(head.target()));
        Ok(())
    }

    /// What stands where the path has this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.values.iter().filter(|(known, _)| *known == name);
        values.next().map(|(_, value)| value.as_str())
    }

    /// A parameter of the query.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter().filter(|(known, _)| known == name);
        query.next().map(|(_, value)| value.as_str())
    }

    /// A field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut head = self.head.iter().filter(|(known, _)| *known == name);
        head.next().map(|(_, value)| value.as_str())
    }

    /// A parameter of the query that is a number, `true` or `false`, or another simple thing.
    ///
    /// # Errors
    /// It is not.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let value = self.param(name);
        let parsed = value.map(|text| text.parse().map_err(|_| bad(name, "has a wrong value")));
        parsed.transpose()
    }

    /// How many rows are wanted on one page.
    ///
    /// # Errors
    /// It is no such number.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")? {
            None => Ok(100),
            Some(limit) if (1..=crate::control::PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(bad("limit", "is 1 to 1000")),
        }
    }

    /// A number that stands in the path.
    ///
    /// # Errors
    /// It is none.
    pub fn id(&self, name: &str) -> Result<u64, Problem> {
        let value = self.value(name).and_then(|text| text.parse().ok());
        value.ok_or_else(|| bad(name, "is a number"))
    }

    /// The chain that the path names.
    ///
    /// # Errors
    /// It names none, which the table of routes does not do.
    pub fn chain(&self) -> Result<Chain, Problem> {
        self.chain.clone().ok_or_else(|| Problem::of("internal"))
    }

    /// The content as a document.
    ///
    /// # Errors
    /// It is no text.
    pub fn text(&self) -> Result<String, Problem> {
        let text = std::str::from_utf8(&self.body);
        let wrong = |_| Problem::of("bad_body").saying("the document is no UTF-8 text");
        text.map(str::to_owned).map_err(wrong)
    }

    /// The content as JSON; left out, an empty object.
    ///
    /// # Errors
    /// It is not as it should be.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = if self.body.is_empty() {
            b"{}"
        } else {
            self.body.as_slice()
        };
        serde_json::from_slice(body)
            .map_err(|error| Problem::of("bad_body").saying(format!("{error}")))
    }

    /// What must hold for a document to be taken.
    ///
    /// # Errors
    /// Nothing is said of it, or something that is not understood.
    pub fn when(&self) -> Result<When, Problem> {
        match (self.field("if-match"), self.field("if-none-match")) {
            (None, Some("*")) => Ok(When::Absent),
            (None, None) => Err(Problem::of("precondition_required")),
            (Some("*"), None) => Ok(When::Present),
            (Some(tag), None) => when_is(tag).ok_or_else(|| {
                bad(
                    "If-Match",
                    "is one ETag as it was given, as \"12-0123456789abcdef\", or *",
                )
            }),
            _ => Err(bad("If-None-Match", "is *, and stands without If-Match")),
        }
    }

    /// As it is asked of control.
    ///
    /// # Errors
    /// An `Idempotency-Key` that is too long.
    pub fn asked(&self, ask: Ask, token: Arc<Token>) -> Result<Asked, Problem> {
        let why = match self.param("why") {
            Some(why) => why.to_owned(),
            // What has content in JSON has the reason there.
            None => serde_json::from_slice::<Why>(&self.body)
                .map(|it| it.why)
                .unwrap_or_default(),
        };
        if why.len() > seawall_control::store::MOST_WHY / 2 {
            return Err(bad("why", "has 2 KiB at most"));
        }
        let who = token.who();
        let request = match self.field("idempotency-key") {
            None => None,
            Some(key) if (1..=LONGEST_KEY).contains(&key.len()) => {
                let name: [&[u8]; 4] =
                    [b"seawall request\0", who.as_bytes(), b"\0", key.as_bytes()];
                let content: [&[u8]; 3] = [self.line.as_bytes(), b"\0", &self.body];
                let content = Hash::of_parts(&content);
                let id = Hash::of_parts(&name).bytes().first_chunk().copied();
                id.map(|id| Request { id, content })
            }
            Some(_) => return Err(bad("Idempotency-Key", "has 1 to 256 bytes")),
        };
        Ok(Asked {
            who,
            why,
            request,
            token: Some(token),
            ask,
        })
    }
}

#[derive(Deserialize)]
struct Why {
    #[serde(default)]
    why: String,
}

fn bad(name: &str, why: &str) -> Problem {
    Problem::of("bad_parameter").saying(format!("`{name}` {why}"))
}

/// The `ETag` of a version.
pub fn etag(number: u64, hash: &str) -> String {
    format!("\"{number}-{:.16}\"", hash)
}

fn when_is(tag: &str) -> Option<When> {
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    let (number, hash) = inner.split_once('-')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(When::Is(number.parse().ok()?, hash.to_owned()))
}

/// Takes `%XX` and `+` out of a part of a query.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                out.push(u8::try_from(value).ok()?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Content that is still to come.
pub struct Body<'b, 'c> {
    /// From the client.
    pub from: &'b mut ClientBody<'c>,
    /// The connection's.
    pub alarm: &'b mut Alarm,
    /// Its length, where it was announced.
    pub length: Option<u64>,
}

impl Body<'_, '_> {
    /// Reads it whole, within what the route takes.
    ///
    /// # Errors
    /// It is too long, too slow, of another type, or cut off.
    pub async fn read(&mut self, route: &Route, head: &RequestHead) -> Result<Vec<u8>, Problem> {
        let is_empty = self.length == Some(0) || self.from.is_done();
        let needed = match route.takes {
            Takes::Nothing | Takes::Json(_, Optional::Yes) => false,
            Takes::Document | Takes::Json(_, Optional::No) => true,
        };
        if is_empty && !needed {
            return Ok(Vec::new());
        }
        is_of_type(route.takes, head)?;
        let most = route.takes.most();
        let too_large = || {
            let detail = format!("at most {most} bytes of content are taken here");
            Problem::of("too_large").saying(detail)
        };
        let announced = self.length.unwrap_or(0);
        if announced > most as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let due = tokio::time::Instant::now() + WHOLE;
        loop {
            let idle = tokio::time::Instant::now() + PACE.idle;
            self.alarm.set_at(due.min(idle));
            let ready = self.from.fill(self.alarm, PACE).await;
            let ready = ready.map_err(|fault| {
                let kind = match fault {
                    seawall_net::incoming::BodyFault::Slow => "slow",
                    _ => "malformed",
                };
                Problem::of(kind).saying(fault.to_string())
            })?;
            if ready == 0 {
                return Ok(body);
            }
            if body.len() + ready > most {
                return Err(too_large());
            }
            body.extend_from_slice(self.from.front(ready));
            self.from.consume(ready);
        }
    }
}

fn is_of_type(takes: Takes, head: &RequestHead) -> Result<(), Problem> {
    let is = head.fields.only(FieldId::ContentType).unwrap_or_default();
    let is = is.split(|byte| *byte == b';').next().unwrap_or_default();
    let is = is.trim_ascii();
    let wanted: &[&[u8]] = match takes {
        Takes::Nothing => return Ok(()),
        Takes::Document => &[b"application/toml", b"text/plain"],
        Takes::Json(..) => &[b"application/json"],
    };
    if wanted.iter().any(|want| is.eq_ignore_ascii_case(want)) {
        return Ok(());
    }
    Err(Problem::of("media_type"))
}

/// Rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollouts {
    /// In the order in which they began, or were asked for.
    pub rollouts: Vec<Standing>,
}

/// Locations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Locations {
    /// In the order of their names.
    pub locations: Vec<Place>,
}

/// Tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokensTold {
    /// In the order of their names.
    pub tokens: Vec<TokenTold>,
}

/// What is answered.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The media type of the content.
    pub content_type: &'static str,
    /// Further fields: names in lower case, and values.
    pub fields: Vec<(&'static str, String)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, content: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: "application/json",
            fields: Vec::new(),
            content: content.into(),
        }
    }

    /// Nothing but a status.
    fn empty(status: u16) -> Self {
        Self::json(status, Vec::new())
    }

    /// What control answered, as its route tells it.
    ///
    /// # Errors
    /// There is no such thing.
    pub fn of(route: &Route, call: &Call, answer: Answer) -> Result<Self, Problem> {
        let status = match route.gives {
            Gives::New(_) => 201,
            Gives::Nothing => 204,
            Gives::Document | Gives::Json(_) => 200,
        };
        Ok(match answer {
            Answer::Applied(told) => Self::told(status, &told),
            Answer::Checked(told) => Self::told(status, &told),
            Answer::Zones(told) => Self::told(status, &told),
            Answer::Versions(told) => Self::told(status, &told),
            Answer::Version(told) => Self::told(status, &told),
            Answer::Diff(told) => Self::told(status, &told),
            Answer::Log(told) => Self::told(status, &told),
            Answer::Locations(locations) => Self::told(status, &Locations { locations }),
            Answer::Status(told) => Self::told(status, &told),
            Answer::Tokens(tokens) => Self::told(status, &TokensTold { tokens }),
            Answer::Token(told) => Self::told(status, &told),
            Answer::JoinToken(told) => Self::told(status, &told),
            Answer::Document(told) => {
                let tag = etag(told.number, &told.hash);
                if call.field("if-none-match") == Some(&tag) {
                    return Ok(Self::not_modified(tag));
                }
                let mut reply = Self {
                    content_type: "application/toml",
                    ..Self::json(status, told.text)
                };
                reply.fields.push(("etag", tag));
                reply
            }
            answer @ Answer::Rollouts(_) => return Self::of_standing(call, answer),
            Answer::Done => Self::empty(204),
            Answer::Killed { rollout } => Self::told(status, &KillMade { rollout }),
            Answer::Purged { purge } => Self::told(status, &PurgeMade { purge }),
            Answer::PurgeStands(told) => Self::told(status, &told),
            // A difference was made of them before.
            Answer::Texts { .. } => return Err(Problem::of("internal")),
        })
    }

    /// How rollouts stand, or that they stand as the client knows.
    ///
    /// # Errors
    /// There is no such rollout.
    pub fn of_standing(call: &Call, answer: Answer) -> Result<Self, Problem> {
        let Answer::Rollouts(rollouts) = answer else {
            return Err(Problem::of("internal"));
        };
        let mut reply = match call.value("rollout") {
            None => Self::told(200, &Rollouts { rollouts }),
            Some(id) => match rollouts.first() {
                Some(one) => Self::told(200, one),
                None => {
                    return Err(Problem::of("unknown").saying(format!("there is no rollout {id}")));
                }
            },
        };
        let tag = Hash::of(&reply.content).to_string();
        let tag = format!("\"{tag:.16}\"");
        if call.field("if-none-match") == Some(&tag) {
            return Ok(Self::not_modified(tag));
        }
        reply.fields.push(("etag", tag));
        Ok(reply)
    }

    fn not_modified(tag: String) -> Self {
        let mut reply = Self::empty(304);
        reply.fields.push(("etag", tag));
        reply
    }

    fn told(status: u16, told: &impl Serialize) -> Self {
        Self::json(status, serde_json::to_vec(told).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_they_are_written_and_what_is_none_is_refused() {
        for (text, read) in [
            ("", Some("")),
            ("a%20b+c%2Bd", Some("a b c+d")),
            ("n%C3%A4her", Some("näher")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).as_deref(), read, "{text}");
        }
        let call = Call::new(Vec::new(), "a=1&&b=&c").unwrap();
        let all = ["a", "b", "c", "d"].map(|name| call.param(name));
        assert_eq!(all, [Some("1"), Some(""), Some(""), None]);
        let many: Vec<String> = (0..=PARAMS).map(|number| format!("p{number}=")).collect();
        for wrong in ["a=1&a=1", "a=%", &many.join("&")] {
            assert!(Call::new(Vec::new(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tag_is_a_version_or_nothing() {
        let hash = "0123456789abcdef".repeat(4);
        let tag = etag(12, &hash);
        assert_eq!(when_is(&tag), Some(When::Is(12, "0123456789abcdef".into())));
        for wrong in [
            "12-0123456789abcdef",
            "W/\"12-0123456789abcdef\"",
            "\"12\"",
            "\"12-\"",
            "\"-0123456789abcdef\"",
            "\"12-0123456789abcdeg\"",
            "\"1-0123456789abcdef\", \"2-0123456789abcdef\"",
        ] {
            assert_eq!(when_is(wrong), None, "{wrong}");
        }
    }
}
