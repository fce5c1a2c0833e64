//! `seawall geo update`: files of places, from the packages `@ip-location-db/…` of npm, into the folder that workers read.
//!
//! A package is what its registry says: its checksum comes with its version, over TLS, and what has another one is not unpacked. A file is
//! written under another name, looked at as a worker would, and renamed: at no time is there half of one. Countries come as MaxMind DB;
//! autonomous systems as tables, of which one is made ([`asn`]). Not here: who reads them (`worker/geo.rs`).

mod asn;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use seawall_guard::{KnownPlaces, PlaceFile};
use seawall_model::Places;
use serde_json::Value;

use crate::archive;
use crate::cli::{Geo, GeoUpdate, GeoWhat};
use crate::download::download;
use crate::say::say;

/// Bytes of a package: that of autonomous systems has 19 MB.
const LARGEST: usize = 96 << 20;
/// Bytes of what a registry says of a version.
const LARGEST_ABOUT: usize = 1 << 20;

/// Of an archive: paths and contents.
type Unpacked = [(String, Vec<u8>)];

/// A package, and what becomes of it.
struct Package {
    name: &'static str,
    file: &'static str,
    /// From its files: the bytes of a MaxMind DB.
    make: fn(&Unpacked) -> Result<Vec<u8>>,
    /// An address, and what the file has to know of it.
    known: (IpAddr, fn(&KnownPlaces, IpAddr) -> bool),
}

/// A resolver that is announced in many places, by one network: every file knows it.
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

const PACKAGES: [Package; 2] = [
    Package {
        name: "@ip-location-db/geo-whois-asn-country-mmdb",
        file: "country.mmdb",
        make: |files| Ok(find(files, "geo-whois-asn-country.mmdb")?.to_vec()),
        known: (EVERYWHERE, |places, ip| {
            !places.place(ip).country.text().is_empty()
        }),
    },
    Package {
        name: "@ip-location-db/asn",
        file: "asn.mmdb",
        make: |files| {
            let tables = [find(files, "asn-ipv4.csv")?, find(files, "asn-ipv6.csv")?];
            asn::mmdb(&tables)
        },
        known: (EVERYWHERE, |places, ip| places.place(ip).asn != 0),
    },
];

/// Does what is asked for.
///
/// # Errors
/// A file cannot be had, is another one than its registry says, or cannot be written; those before it are new, the others as they were.
pub fn run(geo: &Geo) -> Result<ExitCode> {
    let GeoWhat::Update(flags) = &geo.what;
    for (nth, package) in PACKAGES.iter().enumerate() {
        update(flags, package, nth + 1)
            .with_context(|| format!("{}; {} stays as it was", package.name, package.file))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn update(flags: &GeoUpdate, package: &Package, nth: usize) -> Result<()> {
    let step = format!("[{nth}/{}] {}", PACKAGES.len(), package.file);
    let registry = flags.from.trim_end_matches('/');
    // In a path of the registry a scope and its name are one segment, and `@` is in no URL that we ask.
    let name = package.name.replace('/', "%2f").replace('@', "%40");
    let url = format!("{registry}/{name}/latest");
    let about: Value = serde_json::from_slice(&download(&url, LARGEST_ABOUT)?)
        .with_context(|| format!("{url}: is no description of a package"))?;
    let text = |path: &str| {
        let found = about.pointer(path).and_then(Value::as_str);
        found.with_context(|| format!("{url}: does not say {path}"))
    };
    let (version, tarball) = (text("/version")?, text("/dist/tarball")?);
    let tarball = &tarball.replace('@', "%40");
    let integrity = text("/dist/integrity")?;
    say(format_args!("{step}: fetching {} {version}", package.name));
    let bytes = download(tarball, LARGEST)?;
    verify(&bytes, integrity).with_context(|| tarball.clone())?;
    say(format_args!(
        "{step}: {} KiB, verified; unpacking",
        bytes.len() >> 10
    ));
    let files = archive::files(&bytes).with_context(|| tarball.clone())?;
    drop(bytes);
    let made = (package.make)(&files).with_context(|| tarball.clone())?;
    let folder = flags.here.data.join("geo");
    let length = made.len();
    put(&folder, package, made)?;
    say(format_args!(
        "{step}: {} KiB are in {}",
        length >> 10,
        folder.join(package.file).display()
    ));
    Ok(())
}

/// Whether bytes are what Subresource Integrity says (`sha512-…`), as registries of npm write it.
fn verify(bytes: &[u8], integrity: &str) -> Result<()> {
    let mut sums = integrity.split_ascii_whitespace();
    let wanted = sums
        .find_map(|sum| sum.strip_prefix("sha512-"))
        .context("its registry names no SHA-512 of it")?;
    let is = base64(digest::digest(&digest::SHA512, bytes).as_ref());
    ensure!(
        is == wanted,
        "has the checksum sha512-{is}, not sha512-{wanted}: nothing was written"
    );
    Ok(())
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let all = (0..3).fold(0_usize, |all, nth| {
            all << 8 | usize::from(three.get(nth).copied().unwrap_or(0))
        });
        for nth in 0..4 {
            let digit = DIGITS.get(all >> (18 - 6 * nth) & 63);
            let is_there = nth <= three.len();
            out.push(char::from(*digit.filter(|_| is_there).unwrap_or(&b'=')));
        }
    }
    out
}

fn find<'f>(files: &'f Unpacked, name: &str) -> Result<&'f [u8]> {
    let found = files.iter().find(|(path, _)| path == name);
    let (_, bytes) = found.with_context(|| format!("has no file {name}"))?;
    Ok(bytes)
}

