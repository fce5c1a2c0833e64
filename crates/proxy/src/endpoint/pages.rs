//! The pages that the edge shows in place of a site: errors, refusals, maintenance. The same text is behind an endpoint, so that
//! an owner can look at what visitors will see.

use seawall_guard::{Answered, Answering, Asked, Endpoint, Page as GuardPage, Refusal};
use seawall_model::FieldId;

use crate::fault::Fault;
use crate::page::{self, Fault as Who, Page};

/// What a page tells, in plain words.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The status.
    pub status: u16,
    /// Who failed.
    pub who: Who,
    /// What happened.
    pub what: &'a str,
    /// What the reader can do.
    pub help: &'a str,
}

/// What clients are told whose request a stage refused.
pub const REFUSED: Told<'static> = Told {
    status: 403,
    who: Who::Client,
    what: "This site's protection refused the request.",
    help: "If you think that this is a mistake, tell the site's owner the ray below.",
};

const THROTTLED: Told<'static> = Told {
    status: 429,
    who: Who::Client,
    what: "Too many requests came from your address.",
    help: "Wait a moment, then try again.",
};

const FAILED: Told<'static> = Told {
    status: 503,
    who: Who::Edge,
    what: "A protection of this site does not work at the moment, and without it nothing is let through.",
    help: "Try again in a minute. The site's owner has been told.",
};

const TOO_LARGE: Told<'static> = Told {
    status: 413,
    who: Who::Client,
    what: "What was sent is larger than this site takes.",
    help: "Send less at once.",
};

/// What visitors are told during maintenance.
pub const MAINTENANCE: Told<'static> = Told {
    status: 503,
    who: Who::Maintenance,
    what: "This site is in maintenance.",
    help: "Please come back a little later.",
};

/// What visitors are told when the origin refuses connections.
pub const ERROR: Fault = Fault::Refused;

impl From<Fault> for Told<'static> {
    fn from(fault: Fault) -> Self {
        let answer = fault.answer();
        Self {
            status: answer.status,
            who: answer.who,
            what: answer.what,
            help: answer.help,
        }
    }
}

/// What a page tells of a refusal.
pub fn page_of(refusal: &Refusal) -> Told<'_> {
    match &refusal.answer {
        seawall_guard::Answer::Throttle(_) => THROTTLED,
        seawall_guard::Answer::Page(GuardPage::Maintenance { message, .. }) => Told {
            what: if message.is_empty() {
                MAINTENANCE.what
            } else {
                message
            },
            ..MAINTENANCE
        },
        answer if refusal.failed => Told {
            status: answer.status(),
            ..FAILED
        },
        answer if answer.status() == 413 => TOO_LARGE,
        answer => Told {
            status: answer.status(),
            ..REFUSED
        },
    }
}

/// Renders a page in the form that the client prefers; returns its content type.
pub fn render(told: Told<'_>, asked: &Asked<'_>, out: &mut Vec<u8>) -> &'static str {
    let page = Page {
        status: told.status,
        who: told.who,
        what: told.what,
        help: told.help,
        ray: asked.ray,
        location: asked.location,
        host: asked.head.authority(),
        time: asked.time,
    };
    page::render(&page, asked.head.fields.first(FieldId::Accept), out)
}

/// Shows one of the pages.
pub struct Sample<T>(pub T);

impl<T: Copy + Into<Told<'static>> + Sync> Endpoint for Sample<T> {
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Answering<'a> {
        let mut answered = Answered {
            status: 200,
            ..Answered::default()
        };
        answered.content_type = render(self.0.into(), &asked, &mut answered.content);
        answered.fields.append(
            b"content-security-policy",
            page::CONTENT_SECURITY_POLICY.as_bytes(),
        );
        answered.fields.append(b"x-robots-tag", b"noindex");
        Box::pin(std::future::ready(answered))
    }
}
