//! The test bed: a control and twelve edges that stand for locations, each with a folder of its own, an origin, and clients. All of them
//! are processes of the program that runs the drill, on ports of this machine that nobody else has.

mod control;
mod edge;

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use seawall_model::Tempo;
use tokio::time::Instant;

use crate::api::Api;
use crate::error::Void;
use crate::guardian::{self, Guardian};
use crate::ledger::{Ledger, Ring};
use crate::load::{self, Generator, Shared, Stalls};
use crate::origin;
use crate::permit::Permit;
use crate::site::{Mood, Site};
use crate::timeline::Timeline;

pub use control::Control;
pub use edge::Edge;

/// The locations, in the order in which changes reach them: those that control is told to begin at, then by name.
pub const LOCATIONS: [(&str, Ring); 12] = [
    ("test-1", Ring::Canary),
    ("test-2", Ring::Canary),
    ("early-1", Ring::Early),
    ("early-2", Ring::Early),
    ("early-3", Ring::Early),
    ("early-4", Ring::Early),
    ("late-1", Ring::Late),
    ("late-2", Ring::Late),
    ("late-3", Ring::Late),
    ("late-4", Ring::Late),
    ("late-5", Ring::Late),
    ("late-6", Ring::Late),
];
/// Requests a second of each location.
const RATE: u32 = 30;
/// How long a process of the bed may take to come up.
pub const COMES_UP: Duration = Duration::from_secs(60);
/// Load before anything counts: pools fill, code is warm.
const WARM: Duration = Duration::from_millis(1_500);
/// How long what clients see must be right before a fault is injected.
const BASELINE: Duration = Duration::from_secs(3);

/// How a bed is set up.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program of which everything is.
    pub program: PathBuf,
    /// What every time is divided by.
    pub speed: u32,
    /// Edges run a copy of the program, which can be replaced.
    pub copies: bool,
    /// The safeguard that is off, in a build that can do so.
    #[cfg(feature = "unsafe-drills")]
    pub without: Option<String>,
}

/// A bed that runs.
pub struct Bed {
    /// Where all of it is.
    pub folder: PathBuf,
    /// How it was set up.
    pub setting: Setting,
    /// Control.
    pub control: Control,
    /// The edges, as [`LOCATIONS`].
    pub edges: Vec<Edge>,
    /// Their clients.
    pub clients: Vec<Rc<Generator>>,
    /// What clients see.
    pub shared: Rc<Shared>,
    /// What happens.
    pub timeline: Timeline,
    /// Its documents.
    pub site: Site,
    /// When what was changed was taken back.
    pub reverted: Cell<Option<u64>>,
    permit: Permit,
    // The last to go.
    _guardian: Guardian,
}

impl Bed {
    /// Sets one up, once it is well.
    ///
    /// # Errors
    /// When it does not come up, or is not well.
    pub async fn start(setting: &Setting, timeline: Timeline) -> Result<Self, Void> {
        let folder = folder()?;
        let guardian =
            Guardian::start(&setting.program, &folder).map_err(Void::at("the guardian"))?;
        let origin = origin::start().await.map_err(Void::at("the origin"))?;
        let site = Site { origin };
        write(&folder.join("bed.toml"), &site.whole())?;
        let control = Control::start(&folder, setting).await?;
        let permit = Permit::new().map_err(Void::at("the permit"))?;
        let names = LOCATIONS.iter().map(|(name, ring)| ((*name).into(), *ring));
        let shared = Rc::new(Shared {
            ledger: RefCell::new(Ledger::new(names)),
            mood: RefCell::new(Mood::default()),
            counts: Cell::new(false),
            stalls: Stalls::default(),
            began: timeline.began(),
        });
        load::watch(shared.clone());
        let mut bed = Self {
            folder,
            setting: setting.clone(),
            control,
            edges: Vec::new(),
            clients: Vec::new(),
            shared,
            timeline,
            site,
            reverted: Cell::new(None),
            permit,
            _guardian: guardian,
        };
        bed.join_all().await?;
        bed.warm().await?;
        Ok(bed)
    }

