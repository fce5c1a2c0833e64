//! Bodies of requests as the values that rules look at.
//!
//! Each format has a parser over the whole text that was held: pure, linear, with limits on count and depth. What a parser finds
//! goes into a [`Sink`] as it is found; what is wrong is an error's text, and what was found before stays. Not here: how much of a
//! body is held, and decompression.

pub(crate) mod coded;
pub(crate) mod json;
pub(crate) mod multipart;
pub(crate) mod urlencoded;
pub(crate) mod xml;

/// Takes what is found.
pub(crate) trait Sink {
    /// An argument. False when no more are taken.
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool;
}

/// What bounds the parsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Arguments, parts, nodes.
    pub(crate) count: usize,
    /// Values within values.
    pub(crate) depth: usize,
    pub(crate) files: usize,
}

#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) Vec<(String, String)>);

#[cfg(test)]
impl Sink for Told {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(name), text(value)));
        true
    }
}
