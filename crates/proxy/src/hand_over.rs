//! What one worker hands to the next, so that an upgrade is no new beginning: counters do not go back, an origin that is down stays
//! down, a stage that was left out stays so, a client that asked too often waits.
//!
//! A format of our own: `SWHANDOV`, the version and the length of all that follows, each four bytes, then sections: a tag of two
//! bytes, a length of four, so many bytes. Numbers are little-endian, texts have their length before them. A section that is
//! not known is passed over. All is read before anything is done: what is cut short or is no such thing changes nothing.
//!
//! Clients' windows are of the machine's monotonic clock, which both processes see.
//!
//! Not here: how it travels; what has a key in the configuration or a file of its own; secrets of session tickets, which must
//! outlive a worker that hands nothing over ([`seawall_net::tls::tickets`]).

use seawall_guard::{ClientKey, Counted, HandedRates, HandedWindow, OpenBreaker, Window, ZoneId};

use crate::origin::MemberHealth;
use crate::state::State;

const MAGIC: &[u8; 8] = b"SWHANDOV";
const VERSION: u32 = 1;
/// The longest that is made and the longest that is read, in bytes.
const MOST: usize = 16 << 20;
/// No origin is out for longer because of what another process said, in milliseconds.
const LONGEST_EJECTION: u64 = 600_000;

const TOTALS: u16 = 1;
const STAGES: u16 = 2;
const MEMBERS: u16 = 3;
const BREAKERS: u16 = 4;
const CLIENTS: u16 = 5;
const RATES: u16 = 6;
const RATE_SECRET: u16 = 7;
/// Keys of limits that are handed over at most, and times of requests altogether: some 4 MiB.
const MOST_RATES: usize = 50_000;
const MOST_RATE_TIMES: usize = 200_000;
/// Clients that are handed over at most: some 6 MiB.
const MOST_CLIENTS: usize = 100_000;

/// All that is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Handed {
    totals: Vec<(String, u64)>,
    stages: Vec<(String, [u64; 6])>,
    members: Vec<MemberHealth>,
    breakers: Vec<OpenBreaker>,
    clients: Vec<Counted>,
    rates: HandedRates,
}

impl State {
    /// What the next worker goes on from, at most 16 MiB: a section for which there is no room is left out. Ages are as of the
    /// last request.
    pub fn hand_over(&self) -> Vec<u8> {
        Handed {
            totals: self.registry.totals(),
            stages: self.guard.stage_totals(),
            members: self.members.healths(self.guard.now()),
            breakers: self.guard.breakers_to_hand_over(),
            clients: self.guard.clients.counted(MOST_CLIENTS),
            rates: self
                .guard
                .rates
                .to_hand_over(MOST_RATES, MOST_RATE_TIMES, self.guard.now()),
        }
        .write()
    }

    /// Goes on from what the last worker handed over, at `now` in milliseconds on the monotonic clock; to be told once the
    /// configuration is compiled, for only what is there can be found again. What cannot be read is left alone, and then nothing
    /// changes. It may be told again, with what the last worker did since.
    pub fn take_over(&self, bytes: &[u8], now: u64) {
        let Some(handed) = Handed::read(bytes) else {
            return;
        };
        // Nobody may have asked for anything yet.
        self.guard.set_now(now);
        self.registry.take_totals(&handed.totals);
        self.guard.take_stage_totals(&handed.stages);
        self.members.take_healths(&handed.members, self.guard.now());
        self.guard.open_breakers_of(&handed.breakers);
        self.guard.clients.take(&handed.clients, now);
        if handed.rates != HandedRates::default() {
            self.guard.rates.take_over(&handed.rates, now);
        }
    }
}

