//! Safeguards that can be turned off, one at a time, in a build that is never shipped: a drill must fail without the one that it is about.
//!
//! None of this is compiled into what people run: it is behind the feature `unsafe-drills`, and a test looks for its words in the program.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names the safeguards that are off, with commas between them.
pub const VARIABLE: &str = "SEAWALL_UNSAFE_DRILLS_OFF";

static OFF: AtomicU32 = AtomicU32::new(0);

macro_rules! safeguards {
    ($($(#[$what:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// A safeguard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Safeguard { $($(#[$what])* $name),+ }

        impl Safeguard {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its word in [`VARIABLE`].
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }
        }
    };
}

safeguards! {
    /// Fuel: what a stage may cost one request.
    Fuel = "unsafe-fuel",
    /// A panic ends at the stage.
    Catch = "unsafe-catch",
    /// What a switched off stage means.
    Kill = "unsafe-kill",
    /// A part that grows or shrinks too much waits for a person.
    Delta = "unsafe-delta",
    /// So do many zones that change at once.
    Mass = "unsafe-mass",
    /// So does a stream that alternates.
    Flap = "unsafe-flap",
    /// A change comes to few first, and goes back when it does worse.
    Gates = "unsafe-gates",
    /// The document is compiled before it becomes a version.
    Check = "unsafe-check",
    /// A process of its own compiles first.
    Trial = "unsafe-trial",
    /// A worker that takes too much memory is replaced while it still serves.
    Memory = "unsafe-memory",
    /// A thread that does not move is replaced.
    Hang = "unsafe-hang",
    /// An edge starts from its disk.
    Disk = "unsafe-disk",
    /// Nothing older than what was seen is believed.
    Fence = "unsafe-fence",
    /// A program's asking of the API has a bound.
    Limit = "unsafe-limit",
    /// A key is revoked only when all use another one.
    Key = "unsafe-key",
    /// The next worker serves before the old one lets go.
    Probe = "unsafe-probe",
}

/// Turns off what is named; nothing else of what there is in the variable counts.
pub fn turn_off(named: Option<OsString>) {
    let named = named
        .and_then(|text| text.into_string().ok())
        .unwrap_or_default();
    for word in named.split(',') {
        let all = Safeguard::ALL.iter();
        for safeguard in all.filter(|safeguard| safeguard.name() == word) {
            OFF.fetch_or(1 << *safeguard as u32, Ordering::Relaxed);
        }
    }
}

/// Whether it is off.
pub fn is_off(safeguard: Safeguard) -> bool {
    OFF.load(Ordering::Relaxed) & (1 << safeguard as u32) != 0
}

/// This, or nothing where the safeguard is off.
pub fn unless_off<T: Default>(safeguard: Safeguard, value: T) -> T {
    if is_off(safeguard) {
        T::default()
    } else {
        value
    }
}
