//! What a client shows of itself before its first request: the order of things, which libraries and browsers keep and
//! header fields do not tell.

use super::StreamId;
use super::frame::Dependency;
use std::fmt;

const SETTINGS_KEPT: usize = 16;
const PRIORITIES_KEPT: usize = 8;

/// A priority that a client gave before or with its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The stream it is for.
    pub stream: StreamId,
    /// Whether it excludes its siblings.
    pub exclusive: bool,
    /// The stream it depends on.
    pub on: StreamId,
    /// 1 to 256.
    pub weight: u16,
}

/// What a client shows of itself. Displays as `1:65536;4:131072|12517377|3:0:0:201|m,p,a,s`: SETTINGS, first
/// WINDOW_UPDATE of the connection, priorities (stream, exclusive, dependency, weight; `0` for none), pseudo-fields.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    settings: Vec<(u16, u32)>,
    has_settings: bool,
    window_update: u32,
    priorities: Vec<Priority>,
    pseudo: [u8; 4],
    complete: bool,
}

impl Fingerprint {
    /// Identifiers and values of the first SETTINGS frame in its order, at most 16.
    pub fn settings(&self) -> &[(u16, u32)] {
        &self.settings
    }

    /// The increment of the first WINDOW_UPDATE of the connection; 0 when there was none before the first request.
    pub fn window_update(&self) -> u32 {
        self.window_update
    }

    /// The priorities seen before or with the first request, at most 8.
    pub fn priorities(&self) -> &[Priority] {
        &self.priorities
    }

    /// The pseudo-fields of the first request in its order, as the letters `m`, `a`, `s`, `p`.
    pub fn pseudo(&self) -> &[u8] {
        let length = self
            .pseudo
            .iter()
            .take_while(|letter| **letter != 0)
            .count();
        self.pseudo.get(..length).unwrap_or_default()
    }

    /// Whether the first request has come: nothing changes any more.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn saw_settings(&mut self, settings: impl Iterator<Item = (u16, u32)>) {
        if !self.has_settings {
            self.has_settings = true;
            self.settings.extend(settings.take(SETTINGS_KEPT));
        }
    }

    pub(super) fn saw_window_update(&mut self, increment: u32) {
        if !self.complete && self.window_update == 0 {
            self.window_update = increment;
        }
    }

    pub(super) fn saw_priority(&mut self, stream: StreamId, dependency: Dependency) {
        if !self.complete && self.priorities.len() < PRIORITIES_KEPT {
            let Dependency {
                on,
                exclusive,
                weight,
            } = dependency;
            let weight = u16::from(weight) + 1;
            self.priorities.push(Priority {
                stream,
                exclusive,
                on,
                weight,
            });
        }
    }

    pub(super) fn saw_request(&mut self, pseudo: [u8; 4]) {
        if !self.complete {
            self.complete = true;
            self.pseudo = pseudo;
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, value)) in self.settings.iter().enumerate() {
            let separator = if at == 0 { "" } else { ";" };
            write!(out, "{separator}{id}:{value}")?;
        }
        write!(out, "|{}|", self.window_update)?;
        for (at, priority) in self.priorities.iter().enumerate() {
            let Priority {
                stream,
                exclusive,
                on,
                weight,
            } = priority;
            let separator = if at == 0 { "" } else { "," };
            write!(
                out,
                "{separator}{stream}:{}:{on}:{weight}",
                u8::from(*exclusive)
            )?;
        }
        out.write_str(if self.priorities.is_empty() {
            "0|"
        } else {
            "|"
        })?;
        for (at, letter) in self.pseudo().iter().enumerate() {
            let separator = if at == 0 { "" } else { "," };
            write!(out, "{separator}{}", char::from(*letter))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_freezes_with_the_first_request_and_displays_in_one_line() {
        let mut seen = Fingerprint::default();
        assert_eq!(seen.to_string(), "|0|0|");
        seen.saw_settings([(1, 65536), (4, 131_072)].into_iter());
        seen.saw_settings([(1, 1)].into_iter());
        seen.saw_window_update(12_517_377);
        seen.saw_window_update(5);
        seen.saw_priority(
            3,
            Dependency {
                on: 0,
                exclusive: false,
                weight: 200,
            },
        );
        seen.saw_request(*b"mpas");
        seen.saw_request(*b"masp");
        seen.saw_priority(
            5,
            Dependency {
                on: 0,
                exclusive: true,
                weight: 0,
            },
        );
        assert_eq!(
            seen.to_string(),
            "1:65536;4:131072|12517377|3:0:0:201|m,p,a,s"
        );
    }
}
