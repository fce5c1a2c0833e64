//! `seawall doctor`: what is wrong with a machine and its surroundings, each with its fix.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::expiry;
use crate::tools::Server;
use crate::up::{Folder, Up};

/// What the doctor finds of a document, with these flags more and started in this way.
fn found(folder: &Folder, document: &str, flags: &[&str], limits: &str) -> Vec<Value> {
    let file = folder.write("seawall.toml", document);
    let done = Command::new("sh")
        // Its parent is not who listens here: that would be a socket of our own.
        .args(["-c", &format!("{limits} \"$0\" \"$@\"; exit $?")])
        .arg(env!("CARGO_BIN_EXE_seawall"))
        .args(["doctor", "--json", "--dashboard", "none", "--config"])
        .arg(file)
        .arg("--data")
        .arg(folder.join("data"))
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{done:?}"));
    said["findings"].as_array().unwrap().clone()
}

/// The finding about this, whose words are these and whose fix has those.
fn expect(all: &[Value], health: &str, about: &str, what: &str, fix: &str) {
    let one = all.iter().find(|one| {
        let has = |key: &str, words: &str| one[key].as_str().unwrap().contains(words);
        one["health"] == health && one["about"] == about && has("what", what) && has("fix", fix)
    });
    assert!(one.is_some(), "{health} {about}: {what}: {fix}: {all:#?}");
}

const NO_PORTS: &[&str] = &["--http", "none", "--https", "none", "--admin", "none"];

fn zone(origin: &str) -> String {
    format!("schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{origin}]\n")
}

#[test]
fn the_doctor_names_what_is_bad_and_how_to_mend_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let folder = Folder::new();
    let look = |origin: &str, http: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args([
                "doctor",
                "--json",
                "--origin",
                origin,
                "--host",
                "localhost",
            ])
            .args([
                "--https",
                "none",
                "--admin",
                "none",
                "--dashboard",
                "none",
                "--http",
                http,
            ])
            .arg("--data")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let mut bad = Vec::new();
        for finding in said["findings"].as_array().unwrap() {
            let fix = finding["fix"].as_str().unwrap();
            assert_eq!(fix.is_empty(), finding["health"] == "good", "{finding}");
            if finding["health"] == "bad" {
                bad.push(finding["about"].as_str().unwrap().to_owned());
            }
        }
        (done.status.code(), bad)
    };
    let origin = format!("http://{closed}");
    let http = taken.local_addr().unwrap().to_string();
    let bad = vec![format!("port {http}"), format!("origin {closed}")];
    assert_eq!(look(&origin, &http), (Some(1), bad));
    assert!(!folder.join("data").exists(), "it changes nothing");
    let site = crate::tools::Server::site();
    assert_eq!(look(&site.url(), "127.0.0.1:0"), (Some(0), vec![]));
}

#[test]
fn ports_that_are_taken_or_named_twice_are_told_over_tcp_and_udp() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let https = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let document = zone("{ url = \"sample\" }");
    let flags = [
        "--http",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--https",
        &https,
    ];
    let all = found(&folder, &document, &flags, "");
    let about = format!("UDP port {https} (HTTP/3)");
    expect(&all, "bad", &about, "cannot be bound", "ss -lunp");
    expect(&all, "good", &format!("port {https}"), "free", "");
    // HTTP/3 is off: nobody needs the port.
    let off = document.replacen("schema = 1\n", "schema = 1\n[edge]\nhttp3 = false\n", 1);
    let all = found(&folder, &off, &flags, "");
    assert!(all.iter().all(|one| one["health"] != "bad"), "{all:#?}");

    let flags = ["--http", &https, "--admin", "none", "--https", &https];
    let all = found(&folder, &document, &flags, "");
    let what = format!("[edge] https and [edge] http ({https}) listen on the same port");
    expect(
        &all,
        "bad",
        &format!("port {https}"),
        &what,
        "a port of its own",
    );
}

