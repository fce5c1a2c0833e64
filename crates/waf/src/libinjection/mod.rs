//! Whether a text would be SQL within a query, or script within a page.

/// Whether a text is an injection into SQL; with its fingerprint.
pub(crate) fn sqli(_text: &[u8]) -> Option<String> {
    None
}

/// Whether a text is an injection into HTML.
pub(crate) fn xss(_text: &[u8]) -> bool {
    false
}

pub(crate) fn may_be_sqli(_text: &[u8], _classes: u16) -> bool {
    true
}
pub(crate) fn may_be_xss(_classes: u16) -> bool {
    true
}
pub(crate) fn sqli_price(text: &[u8]) -> u64 {
    500 + 30 * text.len() as u64
}
pub(crate) fn xss_price(text: &[u8]) -> u64 {
    200 + 10 * text.len() as u64
}
