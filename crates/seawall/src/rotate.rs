//! `seawall keys`: other keys in place of those that sign what is published. Control need not run; if it does, it takes them by itself.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli;
use crate::data::Data;
use crate::distribution::{keys, publisher};
use crate::say::say;

/// Does what was asked.
///
/// # Errors
/// When it was not done; all is as it was then.
pub fn run(keys: &cli::Keys) -> Result<ExitCode> {
    let cli::AboutKeys::Rotate(rotate) = &keys.what;
    if !rotate.at.data.is_dir() {
        anyhow::bail!(
            "there is no data folder {} (name control's with --data)",
            rotate.at.data.display()
        );
    }
    let data = Data::at(&rotate.at.data)?;
    let published = publisher::generation_of(&data);
    say(keys::rotate(
        &data,
        rotate.root.as_deref(),
        published,
        rotate.revoke,
    )?);
    Ok(ExitCode::SUCCESS)
}