#[test]
fn what_check_refuses_is_bad() {
    let folder = Folder::new();
    let two = format!(
        "{}[[zone]]\nname = \"b\"\nhosts = [\"b.test\"]\norigin = [{{ url = \"sample\" }}]\n\
         tls = {{ certificate = {{ cert = \"none.pem\", key = \"none.key\" }} }}\n",
        zone("{ url = \"sample\" }")
    );
    let all = found(&folder, &two, NO_PORTS, "");
    let what = "zone[1].tls.certificate.cert: ";
    expect(&all, "bad", "configuration", what, "name a PEM file");
    let all = found(&folder, &zone("{ url = \"sample\" }"), NO_PORTS, "");
    expect(&all, "good", "configuration", "compiles, 1 zone(s)", "");
}

#[test]
fn certificates_that_rustls_refuses_are_told_with_what_helps() {
    let folder = Folder::new();
    let openssl = |words: &str| {
        let done = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(folder.join(""))
            .output()
            .unwrap();
        assert!(done.status.success(), "{words}: {done:?}");
    };
    openssl("req -newkey rsa:2048 -nodes -subj /CN=a.test -keyout one.key -out one.csr");
    openssl("x509 -req -in one.csr -signkey one.key -days 90 -out one.pem");
    openssl("pkey -in one.key -aes128 -passout pass:x -out locked.key");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out odd.key");
    expiry::make(&folder, "good", (-60, 90 * 86_400));
    let document = |cert: &str, key: &str| {
        format!(
            "{}tls = {{ certificate = {{ cert = \"{cert}\", key = \"{key}\" }} }}\n",
            zone("{ url = \"sample\" }")
        )
    };
    for (cert, key, what, fix) in [
        (
            "one.pem",
            "one.key",
            "certificate of version 1",
            "subjectAltName",
        ),
        ("good.pem", "one.key", "does not belong to", "was made for"),
        (
            "good.pem",
            "locked.key",
            "no private key in it",
            "without a passphrase",
        ),
        ("good.pem", "odd.key", "refuses the private key", "P-256"),
        (
            "one.key",
            "one.key",
            "no certificate in it",
            "BEGIN CERTIFICATE",
        ),
    ] {
        let all = found(&folder, &document(cert, key), NO_PORTS, "");
        expect(&all, "bad", "configuration", what, fix);
    }
    // A good one, but for another host.
    let named = document("good.pem", "good.key").replace("\"*\"", "\"other.test\"");
    let all = found(&folder, &named, NO_PORTS, "");
    let what = "is not for other.test";
    expect(
        &all,
        "warning",
        "certificate of zone a",
        what,
        "subjectAltName",
    );
}

#[test]
fn origins_that_speak_otherwise_than_their_url_says_are_told() {
    let plain = Server::site();
    let address = plain.url();
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let folder = Folder::new();
    let about = format!("origin {address}");
    let all = found(
        &folder,
        &zone(&format!("{{ url = \"https://{address}\" }}")),
        NO_PORTS,
        "",
    );
    expect(&all, "bad", &about, "speaks no TLS there", "http://");

    expiry::make(&folder, "good", (-60, 90 * 86_400));
    let secure = tls_server(&folder);
    let (at, about) = (&secure.1, format!("origin {}", secure.1));
    let all = found(
        &folder,
        &zone(&format!("{{ url = \"http://{at}\" }}")),
        NO_PORTS,
        "",
    );
    expect(
        &all,
        "bad",
        &about,
        "speaks TLS, but its `url` says http://",
        "https://",
    );
    let all = found(
        &folder,
        &zone(&format!("{{ url = \"https://{at}\" }}")),
        NO_PORTS,
        "",
    );
    expect(&all, "bad", &about, "its certificate is not good", "`ca`");
    let right = format!("{{ url = \"https://{at}\", sni = \"good.test\", ca = \"good.pem\" }}");
    let all = found(&folder, &zone(&right), NO_PORTS, "");
    expect(&all, "good", &about, "speaks TLS", "");
}

