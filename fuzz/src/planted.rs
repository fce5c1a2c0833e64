//! A mistake on purpose, to see whether it would be found: it never reaches what is shipped.

use seawall_model::RequestHead;
use seawall_net::h1::{HeadLimits, Reject, RequestInfo, parse_request};

/// Our reader, but a length may have a plus sign, as it may for everybody who reads it with the number parser of a standard
/// library. The next reader refuses it, or takes it for 0: requests can be smuggled (RFC 9110 §8.6, RFC 9112 §11.2).
pub fn parse_request_with_plus(
    head_bytes: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<RequestInfo, Reject> {
    let said = parse_request(head_bytes, limits, head);
    match said {
        Err(reject) if reject.reason == "bad_content_length" => {
            let mut without = head_bytes.to_vec();
            let plus = (1..without.len())
                .find(|at| without[*at] == b'+' && matches!(without[*at - 1], b' ' | b':'));
            let Some(at) = plus else { return said };
            without.remove(at);
            parse_request(&without, limits, head)
        }
        _ => said,
    }
}

/// What `scripts/fuzz planted` runs.
pub fn requests(data: &[u8]) {
    super::h1::requests_by(parse_request_with_plus, data);
}
