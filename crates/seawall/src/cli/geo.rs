//! Flags of `geo`.

use clap::{Args, Subcommand};

use super::Here;

pub const EXAMPLES: &str = "Examples:
  seawall geo update                  countries and autonomous systems, for what runs on ./seawall-data
  seawall geo update --data DIR --from https://npm.example.com     from a mirror of npm

The files are country.mmdb and asn.mmdb in the folder geo of the data folder. What runs reads them by itself within seconds, and serves
without them too. Run it now and then, by cron or a timer: addresses move. Countries are CC0; autonomous systems are CC BY 4.0, by
RouteViews and DB-IP.com.";

/// Flags of `geo`.
#[derive(Args)]
pub struct Geo {
    /// What to do
    #[command(subcommand)]
    pub what: GeoWhat,
}

/// What to do with files of places.
#[derive(Subcommand)]
pub enum GeoWhat {
    /// Fetch the newest files; those that are there stay until the new ones are whole and verified
    Update(GeoUpdate),
}

/// Flags of `geo update`.
#[derive(Args)]
pub struct GeoUpdate {
    #[command(flatten)]
    pub here: Here,
    /// The registry of npm, or a mirror of it
    #[arg(long, value_name = "URL", default_value = "https://registry.npmjs.org")]
    pub from: String,
}