/// `openssl s_server`, ended on drop, and where it listens.
fn tls_server(folder: &Folder) -> (Ended, String) {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &free.to_string()])
        .args(["-cert", "good.pem", "-key", "good.key"])
        .current_dir(folder.join(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Ended(child);
    crate::up::until("a server of TLS", || {
        std::net::TcpStream::connect(free).ok()
    });
    (child, free.to_string())
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn a_socket_of_an_origin_that_is_not_there_or_left_over_is_told() {
    let folder = Folder::new();
    let path = folder.join("origin.sock");
    let origin = format!("{{ url = \"unix:{}\" }}", path.display());
    let about = format!("origin unix:{}", path.display());
    let look = || found(&folder, &zone(&origin), NO_PORTS, "");
    expect(
        &look(),
        "bad",
        &about,
        "there is no such socket",
        "start the origin",
    );
    let listener = UnixListener::bind(&path).unwrap();
    expect(&look(), "good", &about, "takes connections", "");
    drop(listener);
    expect(&look(), "bad", &about, "nobody listens", "start the origin");
    std::fs::remove_file(&path).unwrap();
    folder.write("origin.sock", "");
    expect(&look(), "bad", &about, "no socket", "");
}

#[test]
fn a_limit_of_memory_below_what_a_worker_takes_is_bad_and_one_that_its_cache_fills_is_told() {
    let folder = Folder::new();
    let look = |limits: &str| {
        let document = zone("{ url = \"sample\" }");
        let limits = format!("schema = 1\n[edge.limits]\n{limits}\n");
        let document = document.replacen("schema = 1\n", &limits, 1);
        found(&folder, &document, NO_PORTS, "")
    };
    let all = look("memory = \"1MiB\"");
    expect(
        &all,
        "bad",
        "memory",
        "may hold 1 MiB",
        "raise [edge.limits] memory",
    );
    let all = look("memory = \"1GiB\"\ncache_memory = \"2GiB\"");
    expect(
        &all,
        "warning",
        "memory",
        "its cache full",
        "lower cache_memory",
    );
    let all = look("memory = \"1GiB\"\ncache_memory = \"64MiB\"");
    expect(&all, "good", "memory", "may hold 1024 MiB", "");
}

#[test]
fn descriptors_are_counted_against_what_may_be_let_in() {
    let folder = Folder::new();
    let document = zone("{ url = \"sample\" }");
    let all = found(&folder, &document, NO_PORTS, "ulimit -n 4096;");
    let what = "4096 are allowed, which is enough for ";
    expect(&all, "warning", "open files", what, "LimitNOFILE");
    let limits = "schema = 1\n[edge.limits]\nconnections = 1000\n";
    let few = document.replacen("schema = 1\n", limits, 1);
    let all = found(&folder, &few, NO_PORTS, "ulimit -n 4096;");
    expect(&all, "good", "open files", "4096 are allowed", "");
    let all = found(
        &folder,
        &document,
        &[NO_PORTS, &["--workers", "9"]].concat(),
        "ulimit -n 40;",
    );
    expect(
        &all,
        "bad",
        "open files",
        "only 40 open files",
        "LimitNOFILE",
    );
}

/// A server of HTTPS, for 127.0.0.1 and by nobody whom the world trusts, whose clock is so many seconds behind; ended on drop. Its
/// certificate is `private.pem`.
fn clock(folder: &Folder, behind: u64) -> (Ended, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    folder.write("private.pem", &params.self_signed(&key).unwrap().pem());
    folder.write("private.key", &key.serialize_pem());
    let program = format!(
        "const read = require('fs').readFileSync;
         const server = require('https').createServer(
           {{ key: read('private.key'), cert: read('private.pem') }},
           (_, answer) => {{
             answer.setHeader('Date', new Date(Date.now() - {behind} * 1000).toUTCString());
             answer.end('{{}}');
           }});
         server.listen(0, '127.0.0.1', () => console.log(server.address().port));"
    );
    let mut child = Command::new("node")
        .args(["-e", &program])
        .current_dir(folder.join(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stdout.take().unwrap();
    let child = Ended(child);
    let mut port = String::new();
    BufReader::new(said).read_line(&mut port).unwrap();
    (
        child,
        format!("https://127.0.0.1:{}/directory", port.trim()),
    )
}

#[test]
fn a_clock_that_is_off_is_told_also_by_an_authority_of_ones_own() {
    let folder = Folder::new();
    let named = || zone("{ url = \"sample\" }").replace("\"*\"", "\"a.test\"");
    let year = 365 * 86_400;
    for (behind, health, what, fix) in [
        (year, "bad", " s ahead of https://127.0.0.1:", "timedatectl"),
        (0, "good", "within ", ""),
    ] {
        let (_server, directory) = clock(&folder, behind);
        let acme = format!(
            "schema = 1\n[edge.acme]\ndirectories = [\"{directory}\"]\nca = \"private.pem\"\n"
        );
        let document =
            named().replacen("schema = 1\n", &acme, 1) + "tls = { certificate = \"acme\" }\n";
        let all = found(&folder, &document, NO_PORTS, "");
        expect(&all, health, "clock", what, fix);
    }
    let folder = Folder::new();
    let document = named().replacen(
        "schema = 1\n",
        "schema = 1\n[edge.acme]\nca = \"none.pem\"\n",
        1,
    ) + "tls = { certificate = \"acme\" }\n";
    let all = found(&folder, &document, NO_PORTS, "");
    expect(&all, "bad", "[edge.acme] ca", "cannot be read", "PEM file");
}

/// Listens where a host leads that is not ours, and answers as any web server.
fn stranger(at: (&str, u16)) {
    let listener = TcpListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
}

#[test]
fn hosts_that_come_to_this_edge_are_told_from_those_that_go_elsewhere() {
    let document = |host: &str, more: &str| {
        let one = zone("{ url = \"sample\" }").replace("\"*\"", &format!("\"{host}\""));
        one.replacen("schema = 1\n", &format!("schema = 1\n{more}"), 1)
    };
    let here = document("127.0.0.1", "");
    let up = Up::edge(&here);
    let (http, https) = (up.http().port(), up.https().port());
    let all = found(up.folder(), &here, NO_PORTS, "");
    let what = format!("comes to this edge: http at 127.0.0.1:{http}, https at 127.0.0.1:{https}");
    expect(&all, "good", "reach 127.0.0.1", &what, "");
    let about = "public reachability";
    expect(&all, "good", about, "loopback alone", "");
    assert!(
        all.iter()
            .all(|one| one["about"] != about || one["health"] == "good")
    );

    // A host of which plain HTTP is answered by somebody else, and HTTPS by nobody.
    stranger(("127.0.0.2", http));
    let all = found(up.folder(), &document("127.0.0.2", ""), NO_PORTS, "");
    let what = "something that is not this edge answers (HTTP/1.1 200 OK)";
    expect(
        &all,
        "warning",
        "reach 127.0.0.2",
        what,
        "records of 127.0.0.2",
    );
    let what = format!("https at 127.0.0.2:{https}: nobody listens there");
    expect(
        &all,
        "warning",
        "reach 127.0.0.2",
        &what,
        "listen at this address",
    );

    // Another Seawall is not this one, whatever its zones are called.
    let other = Up::edge(&here);
    let more = format!("[edge]\npublic_http = {}\n", other.http().port());
    let all = found(up.folder(), &document("127.0.0.1", &more), NO_PORTS, "");
    let what = "another Seawall answers";
    expect(
        &all,
        "warning",
        "reach 127.0.0.1",
        what,
        "another location of yours",
    );

    // Where none runs, nothing is claimed.
    let all = found(&Folder::new(), &here, NO_PORTS, "");
    let about = "public reachability";
    expect(
        &all,
        "warning",
        about,
        "no Seawall serves on this data folder",
        "start it",
    );
    assert!(all.iter().all(|one| one["about"] != "reach 127.0.0.1"));
}

/// A disk of a few pages, ended on drop; none where nothing can be mounted.
pub struct Disk(std::path::PathBuf);

impl Disk {
    /// Mounts one there.
    pub fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .output();
        if !done.is_ok_and(|done| done.status.success()) {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    /// Writes until there is no room.
    pub fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.join("filling")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    /// There is room again.
    pub fn free(&self) {
        std::fs::remove_file(self.0.join("filling")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_as_one() {
    let folder = Folder::new();
    let data = folder.join("data");
    let Some(disk) = Disk::mount(&data, "256k") else {
        return;
    };
    disk.fill();
    let all = found(&folder, &zone("{ url = \"sample\" }"), NO_PORTS, "");
    let about = format!("data {}", data.display());
    expect(&all, "bad", &about, "cannot be written", "the disk is full");
    disk.free();
    let all = found(&folder, &zone("{ url = \"sample\" }"), NO_PORTS, "");
    expect(&all, "bad", &about, "MiB are free", "free some");
}
