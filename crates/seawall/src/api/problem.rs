//! What is answered when something is not done: problem details (RFC 9457), one kind each in one table.

use schemars::JsonSchema;
use seawall_model::Problems;
use serde::{Deserialize, Serialize};

use super::call::Reply;
use crate::control::asks::{self, NotMade};

/// A kind of problem.
pub struct ProblemDef {
    /// Its name: `type` is `urn:seawall:problem:` and this.
    pub name: &'static str,
    /// The status.
    pub status: u16,
    /// What it means.
    pub title: &'static str,
    /// What can be done.
    pub help: &'static str,
}

/// The code of an endpoint that there is not; Cloudflare's clients know it.
const NO_ENDPOINT: u32 = 7003;

const fn def(
    name: &'static str,
    status: u16,
    title: &'static str,
    help: &'static str,
) -> ProblemDef {
    ProblemDef {
        name,
        status,
        title,
        help,
    }
}

/// All kinds.
#[rustfmt::skip] // one line for each
pub static PROBLEMS: &[ProblemDef] = &[
    def("malformed", 400, "The request cannot be read", "Send HTTP/1.1 or HTTP/2 as /api/openapi.json says."),
    def("unknown_parameter", 400, "There is no such parameter", "What would not be heeded is refused. Leave it out, or see /api/openapi.json for its name."),
    def("bad_parameter", 400, "A parameter has a wrong value", "See its schema in /api/openapi.json."),
    def("bad_body", 400, "The content is not what is asked for", "See its schema in /api/openapi.json."),
    def("unauthorized", 401, "There is no good token", "Send `Authorization: Bearer sw_…`. Tokens are made with `seawall token make` on the machine that runs Seawall."),
    def("forbidden", 403, "The token does not allow this", "Use a token with the scope that is named, or have one made."),
    def("unknown_endpoint", 404, "There is no such endpoint", "See /api/openapi.json for those that there are."),
    def("unknown", 404, "It is not known here", "Look at the list of what there is: zones, versions, rollouts, tokens."),
    def("method", 405, "The endpoint has no such method", "`Allow` names those that it has."),
    def("slow", 408, "It took too long", "Send it again."),
    def("refused", 409, "It cannot be done as things are", "`detail` says what can be done."),
    def("conflict", 412, "Somebody else was first", "Look at `diff`, put your change on top of the newest version, and send it with that one's `ETag`."),
    def("too_large", 413, "The content is too large", "A document has 16 MiB at most, anything else 64 KiB."),
    def("media_type", 415, "The content is of another type", "`Content-Type` is application/toml for documents, and application/json else."),
    def("misdirected", 421, "This is not asked by this name", "Ask by an address or `localhost`, or start `seawall up` with `--dashboard-host NAME`."),
    def("bad_document", 422, "The document is wrong", "`problems` has all that is wrong in it, each with its place and what to do."),
    def("key_reused", 422, "The `Idempotency-Key` was used for another request", "A key is of one method, path, query and content: take a new random one for each request, and the old one only to send the very same again."),
    def("precondition_required", 428, "It is not said what was looked at before", "Send `If-Match` with the `ETag` of the document that you have changed, or `If-None-Match: *` for one that is new."),
    def("too_many", 429, "Too much is asked", "Wait as long as `Retry-After` says."),
    def("head_too_large", 431, "The head of the request is too large", "At most 16 KiB and 64 fields."),
    def("internal", 500, "Something is broken here", "Look at what control printed."),
    def("busy", 503, "It cannot be done just now", "Wait as long as `Retry-After` says, and send it again; with an `Idempotency-Key` it is done once."),
];

/// The kind with this name.
pub fn named(name: &str) -> Option<&'static ProblemDef> {
    PROBLEMS.iter().find(|def| def.name == name)
}

/// A problem, as it is told: RFC 9457, and further members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Details {
    /// `urn:seawall:problem:` and the name of its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// What its kind means.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What it is this time.
    pub detail: String,
    /// What can be done.
    pub help: String,
    /// 7003 where there is no such endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// All that is wrong with a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Wrong>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u64>,
    /// The newest version, where somebody else was first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<asks::Told>,
    /// What that version changed in the one that was looked at, in the unified format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wrong {
    /// Where, as `zone[1].origin[0].url`; lists count from 0. `document` for the text as a whole.
    pub path: String,
    /// What.
    pub what: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// The line in the text, counted from 1, where it is known.
    pub line: Option<u32>,
    /// The column in characters, counted from 1; only for text that is no TOML.
    pub column: Option<u32>,
}

