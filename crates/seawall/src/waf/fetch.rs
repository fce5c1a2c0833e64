//! `seawall waf fetch`: a release of the OWASP Core Rule Set, from the net or from a file, if it is the one that is meant.
//!
//! A release is known by the checksum of its rules, not of its archive: archives are packed anew by those who serve them. What has another
//! checksum is not written. Not here: reading archives ([`archive`]).

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use seawall_waf::{Folder, MOST_BYTES};

use crate::archive;
use crate::cli::WafFetch;
use crate::download::download;
use crate::say::say;

/// Bytes of an archive: that of the Core Rule Set with its tests has 2 MiB.
const LARGEST: usize = 64 << 20;

/// Releases whose checksums are known: version, and SHA-256 of `crs-setup.conf.example` and `rules/` as [`Folder::pack`] has them.
const RELEASES: &[(&str, &str)] = &[(
    "4.28.0",
    "eea0b55ca75119a91c88b4167b1e8a76f9f68f5b22a63c290aacb2e5a191c6e3",
)];

/// Fetches a release.
///
/// # Errors
/// It cannot be had, is another one than is meant, or cannot be written.
pub fn run(flags: &WafFetch) -> Result<ExitCode> {
    let pinned = match (&flags.sha256, &flags.release) {
        (Some(sum), _) => sum.to_ascii_lowercase(),
        (None, release) => match RELEASES.iter().find(|(known, _)| known == release) {
            Some((_, sum)) => (*sum).to_owned(),
            None => bail!(
                "the checksum of the release {release} is not known: name it with --sha256, or one of these releases: {}",
                RELEASES
                    .iter()
                    .map(|(known, _)| *known)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        },
    };
    let folder = &flags.into;
    ensure!(
        !folder.exists(),
        "{} is there already: a release goes into a new folder, and the zone names it then",
        folder.display()
    );
    let from = flags.from.clone().unwrap_or_else(|| {
        format!(
            "https://github.com/coreruleset/coreruleset/archive/refs/tags/v{}.tar.gz",
            flags.release
        )
    });
    let bytes = match from.contains("://") {
        true => download(&from, LARGEST)?,
        false => std::fs::read(&from).with_context(|| format!("{from} cannot be read"))?,
    };
    let files = archive::files(&bytes).with_context(|| from.clone())?;
    let wanted = files.iter().filter(|(path, _)| Folder::wants(path));
    let all: Vec<(String, Vec<u8>)> = wanted.cloned().collect();
    let is_pinned = |path: &str| path == "crs-setup.conf.example" || path.starts_with("rules/");
    let rules = all.iter().filter(|(path, _)| is_pinned(path)).cloned();
    let packed = Folder::of(rules).pack();
    ensure!(
        packed.len() <= MOST_BYTES,
        "{from}: more than {} MiB of rules",
        MOST_BYTES >> 20
    );
    let sum = hex(digest::digest(&digest::SHA256, &packed).as_ref());
    ensure!(
        sum == pinned,
        "{from}: its rules have the checksum {sum}, not {pinned}: nothing was written"
    );
    write(folder, &all)?;
    say(format_args!(
        "{} files of rules, sha256 {sum}, are in {}; a zone uses them with [zone.waf] ruleset = {:?}",
        all.len(),
        folder.display(),
        folder
    ));
    Ok(ExitCode::SUCCESS)
}

/// All of it under another name first, so that a folder of this name is whole.
fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let name = folder.file_name().context("the folder has no name")?;
    let mut part = name.to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = folder.with_file_name(part);
    let wrote = (|| {
        for (path, bytes) in files {
            let path = part.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, bytes)?;
        }
        std::fs::rename(&part, folder)
    })();
    if wrote.is_err() {
        // What is left of it is of no use; that it cannot be removed is no other error.
        let _ = std::fs::remove_dir_all(&part);
    }
    wrote.with_context(|| format!("{} cannot be written", folder.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn flags(from: String, into: std::path::PathBuf, sha256: Option<&str>) -> WafFetch {
        WafFetch {
            into,
            release: "4.28.0".into(),
            from: Some(from),
            sha256: sha256.map(str::to_owned),
        }
    }

    /// Answers one request with this.
    fn served(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        });
        format!("http://{at}/crs.tar.gz")
    }

    #[test]
    fn a_release_is_written_if_it_is_the_one_that_is_meant() {
        let archive = archive::tests::tar_gz(&[
            ("crs-9/crs-setup.conf.example", "# set-up"),
            ("crs-9/rules/a.conf", "SecMarker a"),
            ("crs-9/rules/words.data", "word"),
            ("crs-9/plugins/empty-before.conf", ""),
            ("crs-9/tests/x.yaml", "no rule"),
        ]);
        let sum = "f2a6a2d0";
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let into = folder.join("crs");
        let error = run(&flags(served(archive.clone()), into.clone(), Some(sum))).err();
        let error = format!("{:#}", error.unwrap());
        assert!(
            error.contains("nothing was written") && !into.exists(),
            "{error}"
        );
        let is = error.split("the checksum ").nth(1).unwrap();
        let is = is.split(',').next().unwrap().to_owned();
        run(&flags(served(archive.clone()), into.clone(), Some(&is))).unwrap();
        let rules = std::fs::read_to_string(into.join("rules/a.conf")).unwrap();
        assert_eq!(rules, "SecMarker a");
        assert!(into.join("plugins/empty-before.conf").exists());
        assert!(!into.join("tests").exists());
        let file = folder.join("crs.tar.gz");
        std::fs::write(&file, &archive).unwrap();
        let from = file.display().to_string();
        let again = run(&flags(from.clone(), into, Some(&is))).err().unwrap();
        assert!(again.to_string().contains("is there already"));
        run(&flags(from.clone(), folder.join("new"), Some(&is))).unwrap();
        let other = run(&flags(from, folder.join("other"), None)).err().unwrap();
        assert!(other.to_string().contains("not eea0b55c"), "{other}");
    }
}
