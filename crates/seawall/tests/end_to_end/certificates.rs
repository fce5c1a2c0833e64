//! Certificates by themselves, from a real ACME server (`tests/acme/server.py`, acme2certifier) in a process of its own. Authorities
//! that are down or make no sense are small servers of this file.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::tools::curl;
use crate::up::{Folder, Up, until};

/// The ACME server, ended on drop.
pub struct Acme {
    child: Child,
    folder: Folder,
    /// Where it begins.
    pub directory: String,
}

impl Acme {
    pub fn start(flags: &[&str]) -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
            PathBuf::from,
        );
        let python = cache.join("seawall/acme/bin/python");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/acme/server.py");
        let folder = Folder::new();
        let mut child = Command::new(&python)
            .arg(program)
            .arg(folder.join("ca"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(folder.log())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}: run scripts/setup test", python.display())
            });
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("port ") {
            line.clear();
            assert!(
                said.read_line(&mut line).unwrap() > 0,
                "the ACME server ended"
            );
        }
        let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let mut out = folder.log();
        std::thread::spawn(move || std::io::copy(&mut said, &mut out));
        let directory = format!("http://127.0.0.1:{port}/directory");
        Self {
            child,
            folder,
            directory,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join("ca").join(name).display().to_string()
    }

    /// From now on names in `.test` lead there.
    pub fn leads_to(&self, up: &Up) {
        fs::copy(up.data().join("up.json"), self.path("up.new")).unwrap();
        fs::rename(self.path("up.new"), self.path("up.json")).unwrap();
    }

    /// The serial number of the certificate shown for a name, if this authority signed it.
    pub fn serial(&self, https: SocketAddr, name: &str) -> Option<String> {
        let done = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &https.to_string(),
                "-servername",
                name,
            ])
            .args(["-verify_hostname", name, "-verify_return_error"])
            .args(["-CAfile", &self.path("ca.pem")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !done.status.success() {
            return None;
        }
        let mut read = Command::new("openssl")
            .args(["x509", "-noout", "-serial"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        read.stdin.take().unwrap().write_all(&done.stdout).unwrap();
        let read = read.wait_with_output().unwrap();
        Some(String::from_utf8(read.stdout).unwrap())
    }

    pub fn issues(&self, up: &Up, name: &str) -> String {
        until(&format!("a certificate for {name}:\n{}", up.log()), || {
            self.serial(up.https(), name)
        })
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// An authority that answers every request with these bytes.
fn faulty(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer);
        }
    });
    format!("http://{address}/directory")
}

pub fn config(acme: &str, hosts: &str) -> String {
    format!(
        "schema = 1\n[edge.acme]\ncontact = \"me@example.com\"\n{acme}\n[[zone]]\nname = \"a.test\"\nhosts = {hosts}\nredirect_https = true\norigin = [{{ url = \"sample\" }}]\ntls = {{ certificate = \"acme\" }}\n"
    )
}

pub fn serve(folder: Folder, text: &str) -> Up {
    let path = folder.write("seawall.toml", text);
    Up::start(folder, &["--config", path.to_str().unwrap()])
}

/// On a data folder that outlives it.
fn start_on(data: &Path, flags: &[&str]) -> Up {
    fs::create_dir_all(data).unwrap();
    let inner = Folder::new();
    std::os::unix::fs::symlink(data, inner.join("data")).unwrap();
    Up::start(inner, flags)
}

pub fn state(up: &Up) -> serde_json::Value {
    serde_json::from_slice(&curl(&[&format!("http://{}/state", up.admin())]).body).unwrap()
}

