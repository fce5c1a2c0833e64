//! Tests of the suite that our edge answers otherwise, each with the reason. The list may only shrink.

/// Only ids go into the field that is asked for; what matched is in the Record's events. Played without HTTP
/// (`crates/waf/tests/crs_regression.rs`) these pass, text and all.
const TEXT: &str = "asks for the text of the log line, of which the field has the ids; it passes where the suite is played offline";
const TARGET: &str = "a target with bytes beyond ASCII is answered 400 by the codec before any rule (RFC 9112, 3.2; RFC 3986, 2)";

/// Test and reason.
pub const OTHERWISE: &[(&str, &str)] = &[
    (
        "920290-4",
        "an empty Host is answered 400 by the codec before any rule (RFC 9112, 3.2)",
    ),
    (
        "920430-5",
        "a request line without a version is answered 400 by the codec before any rule (RFC 9112, 3)",
    ),
    (
        "920430-8",
        "HTTP/4.0 is answered 505 by the codec before any rule (RFC 9110, 15.6.6)",
    ),
    ("920540-4", TEXT),
    (
        "920620-1",
        "Apache joins two Content-Type lines to one before rules see them; here rules see what was sent, as on nginx",
    ),
    ("922130-1", TEXT),
    ("922130-2", TEXT),
    ("922130-4", TEXT),
    ("922130-7", TEXT),
    ("931130-24", TEXT),
    ("932200-13", TEXT),
    ("932207-7", TEXT),
    ("932300-10", TEXT),
    ("933120-2", TEXT),
    ("934120-23", TARGET),
    ("934120-24", TARGET),
    ("934120-25", TARGET),
    ("934120-26", TARGET),
    ("934120-39", TARGET),
    ("949110-5", TEXT),
    ("959100-3", TEXT),
];
