//! The public suite of tests for HTTP caches.

use crate::tools::{Server, play};
use crate::up::Up;

#[test]
fn the_public_suite_passes_but_for_what_is_written() {
    let origin = Server::start("http-cache-origin.mjs", &[]);
    let up = Up::with_config(&format!(
        "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"*\"]\norigin = [{{ url = \"{}\" }}]\n",
        origin.url()
    ));
    let url = up.url("/");
    play("http-cache-client.mjs", &[url.trim_end_matches('/')]);
}
