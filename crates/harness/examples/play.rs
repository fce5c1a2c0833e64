//! `cargo run -p seawall-harness --example play -- BINARY FOLDER`: plays a folder of scenarios against any binary.

fn main() -> anyhow::Result<()> {
    let mut given = std::env::args_os().skip(1).map(std::path::PathBuf::from);
    let (Some(binary), Some(folder)) = (given.next(), given.next()) else {
        anyhow::bail!("play BINARY FOLDER");
    };
    let report = seawall_harness::folder::run_folder(&binary, &folder)?;
    println!("{report}");
    anyhow::ensure!(report.failed() == 0, "{} failed", report.failed());
    Ok(())
}