    async fn join_all(&mut self) -> Result<(), Void> {
        let copy = match self.setting.copies {
            true => Some(self.copy()?),
            false => None,
        };
        // All at once: most of it is waiting.
        for (name, ring) in LOCATIONS {
            let canary = ring == Ring::Canary;
            let token = self.api().join_token(name, canary).await?;
            let url = format!("https://{}", self.control.edges.get());
            let mut edge = Edge::new(&self.folder, name);
            edge.program.clone_from(&copy);
            edge.spawn(
                &self.setting,
                &self.permit,
                &["--join", &url, "--token", &token],
            )?;
            self.edges.push(edge);
        }
        for (location, edge) in self.edges.iter().enumerate() {
            edge.comes_up().await?;
            let to = edge.http.get();
            let clients = Generator::start(self.shared.clone(), location, to, RATE);
            self.clients.push(clients);
        }
        Ok(())
    }

    /// A copy of the program in the bed's folder.
    fn copy(&self) -> Result<PathBuf, Void> {
        let path = self.folder.join("seawall");
        let copied = fs::copy(&self.setting.program, &path);
        copied.map_err(Void::at("a copy of the program"))?;
        Ok(path)
    }

    /// Waits until clients are answered rightly, and looks for a while that they are.
    async fn warm(&self) -> Result<(), Void> {
        tokio::time::sleep(WARM).await;
        self.shared.counts.set(true);
        tokio::time::sleep(BASELINE).await;
        let ledger = self.shared.ledger.borrow();
        let total = ledger.total();
        if total.rate() < crate::verdict::RIGHT || total.all() < 100 {
            return Err(Void::Bed(format!(
                "before anything was done {} of {} requests were not right: {:?}",
                total.bad(),
                total.all(),
                ledger.reasons
            )));
        }
        Ok(())
    }

    /// Control's API.
    pub fn api(&self) -> Api {
        self.control.api()
    }

    /// The pace.
    pub fn tempo(&self) -> Tempo {
        Tempo::faster(self.setting.speed)
    }

    /// Waits for so long of tempo time.
    pub async fn tempo_time(&self, time: Duration) {
        tokio::time::sleep(self.tempo().scaled(time)).await;
    }

    /// Waits until something is so, at most so long. Whether it is.
    pub async fn until(&self, patience: Duration, mut is: impl FnMut() -> bool) -> bool {
        let due = Instant::now() + patience;
        while !is() {
            if Instant::now() >= due {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Starts a location anew, from its disk alone.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&self, location: usize) -> Result<(), Void> {
        let (Some(edge), Some(clients)) = (self.edges.get(location), self.clients.get(location))
        else {
            return Err(Void::Bed(format!("there is no location {location}")));
        };
        edge.spawn(&self.setting, &self.permit, &[])?;
        edge.comes_up().await?;
        clients.to.set(edge.http.get());
        Ok(())
    }

    /// Runs a command of the program on control's data folder. How it ended, and what it said.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn command(&self, words: &[&str]) -> Result<(Option<i32>, String), Void> {
        let data = self.control.data();
        let mut command = bare(&self.setting);
        command.args(words).arg("--data").arg(data);
        let output = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .output()
            .await;
        let output = output.map_err(Void::at(format!("seawall {words:?}")))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok((output.status.code(), said))
    }
}

/// The program, without anything of our environment that speaks to it.
fn bare(setting: &Setting) -> Command {
    let mut command = Command::new(&setting.program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    #[cfg(feature = "unsafe-drills")]
    if let Some(without) = &setting.without {
        command.env(seawall_model::safeguard::VARIABLE, without);
    }
    command
}

/// A folder that nobody else has.
#[expect(
    clippy::disallowed_methods,
    reason = "its name is random, and it is an error where it is there"
)]
fn folder() -> Result<PathBuf, Void> {
    let name = guardian::name().map_err(Void::at("a name for the folder"))?;
    // Its guardian, and what runs in it, have their own idea of what is relative to what.
    let folder = std::path::absolute(std::env::temp_dir().join(name));
    let folder = folder.map_err(Void::at("the folder for temporary files"))?;
    let mut builder = fs::DirBuilder::new();
    let made = builder.mode(0o700).create(&folder);
    made.map_err(Void::at(folder.display().to_string()))?;
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), Void> {
    fs::write(path, text).map_err(Void::at(path.display().to_string()))
}