/// Why something is not done, on its way to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem(Box<Told>);

/// What a problem tells, in content and head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    details: Details,
    /// Seconds after which the same may do better.
    again: Option<u64>,
    /// Of [`method`](Self::of): what there is.
    allow: Option<String>,
    /// Of a conflict: the `ETag` of what is the newest.
    etag: Option<String>,
}

impl Problem {
    /// One of this kind.
    pub fn of(name: &'static str) -> Self {
        let def = named(name).or_else(|| named("internal"));
        let Some(def) = def else {
            return Self::default();
        };
        let details = Details {
            kind: format!("urn:seawall:problem:{}", def.name),
            title: def.title.into(),
            status: def.status,
            detail: def.title.into(),
            help: def.help.into(),
            code: (name == "unknown_endpoint").then_some(NO_ENDPOINT),
            ..Details::default()
        };
        Self(Box::new(Told {
            details,
            ..Told::default()
        }))
    }

    /// With what it is this time.
    pub fn saying(mut self, detail: impl Into<String>) -> Self {
        self.0.details.detail = detail.into();
        self
    }

    /// The same may do better after so many seconds.
    pub fn again_after(mut self, seconds: u64) -> Self {
        self.0.again = Some(seconds);
        self
    }

    /// These methods there are.
    pub fn allowing(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// As it goes to the client.
    pub fn reply(self) -> Reply {
        let text = serde_json::to_string(&self.0.details).unwrap_or_default();
        let mut reply = Reply {
            content_type: "application/problem+json",
            ..Reply::json(self.0.details.status, text)
        };
        let mut put = |name, value: Option<String>| reply.fields.extend(value.map(|it| (name, it)));
        put(
            "retry-after",
            self.0.again.map(|seconds| seconds.to_string()),
        );
        put("allow", self.0.allow);
        put("etag", self.0.etag);
        if self.0.details.status == 401 {
            put("www-authenticate", Some("Bearer realm=\"seawall\"".into()));
        }
        reply
    }
}

impl From<NotMade> for Problem {
    fn from(not: NotMade) -> Self {
        match not {
            NotMade::Refused(why) => Self::of("refused").saying(why),
            NotMade::Unknown(why) => Self::of("unknown").saying(why),
            NotMade::Forbidden(why) => Self::of("forbidden").saying(why),
            NotMade::Reused(why) => Self::of("key_reused").saying(why),
            NotMade::Problems(problems) => Self::wrong(problems),
            NotMade::Conflict(conflict) => {
                let mut problem = Self::of("conflict").saying(conflict.why);
                let newest = conflict.head.as_ref().filter(|head| !head.tombstone);
                problem.0.etag = newest.map(|head| super::call::etag(head.number, &head.hash));
                problem.0.details.head = conflict.head;
                problem.0.details.diff = conflict.diff;
                problem
            }
            NotMade::Store { why, later: true } => Self::of("busy").saying(why).again_after(2),
            NotMade::Store { why, later: false } => Self::of("internal").saying(why),
        }
    }
}

impl Problem {
    fn wrong(problems: Problems) -> Self {
        let mut problem = Self::of("bad_document");
        let many = problems.list.len() as u64 + problems.more;
        problem.0.details.detail = format!("{many} problem(s)");
        problem.0.details.more = (problems.more > 0).then_some(problems.more);
        let wrong = problems.list.into_iter().map(|one| Wrong {
            path: one.path,
            what: one.what,
            help: one.help,
            line: one.line,
            column: one.column,
        });
        problem.0.details.problems = wrong.collect();
        problem
    }
}

impl Details {
    /// The same for who asked through the client: what control would have said on its socket.
    pub fn not_made(self) -> NotMade {
        match self.status {
            422 if self.kind.ends_with(":key_reused") => NotMade::Reused(self.detail),
            422 => NotMade::Problems(Problems {
                list: self
                    .problems
                    .into_iter()
                    .map(|one| seawall_model::Problem {
                        path: one.path,
                        what: one.what,
                        help: one.help,
                        line: one.line,
                        column: one.column,
                    })
                    .collect(),
                more: self.more.unwrap_or(0),
            }),
            404 if self.code.is_none() => NotMade::Unknown(self.detail),
            409 => NotMade::Refused(self.detail),
            412 => NotMade::Conflict(Box::new(crate::control::asks::Conflict {
                why: self.detail,
                head: self.head,
                diff: self.diff,
            })),
            _ => NotMade::Refused(format!("{} ({})", self.detail, self.help)),
        }
    }
}
