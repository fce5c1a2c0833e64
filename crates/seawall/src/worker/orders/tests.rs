//! Orders carried out, without anybody who is served.

use clap::Parser;
use seawall_control::version::zone_text;
use seawall_model::{Limits, document};
use seawall_proxy::materials::Materials;
use seawall_proxy::stages::STAGES;
use seawall_proxy::state::State;
use tempfile::TempDir;

use super::*;
use crate::cli;
use crate::configure::whole;
use crate::data::Data;
use crate::kept::Kept;
use crate::message::Begin;
use crate::page::SharedPage;
use crate::process::registry;
use crate::quarantine::Quarantine;

/// Zones `a` and `b`, each with more of its own.
fn zones(of_a: &str, of_b: &str) -> Document {
    let zone = |name: &str, more: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{{ url = \"http://127.0.0.1:1\" }}]\n{more}"
        )
    };
    let text = format!("schema = 1\n{}{}", zone("a", of_a), zone("b", of_b));
    document::parse(&text, &Limits::default()).unwrap()
}

fn refuses(path: &str) -> String {
    format!("[[zone.rule]]\nwhen = 'http.request.uri.path eq \"{path}\"'\naction = \"block\"\n")
}

/// The version of a zone, by its place in a document.
fn version(document: &Document, nth: usize, version: u64) -> Change {
    let zone = &document.zones[nth];
    Change {
        chain: Chain::Zone(zone.name.clone()),
        version,
        text: Some(zone_text(zone)),
    }
}

fn soak(minutes: u64) -> OnTrial {
    OnTrial {
        change: Change {
            chain: Chain::Platform,
            version: minutes,
            text: Some(format!(
                "schema = 1\n[edge.limits]\nsoak = \"{minutes}m\"\n"
            )),
        },
        share: 500,
        salt: 1,
    }
}

fn configuration(folder: &TempDir) -> Configuration {
    let data = Arc::new(Data::at(folder.path()).unwrap());
    let words = ["seawall", "up", "--data", folder.path().to_str().unwrap()];
    let cli::Command::Up(up) = cli::Cli::try_parse_from(words).unwrap().command else {
        panic!("other words");
    };
    Configuration {
        up: Arc::new(*up),
        state: Arc::new(State::new(registry(), STAGES)),
        quarantine: Arc::new(Quarantine::new(&Begin::default(), data.clone())),
        kept: Arc::<Kept>::default(),
        managed: true,
        fleet: None,
        page: SharedPage::make().unwrap().keep(),
        data,
    }
}

/// A document that serves.
fn serves(configuration: &Configuration, document: &Document) -> (Live, Arc<Source>) {
    let self_signed = configuration.self_signed(document);
    let mut source = Source {
        parsed: whole(document.clone()),
        materials: Materials::of(Vec::new(), self_signed),
        stand: None,
    };
    let compiled = configuration.compile(&mut source, None);
    let snapshot = compiled.snapshot.expect("it can be served");
    (Live::from(snapshot), Arc::new(source))
}

fn candidate(made: &Made) -> Arc<Snapshot> {
    assert!(
        made.ordered.refused.is_empty(),
        "{:?}",
        made.ordered.refused
    );
    let trials = made.live.trials.as_ref().expect("something is on trial");
    let (_, candidate) = trials.platform.as_ref().expect("it is of all zones");
    candidate.snapshot.clone()
}

#[test]
fn a_zone_that_changes_while_what_all_zones_share_is_on_trial_costs_one_zone() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(&folder);
    let (live, source) = serves(&configuration, &zones("", ""));
    let unkept = Unkept::whole(source, false);
    let order = |number, trial: OnTrial, live: &[Change]| Order {
        number,
        live: live.to_vec(),
        trials: vec![trial],
        ..Order::default()
    };
    let first = order(1, soak(11), &[]);
    let first = make(&configuration, &first, &live, unkept.clone(), &[]).unwrap();
    let compiled = candidate(&first);
    let changed = version(&zones(&refuses("/x"), ""), 0, 2);
    let second = order(2, soak(11), &[changed]);
    let before = (&first.live, &first.tried);
    let second = make(&configuration, &second, before.0, unkept.clone(), before.1).unwrap();
    let next = candidate(&second);
    assert!(
        Arc::ptr_eq(&compiled.edge, &next.edge),
        "it was compiled anew"
    );
    let of = |snapshot: &Snapshot, name: &str| snapshot.zones.named(name).unwrap().clone();
    assert!(Arc::ptr_eq(&of(&compiled, "b"), &of(&next, "b")));
    let serves = of(&second.live.snapshot, "a").version_number;
    assert_ne!(of(&compiled, "a").version_number, serves);
    assert_eq!(of(&next, "a").version_number, serves);
    // Another version of it is another matter.
    let third = order(3, soak(12), &[]);
    let before = (&second.live, &second.tried);
    let third = make(&configuration, &third, before.0, unkept, before.1).unwrap();
    assert!(!Arc::ptr_eq(&next.edge, &candidate(&third).edge));
}

#[test]
fn what_another_worker_wrote_meanwhile_is_not_taken_for_what_serves() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(&folder);
    let path = folder.path().join(live::LIVE);
    let (before, after) = (zones("", ""), zones(&refuses("/x"), ""));
    let (live, source) = serves(&configuration, &before);
    live::write(&path, &before, &[&source.materials], None).unwrap();
    assert!(configuration.read_live().1, "it is what lies there");
    let all = Order {
        number: 1,
        live: vec![version(&after, 0, 2), version(&after, 1, 1)],
        only: Some(vec!["a".into(), "b".into()]),
        ..Order::default()
    };
    let carried_out = || make(&configuration, &all, &live, Unkept::default(), &[]);
    assert!(carried_out().unwrap().changed.is_some());
    live::write(&path, &after, &[&source.materials], None).unwrap();
    // Word for word what is ordered: but this worker does not serve it.
    assert!(carried_out().is_err(), "it is to be read anew");
    // What lies there is this one's from the moment on in which it has written it.
    configuration.kept.has_written(&path);
    assert!(carried_out().unwrap().changed.is_none());
}
