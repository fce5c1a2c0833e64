//! How a worker hears the supervisor, and is found by the next one.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::data::Data;
use crate::message::ToWorker;
use crate::say::complain;
use crate::wire::{Wire, WireListener};

/// Where a later supervisor finds this worker.
pub fn socket_path(data: &Data) -> PathBuf {
    data.path(format!("worker-{}.sock", std::process::id()))
}

/// The next supervisor.
pub async fn accept(listener: Option<&WireListener>) -> Wire {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((wire, _)) = listener.accept().await {
            return wire;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What was heard, and from whom; none at the end.
pub type Heard = (Rc<Wire>, Option<(ToWorker, Vec<OwnedFd>)>);

/// Hears what comes over a wire, up to its end.
pub fn listen(wire: Rc<Wire>, heard: mpsc::Sender<Heard>) {
    tokio::task::spawn_local(async move {
        loop {
            let told = wire.hear().await.unwrap_or_else(|error| {
                complain(format_args!("the supervisor cannot be understood: {error}"));
                None
            });
            let over = told.is_none();
            if heard.send((wire.clone(), told)).await.is_err() || over {
                return;
            }
        }
    });
}
