//! A folder as an origin: a site that needs no other server.
//!
//! What a request's path may reach stands in [`path`], and the kernel holds it (`openat2` with `RESOLVE_BENEATH`): no `..` and no
//! symbolic link leads out of the folder, whoever changes it meanwhile. [`open`] opens and reads without blocking a worker
//! thread: what lies in the kernel's caches is taken at once, all else goes through a bounded number of other threads.
//! [`condition`] is RFC 9110 §13 and §14: conditional requests, and ranges.
//!
//! Not here: listings of folders, which are never made; and the way to the client ([`exchange`](crate::exchange)).

mod condition;
mod media;
mod open;
mod path;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seawall_model::{Method, RequestHead, ResponseHead};
use seawall_net::outward::Outward;

pub use condition::Part;
use condition::{Asked, Decision};
pub use open::{Broken, Opened};

use crate::thread::Thread;

/// What a folder is asked for when a folder in it is.
const INDEX: &[u8] = b"index.html";

/// A younger file may still be changing within one tick of its clock: its tag is weak.
const SETTLED: Duration = Duration::from_secs(2);

const TEXT: &[u8] = b"text/plain; charset=utf-8";

/// A folder that is served.
#[derive(Debug)]
pub struct Site {
    /// Where it is.
    pub root: Box<Path>,
    /// Whether names that begin with a dot are served.
    pub dotfiles: bool,
}

/// What comes behind the head of an answer.
pub enum Content {
    /// A text of ours.
    Text(&'static [u8]),
    /// A part of a file.
    File(Opened, Part),
}

impl Content {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, part) => part.length,
        }
    }
}

impl Site {
    /// The answer to a GET or a HEAD: its head goes into `answer`.
    ///
    /// # Errors
    /// [`Broken`]: the disk, or this machine.
    pub async fn answer(
        &self,
        thread: &Thread,
        outward: &Outward,
        request: &RequestHead,
        answer: &mut ResponseHead,
    ) -> Result<Content, Broken> {
        answer.clear();
        let Some(mut within) = path::within(request.path(), self.dotfiles) else {
            return Ok(missing(answer));
        };
        let is_folder = within.is_empty() || within.ends_with(b"/");
        if is_folder {
            within.extend_from_slice(INDEX);
        }
        match open::open(outward, &self.root, &within).await? {
            Some(opened) if opened.is_folder => {
                if is_folder {
                    return Ok(missing(answer)); // A folder that is called index.html.
                }
                answer.status = 301;
                let (path, query) = request.target().split_at(request.path().len());
                let to = [path, b"/", query].concat();
                answer.fields.push(b"location", &to);
                answer.fields.push(b"content-type", TEXT);
                Ok(Content::Text(
                    b"This folder is at the same address with a / behind it.\n",
                ))
            }
            Some(opened) => Ok(self.found(thread, request, &within, opened, answer)),
            None => Ok(missing(answer)),
        }
    }

    fn found(
        &self,
        thread: &Thread,
        request: &RequestHead,
        within: &[u8],
        opened: Opened,
        answer: &mut ResponseHead,
    ) -> Content {
        let now = SystemTime::now();
        let tag = tag(&opened, now);
        let modified = opened.modified.duration_since(UNIX_EPOCH);
        let modified = modified.map_or(0, |since| since.as_secs());
        let asked = Asked {
            fields: &request.fields,
            is_get: request.method == Method::Get,
            tag: &tag,
            modified,
            length: opened.length,
            now: now
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        };
        let whole = Part {
            start: 0,
            length: opened.length,
        };
        let fields = &mut answer.fields;
        let (status, part) = match condition::decide(&asked) {
            Decision::Whole => (200, Some(whole)),
            Decision::Part(part) => {
                let last = part.start + part.length.saturating_sub(1);
                let range = format!("bytes {}-{last}/{}", part.start, opened.length);
                fields.push(b"content-range", range.as_bytes());
                (206, Some(part))
            }
            Decision::NotModified => (304, None),
            Decision::Failed => (412, None),
            Decision::Unsatisfiable => {
                let range = format!("bytes */{}", opened.length);
                fields.push(b"content-range", range.as_bytes());
                (416, None)
            }
        };
        answer.status = status;
        if matches!(status, 200 | 206 | 304) {
            fields.push(b"etag", tag.as_bytes());
            fields.push(b"last-modified", &thread.http_date(modified));
        }
        match part {
            Some(part) => {
                fields.push(b"content-type", media::of(within));
                fields.push(b"accept-ranges", b"bytes");
                Content::File(opened, part)
            }
            None if status == 304 => Content::Text(b""),
            None => {
                fields.push(b"content-type", TEXT);
                Content::Text(match status {
                    412 => b"The file is not what the request says that it is.\n",
                    _ => b"The file has no such part.\n",
                })
            }
        }
    }
}

fn missing(answer: &mut ResponseHead) -> Content {
    answer.status = 404;
    answer.fields.push(b"content-type", TEXT);
    Content::Text(b"There is no such page.\n")
}

/// The tag of a file as it is (RFC 9110 §8.8.3): another one whenever its content may be.
fn tag(opened: &Opened, now: SystemTime) -> String {
    let since = opened.modified.duration_since(UNIX_EPOCH);
    let nanoseconds = since.map_or(0, |since| since.as_nanos());
    let age = now.duration_since(opened.modified).unwrap_or_default();
    let weak = if age < SETTLED { "W/" } else { "" };
    let (length, number) = (opened.length, opened.number);
    format!("{weak}\"{nanoseconds:x}-{length:x}-{number:x}\"")
}
