//! The reference of errors, rendered from the table of answers.

use std::fmt::Write;

use super::Fault;

/// Every fault.
pub(super) const ALL: &[Fault] = &[
    Fault::Rejected {
        status: 400,
        reason: "",
    },
    Fault::NeedsTls,
    Fault::UnknownHost,
    Fault::MisdirectedTls,
    Fault::NoConnect,
    Fault::NoTrace,
    Fault::TooEarly,
    Fault::SlowHead,
    Fault::SlowBody,
    Fault::BrokenBody(""),
    Fault::ClientGone,
    Fault::NoWebSocket,
    Fault::NoEndpoint,
    Fault::EndpointMethod,
    Fault::TurnedAway,
    Fault::Withdrawn,
    Fault::Loop,
    Fault::Internal,
    Fault::Overloaded,
    Fault::Stopping,
    Fault::Full,
    Fault::Dns,
    Fault::Prohibited,
    Fault::Refused,
    Fault::Unreachable,
    Fault::ConnectTimeout,
    Fault::OriginTls,
    Fault::OriginCertificate,
    Fault::ClosedEarly,
    Fault::Unprocessed,
    Fault::Incomplete,
    Fault::OriginProtocol,
    Fault::WrongDigest,
    Fault::OriginTimeout,
    Fault::OriginStalled,
    Fault::SlowReader,
    Fault::OriginStuck,
    Fault::UpgradeFailed,
    Fault::NotValidated("connection_refused"),
];

/// All errors, as Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# Errors\n\nThe `error` of a Record, and what clients are told. Who failed is the client, the edge or the origin; \
         `Proxy-Status` (RFC 9209) has the same word for machines. A malformed request's error is the rule that it broke. \
         Beside `not_validated` stands why the site's server does not answer: `connection_refused` or another word.\n\n\
         | Error | Status | Who failed | `Proxy-Status` | What is said |\n|---|---|---|---|---|\n",
    );
    for fault in ALL {
        let answer = fault.answer();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | `{}` | {} |",
            answer.slug,
            answer.status,
            answer.who.name(),
            answer.proxy_status,
            answer.what
        );
    }
    out
}
