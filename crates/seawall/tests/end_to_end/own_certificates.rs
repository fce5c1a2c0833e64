//! Certificates in files: verified when they are read, made ready when a client asks, and the same whatever becomes of the files.

use std::process::{Command, Stdio};

use seawall_net::tls::config::self_signed;

use crate::up::{Folder, Up, send, until};

const ZONES: usize = 40;

/// Writes a certificate and its key, and gives back the certificate.
pub fn make(folder: &Folder, name: &str) -> String {
    let (certificate, key) = self_signed(vec![format!("{name}.test")]).unwrap();
    folder.write(&format!("{name}.pem"), &certificate);
    folder.write(&format!("{name}.key"), &key);
    body(&certificate)
}

/// What is between the marks of the first certificate in a text, without line ends.
fn body(pem: &str) -> String {
    let rest = pem.split_once("-----BEGIN CERTIFICATE-----");
    let inside = rest.and_then(|(_, rest)| rest.split_once("-----END"));
    inside.unwrap_or_default().0.split_whitespace().collect()
}

/// The certificate that is shown for a name.
pub fn shown(up: &Up, name: &str) -> String {
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &up.https().to_string()])
        .args(["-servername", &format!("{name}.test")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    body(&String::from_utf8_lossy(&done.stdout))
}

fn document(zones: usize) -> String {
    let zone = |n: usize| {
        format!(
            "[[zone]]\nname = \"z{n}\"\nhosts = [\"z{n}.test\"]\norigin = [{{ url = \"sample\" }}]\n\
             tls = {{ certificate = {{ cert = \"z{n}.pem\", key = \"z{n}.key\" }} }}\n"
        )
    };
    format!(
        "schema = 1\n{}",
        (0..zones).map(zone).collect::<Vec<_>>().concat()
    )
}

#[test]
fn what_was_verified_is_served_whatever_becomes_of_the_files() {
    let folder = Folder::new();
    let mut made: Vec<_> = (0..ZONES)
        .map(|n| make(&folder, &format!("z{n}")))
        .collect();
    folder.write("seawall.toml", &document(ZONES));
    let up = Up::edge_in(folder);
    let names = |ns: &[usize]| ns.iter().map(|n| format!("z{n}")).collect::<Vec<_>>();
    for (n, name) in names(&[0, 7, 39]).iter().enumerate() {
        assert_eq!(shown(&up, name), made[[0, 7, 39][n]], "{name}");
    }
    // Nobody has asked for the others yet, and their files are no certificates any more.
    for n in 0..ZONES {
        up.folder().write(&format!("z{n}.pem"), "nothing");
        std::fs::remove_file(up.folder().join(&format!("z{n}.key"))).unwrap();
    }
    for (n, certificate) in made.iter().enumerate() {
        assert_eq!(&shown(&up, &format!("z{n}")), certificate, "z{n}");
    }
    // A reload says what is wrong and takes what is good; who dies is followed by one that serves the same.
    made[3] = make(up.folder(), "z3");
    let key = std::fs::read_to_string(up.folder().join("z3.key")).unwrap();
    make(up.folder(), "z4");
    up.folder().write("z4.key", &key);
    up.signal(libc::SIGHUP);
    until("the new certificate", || {
        (shown(&up, "z3") == made[3]).then_some(())
    });
    let log = up.log();
    for said in ["zone[2].tls.certificate.key", "zone[4].tls.certificate: "] {
        assert!(log.contains(said), "{said} is missing in:\n{log}");
    }
    assert!(!log.contains("zone[3]"), "{log}");
    for _ in 0..2 {
        for n in [3, 4, 5] {
            assert_eq!(shown(&up, &format!("z{n}")), made[n], "z{n}");
        }
        let worker = up.worker_now();
        send(worker, libc::SIGKILL);
        until("another worker", || {
            (up.worker_now() != worker).then_some(())
        });
    }
}
