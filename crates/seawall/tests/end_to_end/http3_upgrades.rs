//! HTTP/3 while the program is upgraded: who honours GOAWAY loses nothing, and who does not is told what was not looked at.

use std::io::BufRead as _;
use std::io::{BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::http3::{client, upgrade, workers};
use crate::origin::Answering;
use crate::supervisor::rounds;
use crate::up::{Up, until};

/// What a client that asks without a pause was told while the program was upgraded so often.
fn played(up: &Up, upgrades: usize, flags: &[&str]) -> Value {
    let mut child = client(up.https(), "honour", flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = || up.records().len();
    for _ in 0..upgrades {
        let before = asked();
        until("requests", || (asked() > before + 50).then_some(()));
        upgrade(up);
    }
    // Enough of them for the last GOAWAY to have come, and for others after it.
    let before = asked();
    until("requests of the last worker", || {
        (asked() > before + 200).then_some(())
    });
    drop(child.stdin.take());
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    out.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    println!("{told}");
    told
}

/// Each request was looked at once: what is said to be not looked at was not, and what was begun was ended.
fn nothing_is_lost(up: &Up, told: &Value) {
    assert_eq!(told["lost"], serde_json::json!([]), "{told}");
    assert_eq!(told["answered"], told["asked"], "{told}");
    let is_ours = |record: &&Value| record["http"] == "3" || record["http"] == "HTTP/3";
    let records = || up.records().iter().filter(is_ours).count() as u64;
    // They are written beside those who answer.
    until("the Records of all", || {
        (Some(records()) >= told["asked"].as_u64()).then_some(())
    });
    assert_eq!(told["asked"], records(), "{told}");
}

#[test]
fn who_honours_goaway_loses_nothing_over_upgrades() {
    let site = Answering::start("good");
    let up = Up::before(&site.url());
    let upgrades = rounds(3, 20);
    let told = played(&up, upgrades, &[]);
    nothing_is_lost(&up, &told);
    assert!(
        told["goaways"].as_u64() >= Some(upgrades as u64),
        "each worker that leaves says so: {told}"
    );
    assert!(
        told["connections"].as_u64() > told["goaways"].as_u64(),
        "{told}"
    );
    workers(&up, 1);
}

/// It goes on where it was told not to: each such request is refused as one that was not looked at (RFC 9114 §5.2), so that it can
/// ask anew, and none is half done.
#[test]
fn who_does_not_is_told_what_was_not_looked_at() {
    let site = Answering::start("good");
    let up = Up::before(&site.url());
    let told = played(&up, 1, &["--heedless"]);
    nothing_is_lost(&up, &told);
}
