//! The patch that the documentation shows refuses what it is written for, however that is spelt.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod request;

use request::{ON, ask, get, program};
use seawall_model::Fuel;
use seawall_waf::{Nothing, Transaction, Workspace};

const DOCS: &str = include_str!("../../../docs/waf.md");

#[test]
fn the_patch_of_the_documentation_is_not_gone_round() {
    let (_, patch) = DOCS.split_once("patches = '''\n").unwrap();
    let (patch, _) = patch.split_once("'''").unwrap();
    let program = program(patch);
    let is_refused = |target: &str| {
        let (mut work, mut nothing) = (Workspace::default(), Nothing);
        let request = get(target, &[]);
        let mut transaction = Transaction::new(&program, &ON, request, &mut work, &mut nothing);
        ask(&mut transaction, &mut Fuel::new(10_000_000));
        transaction.interrupted().is_some()
    };
    for target in [
        "/upload?name=../x",
        "/upload/?name=a/..%2fx",
        "/upload?name=..%5cx",
        "/upload?name=..\\x",
        "/upload?name=%252e%252e%252fx",
        "//upload?name=../x",
        "/./upload?name=../x",
        "/a/../upload?name=../x",
        "/a/..%2fupload?name=../x",
        "/a\\..\\upload?name=../x",
        "/%75pload?name=../x",
        "\\upload?name=../x",
    ] {
        assert!(is_refused(target), "{target}");
    }
    for target in [
        "/upload?name=a..b",
        "/upload?name=x",
        "/other?name=../x",
        "/upload/../other?name=../x",
    ] {
        assert!(!is_refused(target), "{target}");
    }
}
