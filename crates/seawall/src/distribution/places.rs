//! A control that publishes, and edges that follow it, without all around them: for tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use seawall_bundle::{Limits, Manifest, Mark, Trust, open_keys, open_manifest, sign_manifest};
use seawall_control::Chain;
use seawall_control::store::{Change as StoreChange, Sqlite};
use seawall_model::Tempo;
use seawall_model::tempo::Kind;
use tempfile::TempDir;
use tokio::time::Instant;

use super::folder::{Folder, KEYS, MANIFEST};
use super::follower::Follower;
use super::keys::{self, Keys};
use super::news::Looked;
use super::publisher::{PUBLISHED, Publisher, now_ms};
use super::source::Source;
use crate::control::engine::Engine;
use crate::control::make::By;
use crate::data::Data;

/// A folder that goes away with its owner.
pub fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A control that publishes, without all around it.
pub struct Control {
    pub folder: TempDir,
    pub engine: Engine,
    pub publisher: Publisher,
}

impl Control {
    pub fn new() -> Self {
        Self::on(temporary())
    }

    pub fn on(folder: TempDir) -> Self {
        let tempo = Tempo::default();
        let store = Sqlite::open(&folder.path().join("control.db")).unwrap();
        let engine = Engine::open(Box::new(store), tempo).unwrap();
        let publisher = Publisher::open(Data::at(folder.path()).unwrap(), tempo).unwrap();
        Self {
            folder,
            engine,
            publisher,
        }
    }

    /// Another one with all that this one has.
    pub fn copied(&self) -> Self {
        let copy = temporary();
        copy_all(self.folder.path(), copy.path());
        Self::on(copy)
    }

    /// A zone serves in a new version, whose document is this.
    pub fn serves(&mut self, zone: &str, text: &str) {
        let chain = Chain::Zone(zone.into());
        let change = StoreChange::Document(chain.clone(), text.into());
        let made = self
            .engine
            .make(
                &By::new("test", ""),
                vec![],
                vec![(chain, change, Kind::Zone)],
                vec![],
            )
            .unwrap();
        self.engine.serves_already(&made).unwrap();
    }

    pub fn publish(&mut self) -> u64 {
        self.publisher.publish(&mut self.engine).unwrap().unwrap()
    }

    pub fn published(&self) -> PathBuf {
        self.folder.path().join(PUBLISHED)
    }

    /// A copy of what is published, to be spoilt.
    pub fn copy(&self) -> TempDir {
        let copy = temporary();
        copy_all(&self.published(), copy.path());
        copy
    }

    pub fn manifest(&self) -> Manifest {
        let data = Data::at(self.folder.path()).unwrap();
        let root = keys::root_public(&data).unwrap().unwrap();
        let limits = Limits::default();
        let list = fs::read(self.published().join(KEYS)).unwrap();
        let trust = Trust {
            keys: open_keys(&list, &root, 0, &limits).unwrap(),
            seen: Mark::default(),
        };
        let signed = fs::read(self.published().join(MANIFEST)).unwrap();
        let accepted = open_manifest(&signed, &trust, now_ms(), &limits).unwrap();
        accepted.manifest.into_inner()
    }

    /// Signs a manifest as control would, whatever it says.
    pub fn signed(&self, manifest: &Manifest) -> Vec<u8> {
        let keys = Keys::open(&Data::at(self.folder.path()).unwrap()).unwrap();
        sign_manifest(manifest, &[&keys.online], &Limits::default()).unwrap()
    }

    /// An edge on this folder, that believes this control and reads from there.
    pub fn edge(&self, folder: &TempDir, sources: Vec<Source>) -> Follower {
        let data = Data::at(self.folder.path()).unwrap();
        let root = keys::root_public(&data).unwrap().unwrap();
        Follower::new(Data::at(folder.path()).unwrap(), "ams", root, sources)
    }
}

pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

pub fn at(folder: &Path) -> Source {
    Source::Folder(Folder::at(folder))
}

pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

pub async fn look(follower: &mut Follower) -> Looked {
    follower.look(Instant::now()).await
}

/// Zones and their texts in what is told.
pub fn texts(looked: &Looked) -> Vec<String> {
    let news = looked.news.as_ref();
    let live = news.map(|news| news.live.as_slice()).unwrap_or_default();
    live.iter()
        .map(|change| format!("{} {}", change.chain, change.text.as_deref().unwrap_or("-")))
        .collect()
}

/// All files of objects below a folder.
pub fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder.join("objects"))
        .unwrap()
        .flatten()
        .flat_map(|first| fs::read_dir(first.path()).unwrap().flatten())
        .map(|entry| entry.path())
        .collect();
    all.sort();
    all
}