impl Handed {
    fn write(&self) -> Vec<u8> {
        let mut sections = Vec::new();
        section(&mut sections, BREAKERS, |out| {
            for breaker in &self.breakers {
                number(out, breaker.zone.0);
                text(out, &breaker.stage);
                number(out, breaker.rule.is_some().into());
                text(out, breaker.rule.as_deref().unwrap_or_default());
                number(out, breaker.since);
                number(out, breaker.tried);
            }
        });
        section(&mut sections, MEMBERS, |out| {
            for member in &self.members {
                text(out, &member.scope);
                text(out, &member.id);
                number(out, member.healthy.into());
                number(out, member.failures.into());
                number(out, member.ejections.into());
                number(out, member.ejected_for);
            }
        });
        section(&mut sections, STAGES, |out| {
            for (stage, counts) in &self.stages {
                text(out, stage);
                counts.iter().for_each(|count| number(out, *count));
            }
        });
        section(&mut sections, TOTALS, |out| {
            for (name, total) in &self.totals {
                text(out, name);
                number(out, *total);
            }
        });
        section(&mut sections, CLIENTS, |out| {
            for one in &self.clients {
                let (zone, client) = one.key.parts();
                number(out, zone.0);
                out.extend_from_slice(&client.to_le_bytes());
                for window in [one.requests, one.errors] {
                    number(out, window.at);
                    out.extend_from_slice(&window.now.to_le_bytes());
                    out.extend_from_slice(&window.before.to_le_bytes());
                }
                number(out, one.seen);
            }
        });
        section(&mut sections, RATE_SECRET, |out| {
            if !self.rates.windows.is_empty() {
                self.rates.secret.iter().for_each(|part| number(out, *part));
            }
        });
        section(&mut sections, RATES, |out| {
            for window in &self.rates.windows {
                number(out, window.zone.0);
                out.extend_from_slice(&window.key.to_le_bytes());
                number(out, window.over);
                out.extend_from_slice(&(window.runs.len() as u32).to_le_bytes());
                for (at, count) in &window.runs {
                    number(out, *at);
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
        });
        let mut all = MAGIC.to_vec();
        all.extend_from_slice(&VERSION.to_le_bytes());
        all.extend_from_slice(&(sections.len() as u32).to_le_bytes());
        all.extend_from_slice(&sections);
        all
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MOST {
            return None;
        }
        let mut from = Reader(bytes.strip_prefix(MAGIC)?);
        if from.four()? != VERSION || from.four()? as usize != from.0.len() {
            return None;
        }
        let mut handed = Self::default();
        while !from.0.is_empty() {
            let tag = u16::from_le_bytes(*from.take(2)?.first_chunk()?);
            let length = from.four()? as usize;
            let mut from = Reader(from.take(length)?);
            while !from.0.is_empty() {
                match tag {
                    TOTALS => handed.totals.push((from.text()?, from.number()?)),
                    STAGES => handed.stages.push(from.stage()?),
                    MEMBERS => handed.members.push(from.member()?),
                    BREAKERS => handed.breakers.push(from.breaker()?),
                    CLIENTS => handed.clients.push(from.client()?),
                    RATES => handed.rates.windows.push(from.rate()?),
                    RATE_SECRET => {
                        for part in &mut handed.rates.secret {
                            *part = from.number()?;
                        }
                    }
                    _ => break,
                }
            }
        }
        Some(handed)
    }
}

/// Appends a section, unless there is no room for it.
fn section(all: &mut Vec<u8>, tag: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    if content.is_empty() || all.len() + content.len() + 64 > MOST {
        return;
    }
    all.extend_from_slice(&tag.to_le_bytes());
    all.extend_from_slice(&(content.len() as u32).to_le_bytes());
    all.extend_from_slice(&content);
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What is still to be read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn four(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<String> {
        let length = self.four()? as usize;
        let bytes = self.take(length)?;
        Some(std::str::from_utf8(bytes).ok()?.to_owned())
    }

    fn stage(&mut self) -> Option<(String, [u64; 6])> {
        let name = self.text()?;
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = self.number()?;
        }
        Some((name, counts))
    }

    fn member(&mut self) -> Option<MemberHealth> {
        Some(MemberHealth {
            scope: self.text()?,
            id: self.text()?,
            healthy: self.flag()?,
            failures: u32::try_from(self.number()?).ok()?,
            ejections: u32::try_from(self.number()?).ok()?,
            ejected_for: self.number()?.min(LONGEST_EJECTION),
        })
    }

    fn client(&mut self) -> Option<Counted> {
        let zone = ZoneId(self.number()?);
        let client = u128::from_le_bytes(*self.take(16)?.first_chunk()?);
        Some(Counted {
            key: ClientKey::of(zone, client),
            requests: self.window()?,
            errors: self.window()?,
            seen: self.number()?,
        })
    }

    fn rate(&mut self) -> Option<HandedWindow> {
        let mut window = HandedWindow {
            zone: ZoneId(self.number()?),
            key: u128::from_le_bytes(*self.take(16)?.first_chunk()?),
            over: self.number()?,
            runs: Vec::new(),
        };
        for _ in 0..self.four()? {
            window.runs.push((self.number()?, self.four()?));
        }
        Some(window)
    }

    fn window(&mut self) -> Option<Window> {
        Some(Window {
            at: self.number()?,
            now: self.four()?,
            before: self.four()?,
        })
    }

    fn breaker(&mut self) -> Option<OpenBreaker> {
        let (zone, stage) = (ZoneId(self.number()?), self.text()?);
        let (has_rule, rule) = (self.flag()?, self.text()?);
        Some(OpenBreaker {
            zone,
            stage,
            rule: has_rule.then_some(rule),
            since: self.number()?,
            tried: self.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Handed {
        let breaker = OpenBreaker {
            zone: ZoneId(7),
            stage: "rules".into(),
            rule: Some("first".into()),
            since: 30_000,
            tried: 4_000,
        };
        let plain = OpenBreaker {
            rule: None,
            ..breaker.clone()
        };
        let member = MemberHealth {
            scope: "0000000000000007".into(),
            id: "http://a.test:80".into(),
            healthy: false,
            failures: 5,
            ejections: 2,
            ejected_for: 9_000,
        };
        Handed {
            totals: vec![("one\u{1f}two".into(), 3), (String::new(), u64::MAX)],
            stages: vec![("lists".into(), [1, 2, 3, 4, 5, 6])],
            members: vec![member],
            breakers: vec![breaker, plain],
            clients: vec![Counted {
                key: ClientKey::new(ZoneId(7), "192.0.2.1".parse().unwrap()),
                requests: Window {
                    at: 9,
                    now: 8,
                    before: u32::MAX,
                },
                errors: Window::default(),
                seen: 6,
            }],
            rates: HandedRates {
                secret: [1, 2, 3, u64::MAX],
                windows: vec![HandedWindow {
                    zone: ZoneId(7),
                    key: u128::MAX - 1,
                    over: 99,
                    runs: vec![(5, 1), (8, 2)],
                }],
            },
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_not_known_is_passed_over() {
        let handed = example();
        assert_eq!(Handed::read(&handed.write()), Some(handed.clone()));
        assert_eq!(
            Handed::read(&Handed::default().write()),
            Some(Handed::default())
        );
        let mut bytes = handed.write();
        let mut later = Vec::new();
        section(&mut later, 999, |out| {
            out.extend_from_slice(b"of a later version")
        });
        bytes.splice(16..16, later.iter().copied());
        let length = (bytes.len() - 16) as u32;
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Handed::read(&bytes), Some(handed));
    }

    #[test]
    fn what_is_cut_short_or_longer_or_another_version_is_nothing() {
        let bytes = example().write();
        for length in 0..bytes.len() {
            assert_eq!(Handed::read(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Handed::read(&[&bytes[..], &[0]].concat()), None);
        let mut other = bytes;
        other[8] += 1;
        assert_eq!(Handed::read(&other), None);
        assert_eq!(Handed::read(&vec![0; MOST + 1]), None);
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let good = example().write();
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut read = 0;
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=next() % 4 {
                let at = next() as usize % bytes.len();
                bytes[at] = next() as u8;
            }
            read += u32::from(Handed::read(&bytes).is_some());
            let noise: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            let mut framed = MAGIC.to_vec();
            framed.extend_from_slice(&VERSION.to_le_bytes());
            framed.extend_from_slice(&(noise.len() as u32).to_le_bytes());
            framed.extend_from_slice(&noise);
            let _ = (Handed::read(&noise), Handed::read(&framed));
        }
        assert!(read > 1_000, "{read}: changed values are still values");
    }
}
