//! A table of framing cases as data: what stands in the TOML files of `scenarios/framing/`.
//!
//! Three kinds: `request` cases (a client's bytes, with a canary request behind them on the same connection), `response`
//! cases (an origin's bytes), `h2` cases (raw HTTP/2 header fields in front of an HTTP/1.1 origin).
//! A case with a `matrix` stands for all combinations of its texts, put where `${name}` stands.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::answer::bytes_of;
use crate::scenario::{Statuses, Strings};
use crate::world::replace;

/// A table of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    pub about: String,
    #[serde(default)]
    pub learnt_from: String,
    pub config: String,
    #[serde(default)]
    pub request: Vec<RequestCase>,
    #[serde(default)]
    pub response: Vec<ResponseCase>,
    #[serde(default)]
    pub h2: Vec<H2Case>,
}

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Refused, and the connection (or stream) ended; nothing whole reaches the origin. Of a response: 502.
    #[default]
    Reject,
    /// Taken; what goes on is clean.
    Accept,
    /// Either of both.
    Either,
    /// Only of a response: the head may have gone on already, but then the client sees that the body is not whole.
    Cut,
}

/// A client's bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestCase {
    pub name: String,
    pub section: String,
    pub send: String,
    pub expect: Verdict,
    /// Statuses of a refusal; 400 by default. With `accept`: statuses of the answers; 200 by default.
    pub status: Option<Statuses>,
    /// Good requests before the bad one.
    #[serde(default)]
    pub before: usize,
    /// Answers to an accepted case, without the canary's; 1 by default.
    pub responses: Option<usize>,
    /// Requests that the origin sees of an accepted case, without the canary; as many as answers by default.
    pub forwarded: Option<usize>,
    /// Methods of the requests where they are not GET-like (HEAD).
    #[serde(default)]
    pub methods: Vec<String>,
    /// The connection is closed after the answers; so there is no answer to the canary.
    #[serde(default)]
    pub closes: bool,
    /// Contained in some request at the origin.
    #[serde(default)]
    pub saw: Strings,
    /// Contained in none.
    #[serde(default)]
    pub never_saw: Strings,
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<String>>,
}

/// An origin's bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseCase {
    pub name: String,
    pub section: String,
    pub send: String,
    pub expect: Verdict,
    /// The origin closes when it has sent them.
    #[serde(default)]
    pub close: bool,
    pub method: Option<String>,
    /// Of an accepted response; 200 by default.
    pub status: Option<u16>,
    /// Of an accepted response.
    #[serde(default)]
    pub body: String,
    /// No field may have this name.
    #[serde(default)]
    pub lacks: Strings,
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<String>>,
}

/// A request as raw HTTP/2 header fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct H2Case {
    pub name: String,
    pub section: String,
    /// All fields, pseudo fields too, instead of a good GET.
    pub head: Option<Vec<(String, String)>>,
    /// More fields after a good GET (or POST, when there is data).
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    pub data: Option<String>,
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
    pub expect: Verdict,
    /// Status of an accepted request; 200 by default.
    pub status: Option<u16>,
    #[serde(default)]
    pub saw: Strings,
    #[serde(default)]
    pub never_saw: Strings,
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<String>>,
}

impl Corpus {
    pub fn parse(text: &str) -> Result<Self> {
        let corpus: Self = toml::from_str(text)?;
        ensure!(corpus.count()? > 0, "a corpus without cases");
        Ok(corpus)
    }

    /// Cases with all their combinations.
    pub fn count(&self) -> Result<usize> {
        let matrices = self.request.iter().map(|case| &case.matrix);
        let matrices = matrices.chain(self.response.iter().map(|case| &case.matrix));
        let matrices = matrices.chain(self.h2.iter().map(|case| &case.matrix));
        Ok(matrices
            .map(|matrix| matrix.values().map(Vec::len).product::<usize>())
            .sum())
    }
}

/// Names in a matrix with the texts chosen for them.
pub type Texts<'a> = Vec<(&'a str, &'a str)>;

/// All ways to choose one text for each name.
pub fn combinations(matrix: &BTreeMap<String, Vec<String>>) -> Vec<Texts<'_>> {
    let mut all: Vec<Texts<'_>> = vec![Vec::new()];
    for (name, texts) in matrix {
        all = all
            .into_iter()
            .flat_map(|chosen| {
                texts.iter().map(move |text| {
                    let mut chosen = chosen.clone();
                    chosen.push((name.as_str(), text.as_str()));
                    chosen
                })
            })
            .collect();
    }
    all
}

/// A text of a case with the chosen ones put in, as bytes.
pub fn fill(text: &str, texts: &Texts<'_>) -> Result<Vec<u8>> {
    let lookup = |wanted: &str| {
        let found = texts.iter().find(|(name, _)| *name == wanted);
        found
            .map(|(_, text)| (*text).to_owned())
            .with_context(|| format!("no {wanted:?} in the matrix"))
    };
    // A matrix text may hold `${repeat …}` itself.
    let once = replace(text, lookup)?;
    Ok(bytes_of(&replace(&once, lookup)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_all_combinations() {
        let matrix = BTreeMap::from([
            ("a".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
            (
                "b".to_owned(),
                vec!["x".to_owned(), "${repeat y 3}".to_owned(), "z".to_owned()],
            ),
        ]);
        let all = combinations(&matrix);
        assert_eq!(all.len(), 6);
        assert_eq!(fill("${a}-${b}\u{80}", &all[1]).unwrap(), b"1-yyy\x80");
        assert!(fill("${c}", &all[1]).is_err());
        assert_eq!(combinations(&BTreeMap::new()).len(), 1);
    }

    #[test]
    fn a_misspelt_case_is_refused() {
        let good = "about = 'a'\nconfig = ''\n[[request]]\nname = 'n'\nsection = 's'\nsend = ''\nexpect = 'reject'\n";
        assert_eq!(Corpus::parse(good).unwrap().count().unwrap(), 1);
        assert!(Corpus::parse(&good.replace("reject", "regect")).is_err());
        assert!(Corpus::parse(&good.replace("send", "sent")).is_err());
    }
}
