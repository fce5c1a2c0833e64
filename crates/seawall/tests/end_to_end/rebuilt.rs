//! Neither the log nor a backup is left: what control had published in a bucket, and one location's keys, make versions anew.

use std::fs;
use std::path::Path;

use crate::buckets::{BUCKET, S3, caught_up, control_with};
use crate::contents::{document, is_quiet};
use crate::fleet::{Control, seawall, struck, told};
use crate::origin::Answering;
use crate::own_certificates::{make, shown};
use crate::tools::curl;
use crate::up::{Folder, Up, command, finished, until};

fn restored(server: &S3, data: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut restore = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
    server.variables(&mut restore);
    restore.args(["restore", "--from-store", BUCKET]);
    told(finished(restore.args(words).arg("--data").arg(data)))
}

fn versions(data: &Path) -> String {
    told(seawall(&["versions", "a.test"], data)).1
}

#[test]
fn of_a_bucket_and_one_locations_keys_comes_a_log_that_serves_the_same() {
    let site = Answering::start("good");
    let server = S3::start();
    let mut control: Control = control_with(&server);
    let certificate = make(control.folder(), "a");
    control.folder().write("bad.txt", "127.0.0.0/8\n");
    let text = document(&site.url(), control.folder());
    let (code, said) = control.apply(&text, &["--approve"]);
    assert_eq!(code, Some(0), "{said}");
    let ams = control.joined("ams", &[]);
    is_quiet(&control);
    until("the certificate", || {
        (shown(&ams, "a") == certificate).then_some(())
    });
    caught_up(&control, &server);
    let root_key = Folder::new();
    let root_key = (root_key.join("root.pub"), root_key);
    fs::copy(control.data().join("root.pub"), &root_key.0).unwrap();
    // All of control's machine is lost, its own files too.
    control.kill();
    fs::remove_dir_all(control.data()).unwrap();
    for name in ["a.pem", "a.key", "bad.txt"] {
        fs::remove_file(control.folder().join(name)).unwrap();
    }
    let edge = struck(ams);

    // With the root key alone it is believed, but what is sealed stays so: that is told.
    let poor = Folder::new();
    let file = root_key.0.to_str().unwrap();
    let (code, said) = restored(&server, &poor.join("data"), &["--root-key", file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("LEFT OUT") && said.contains("--from-live"),
        "{said}"
    );

    // Another root key is another control.
    let other = Control::start(100);
    let strange = other.data().join("root.pub");
    let none = Folder::new();
    let words = ["--root-key", strange.to_str().unwrap()];
    let (code, said) = restored(&server, &none.join("data"), &words);
    assert_ne!(code, Some(0), "{said}");
    assert!(!none.join("data/control.db").exists());

    let folder = Folder::new();
    let data = folder.join("data");
    let from = edge.join("data");
    let (code, said) = restored(&server, &data, &["--from-live", from.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("what control had published"), "{said}");
    // Who has the location's name is the location still, and not the new control.
    assert!(!data.join("location.json").exists());
    let mut up = command(&data);
    up.stdout(folder.log());
    let up = Up::spawned(folder, up);
    until("control", || {
        versions(&data).contains("serves").then_some(())
    });
    assert!(
        versions(&data).contains("rebuilt of"),
        "{}",
        versions(&data)
    );
    assert_eq!(shown(&up, "a"), certificate);
    let get = |path: &str| curl(&["-H", "Host: a.test", &up.url(path)]).status;
    assert_eq!((get("/"), get("/x")), (200, 403));
    // Nothing else came with it: no sample site for other hosts.
    assert_eq!(curl(&["-H", "Host: other.test", &up.url("/")]).status, 421);
}
