//! Flags of `drill`.

use std::path::PathBuf;

use clap::Args;

pub const EXAMPLES: &str = "Examples:
  seawall drill --list                      the drills, with the outages that they re-enact
  seawall drill O1                          one of them, with a picture of it on a terminal
  seawall drill O10                         all of an outage, O10a to O10g
  seawall drill --all --report drills.html  all of them, with a page that shows each beside the real outage
  seawall drill --all --json                a line of JSON for each

A drill runs a control and twelve edges of this program on this machine, in a folder and on ports of their own; no root is needed, and
nothing of it stays. Exit 0: all were contained. 1: one was not. 2: one is void and says nothing, or it was interrupted, or asked for wrongly.";

/// Flags of `drill`.
#[derive(Args)]
pub struct Drill {
    /// Drills, or outages: O1, O10a, O10
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// List them
    #[arg(long)]
    pub list: bool,
    /// What every time of Seawall's is divided by, up to 100; 1 is what people run
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// A line of JSON for each drill, and progress on standard error
    #[arg(long)]
    pub json: bool,
    /// Write a page of HTML about them
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Guard the bed in this folder; a drill starts it
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub guard: Option<PathBuf>,
    /// Turn each drill's safeguard off
    #[cfg(feature = "unsafe-drills")]
    #[arg(long)]
    pub twin: bool,
}
