//! Flags of `backup` and `restore`.

use std::path::PathBuf;

use clap::Args;

use super::At;

/// Examples of `backup`.
pub const EXAMPLES: &str = "Example:
  seawall backup /backup/seawall-$(date +%F)   versions and their log, what serves, zones' ids, certificates; control runs on

Private keys are in it: the file is readable by who makes it alone. docs/runbooks/backup.md has the whole of it.";

/// Examples of `restore`.
pub const RESTORE_EXAMPLES: &str = "Examples:
  seawall restore /backup/seawall-2026-11-29                 into an empty data folder; `seawall up` serves it then
  seawall restore /backup/seawall-2026-11-29 --replace       what is in the folder is put aside first
  seawall restore --from-live /mnt/edge/seawall-data         without a backup: of what an edge had kept of what it served
  seawall restore --from-store s3://bucket/seawall --from-live /mnt/edge/seawall-data
                                                             the same of what control published last";

/// Flags of `backup`.
#[derive(Args)]
pub struct Backup {
    /// The file to write; it is not there yet
    pub file: PathBuf,
    #[command(flatten)]
    pub at: At,
    /// The database that control keeps versions in, where no control runs here that would know it
    #[arg(
        long,
        env = "SEAWALL_STORE",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub store: Option<String>,
}

/// Flags of `restore`.
#[derive(Args)]
pub struct Restore {
    /// The backup
    #[arg(required_unless_present_any = ["from_live", "from_store"])]
    pub file: Option<PathBuf>,
    /// In place of a backup: the data folder of an edge; versions begin anew with what it served
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub from_live: Option<PathBuf>,
    /// In place of a backup: what control had published, s3://BUCKET/PREFIX or the folder `published`; versions begin anew with what
    /// served. With --from-live also what was sealed to that location can be opened
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    pub from_store: Option<String>,
    /// The file of the root key to believe with --from-store: root.pub of control's data folder [default: that of --from-live]
    #[arg(long, value_name = "FILE", requires = "from_store")]
    pub root_key: Option<PathBuf>,
    /// Put aside what is in the data folder
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub at: At,
    /// The empty database that versions are brought into, in place of a file in the data folder
    #[arg(
        long,
        env = "SEAWALL_STORE",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub store: Option<String>,
}
