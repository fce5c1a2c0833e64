//! What can go wrong with a request, and what is said of it: one table from faults to answers.
//!
//! Three readers: the visitor (plain words on the page), machines (`Proxy-Status`, RFC 9209), and the owner (the Record's
//! `error`). From each of them one can tell whether the client, the edge or the origin failed.

mod reference;
mod shared;
mod sources;

use seawall_telemetry::Slugs;

use crate::origin::Outcome;
use crate::page::Fault as Who;

pub use reference::reference_markdown;
pub use sources::of_body;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's message is malformed, ambiguous or beyond a limit. Status and reason are the codec's.
    Rejected {
        /// The status to answer with.
        status: u16,
        /// Which rule it broke.
        reason: &'static str,
    },
    /// The zone wants a client certificate, which cleartext cannot carry.
    NeedsTls,
    /// No zone answers for this host.
    UnknownHost,
    /// The TLS server name and the host belong to different zones.
    MisdirectedTls,
    /// `CONNECT`, which an origin's edge does not serve.
    NoConnect,
    /// `TRACE`, which would show fields that the edge added.
    NoTrace,
    /// It came before the handshake was done, and is not safe to be done twice.
    TooEarly,
    /// The client's head came too slowly.
    SlowHead,
    /// The client's body came too slowly.
    SlowBody,
    /// The client's body is broken.
    BrokenBody(&'static str),
    /// The client went away.
    ClientGone,
    /// WebSocket where the zone has it switched off.
    NoWebSocket,
    /// The path is ours, and nothing lives there.
    NoEndpoint,
    /// The path is an endpoint's, which does not take this method.
    EndpointMethod,
    /// A stage refused the body, or the response: what it said is told in place of this.
    TurnedAway,
    /// The configuration that admitted the request has changed, and would not admit it now.
    Withdrawn,
    /// The request came round.
    Loop,
    /// We ran into an error of our own.
    Internal,
    /// We have no descriptor or memory left for a connection to the origin.
    Overloaded,
    /// We stop, and the time that running requests get is over.
    Stopping,
    /// The origin has as much to do as it may have.
    Full,
    /// The origin's name has no address.
    Dns,
    /// The address policy forbids the origin's address.
    Prohibited,
    /// The origin refuses connections.
    Refused,
    /// The origin cannot be reached.
    Unreachable,
    /// Connecting to the origin took too long.
    ConnectTimeout,
    /// TLS to the origin failed.
    OriginTls,
    /// The origin's certificate is not good.
    OriginCertificate,
    /// The origin closed before it answered.
    ClosedEarly,
    /// The origin said that it did nothing with the request (RFC 9113 §8.7), and will not.
    Unprocessed,
    /// The origin closed in the middle of its answer.
    Incomplete,
    /// What the origin sent is not HTTP that can be trusted.
    OriginProtocol,
    /// What the origin sent is not what its digest says (RFC 9530).
    WrongDigest,
    /// The origin did not answer in time.
    OriginTimeout,
    /// The origin stopped in the middle of its answer.
    OriginStalled,
    /// The client took too little of the answer for too long.
    SlowReader,
    /// The origin did not take the request in time.
    OriginStuck,
    /// The origin did not switch protocols.
    UpgradeFailed,
    /// What is stored must be validated, and the origin says nothing: why, in a word of RFC 9209.
    NotValidated(&'static str),
}

/// What is said of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// RFC 9209 §2.3.
    pub proxy_status: &'static str,
    /// The Record's `error`.
    pub slug: &'static str,
    /// Who failed.
    pub who: Who,
    /// In plain words.
    pub what: &'static str,
    /// What can be done.
    pub help: &'static str,
}