#[test]
fn http_01_and_tls_alpn_01_get_a_certificate_that_outlives_the_authority() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let acme = Acme::start(&[]);
        let text = config(
            &format!(
                "directories = [\"{}\"]\nchallenges = [\"{challenge}\"]",
                acme.directory
            ),
            "[\"a.test\"]",
        );
        let up = serve(Folder::new(), &text);
        acme.leads_to(&up);
        let serial = acme.issues(&up, "a.test");
        let metrics = curl(&[&format!("http://{}/metrics", up.admin())]).text();
        assert!(
            metrics
                .contains("seawall_certificate_expires_seconds{name=\"a.test\",source=\"acme\"} "),
            "{metrics}"
        );
        // No token of ours: the origin's, or here the redirect.
        let other = curl(&[
            "-H",
            "host: a.test",
            &up.url("/.well-known/acme-challenge/other"),
        ]);
        assert_eq!(other.status, 301, "{other:?}");
        let sealed = fs::read(up.data().join("certificates/a.test.sealed")).unwrap();
        let mode = fs::metadata(up.data().join("certificates/key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(up);

        // The next process has it before it listens, and an authority that makes no sense changes nothing but the alarm.
        let nonsense = faulty(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": 1}\n");
        let folder = Folder::new();
        fs::create_dir_all(folder.join("data/certificates")).unwrap();
        fs::write(folder.join("data/certificates/broken.test.sealed"), b"SWC1").unwrap();
        fs::write(folder.join("data/certificates/a.test.sealed"), &sealed).unwrap();
        let up = serve(folder, &text.replace(&acme.directory, &nonsense));
        // Sealed with another folder's key: skipped, told, and the self-signed one serves.
        assert_eq!(acme.serial(up.https(), "a.test"), None);
        until("an alarm", || {
            up.log().contains("makes no sense").then_some(())
        });
        let state = state(&up);
        assert!(
            state["degraded"]
                .as_array()
                .unwrap()
                .contains(&"certificates".into()),
            "{state}"
        );
        assert_eq!(
            state["certificates"]["alarms"].as_array().unwrap().len(),
            3,
            "{state}"
        );
        assert!(!serial.is_empty());
    }
}

#[test]
fn what_was_kept_serves_at_once_and_is_renewed_when_the_authority_says_so() {
    let acme = Acme::start(&["90", "renew"]);
    let folder = Folder::new();
    let text = config(
        &format!("directories = [\"{}\"]", acme.directory),
        "[\"a.test\"]",
    );
    let path = folder.write("seawall.toml", &text);
    let flags = ["--config", path.to_str().unwrap()];
    let data = folder.join("kept");
    let start = |flags: &[&str]| start_on(&data, flags);
    let mut up = start(&flags);
    acme.leads_to(&up);
    let first = acme.issues(&up, "a.test");
    up.signal(15);
    up.ended();
    drop(up);

    // Down: what was kept serves.
    let down = text.replace(&acme.directory, "http://127.0.0.1:1/directory");
    let path = folder.write("down.toml", &down);
    let mut up = start(&["--config", path.to_str().unwrap()]);
    assert_eq!(acme.serial(up.https(), "a.test").as_deref(), Some(&*first));
    up.signal(15);
    up.ended();
    drop(up);

    // Accepts, and never answers: the same.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("http://{}/directory", silent.local_addr().unwrap());
    let path = folder.write("slow.toml", &text.replace(&acme.directory, &directory));
    let mut up = start(&["--config", path.to_str().unwrap()]);
    silent.accept().unwrap();
    assert_eq!(acme.serial(up.https(), "a.test").as_deref(), Some(&*first));
    up.signal(15);
    up.ended();
    drop(up);

    // A year lies between its clock and ours: told, and nothing is renewed because of it.
    let wrong = Acme::start(&["90", "a-year-behind"]);
    let path = folder.write(
        "clock.toml",
        &text.replace(&acme.directory, &wrong.directory),
    );
    let mut up = start(&["--config", path.to_str().unwrap()]);
    until("an alarm", || {
        let log = up.log();
        let (before, _) = log.split_once(" s ahead of the authority's")?;
        let seconds: u64 = before.rsplit(' ').next()?.parse().ok()?;
        // As long as it took to ask.
        seconds.abs_diff(365 * 24 * 3_600).le(&60).then_some(())
    });
    assert!(
        state(&up)["degraded"]
            .as_array()
            .unwrap()
            .contains(&"certificates".into())
    );
    assert_eq!(acme.serial(up.https(), "a.test").as_deref(), Some(&*first));
    up.signal(15);
    up.ended();
    drop(up);

    // There again, and its renewal information says now.
    let up = start(&flags);
    acme.leads_to(&up);
    until("a renewed certificate", || {
        acme.serial(up.https(), "a.test")
            .filter(|serial| *serial != first)
    });
}

#[test]
fn the_next_authority_is_asked_when_one_is_down_or_makes_no_sense() {
    let acme = Acme::start(&[]);
    let garbage = faulty(b"\x16\x03\x01\x00garbage\r\n\r\n");
    let up = serve(
        Folder::new(),
        &config(
            &format!(
                "directories = [\"http://127.0.0.1:1/\", \"{garbage}\", \"{}\"]",
                acme.directory
            ),
            "[\"a.test\"]",
        ),
    );
    acme.leads_to(&up);
    acme.issues(&up, "a.test");
}

