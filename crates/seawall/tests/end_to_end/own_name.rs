//! The name of the location on control's own machine: no other one joins by it.

use crate::fleet::{edge_command, first, seawall, struck, told};
use crate::origin::Answering;
use crate::up::{Folder, Up, finished, until};

/// Everything on one machine, where other locations can join, on a folder with a file.
fn start(folder: Folder, more: &[&str]) -> Up {
    let file = folder.join("seawall.toml");
    let words = ["--config", file.to_str().unwrap(), "--speed", "100"];
    let words = [&words[..], &["--edges", "127.0.0.1:0"], more].concat();
    Up::start(folder, &words)
}

/// A token for a location, once control is there, and where it listens.
fn token(up: &Up, location: &str) -> (String, String) {
    until("a token", || {
        let words = ["control", "token", "--location", location];
        let output = seawall(&words, &up.data());
        let said = String::from_utf8(output.stderr).ok()?;
        let (_, listens) = said.split_once("control listens on ")?;
        let listens = listens.trim().trim_end_matches(':');
        let token = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        let is_one = token.starts_with("sj_");
        is_one.then_some((token, format!("https://{listens}")))
    })
}

#[test]
fn no_location_joins_by_the_name_of_controls_own_machine() {
    let site = Answering::start("good");
    let folder = Folder::new();
    folder.write("seawall.toml", &first(&site.url()));
    let up = start(folder, &["--location", "ams"]);
    // This machine has another name for now.
    let (older, _) = token(&up, "local");
    let words = ["control", "token", "--location", "ams"];
    let (code, said) = told(seawall(&words, &up.data()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("control's own machine"), "{said}");
    assert!(said.contains("seawall up --location NAME"), "{said}");

    let up = start(struck(up), &[]);
    let (_, url) = token(&up, "lhr");
    let elsewhere = Folder::new();
    let words = ["--join", &url, "--token", &older];
    let (code, said) = told(finished(&mut edge_command(&elsewhere, "100", &words)));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("control's own machine"), "{said}");
    assert!(!elsewhere.join("data/location.json").exists());
}