/// Looks at a file as those who read it will, and puts it in its place.
fn put(folder: &Path, package: &Package, made: Vec<u8>) -> Result<()> {
    let places = KnownPlaces::default();
    places.set(vec![PlaceFile::new(made.clone().into())?]);
    let (ip, is_known) = package.known;
    ensure!(
        is_known(&places, ip),
        "{}: {ip} is nowhere in it: it is not what it should be",
        package.file
    );
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(package.file);
    // Its name has not the end that makes workers read it.
    let part = folder.join(format!("{}.part-{}", package.file, std::process::id()));
    let wrote = (|| {
        std::fs::write(&part, &made)?;
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(&part, &path)
    })();
    if wrote.is_err() {
        // What is left of it is of no use; that it cannot be removed is no other error.
        let _ = std::fs::remove_file(&part);
    }
    wrote.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::cli::Here;

    fn table() -> Vec<u8> {
        b"8.8.8.0,8.8.8.255,15169,Google LLC\n".to_vec()
    }

    /// A registry that answers so many requests; of each package there is this archive, with this checksum.
    fn registry(
        packages: Vec<(&'static str, Vec<u8>, Option<&'static str>)>,
        asked: usize,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let at = own.clone();
        std::thread::spawn(move || {
            for _ in 0..asked {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 2048];
                let length = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let found = packages
                    .iter()
                    .find(|(name, ..)| path.contains(name))
                    .unwrap();
                let (name, archive, sum) = found;
                let body = match path.ends_with("/latest") {
                    true => {
                        let is = base64(digest::digest(&digest::SHA512, archive).as_ref());
                        let is = sum.unwrap_or(&is);
                        format!(
                            r#"{{"version": "9", "dist": {{"tarball": "{own}/{name}.tgz", "integrity": "sha512-{is}"}}}}"#
                        )
                        .into_bytes()
                    }
                    false => archive.clone(),
                };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
            }
        });
        at
    }

    fn flags(data: &Path, from: String) -> GeoUpdate {
        GeoUpdate {
            here: Here {
                data: data.to_owned(),
            },
            from,
        }
    }

    fn package(sum: Option<&'static str>) -> (&'static str, Vec<u8>, Option<&'static str>) {
        let table = table();
        let none: &[u8] = b"";
        let files = [
            ("package/asn-ipv4.csv", table.as_slice()),
            ("package/asn-ipv6.csv", none),
        ];
        ("asn", archive::tests::tar_gz(&files), sum)
    }

    #[test]
    fn a_file_is_put_in_its_place_if_it_is_what_its_registry_says() {
        let temporary = tempfile::tempdir().unwrap();
        let data = temporary.path();
        let asn = &PACKAGES[1];
        update(&flags(data, registry(vec![package(None)], 2)), asn, 2).unwrap();
        let written = std::fs::read(data.join("geo/asn.mmdb")).unwrap();
        let error = update(
            &flags(data, registry(vec![package(Some("AAAA"))], 2)),
            asn,
            2,
        );
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("nothing was written"), "{error}");
        let names: Vec<_> = std::fs::read_dir(data.join("geo")).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing else is left");
        assert_eq!(std::fs::read(data.join("geo/asn.mmdb")).unwrap(), written);
    }

    #[test]
    fn a_file_that_knows_nothing_changes_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let data = temporary.path();
        let none: &[u8] = b"";
        let files = [
            ("package/asn-ipv4.csv", none),
            ("package/asn-ipv6.csv", none),
        ];
        let empty = ("asn", archive::tests::tar_gz(&files), None);
        let error = update(&flags(data, registry(vec![empty], 2)), &PACKAGES[1], 2);
        assert!(format!("{:#}", error.unwrap_err()).contains("not what it should be"));
        assert!(!data.join("geo").exists());
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
