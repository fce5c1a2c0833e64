//! DNS-01 by a command of the owner's: `HOOK… present|cleanup RECORD VALUE`. It ends with 0 when the record is set.

use std::process::Stdio;
use std::time::Duration;

use crate::Fault;

/// A DNS provider may take a while until a record is everywhere; the hook waits for that.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the hook.
///
/// # Errors
/// [`Fault::Own`] when there is none, it cannot be run, fails, or takes longer than five minutes.
pub async fn run(hook: &[String], what: &str, record: &str, value: &str) -> Result<(), Fault> {
    let Some((program, arguments)) = hook.split_first() else {
        let help = "dns-01 needs [edge.acme] dns_hook = [\"/path/to/command\"]";
        return Err(Fault::Own(help.into()));
    };
    let fault = |why: String| Fault::Own(format!("the DNS hook {program}: {why}"));
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .args([what, record, value])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let run = async { command.status().await };
    match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(fault(format!("{what} {record} ended with {status}"))),
        Ok(Err(error)) => Err(fault(format!("cannot be run: {error}"))),
        Err(_) => Err(fault(format!("{what} {record} took longer than 5 minutes"))),
    }
}
