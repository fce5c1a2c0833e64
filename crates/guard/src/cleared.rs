//! Responses that may go to a client.

use seawall_model::Fields;

/// A response head that may go to the client: the writer of sockets takes nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Cleared<'r> {
    status: u16,
    fields: Option<&'r Fields>,
}

/// Why an answer that no origin gave needs no stage: it is the edge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeMade {
    /// A page of ours: an error, a refusal, an endpoint, the sample site, a redirect.
    Page,
    /// An interim response that came from the origin: stages judge final ones, and an interim one has no content.
    Interim,
}

impl<'r> Cleared<'r> {
    pub(crate) const fn origin(status: u16, fields: &'r Fields) -> Self {
        Self {
            status,
            fields: Some(fields),
        }
    }

    /// What the edge itself says.
    pub const fn edge_made(_why: EdgeMade, status: u16, fields: Option<&'r Fields>) -> Self {
        Self { status, fields }
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The fields that travel on, where an origin sent some.
    pub const fn fields(&self) -> Option<&'r Fields> {
        self.fields
    }
}
