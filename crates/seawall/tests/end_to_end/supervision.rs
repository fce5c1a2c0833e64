//! What keeps a supervisor from doing its work: it is stopped, it can start nothing, it is asked for what no worker can keep. Sites are
//! served, and people are told.

use crate::supervisor::{pid, zones};
use crate::tools::curl;
use crate::up::{Up, command, end_all, finished, send, until};

fn serves(url: &str) -> u16 {
    curl(&["--max-time", "10", "-H", "Host: z0.test", url]).status
}

#[test]
fn a_supervisor_that_somebody_stopped_is_named_and_not_waited_for() {
    let up = Up::with_config(&zones(1));
    let data = up.data();
    let (url, worker) = (up.url("/"), pid(&data, "worker"));
    let supervisor = pid(&data, "supervisor");
    send(up.pid(), libc::SIGKILL);
    send(supervisor, libc::SIGSTOP);
    let folder = up.leave();
    let config = folder.join("seawall.toml");
    let flags = ["--config", config.to_str().unwrap(), "--workers", "2"];
    let done = finished(command(&data).args(flags));
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    for words in [
        format!("pid {supervisor}"),
        format!("kill -CONT {supervisor}"),
        format!("kill -9 {supervisor}"),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert_eq!(serves(&url), 200);
    // As it says.
    send(supervisor, libc::SIGCONT);
    let next = Up::start(folder, &flags[..2]);
    until("the taking over", || {
        next.log().contains("Seawall serves already").then_some(())
    });
    assert_eq!(pid(&data, "worker"), worker, "{}", next.log());
    assert_eq!(serves(&url), 200);
    end_all(&data);
}
