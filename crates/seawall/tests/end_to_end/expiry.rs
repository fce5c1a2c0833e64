//! Certificates that nobody renews: the end of each that serves is an alarm long before it comes, wherever it comes from.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::fleet::{Control, first};
use crate::origin::nowhere;
use crate::tools::curl;
use crate::up::{Folder, Up, until};

const DAY: i64 = 86_400;

/// A certificate for a name and its key, good from and until so many seconds from now.
pub fn make(folder: &Folder, name: &str, (from, until): (i64, i64)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
    let now = SystemTime::now();
    let at = |seconds: i64| {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let at = if seconds < 0 {
            now - distance
        } else {
            now + distance
        };
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + since
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    let made = params.self_signed(&key).unwrap();
    folder.write(&format!("{name}.pem"), &made.pem());
    folder.write(&format!("{name}.key"), &key.serialize_pem());
}

/// A zone of this name, whose certificate is a file.
fn zone(name: &str, origin: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\norigin = [{origin}]\n\
         tls = {{ certificate = {{ cert = \"{name}.pem\", key = \"{name}.key\" }} }}\n"
    )
}

fn state(up: &Up) -> Value {
    serde_json::from_slice(&curl(&[&format!("http://{}/state", up.admin())]).body).unwrap()
}

fn alarms(up: &Up) -> Vec<String> {
    let state = state(up);
    let alarms = state["certificates"]["alarms"].as_array().unwrap();
    alarms
        .iter()
        .map(|alarm| alarm.as_str().unwrap().to_owned())
        .collect()
}

fn text_of(words: &[&str], up: &Up) -> String {
    let mut asked = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let done = asked.args(words).arg("--data").arg(up.data()).output();
    String::from_utf8(done.unwrap().stdout).unwrap()
}

#[test]
fn the_end_of_a_certificate_from_a_file_is_an_alarm_everywhere_until_it_is_renewed() {
    let folder = Folder::new();
    make(&folder, "good", (-DAY, 89 * DAY));
    make(&folder, "late", (-88 * DAY, 2 * DAY + 1800));
    make(&folder, "over", (-90 * DAY, -60));
    make(&folder, "early", (2 * DAY + 1800, 90 * DAY));
    make(&folder, "shown", (-89 * DAY, DAY + 1800));
    let sample = "{ url = \"sample\" }";
    let shown = "{ url = \"https://127.0.0.1:1\", client_certificate = { cert = \"shown.pem\", key = \"shown.key\" } }";
    let document = [
        zone("good", shown),
        zone("late", sample),
        zone("over", sample),
        zone("early", sample),
    ];
    folder.write(
        "seawall.toml",
        &format!("schema = 1\n{}", document.concat()),
    );
    let up = Up::edge_in(folder);
    let told = until("four alarms", || {
        let told = alarms(&up);
        (told.len() == 4).then_some(told)
    });
    let expected = [
        "the certificate of late.test expires in 48 h: ",
        "the certificate of over.test has expired: ",
        "the certificate of early.test is not valid yet, for 48 h: ",
        "the certificate that zone good shows to its origin https://127.0.0.1:1 expires in 24 h: ",
    ];
    for words in expected {
        let alarm = told.iter().find(|alarm| alarm.starts_with(words));
        let alarm = alarm.unwrap_or_else(|| panic!("{words}: {told:?}"));
        assert!(alarm.contains("SIGHUP"), "{alarm}");
    }
    let degraded = state(&up)["degraded"].clone();
    assert!(
        degraded
            .as_array()
            .unwrap()
            .contains(&"certificates".into()),
        "{degraded}"
    );
    let metrics = curl(&[&format!("http://{}/metrics", up.admin())]).text();
    for (name, source) in [
        ("good.test", "file"),
        ("late.test", "file"),
        ("good https://127.0.0.1:1", "origin"),
    ] {
        let line =
            format!("seawall_certificate_expires_seconds{{name=\"{name}\",source=\"{source}\"}} ");
        assert!(metrics.contains(&line), "{line} is missing in:\n{metrics}");
    }
    for words in expected {
        until("a line in the log", || {
            up.log().contains(words).then_some(())
        });
        let said = text_of(&["status"], &up);
        assert!(said.contains(words), "{words}: {said}");
    }
    let file = up.folder().join("seawall.toml");
    let said = text_of(&["doctor", "--config", file.to_str().unwrap()], &up);
    for words in [
        "bad      certificate of zone late: the certificate of",
        "bad      certificates that serve now: the certificate of over.test has expired",
        "bad      certificate of zone good for https://127.0.0.1:1: the certificate that zone good",
    ] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
    let good =
        [88, 89].map(|days| format!("good     certificate of zone good: expires in {days} days"));
    assert!(good.iter().any(|words| said.contains(words)), "{said}");

    // Renewed on disk: nothing reads it by itself, which the alarm says, and a reload does.
    make(up.folder(), "late", (-60, 90 * DAY));
    up.signal(libc::SIGHUP);
    until("what was renewed is no alarm", || {
        let told = alarms(&up);
        (told.len() == 3 && !told.iter().any(|alarm| alarm.contains("late.test"))).then_some(())
    });
    until("that it is told", || {
        let over = "certificates: no longer: the certificate of late.test expires in 48 h";
        up.log().contains(over).then_some(())
    });
    let log = up.log();
    let many = log
        .matches("certificates: the certificate of over.test")
        .count();
    assert_eq!(many, 1, "once, for as long as it lasts: {log}");
}

#[test]
fn doctor_tells_how_long_the_authority_of_a_fleet_is_good() {
    let control = Control::start(20);
    let (code, said) = control.apply(&first(&nowhere()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let edge = control.joined("one", &[]);
    let doctor = |data: &Path| {
        let mut asked = Command::new(env!("CARGO_BIN_EXE_seawall"));
        asked.args(["doctor", "--dashboard", "none", "--data"]);
        String::from_utf8(asked.arg(data).output().unwrap().stdout).unwrap()
    };
    for data in [control.data(), edge.data()] {
        let said = doctor(&data);
        let words = "good     authority of the fleet: is good for 19 years more";
        assert!(said.contains(words), "{said}");
    }
    std::fs::write(control.data().join("keys/authority.pem"), "no certificate").unwrap();
    let said = doctor(&control.data());
    assert!(
        said.contains("bad      authority of the fleet: cannot be read"),
        "{said}"
    );
}
