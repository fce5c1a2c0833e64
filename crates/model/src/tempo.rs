//! The tempo of changes: which kind of change reaches whom, in which steps, and how long each step is watched. One table,
//! [`TABLE`], and one divisor of all its times, [`Tempo`].
//!
//! Not here: who decides that a step is over (the planner in `control`), and who takes the step (the agent).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A part of a whole in ten-thousandths: 0 is nobody, [`Share::ALL`] everybody.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "u16", into = "u16")]
pub struct Share(u16);

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(10_000);

    /// A share of so many ten-thousandths; more than all is all.
    pub const fn per_myriad(parts: u16) -> Self {
        Self(if parts > Self::ALL.0 {
            Self::ALL.0
        } else {
            parts
        })
    }

    /// A share of so many hundredths; more than all is all.
    pub const fn percent(parts: u8) -> Self {
        Self::per_myriad(parts as u16 * 100)
    }

    /// Ten-thousandths, 0 to 10,000.
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// Of `whole` things so many, rounded up: a share above nothing is at least one of them.
    pub const fn of(self, whole: usize) -> usize {
        (whole as u128 * self.0 as u128).div_ceil(Self::ALL.0 as u128) as usize
    }
}

impl From<u16> for Share {
    fn from(parts: u16) -> Self {
        Self::per_myriad(parts)
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, rest) => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

/// What a change is. Everything that changes behaviour is one of these; what is State (purges, revocations, ACME tokens, learnt
/// bans) is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A zone's document, or its certificate.
    Zone,
    /// What all zones share: `[edge]`, `[lists]`, a WAF rule set, a bot model, the binary.
    Platform,
    /// Back to a version that was last-known-good, by itself or by hand; break-glass.
    Return,
    /// An emergency switch, with its expiry.
    Kill,
}

impl Kind {
    /// All kinds, in the order of [`TABLE`].
    pub const ALL: [Self; 4] = [Self::Zone, Self::Platform, Self::Return, Self::Kill];

    /// Its name in the log, the API and the CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Platform => "platform",
            Self::Return => "return",
            Self::Kill => "kill",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What stands in the table of it.
    pub fn row(self) -> &'static Row {
        let [zone, platform, back, kill] = &TABLE;
        match self {
            Self::Zone => zone,
            Self::Platform => platform,
            Self::Return => back,
            Self::Kill => kill,
        }
    }
}

/// How many rollouts of a kind may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtOnce {
    /// One of each chain, of as many chains as the mass-change breaker lets through.
    ManyChains,
    /// One.
    One,
    /// As many as there are; one goes before a running rollout of its chain and ends it.
    Preempts,
}

/// Which locations a step reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The canary location alone.
    Canary,
    /// This part of the locations that have what is changed; the canaries are among them.
    Locations(Share),
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Where.
    pub ring: Ring,
    /// For how many of the clients there.
    pub share: Share,
    /// How long it is watched before the next step, at the least.
    pub hold: Duration,
}

/// A row of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose row it is.
    pub kind: Kind,
    /// The steps where there is more than one location.
    pub many: &'static [Stage],
    /// The steps where there is one location.
    pub one: &'static [Stage],
    /// How many at once.
    pub at_once: AtOnce,
}

const fn stage(ring: Ring, share: u8, hold_s: u64) -> Stage {
    Stage {
        ring,
        share: Share::percent(share),
        hold: Duration::from_secs(hold_s),
    }
}

const EVERYWHERE: Ring = Ring::Locations(Share::ALL);

/// Each kind's steps and holds, in the order of [`Kind::ALL`].
pub const TABLE: [Row; 4] = [
    Row {
        kind: Kind::Zone,
        many: &[
            stage(Ring::Canary, 5, 10),
            stage(EVERYWHERE, 5, 10),
            stage(EVERYWHERE, 50, 10),
            stage(EVERYWHERE, 100, 10),
        ],
        one: &[
            stage(EVERYWHERE, 5, 10),
            stage(EVERYWHERE, 50, 10),
            stage(EVERYWHERE, 100, 10),
        ],
        at_once: AtOnce::ManyChains,
    },
    Row {
        kind: Kind::Platform,
        many: &[
            stage(Ring::Canary, 5, 180),
            stage(Ring::Canary, 100, 180),
            stage(Ring::Locations(Share::percent(1)), 100, 180),
            stage(Ring::Locations(Share::percent(5)), 100, 180),
            stage(Ring::Locations(Share::percent(25)), 100, 180),
            stage(EVERYWHERE, 100, 180),
        ],
        one: &[
            stage(EVERYWHERE, 5, 30),
            stage(EVERYWHERE, 50, 30),
            stage(EVERYWHERE, 100, 30),
        ],
        at_once: AtOnce::One,
    },
    Row {
        kind: Kind::Return,
        many: &[stage(Ring::Canary, 100, 20), stage(EVERYWHERE, 100, 20)],
        one: &[stage(EVERYWHERE, 100, 0)],
        at_once: AtOnce::Preempts,
    },
    Row {
        kind: Kind::Kill,
        many: &[stage(Ring::Canary, 100, 20), stage(EVERYWHERE, 100, 20)],
        one: &[stage(EVERYWHERE, 100, 20)],
        at_once: AtOnce::Preempts,
    },
];

