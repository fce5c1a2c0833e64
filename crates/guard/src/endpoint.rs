//! What is ours on every zone: paths below `/.seawall/`, answered by the edge alone.
//!
//! Endpoints are data in one slice. They are matched on the path in its most generous reading, so that no spelling of it ever
//! reaches an origin; the stages that an endpoint names judge the request before it answers.

use std::future::Future;
use std::pin::Pin;

use seawall_model::{Fields, Method, RequestHead};

/// A request for an endpoint, with what the edge knows of it.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The version of TLS; empty without.
    pub tls: &'a str,
    /// The location's name.
    pub location: &'a str,
    /// The zone's name and version.
    pub zone: (&'a str, &'a str),
    /// The request's id, as `Seawall-Ray` shows it.
    pub ray: &'a str,
    /// The key authorization that an ACME authority asks for (RFC 8555 §8.3), if the path is that of a challenge of ours.
    pub challenge: Option<std::sync::Arc<str>>,
    /// The time, RFC 3339.
    pub time: &'a str,
}

/// What an endpoint answers.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub content: Vec<u8>,
    /// Further fields.
    pub fields: Fields,
}

/// An answer to come.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answered> + 'a>>;

/// Answers requests for one path.
pub trait Endpoint: Sync {
    /// The answer.
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Answering<'a>;
}

/// An endpoint, as data.
pub struct EndpointDef {
    /// Its normalised path.
    pub path: &'static str,
    /// The methods it takes; others get 405.
    pub methods: &'static [Method],
    /// What it does, for the reference.
    pub what: &'static str,
    /// The stages that judge a request before it answers: at least `lists`, `ddos` and, where there is one, `rate`.
    pub stages: &'static [&'static str],
    /// Who answers.
    pub handler: &'static dyn Endpoint,
}
