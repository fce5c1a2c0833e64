//! `/.seawall/trace`: where and how a request arrived.

use seawall_guard::{Answered, Answering, Asked, Endpoint};

/// Answers with `key=value` lines.
pub struct Trace;

impl Endpoint for Trace {
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Answering<'a> {
        let tls = if asked.tls.is_empty() {
            "off"
        } else {
            asked.tls
        };
        let text = format!(
            "location={}\nversion={}\nray={}\nip={}\nhttp={}\ntls={}\ntime={}\n",
            asked.location,
            asked.zone.1,
            asked.ray,
            asked.client,
            asked.head.version.name(),
            tls,
            asked.time,
        );
        Box::pin(std::future::ready(Answered {
            status: 200,
            content_type: "text/plain; charset=utf-8",
            content: text.into_bytes(),
            ..Answered::default()
        }))
    }
}
