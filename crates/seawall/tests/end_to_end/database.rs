//! Versions in a PostgreSQL database that the test starts: who leads, who waits, and what is where nobody should see it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::origin::Answering;
use crate::server::Server;
use crate::tools::curl;
use crate::up::{Folder, Up, command, end_all, finished, until};

fn zone(origin: &str, refused: &str) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"{origin}\" }}]\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"{refused}\"'\naction = \"block\"\n"
    )
}

fn asked(words: &[&str], data: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(words).arg("--data").arg(data);
    let output = finished(command.env_remove("SEAWALL_STORE"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn history(data: &Path) -> Vec<Value> {
    let (_, text) = asked(&["versions", "a.test", "--json"], data);
    serde_json::from_str(&text).unwrap_or_default()
}

fn serves(data: &Path) -> Option<u64> {
    let all = history(data);
    let mut serves = all.iter().filter(|version| version["serves"] == true);
    serves.next()?["number"].as_u64()
}

/// A Seawall whose versions are in this database.
fn start(origin: &str, url: &str) -> Up {
    let folder = Folder::new();
    let file = folder.write("seawall.toml", &zone(origin, "/one"));
    let mut command = command(&folder.join("data"));
    command.arg("--config").arg(file).args(["--workers", "2"]);
    command.env("SEAWALL_STORE", url).stdout(folder.log());
    Up::spawned(folder, command)
}

#[test]
fn one_control_leads_and_the_next_one_takes_over_with_all_versions() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    // A password that the server does not ask for is one all the same.
    let url = url.replace("seawall@", "seawall:s3cret@");
    let site = Answering::start("good");
    let first = start(&site.url(), &url);
    let data = first.data();
    until("the first import", || serves(&data));
    let file = first.folder().write("two.toml", &zone(&site.url(), "/two"));
    let words = ["apply", file.to_str().unwrap(), "--wait"];
    let (good, told) = asked(&words, &data);
    assert!(good, "{told}");
    assert_eq!(
        curl(&["-H", "Host: a.test", &first.url("/two")]).status,
        403
    );
    assert!(!data.join("control.db").exists());
    // Whoever looks at processes or logs sees no password.
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains("s3cret"), "{line}");
    }
    assert!(!first.log().contains("s3cret"), "{}", first.log());
    let worker = fs::read(format!("/proc/{}/environ", first.worker())).unwrap();
    assert!(!String::from_utf8_lossy(&worker).contains("s3cret"));
    let before = history(&data);
    // Another machine's control waits, and its edge serves.
    let second = start(&site.url(), &url);
    until("that it waits", || {
        second.log().contains("another control leads").then_some(())
    });
    assert_eq!(curl(&["-H", "Host: a.test", &second.url("/")]).status, 200);
    assert!(history(&second.data()).is_empty());
    // The database is restarted: one of the two leads, whoever is first, with all versions.
    server.kill();
    server.run();
    let leads = until("an answer", || {
        let both = [data.clone(), second.data()];
        both.into_iter()
            .find(|data| history(data).len() >= before.len())
    });
    // A backup of what is in the database is a file like any other.
    let backup = first.folder().join("backup");
    let (good, told) = asked(&["backup", backup.to_str().unwrap()], &leads);
    assert!(good && told.contains("verified"), "{told}");
    // The first is gone, with all that was its own.
    drop(first);
    end_all(&data);
    until("the second to lead", || {
        let all = history(&second.data());
        (all.len() >= before.len()).then_some(())
    });
    let all = history(&second.data());
    let same = |version: &Value| {
        before
            .iter()
            .any(|before| before["hash"] == version["hash"])
    };
    assert!(all.iter().rev().take(before.len()).all(same), "{all:?}");
}

#[test]
fn a_backup_goes_from_a_file_into_a_database_and_never_over_another_log() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (_, url) = server.database();
    let site = Answering::start("good");
    let up = Up::with_config(&zone(&site.url(), "/one"));
    until("the first import", || serves(&up.data()));
    let backup = up.folder().join("backup");
    let backup = backup.to_str().unwrap();
    let (good, told) = asked(&["backup", backup], &up.data());
    assert!(good, "{told}");
    let to = Folder::new();
    let words = ["restore", backup, "--store", &url];
    let (good, told) = asked(&words, &to.join("data"));
    assert!(good && told.contains("a log of"), "{told}");
    assert!(!to.join("data").join("control.db").exists());
    let other = Folder::new();
    let (good, told) = asked(&words, &other.join("data"));
    assert!(!good && told.contains("has a log already"), "{told}");
    // A password on a command line is refused before anything is done.
    let with = url.replace("seawall@", "seawall:an0ther@");
    let (good, told) = asked(&["restore", backup, "--store", &with], &other.join("data"));
    assert!(!good && told.contains("SEAWALL_STORE"), "{told}");
    assert!(!told.contains("an0ther"), "{told}");
}
