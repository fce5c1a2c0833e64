//! `/.well-known/acme-challenge/TOKEN` (RFC 8555 §8.3).

use seawall_guard::{Answered, Answering, Asked, Endpoint};

/// The token of a challenge's path: exactly as an authority spells it.
pub fn token(path: &[u8]) -> Option<&str> {
    let token = path.strip_prefix(b"/.well-known/acme-challenge/")?;
    std::str::from_utf8(token).ok()
}

/// Answers with the key authorization.
pub struct Challenge;

impl Endpoint for Challenge {
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Answering<'a> {
        // It may be over since the path was looked at.
        let (status, content) = match &asked.challenge {
            Some(authorization) => (200, authorization.as_bytes().to_vec()),
            None => (404, Vec::new()),
        };
        Box::pin(std::future::ready(Answered {
            status,
            content_type: "application/octet-stream",
            content,
            ..Answered::default()
        }))
    }
}
