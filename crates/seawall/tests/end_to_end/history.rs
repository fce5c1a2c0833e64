//! What is told of what was, on the command line: the log and what its versions changed, versions of what all zones share, a control
//! without an edge; and what waits for a person.

use crate::fleet::{Control, first, seawall, told, without, zone};
use crate::origin::Answering;
use crate::up::until;

const SPEED: u32 = 300;

fn started() -> (Answering, Control) {
    let site = Answering::start("good");
    let control = Control::start(SPEED);
    let (code, said) = control.apply(&first(&site.url()), &["--why", "the\u{1b}[2J\nfirst"]);
    assert_eq!(code, Some(0), "{said}");
    (site, control)
}

#[test]
fn the_log_is_told_with_what_changed_and_verified() {
    let (site, control) = started();
    let _ams = control.joined("ams", &[]);
    control.applies(&without(&site.url(), "/one"));
    let (code, said) = control.asks(&["audit", "--diff", "--limit", "100"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("version created chain=zone/a.test"), "{said}");
    assert!(
        said.lines()
            .any(|line| line.trim_start().starts_with("+when = ")),
        "{said}"
    );
    assert!(said.contains("location joined"), "{said}");
    // A reason moves no terminal, and is one line.
    assert!(
        !said.contains('\u{1b}') && said.contains("the\\u{1b}[2J first"),
        "{said}"
    );
    let (_, said) = control.asks(&["audit", "--json", "--limit", "2"]);
    let seqs = said.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"]
            .as_u64()
            .unwrap()
    });
    let seqs: Vec<u64> = seqs.collect();
    assert!(seqs.len() == 2 && seqs[0] == seqs[1] + 1, "{seqs:?}");
    let (code, said) = control.asks(&["audit", "--verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the log is whole"), "{said}");

    // What all zones share has versions too.
    let (_, said) = control.asks(&["versions", "--platform"]);
    assert!(said.contains("serves"), "{said}");
    let platform = "schema = 1\n[edge]\noutward = [\"public\", \"private\", \"loopback\"]\naccess_log = \"off\"\n";
    control.applies(platform);
    let (code, said) = control.asks(&["diff", "--platform", "1", "2"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("+access_log"), "{said}");
    let (code, said) = control.asks(&["rollback", "--platform", "1", "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = control.asks(&["diff", "a.test", "x"]);
    assert!(
        code == Some(1) && said.contains("no number of a version"),
        "{said}"
    );

    // Somebody else was first: what they changed is shown.
    let (code, said) = control.apply(&without(&site.url(), "/two"), &["--parent", "1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("somebody else was first") && said.contains("/one"),
        "{said}"
    );
}

#[test]
fn a_control_alone_is_well_and_what_waits_for_a_person_ends_the_wait() {
    let (site, control) = started();
    // No edge runs here, and none is missing.
    let (code, said) = control.asks(&["status"]);
    assert!(
        code == Some(1) && said.contains("chain(s)") && said.contains("none"),
        "{said}"
    );
    let _ams = control.joined("ams", &[]);
    // It is silent until it has been heard of once.
    until("all is well", || {
        let (code, said) = control.asks(&["status"]);
        (code == Some(0) && said.contains("ams")).then_some(())
    });
    control.applies(&without(&site.url(), "/one"));

    // The last zone goes: a person is asked, and whoever waits is told so.
    let (code, said) = control.asks(&["delete", "a.test", "--wait"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("seawall approve"), "{said}");
    let (_, standing) = control.asks(&["rollouts"]);
    assert!(standing.contains("the last zone"), "{standing}");
    let (code, said) = told(seawall(&["abort"], &control.data()));
    assert_eq!(code, Some(0), "{said}");
    let more = zone(&site.url(), "").replace("a.test", "b.test");
    control.applies(&more);
    let (code, said) = control.asks(&["delete", "b.test", "--wait"]);
    assert_eq!(code, Some(0), "{said}");

    // So does what is pinned, and with it what goes behind it.
    let (code, said) = control.asks(&["pin", "--platform"]);
    assert_eq!(code, Some(0), "{said}");
    let both = first(&site.url()).replacen("[edge]\n", "[edge]\naccess_log = \"off\"\n", 1);
    let (code, said) = control.apply(&both, &["--wait", "--approve"]);
    assert_eq!(code, Some(3), "{said}");
    for what in ["platform version", "zone/a.test version"] {
        let mut lines = said.lines();
        let is_told = |line: &str| {
            line.contains(&format!("{what} ")) && line.contains("`seawall pin --platform --remove`")
        };
        assert!(lines.any(is_told), "{what}: {said}");
    }
}
