//! What is served, read and compiled anew beside what serves: because somebody says so, or because another worker was the last to write
//! what is live.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_guard::blame;
use seawall_proxy::trial::Live;
use tokio::sync::mpsc;

use super::{Configuration, Prepared, Source};
use crate::live::{self, Which};
use crate::say::complain;
use crate::unkept::Unkept;
use crate::worker::Finished;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// What the flags and their file say; where what serves comes by orders, that.
    Told,
    /// `DATA/live`, whoever has written it.
    Disk,
}

impl Configuration {
    /// Reads and compiles anew, `before` being what serves, as long as that is not on disk; on a thread of its own: that may take long,
    /// and whoever waits for signals must hear them. What comes of it is sent; nothing when it panicked or could not be read. Whether
    /// there is such a thread.
    pub fn prepare(
        &self,
        of: Of,
        live: Arc<Live>,
        before: Unkept,
        done: mpsc::Sender<Finished>,
    ) -> bool {
        let configuration = self.clone();
        let prepare = move || {
            let words = configuration.page.words();
            blame::take_slot(words, blame::Page::of(words).compile_slot());
            let anew = AssertUnwindSafe(|| configuration.anew(of, &live, &before));
            let made = catch_unwind(anew).ok().flatten().map(Box::new);
            // Nobody waits any more when the process ends.
            let _ = done.blocking_send(match of {
                Of::Told => Finished::Reload(made),
                Of::Disk => Finished::CaughtUp(made),
            });
        };
        let thread = std::thread::Builder::new().name("reload".into());
        let begun = thread.spawn(prepare);
        if let Err(error) = &begun {
            complain(format_args!(
                "not reloaded: no thread to compile on: {error}"
            ));
        }
        begun.is_ok()
    }

    fn anew(&self, of: Of, live: &Live, before: &Unkept) -> Option<Prepared> {
        let mut source = match of {
            Of::Told => self.read(before),
            Of::Disk => self
                .read_disk(before)
                .map_err(|error| complain(format_args!("what is live cannot be read: {error}")))
                .ok()?,
        };
        let compiled = self.compile(&mut source, Some(live));
        let head = source.parsed.document.head();
        self.take_effective(&mut source, &compiled, before);
        Some(Prepared {
            source,
            compiled,
            head,
        })
    }

    /// What lies on disk, with what has changed here since.
    fn read_disk(&self, before: &Unkept) -> io::Result<Source> {
        let kept = self.recall()?;
        if kept.from != live::LIVE {
            let why = format!("{} is not whole", live::LIVE);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut document = kept.parsed.document;
        before.put_into(&mut document);
        let mut source = self.source_with(document, kept.files, before);
        source.stand = kept.stand.filter(|_| before.altered().next().is_none());
        Ok(source)
    }

    /// The file of what is live, where another worker has written it since what serves was read of it: it is not what serves.
    pub fn others_on_disk(&self, unkept: &Unkept) -> Option<Which> {
        let is_on_disk = unkept.base.is_none();
        let path = self.data.path(live::LIVE);
        is_on_disk.then(|| self.kept.others(&path)).flatten()
    }
}