/// The words that metrics' labels may take.
pub const WORDS: Slugs = Slugs {
    errors: SLUGS,
    refusals: &[
        "limit",
        "client_limit",
        "descriptors",
        "memory",
        "proxy_protocol",
    ],
    handshakes: &[
        "full",
        "resumed",
        "closed",
        "unknown_name",
        "slow",
        "client_certificate",
        "failed",
    ],
    tls_versions: &["TLSv1.2", "TLSv1.3"],
    abuses: &[
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "COMPRESSION_ERROR",
        "ENHANCE_YOUR_CALM",
    ],
    rejections: &[
        "asterisk_without_options",
        "bad_chunk_extension",
        "bad_chunk_size",
        "bad_connect_target",
        "bad_connection_option",
        "bad_content_length",
        "bad_field_name",
        "bad_host",
        "bad_method",
        "bad_target",
        "bad_transfer_encoding",
        "bad_version",
        "bare_cr",
        "bare_lf",
        "both_length_and_encoding",
        "bytes_after_head",
        "chunk_extensions_too_long",
        "chunk_longer_than_its_size",
        "chunk_size_too_long",
        "content_length_overflow",
        "control_byte_in_field",
        "control_byte_in_request_line",
        "duplicate_content_length",
        "duplicate_host",
        "duplicate_transfer_encoding",
        "empty_chunk_size",
        "empty_field_name",
        "empty_host",
        "empty_request_line",
        "extra_space_in_request_line",
        "field_without_colon",
        "folded_field",
        "fragment_in_target",
        "head_too_long",
        "host_disagrees_with_target",
        "incomplete_head",
        "malformed_head",
        "malformed_trailers",
        "method_too_long",
        "missing_host",
        "missing_version",
        "space_before_colon",
        "space_before_first_field",
        "target_not_ascii",
        "target_too_long",
        "too_many_fields",
        "too_many_trailers",
        "trace_with_body",
        "trailers_too_long",
        "unknown_expectation",
        "unknown_transfer_coding",
        "unsupported_version",
        "bad_field",
        "misplaced_pseudo_field",
        "unknown_pseudo_field",
        "duplicate_pseudo_field",
        "missing_pseudo_field",
        "connection_specific_field",
        "bad_scheme",
        "bad_connect",
        "bad_status",
    ],
    connects: &[
        "ok",
        "circuit_open",
        "dns_error",
        "destination_ip_prohibited",
        "connection_refused",
        "destination_ip_unroutable",
        "connection_timeout",
        "tls_protocol_error",
        "tls_certificate_error",
        "http_protocol_error",
        "connection_limit_reached",
    ],
    retries: &[
        "again",
        "stale",
        "response_started",
        "body_spent",
        "not_idempotent",
        "attempts",
        "budget",
    ],
};

/// Every `error` that a Record can have, for metrics.
pub const SLUGS: &[&str] = &[
    "http_request_error",
    "needs_tls",
    "unknown_host",
    "misdirected_tls",
    "connect_refused",
    "trace_refused",
    "too_early",
    "slow_head",
    "slow_body",
    "broken_body",
    "client_gone",
    "websocket_off",
    "no_endpoint",
    "endpoint_method",
    "turned_away",
    "withdrawn",
    "proxy_loop_detected",
    "proxy_internal_error",
    "connection_limit_reached",
    "edge_shutdown",
    "circuit_open",
    "dns_error",
    "destination_ip_prohibited",
    "connection_refused",
    "destination_ip_unroutable",
    "connection_timeout",
    "tls_protocol_error",
    "tls_certificate_error",
    "connection_terminated",
    "http_response_incomplete",
    "http_protocol_error",
    "wrong_digest",
    "http_response_timeout",
    "connection_read_timeout",
    "slow_reader",
    "connection_write_timeout",
    "http_upgrade_failed",
    "not_validated",
];

const RETRY: &str =
    "Try again in a minute. If it stays so, tell the site's owner and quote the id below.";
const OWNER: &str = "If you own this site: the Record with this id, in the access log, says more.";

