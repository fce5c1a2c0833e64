//! The compliance kit: each stage of a slice alone, over requests, bodies and responses that it did not choose.
//!
//! A stage is in it by being in the slice: without a [`Case`] of its own it fails. The kit finds out whether a stage panics,
//! stays within its fuel, does nothing in mode `off` and refuses nobody in mode `watch`, documents each reason that it gives,
//! and is met by what it declared when its fuel ends or it fails.
//!
//! It is for tests, also of other rooms; nothing that serves requests calls it.

mod cases;
mod check;
mod corpus;

use std::path::Path;
use std::sync::LazyLock;

use seawall_model::document::{self, Document};
use seawall_model::head::Method;
use seawall_model::{ConnFacts, Fields, Limits, RequestHead};
use seawall_rules::{List, Lists};
use seawall_waf::Folder;

use crate::assemble::Files;
pub use cases::CASES;
pub use check::check;

/// How a stage is configured.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The stage's name.
    pub stage: &'static str,
    /// Parts of documents, each of which gives the stage something to do: what may follow `[[zone]]` with its name, hosts and
    /// origin. `{mode}` stands for the stage's mode; without it the stage has none there.
    pub documents: &'static [&'static str],
}

/// A document with one zone, `a.test`, of which `text` says the rest.
///
/// # Errors
/// What is wrong with it.
pub fn document(text: &str) -> Result<Document, String> {
    let zone = "schema = 1\n[[zone]]\nname = 'a.test'\nhosts = ['a.test']\n\
                origin = [{ url = 'http://192.0.2.80' }]\n";
    let whole = format!("{zone}{text}");
    document::parse(&whole, &Limits::default()).map_err(|problems| problems.to_string())
}

/// The lists of a document, without those in files.
pub fn lists(document: &Document) -> Lists {
    let mut lists = Lists::new();
    for (name, list) in &document.lists {
        lists.insert(name.as_str(), List::of(list, list.ips.iter().copied()));
    }
    lists
}

/// The rule set `sample`, for documents that name one: a few rules that cost, score and refuse as real ones do.
#[derive(Clone, Copy, Debug)]
pub struct Samples;

impl Files for Samples {
    fn file(&self, path: &Path) -> Result<(&[u8], u64), String> {
        static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let rules = include_bytes!("kit/sample.conf").to_vec();
            Folder::of([("sample.conf".to_owned(), rules)]).pack()
        });
        match path.to_str() {
            Some("sample") => Ok((&SAMPLE, 1)),
            Some("openapi") => Ok((include_bytes!("kit/openapi.json"), 2)),
            _ => Err(format!("{} cannot be read", path.display())),
        }
    }
}

/// A request to `a.test`.
pub fn request<N, V>(method: &str, target: &[u8], fields: &[(N, V)]) -> RequestHead
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let mut head = RequestHead {
        method: Method::of(method.as_bytes()),
        ..RequestHead::default()
    };
    head.method_span = head.fields.store(method.as_bytes());
    head.target_span = head.fields.store(target);
    head.authority_span = head.fields.store(b"a.test");
    push(&mut head.fields, fields);
    head
}

/// A plain connection.
pub fn conn() -> ConnFacts {
    ConnFacts {
        peer: ([192, 0, 2, 1], 50_000).into(),
        local: ([192, 0, 2, 2], 80).into(),
        tls: None,
    }
}

fn push<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &mut Fields, pairs: &[(N, V)]) {
    for (name, value) in pairs {
        fields.push(name.as_ref(), value.as_ref());
    }
}