/// The pace of all that has a time in a rollout: one divisor. 1 is the table's; a drill runs faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    speed: u32,
}

impl Default for Tempo {
    /// The table's own times.
    fn default() -> Self {
        Self { speed: 1 }
    }
}

impl Tempo {
    /// How often an agent sends a Report.
    pub const REPORT: Duration = Duration::from_secs(5);
    /// A location whose last Report is older than this is silent: three did not come.
    pub const SILENT: Duration = Duration::from_secs(16);
    /// How long a return or an emergency switch waits for locations that are silent before it goes on without them: two steps
    /// of it are everywhere within three minutes.
    pub const URGENT: Duration = Duration::from_secs(60);
    /// The time in which the mass-change breaker counts changed zones.
    pub const MASS_WINDOW: Duration = Duration::from_secs(600);
    /// The time in which a stream that alternates is recognised.
    pub const FLAP_WINDOW: Duration = Duration::from_secs(3_600);

    /// Every time divided by `speed`; 0 is taken as 1.
    pub const fn faster(speed: u32) -> Self {
        Self {
            speed: if speed == 0 { 1 } else { speed },
        }
    }

    /// What times are divided by.
    pub const fn speed(self) -> u32 {
        self.speed
    }

    /// A time at this pace.
    pub const fn scaled(self, time: Duration) -> Duration {
        // `/` of Duration is no const function; a speed is never 0.
        Duration::from_nanos((time.as_nanos() / self.speed as u128) as u64)
    }

    /// The steps of a change of this kind over so many locations, with their holds at this pace. Never empty.
    pub fn stages(self, kind: Kind, locations: usize) -> impl Iterator<Item = Stage> {
        let row = kind.row();
        let stages = if locations > 1 { row.many } else { row.one };
        stages.iter().map(move |stage| Stage {
            hold: self.scaled(stage.hold),
            ..*stage
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_finds_its_own_row_and_each_ends_with_everybody() {
        for kind in Kind::ALL {
            let row = kind.row();
            assert_eq!(row.kind, kind);
            assert_eq!(Kind::parse(kind.name()), Some(kind));
            for stages in [row.many, row.one] {
                let last = stages.last().expect("a row has steps");
                assert_eq!(
                    (last.ring, last.share),
                    (EVERYWHERE, Share::ALL),
                    "{kind:?}"
                );
            }
            let first = row.many.first().expect("a row has steps");
            assert_eq!(first.ring, Ring::Canary, "{kind:?}");
        }
        assert_eq!(Kind::parse("Zone"), None);
    }

    #[test]
    fn steps_only_grow() {
        let size = |ring| match ring {
            Ring::Canary => 1,
            Ring::Locations(share) => Share::of(share, 330).max(1),
        };
        for row in &TABLE {
            for pair in row.many.windows(2).chain(row.one.windows(2)) {
                let [before, after] = pair else { continue };
                let grows = (size(after.ring), after.share) > (size(before.ring), before.share);
                assert!(
                    grows && after.share >= before.share,
                    "{:?}: {before:?} then {after:?}",
                    row.kind
                );
            }
        }
    }

    #[test]
    fn a_share_of_something_is_at_least_one() {
        assert_eq!(Share::percent(1).of(330), 4);
        assert_eq!(Share::percent(1).of(1), 1);
        assert_eq!(Share::NONE.of(330), 0);
        assert_eq!(Share::ALL.of(usize::MAX), usize::MAX);
        assert_eq!(Share::percent(200), Share::ALL);
        assert_eq!(Share::per_myriad(2_505).to_string(), "25.05 %");
        assert_eq!(Share::percent(5).to_string(), "5 %");
    }

    #[test]
    fn the_divisor_applies_to_every_hold() {
        let sum = |tempo: Tempo| -> Duration {
            tempo
                .stages(Kind::Platform, 330)
                .map(|stage| stage.hold)
                .sum()
        };
        assert_eq!(sum(Tempo::default()), Duration::from_secs(6 * 180));
        assert_eq!(sum(Tempo::faster(60)), Duration::from_secs(6 * 3));
        assert_eq!(Tempo::faster(0), Tempo::default());
        let idle: Duration = Tempo::default()
            .stages(Kind::Zone, 1)
            .map(|stage| stage.hold)
            .sum();
        assert!(
            idle <= Duration::from_secs(30),
            "apply --wait ends within 40 s"
        );
    }
}
