//! Archives as releases come in: tar (POSIX.1-1988 ustar, with long names by pax) in gzip.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

/// Bytes that come out of an archive, and files in it.
const MOST: u64 = 256 << 20;
const FILES: usize = 20_000;
/// Bytes of a block.
const BLOCK: usize = 512;

/// The files of an archive, by their paths below its one folder.
///
/// # Errors
/// It is no archive, or too large.
pub fn files(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut tar = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(MOST + 1);
    decoder
        .read_to_end(&mut tar)
        .context("is no archive in gzip")?;
    ensure!(
        tar.len() as u64 <= MOST,
        "is larger than {} MiB",
        MOST >> 20
    );
    let mut files = Vec::new();
    let mut rest = tar.as_slice();
    let mut long: Option<String> = None;
    while let Some((head, behind)) = rest.split_at_checked(BLOCK) {
        if head.iter().all(|byte| *byte == 0) {
            break;
        }
        let size = number(head.get(124..136).unwrap_or_default()).context("is no tar archive")?;
        let padded = size.div_ceil(BLOCK) * BLOCK;
        let content = behind.get(..size).context("the archive ends early")?;
        rest = behind.get(padded..).unwrap_or_default();
        match head.get(156) {
            Some(b'x') => long = path_of_pax(content),
            Some(b'g') => {}
            Some(b'0' | 0) => {
                ensure!(files.len() < FILES, "has more than {FILES} files");
                let path = long.take().unwrap_or_else(|| name(head));
                if let Some(path) = below(&path)? {
                    files.push((path, content.to_vec()));
                }
            }
            // Folders, links: nothing that is wanted.
            _ => long = None,
        }
    }
    Ok(files)
}

/// A field of octal digits.
fn number(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?;
    usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

fn name(head: &[u8]) -> String {
    let text = |from: usize, to: usize| {
        let field = head.get(from..to).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0);
        let field = field.get(..end.unwrap_or(field.len()));
        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
    };
    match text(345, 500).as_str() {
        "" => text(0, 100),
        before => format!("{before}/{}", text(0, 100)),
    }
}

/// `30 path=…\n` among the records of a pax header.
fn path_of_pax(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    let found = text.lines().find_map(|line| line.split_once(" path="));
    found.map(|(_, path)| path.to_owned())
}

/// The path without the archive's own folder. A path that leads out of it is none of a release.
fn below(path: &str) -> Result<Option<String>> {
    if path.starts_with('/') || path.split('/').any(|name| name == "..") {
        bail!("has a file outside of its folder: {path:?}");
    }
    let rest = path.split_once('/').map(|(_, rest)| rest.to_owned());
    Ok(rest.filter(|rest| !rest.is_empty()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of these files.
    pub(crate) fn tar_gz<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (path, text) in files {
            let text = text.as_ref();
            let mut head = [0u8; BLOCK];
            head[..path.len()].copy_from_slice(path.as_bytes());
            head[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
            head[156] = b'0';
            tar.extend_from_slice(&head);
            tar.extend_from_slice(text);
            tar.resize(tar.len().div_ceil(BLOCK) * BLOCK, 0);
        }
        tar.resize(tar.len() + 2 * BLOCK, 0);
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&tar).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn files_are_found_by_their_paths_below_the_folder() {
        let read = files(&tar_gz(&[
            ("a/b.conf", "one"),
            ("a/c/d", ""),
            ("e", "lost"),
        ]))
        .unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
            .collect();
        assert_eq!(shown, [("b.conf", &b"one"[..]), ("c/d", b"")]);
    }

    #[test]
    fn what_is_no_archive_or_leads_out_of_it_is_refused() {
        for bad in [
            &b"no gzip"[..],
            &tar_gz(&[("a/../../b", "x")]),
            &tar_gz(&[("/b", "x")]),
        ] {
            assert!(files(bad).is_err());
        }
        let whole = tar_gz(&[("a/b", "text")]);
        assert!(files(&whole[..whole.len() - 9]).is_err());
    }
}