impl Fault {
    /// What is said of it.
    pub fn answer(self) -> Answer {
        let client = |status, slug, what, help| Answer {
            status,
            proxy_status: "http_request_error",
            slug,
            who: Who::Client,
            what,
            help,
        };
        let edge = |status, slug, what, help| Answer {
            status,
            proxy_status: slug,
            slug,
            who: Who::Edge,
            what,
            help,
        };
        let origin = |status, slug, what| Answer {
            status,
            proxy_status: slug,
            slug,
            who: Who::Origin,
            what,
            help: RETRY,
        };
        match self {
            Self::Rejected { status, .. } => client(
                status,
                "http_request_error",
                "The request is malformed or too large to be taken.",
                "A browser never sends such a request. If you wrote the client, compare it with RFC 9112.",
            ),
            Self::NeedsTls => client(
                403,
                "needs_tls",
                "This site wants a client certificate, so it answers over HTTPS only.",
                "Use https:// and present your certificate.",
            ),
            Self::UnknownHost => client(
                421,
                "unknown_host",
                "No site by this name is served here.",
                "Check the address. If you own the site: add its host to a zone.",
            ),
            Self::MisdirectedTls => client(
                421,
                "misdirected_tls",
                "This connection was made for another site.",
                "Reload the page: the browser will open a connection of its own.",
            ),
            Self::NoConnect => client(
                501,
                "connect_refused",
                "CONNECT is not served here.",
                "This is no forward proxy.",
            ),
            Self::NoTrace => client(
                405,
                "trace_refused",
                "TRACE is not served here.",
                "Use /.seawall/trace instead.",
            ),
            Self::TooEarly => client(
                425,
                "too_early",
                "The request came before the connection was secured.",
                "Send it again: browsers do so by themselves.",
            ),
            Self::SlowHead => client(
                408,
                "slow_head",
                "The request took too long to arrive.",
                "Try again.",
            ),
            Self::SlowBody => client(
                408,
                "slow_body",
                "The upload was too slow, or stopped.",
                "Try again.",
            ),
            Self::BrokenBody(_) => client(
                400,
                "broken_body",
                "The upload's framing is broken.",
                "Try again.",
            ),
            Self::ClientGone => client(499, "client_gone", "The client went away.", ""),
            Self::NoWebSocket => client(
                403,
                "websocket_off",
                "This site does not speak WebSocket.",
                OWNER,
            ),
            Self::NoEndpoint => client(
                404,
                "no_endpoint",
                "Nothing lives at this path.",
                "Paths below /.seawall/ belong to the edge.",
            ),
            Self::EndpointMethod => client(
                405,
                "endpoint_method",
                "This path does not take that method.",
                "Ask with GET.",
            ),
            Self::TurnedAway => client(
                403,
                "turned_away",
                "This site's protection refused the request.",
                OWNER,
            ),
            Self::Withdrawn => client(
                403,
                "withdrawn",
                "What was allowed before is not allowed any more.",
                OWNER,
            ),
            Self::Loop => edge(
                508,
                "proxy_loop_detected",
                "The request came round to the edge again.",
                OWNER,
            ),
            Self::Internal => edge(
                500,
                "proxy_internal_error",
                "The edge ran into an error of its own.",
                RETRY,
            ),
            Self::Overloaded => edge(
                503,
                "connection_limit_reached",
                "The edge has no room for another connection.",
                RETRY,
            ),
            Self::Stopping => Answer {
                // RFC 9209 has no word for it; it is ours, and not the origin's.
                proxy_status: "proxy_internal_error",
                ..edge(
                    503,
                    "edge_shutdown",
                    "The edge was stopped while the request ran.",
                    RETRY,
                )
            },
            Self::Full => Answer {
                proxy_status: "connection_limit_reached",
                ..origin(
                    503,
                    "circuit_open",
                    "The site's server has as much to do as it may have.",
                )
            },
            Self::Dns => origin(
                502,
                "dns_error",
                "The name of the site's server could not be resolved.",
            ),
            Self::Prohibited => Answer {
                help: OWNER,
                ..origin(
                    502,
                    "destination_ip_prohibited",
                    "The site's server has an address that the edge must not connect to.",
                )
            },
            Self::Refused => origin(
                502,
                "connection_refused",
                "The site's server refused the connection.",
            ),
            Self::Unreachable => origin(
                502,
                "destination_ip_unroutable",
                "The site's server cannot be reached.",
            ),
            Self::ConnectTimeout => origin(
                504,
                "connection_timeout",
                "The site's server did not take the connection in time.",
            ),
            Self::OriginTls => origin(
                502,
                "tls_protocol_error",
                "No secure connection to the site's server could be made.",
            ),
            Self::OriginCertificate => origin(
                502,
                "tls_certificate_error",
                "The certificate of the site's server is not good.",
            ),
            Self::ClosedEarly => origin(
                502,
                "connection_terminated",
                "The site's server closed the connection without an answer.",
            ),
            Self::Unprocessed => origin(
                502,
                "connection_terminated",
                "The site's server did not take the request.",
            ),
            Self::Incomplete => origin(
                502,
                "http_response_incomplete",
                "The site's server broke off in the middle of its answer.",
            ),
            Self::OriginProtocol => origin(
                502,
                "http_protocol_error",
                "The site's server sent an answer that is not valid HTTP.",
            ),
            Self::WrongDigest => Answer {
                proxy_status: "http_protocol_error",
                ..origin(
                    502,
                    "wrong_digest",
                    "The site's server sent something else than it said that it would.",
                )
            },
            Self::OriginTimeout => origin(
                504,
                "http_response_timeout",
                "The site's server did not answer in time.",
            ),
            Self::OriginStalled => origin(
                504,
                "connection_read_timeout",
                "The site's server stopped in the middle of its answer.",
            ),
            Self::SlowReader => client(
                408,
                "slow_reader",
                "The answer was taken too slowly.",
                "Try again.",
            ),
            Self::OriginStuck => origin(
                504,
                "connection_write_timeout",
                "The site's server did not take the request in time.",
            ),
            Self::UpgradeFailed => origin(
                502,
                "http_upgrade_failed",
                "The site's server did not switch protocols.",
            ),
            Self::NotValidated(why) => Answer {
                proxy_status: why,
                ..origin(
                    504,
                    "not_validated",
                    "What is kept of this may not be shown without asking the site's server, which does not answer.",
                )
            },
        }
    }

    /// What it says about the origin's health; none when it says nothing.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Dns
            | Self::Prohibited
            | Self::Refused
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::OriginTls
            | Self::OriginCertificate => Outcome::ConnectFailed,
            Self::ClosedEarly | Self::Unprocessed | Self::Incomplete => Outcome::Reset,
            Self::OriginTimeout | Self::OriginStalled | Self::OriginStuck => Outcome::Timeout,
            Self::OriginProtocol | Self::WrongDigest | Self::UpgradeFailed => Outcome::BadResponse,
            _ => Outcome::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests;
