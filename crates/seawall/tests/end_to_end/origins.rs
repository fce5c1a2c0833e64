//! Origins that are no server on a port.

use serde_json::Value;

use crate::tools::{Server, curl, play};
use crate::up::{Folder, Up, until};

/// One zone for all hosts with this origin, and more lines.
fn zone(origin: &str, more: &str) -> String {
    format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ {origin} }}]\n{more}\n"
    )
}

#[test]
fn a_unix_socket_is_an_origin_like_any_other() {
    for flag in ["--http1", "--h2c"] {
        let place = Folder::new();
        let path = place.join("site.sock");
        let path = path.to_str().unwrap();
        let site = Server::start("plain-site.mjs", &[&format!("--unix={path}"), flag]);
        let protocol = if flag == "--h2c" { "2" } else { "auto" };
        let up = Up::with_config(&zone(
            &format!("url = \"unix:{path}\", protocol = \"{protocol}\""),
            "health = { path = \"/\", every = \"100ms\", healthy_after = 1, unhealthy_after = 1 }",
        ));
        let echoed = curl(&["--header", "Host: a.test", &up.url("/echo")]);
        let seen: Value = serde_json::from_slice(&echoed.body).unwrap();
        let host = if flag == "--h2c" {
            ":authority"
        } else {
            "host"
        };
        assert_eq!(seen["headers"][host], "a.test", "{seen}");
        assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1", "{seen}");
        play("h2-client.mjs", &[&up.tls_url("")]);
        let record = up.record_of("/echo");
        assert_eq!(record["source"], "origin", "{record}");

        let state = || -> Value {
            let url = format!("http://{}/state", up.admin());
            serde_json::from_slice(&curl(&[&url]).body).unwrap()
        };
        assert!(state().to_string().contains(&format!("unix:{path}")));
        // It goes, and comes back: the same path, another process.
        drop(site);
        let gone = until("a refusal", || {
            let answer = curl(&[&up.url("/gone")]);
            (answer.status == 502).then_some(answer)
        });
        let said = gone.field("proxy-status").unwrap();
        assert_eq!(said, "seawall; error=connection_refused");
        std::fs::remove_file(path).ok();
        let _site = Server::start("plain-site.mjs", &[&format!("--unix={path}"), flag]);
        until("an answer", || {
            (curl(&[&up.url("/back")]).status == 404).then_some(())
        });
    }
}

#[test]
fn a_unix_socket_is_forbidden_where_loopback_is() {
    let place = Folder::new();
    let path = place.join("site.sock");
    let path = path.to_str().unwrap();
    let _site = Server::start("plain-site.mjs", &[&format!("--unix={path}")]);
    let config = zone(&format!("url = \"unix:{path}\""), "");
    let up = Up::with_config(&format!("{config}[edge]\noutward = [\"public\"]\n"));
    let answer = curl(&[&up.url("/")]);
    assert_eq!(answer.status, 502);
    let said = answer.field("proxy-status").unwrap();
    assert_eq!(said, "seawall; error=destination_ip_prohibited");
}
