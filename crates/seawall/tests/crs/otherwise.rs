//! Tests of the suite that our edge answers otherwise, each with the reason. The list may only shrink.

/// Only ids go into the field that is asked for; what matched is in the Record's events.
const TEXT: &str = "asks for the text of the log line, of which we tell the ids (`seawall waf explain` has the text)";

/// Test and reason.
pub const OTHERWISE: &[(&str, &str)] = &[
    (
        "920430-5",
        "a request line without a version is answered 400 by the codec before any rule (RFC 9112, 3)",
    ),
    ("931130-24", TEXT),
    ("932207-7", TEXT),
    ("949110-5", TEXT),
];
