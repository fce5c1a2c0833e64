//! Which form of a page a client wants, by its `Accept` field.
//!
//! Not here: the forms themselves.

/// The forms in which a page can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Html,
    Json,
}

impl Form {
    /// Content negotiation (RFC 9110 §12.5.1): the highest quality wins, then the range that names it most closely, then
    /// the one named first. A client that accepts none of them gets text all the same: an error has to be told.
    pub(super) fn wanted(accept: Option<&[u8]>) -> Self {
        let [mut text, mut html, mut json] = [Offer::default(); 3];
        let ranges = accept.unwrap_or_default().split(|byte| *byte == b',');
        for (place, range) in ranges.enumerate() {
            let mut parameters = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let kind = parameters.next().unwrap_or_default();
            let quality = parameters.find_map(quality).unwrap_or(1_000);
            let offered = |to: &mut [&mut Offer], closeness| {
                to.iter_mut()
                    .for_each(|offer| offer.meet(quality, closeness, place));
            };
            if kind.eq_ignore_ascii_case(b"text/html") {
                offered(&mut [&mut html], 3);
            } else if kind.eq_ignore_ascii_case(b"text/plain") {
                offered(&mut [&mut text], 3);
            } else if [&b"application/problem+json"[..], b"application/json"]
                .iter()
                .any(|name| kind.eq_ignore_ascii_case(name))
            {
                offered(&mut [&mut json], 3);
            } else if kind.eq_ignore_ascii_case(b"text/*") {
                offered(&mut [&mut text, &mut html], 2);
            } else if kind.eq_ignore_ascii_case(b"application/*") {
                offered(&mut [&mut json], 2);
            } else if kind == b"*/*" || kind == b"*" {
                offered(&mut [&mut text, &mut html, &mut json], 1);
            }
        }
        let mut best = (Self::Text, text);
        for (form, offer) in [(Self::Html, html), (Self::Json, json)] {
            if offer.beats(&best.1) {
                best = (form, offer);
            }
        }
        best.0
    }
}

/// How much a form is wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    /// In thousandths.
    quality: u16,
    /// 3 by name, 2 by its first half, 1 by `*/*`, 0 not at all.
    closeness: u8,
    place: usize,
}

impl Offer {
    /// The closest range counts, not the kindest.
    fn meet(&mut self, quality: u16, closeness: u8, place: usize) {
        if (closeness, quality) > (self.closeness, self.quality) {
            *self = Self {
                quality,
                closeness,
                place,
            };
        }
    }

    fn beats(&self, other: &Self) -> bool {
        let rank = |offer: &Self| {
            (
                offer.quality,
                offer.closeness,
                std::cmp::Reverse(offer.place),
            )
        };
        self.quality > 0 && rank(self) > rank(other)
    }
}

/// The `q` parameter in thousandths; 0 when it makes no sense. None for other parameters.
fn quality(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let (whole, fraction) = match value {
        [b'1', rest @ ..] => (1_000, rest),
        [b'0', rest @ ..] | rest => (0, rest),
    };
    let digits = match fraction {
        [] => return Some(whole),
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return Some(0),
    };
    let mut thousandths = whole;
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        match digit {
            b'0'..=b'9' => thousandths += u16::from(digit - b'0') * worth,
            _ => return Some(0),
        }
    }
    Some(thousandths.min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_field() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            (None, Form::Text),
            (Some(""), Form::Text),
            (Some("*/*"), Form::Text),
            (Some("image/avif,image/webp,*/*;q=0.8"), Form::Text),
            (Some("image/png"), Form::Text),
            (Some("text/plain"), Form::Text),
            (Some("text/*"), Form::Text),
            (Some(browser), Form::Html),
            (Some("TEXT/HTML"), Form::Html),
            (
                Some("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
                Form::Html,
            ),
            (Some("application/json, text/plain, */*"), Form::Json),
            (Some("text/plain, application/json"), Form::Text),
            (Some("application/problem+json"), Form::Json),
            (Some("application/*"), Form::Json),
            (Some("text/html;q=0.5, application/json;q=0.9"), Form::Json),
            (
                Some("text/html; level=1; q=0.4, application/json;q=0.3"),
                Form::Html,
            ),
            (Some("application/json;q=0, */*"), Form::Text),
            (Some("text/plain;q=0, */*;q=0.1"), Form::Html),
            (Some("text/html;q=0, text/plain;q=0, */*"), Form::Json),
            (Some("text/html;q=0"), Form::Text),
            (
                Some("text/html;q=nonsense, application/json;q=0.001"),
                Form::Json,
            ),
            (
                Some("text/html;q=1.000, application/json;q=0.999"),
                Form::Html,
            ),
            (Some(",,;q=1,text/html;;,"), Form::Html),
        ] {
            assert_eq!(
                Form::wanted(accept.map(str::as_bytes)),
                expected,
                "{accept:?}"
            );
        }
    }

    #[test]
    fn qualities_are_read_in_thousandths() {
        for (parameter, expected) in [
            ("q=1", Some(1_000)),
            ("q=0", Some(0)),
            ("q=0.5", Some(500)),
            ("Q=0.05", Some(50)),
            ("q=.2", Some(200)),
            ("q=1.000", Some(1_000)),
            ("q=1.5", Some(1_000)),
            ("q=", Some(0)),
            ("q=0.1234", Some(0)),
            ("q=-1", Some(0)),
            ("level=1", None),
            ("", None),
        ] {
            assert_eq!(quality(parameter.as_bytes()), expected, "{parameter}");
        }
    }
}
