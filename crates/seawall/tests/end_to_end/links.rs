//! What pages say that they need: told early to who asks next, and fetched beside them.

use crate::parents::Site;
use crate::tools::{curl, curl_command};
use crate::up::{Up, finished, until};

fn before(site: &Site, more: &str) -> Up {
    Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"http://{}\" }}]\n\
         [zone.cache]\n{more}\n",
        site.address
    ))
}

/// All heads that come for a path, in lower case: interim ones too.
fn heads(up: &Up, path: &str, flags: &[&str]) -> String {
    let mut command = curl_command();
    command.args(["--dump-header", "-", "--output", "/dev/null"]);
    let done = finished(command.args(flags).arg(up.url(path)));
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).to_ascii_lowercase()
}

const H2: &str = "--http2-prior-knowledge";
const HINT: &str = "http/2 103 \r\nlink: </style.css>; rel=preload; as=style\r\n\r\nhttp/2 200";

#[test]
fn who_asks_next_is_told_early_what_the_page_needs() {
    let site = Site::start();
    let up = before(&site, "early_hints = true");
    let first = heads(&up, "/page", &[H2]);
    assert!(first.starts_with("http/2 200"), "{first}");
    let next = heads(&up, "/page", &[H2]);
    assert!(next.starts_with(HINT), "{next}");
    // Not to who may take it for the answer, nor to what is no navigation.
    for flags in [&["--http1.1"][..], &[H2, "-H", "Sec-Fetch-Mode: cors"]] {
        let told = heads(&up, "/page", flags);
        assert!(!told.contains(" 103"), "{flags:?}: {told}");
    }
    // What was made for one is not learnt from.
    for _ in 0..2 {
        let told = heads(&up, "/page?mine", &[H2, "-H", "Cookie: a=1"]);
        assert!(told.starts_with("http/2 200"), "{told}");
    }
    // A purge forgets it.
    let url = format!("http://{}/page", up.http());
    let data = up.data();
    let purged = crate::fleet::seawall(&["purge", "a", "--url", &url, "--wait"], &data);
    assert!(purged.status.success(), "{purged:?}");
    let after = heads(&up, "/page", &[H2]);
    assert!(after.starts_with("http/2 200"), "{after}");
    let off = before(&site, "");
    for _ in 0..2 {
        let told = heads(&off, "/page", &[H2]);
        assert!(told.starts_with("http/2 200"), "{told}");
    }
}

#[test]
fn what_a_page_needs_is_fetched_beside_it_once() {
    let site = Site::start();
    let up = before(&site, "prefetch = true");
    assert_eq!(curl(&[&up.url("/page")]).status, 200);
    until("what the page needs is fetched", || {
        (site.asked("/style.css").len() == 1).then_some(())
    });
    let asked = site.asked("/style.css").remove(0);
    assert!(asked.contains("seawall-prefetch"), "{asked}");
    assert!(!asked.contains("127.0.0.1, "), "{asked}");
    until("it is stored", || {
        let said = curl(&[&up.url("/style.css")]);
        let said = said.field("cache-status")?.to_owned();
        said.starts_with("seawall; hit").then_some(())
    });
    assert_eq!(curl(&[&up.url("/page")]).status, 200);
    assert_eq!(curl(&[&up.url("/page")]).status, 200);
    assert_eq!(site.asked("/style.css").len(), 1);
    assert_eq!(site.asked("/x").len(), 0, "it is no preload");
}
