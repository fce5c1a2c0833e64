//! `seawall upgrade`: this very program serves, in place of the one that does.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::cli;
use crate::data::Data;
use crate::message::{Reply, Request};
use crate::process::VERSION;
use crate::say::{complain, say};
use crate::silence;
use crate::start;
use crate::status::not_ours;
use crate::supervisor::process::Process;
use crate::wire::Wire;

/// How long the supervisor may take to come back as the new program.
const BACK: Duration = Duration::from_secs(10);

/// Asks for it, and tells how it goes.
///
/// # Errors
/// When nothing serves on the data folder, or its supervisor does not answer.
pub fn run(flags: &cli::Upgrade) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let data = Data::at(&flags.at.data)?;
        let path = data.path("edge.sock");
        let wire = Wire::connect(&path).map_err(|error| {
            if error.kind() == ErrorKind::PermissionDenied {
                return not_ours(&flags.at.data);
            }
            anyhow::Error::new(error).context(format!(
                "nothing to upgrade on {}: start it with `seawall up`, or name its folder with --data",
                data.path("").display()
            ))
        })?;
        let program = start::program()?;
        let supervisor = Process::of(wire.peer()?.pid)?;
        wire.say(&Request::Upgrade { program }, &[])?;
        // That it begins, or why not, is said at once; then a program prepares, for as long as it takes.
        let mut longest = silence::ANSWERS;
        loop {
            let reply = heard(&wire, &supervisor, longest).await?;
            longest = Duration::MAX;
            match reply {
                Some(Reply::Progress(step)) => say(format_args!("  {step}")),
                Some(Reply::Refused { why }) => {
                    complain(format_args!("not upgraded: {why}"));
                    return Ok(ExitCode::FAILURE);
                }
                Some(Reply::Done) | None => break,
                Some(_) => {}
            }
        }
        say("  its worker serves; the supervisor becomes the new program");
        back(&data).await
    })
}

/// What the supervisor says next; none when it has gone.
async fn heard(wire: &Wire, supervisor: &Process, longest: Duration) -> Result<Option<Reply>> {
    let asked = Instant::now();
    let hears = wire.hear::<Reply>();
    tokio::pin!(hears);
    loop {
        tokio::select! {
            said = &mut hears => return Ok(said?.map(|(reply, _)| reply)),
            () = tokio::time::sleep(silence::LOOK) => silence::may_be(supervisor, asked, longest)?,
        }
    }
}

/// Waits until the supervisor answers again, and is of our version.
async fn back(data: &Data) -> Result<ExitCode> {
    let due = Instant::now() + BACK;
    while Instant::now() < due {
        if let Ok(wire) = Wire::connect(&data.path("edge.sock"))
            && wire.say(&Request::Status, &[]).is_ok()
            && let Ok(Ok(Some((Reply::Status(status), _)))) =
                tokio::time::timeout(BACK, wire.hear::<Reply>()).await
            && status.get("version").and_then(|version| version.as_str()) == Some(VERSION)
        {
            say(format_args!("Seawall {VERSION} serves"));
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    complain("the new worker serves, but no new supervisor answers: `seawall up` starts one");
    Ok(ExitCode::FAILURE)
}