#[test]
fn the_authority_that_gave_it_is_asked_when_to_renew() {
    // Of what the second gave, the first knows nothing: by it, it would be renewed in two months.
    let (first, second) = (Acme::start(&[]), Acme::start(&["90", "renew"]));
    let folder = Folder::new();
    let data = folder.join("kept");
    let start = |directories: &str| {
        let directories = format!("directories = [{directories}]");
        let path = folder.write("seawall.toml", &config(&directories, "[\"a.test\"]"));
        start_on(&data, &["--config", path.to_str().unwrap()])
    };
    let mut up = start(&format!("\"{}\"", second.directory));
    second.leads_to(&up);
    second.issues(&up, "a.test");
    up.signal(15);
    up.ended();
    drop(up);

    let up = start(&format!(
        "\"{}\", \"{}\"",
        first.directory, second.directory
    ));
    first.leads_to(&up);
    first.issues(&up, "a.test");
}

#[test]
fn what_cannot_be_written_serves_is_told_and_is_written_when_it_can_be() {
    let acme = Acme::start(&[]);
    let folder = Folder::new();
    // A folder, where the file is to be: nothing can be written there, and all else can.
    let kept = folder.join("data/certificates");
    let in_the_way = kept.join("a.test.sealed.new");
    fs::create_dir_all(&in_the_way).unwrap();
    let directories = format!("directories = [\"{}\"]", acme.directory);
    let up = serve(folder, &config(&directories, "[\"a.test\"]"));
    acme.leads_to(&up);
    acme.issues(&up, "a.test");
    let is_told = || {
        let alarms = state(&up)["certificates"]["alarms"].to_string();
        alarms.contains("writing it is tried again")
    };
    until("an alarm", || is_told().then_some(()));
    let file = kept.join("a.test.sealed");
    assert!(!file.exists());
    fs::remove_dir(&in_the_way).unwrap();
    until("the file", || file.exists().then_some(()));
    until("the alarm's end", || (!is_told()).then_some(()));
}

#[test]
fn on_demand_only_names_on_the_list_get_one() {
    let acme = Acme::start(&[]);
    let up = serve(
        Folder::new(),
        &config(
            &format!(
                "directories = [\"{}\"]\non_demand = [\"*.shop.test\"]",
                acme.directory
            ),
            "[\"*\"]",
        ),
    );
    acme.leads_to(&up);
    assert_eq!(acme.serial(up.https(), "other.test"), None);
    acme.issues(&up, "one.shop.test");
    assert_eq!(acme.serial(up.https(), "other.test"), None);
    let names = state(&up)["certificates"]["names"].clone();
    assert_eq!(
        names.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["one.shop.test"]
    );
}

#[test]
fn dns_01_by_the_hook_gets_a_wildcard() {
    let acme = Acme::start(&[]);
    let folder = Folder::new();
    let hook = folder.write(
        "hook",
        &format!(
            "#!/bin/sh\ncase $1 in present) echo \"[[\\\"$2\\\", \\\"$3\\\"]]\" ;; *) echo '[]' ;; esac > {}\n",
            acme.path("txt.json")
        ),
    );
    let dns = format!(
        "directories = [\"{}\"]\nchallenges = [\"dns-01\"]\ndns_hook = [\"/bin/sh\", \"{}\"]",
        acme.directory,
        hook.display()
    );
    let up = serve(folder, &config(&dns, "[\"*.a.test\"]"));
    acme.leads_to(&up);
    acme.issues(&up, "any.a.test");
    until("the record taken away", || {
        (fs::read_to_string(acme.path("txt.json")).ok()?.trim() == "[]").then_some(())
    });
}

#[test]
fn one_line_gets_a_real_site_its_certificate() {
    let acme = Acme::start(&[]);
    let up = Up::start(
        Folder::new(),
        &[
            "--host",
            "a.test",
            "--acme",
            "me@example.com",
            "--acme-directory",
            &acme.directory,
        ],
    );
    acme.leads_to(&up);
    acme.issues(&up, "a.test");
    assert!(
        up.log().contains("certificates come by ACME"),
        "{}",
        up.log()
    );
}
