//! Plays tables of framing cases ([`crate::corpus`]): what of HTTP's framing an edge takes, refuses, and writes.
//!
//! Whatever the verdict, what the origin received is judged by [`crate::strict`], and a canary must come through unharmed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::answer::Answer;
use crate::client::{Connection, Target};
use crate::corpus::{
    Corpus, H2Case, RequestCase, ResponseCase, Texts, Verdict, combinations, fill,
};
use crate::frames::{self, FrameClient, block, frame};
use crate::origin::{Origin, Reply, Seen};
use crate::patience::{patience, until};
use crate::scenario::{OriginKind, Strings};
use crate::world::World;

/// After so many failures a table is given up: the edge is broken, and each failure may cost all patience.
const GIVE_UP: usize = 30;

/// How many cases were played, and those that failed.
#[derive(Debug, Default)]
pub struct Tally {
    pub cases: usize,
    pub failures: Vec<String>,
}

/// Plays a table against one edge with one origin `o`.
pub async fn play(binary: &Path, corpus: &Corpus) -> Result<Tally> {
    let kinds = BTreeMap::from([("o".to_owned(), OriginKind::default())]);
    let world = World::with(binary, &kinds, &BTreeMap::new(), &corpus.config, &[]).await?;
    let origin = world.origin("o")?;
    let http = Target {
        address: world.edge.http,
        tls: None,
    };
    let mut bench = Bench {
        origin,
        http,
        number: 0,
        tally: Tally::default(),
        unsettled: false,
    };
    for case in &corpus.request {
        for texts in combinations(&case.matrix) {
            let outcome = bench.request(case, &texts).await;
            bench.note("request", &case.name, &case.section, &texts, outcome);
        }
    }
    for case in &corpus.response {
        for texts in combinations(&case.matrix) {
            let outcome = bench.response(case, &texts).await;
            bench.note("response", &case.name, &case.section, &texts, outcome);
        }
    }
    for case in &corpus.h2 {
        for texts in combinations(&case.matrix) {
            let outcome = bench.h2(case, &texts).await;
            bench.note("h2", &case.name, &case.section, &texts, outcome);
        }
    }
    let mut tally = bench.tally;
    if !tally.failures.is_empty() {
        tally.failures.push(world.circumstances().await);
    }
    Ok(tally)
}

/// Where cases are played.
struct Bench<'a> {
    origin: &'a Origin,
    http: Target,
    number: usize,
    tally: Tally,
    /// The last case failed: what it started may still arrive.
    unsettled: bool,
}

impl Bench<'_> {
    fn note(
        &mut self,
        kind: &str,
        name: &str,
        section: &str,
        texts: &Texts<'_>,
        outcome: Result<()>,
    ) {
        if self.tally.failures.len() > GIVE_UP {
            return;
        }
        self.tally.cases += 1;
        // Violations that come late belong to some case before; better late than never.
        let late = self.origin.judge();
        let error = match (outcome, late.is_empty()) {
            (Ok(()), true) => return,
            (Err(error), _) => error,
            (Ok(()), false) => anyhow::anyhow!("{}", late.join("\n")),
        };
        self.unsettled = true;
        self.tally
            .failures
            .push(format!("{kind}: {name} {texts:?} ({section}): {error:#}"));
    }

    /// Clears what is known of earlier cases; returns the path of this one's canary.
    async fn begin(&mut self) -> String {
        if std::mem::take(&mut self.unsettled) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let _told_with_the_failure = self.origin.judge();
        }
        self.number += 1;
        self.origin.forget();
        format!("/canary-{}", self.number)
    }

    fn given_up(&self) -> bool {
        self.tally.failures.len() > GIVE_UP
    }

    async fn request(&mut self, case: &RequestCase, texts: &Texts<'_>) -> Result<()> {
        if self.given_up() {
            return Ok(());
        }
        let canary = self.begin().await;
        let mut bytes = fill(&case.send, texts)?;
        bytes.extend(format!("GET {canary} HTTP/1.1\r\nHost: a.test\r\n\r\n").bytes());
        let mut connection = Connection::open(&self.http).await?;
        let mut exchange = ReadyAnswers {
            connection: &mut connection,
            methods: &case.methods,
            read: 0,
        };
        // Sending and reading at once: a refusal may come before all was sent.
        let first = exchange.first(&bytes).await?;
        let mut answer = first;
        for number in 0..case.before {
            let good = answer.with_context(|| format!("closed before answer {number}"))?;
            ensure!(good.status == 200, "good request {number} got\n{good}");
            answer = exchange.next().await?;
        }
        let refused = answer.as_ref().is_none_or(|answer| answer.status >= 400);
        let accepted = match case.expect {
            Verdict::Reject => false,
            Verdict::Accept => true,
            Verdict::Either => !refused,
            Verdict::Cut => bail!("only a response can be cut"),
        };
        if accepted {
            let count = case.responses.unwrap_or(1);
            self.accepted(case, &mut exchange, answer, count, &canary)
                .await?;
        } else {
            Self::refused(case, &mut exchange, answer).await?;
        }
        let forwarded = if accepted {
            case.forwarded.or(case.responses).unwrap_or(1)
        } else {
            0
        } + case.before;
        let canaries = usize::from(accepted && !case.closes);
        self.at_origin(forwarded, canaries, &canary).await?;
        self.contents(&case.saw, &case.never_saw, texts)
    }

    async fn refused(
        case: &RequestCase,
        exchange: &mut ReadyAnswers<'_>,
        answer: Option<Answer>,
    ) -> Result<()> {
        let default = match case.expect {
            Verdict::Either => vec![400, 404, 405, 411, 413, 414, 417, 421, 426, 431, 501, 505],
            _ => vec![400],
        };
        let allowed = case
            .status
            .clone()
            .filter(|_| case.expect == Verdict::Reject)
            .map_or(default, |s| s.0);
        let Some(answer) = answer else {
            ensure!(
                allowed.contains(&0),
                "closed without an answer, which should be {allowed:?}"
            );
            return Ok(());
        };
        ensure!(
            allowed.contains(&answer.status),
            "answered, though it should be refused with {allowed:?}:\n{answer}"
        );
        ensure!(answer.cut.is_none(), "the refusal is not whole: {answer}");
        let more = exchange
            .connection
            .closed()
            .await
            .context("after a refusal")?;
        ensure!(
            more.is_empty(),
            "after the refusal came {:?}",
            String::from_utf8_lossy(&more)
        );
        Ok(())
    }

    async fn accepted(
        &self,
        case: &RequestCase,
        exchange: &mut ReadyAnswers<'_>,
        first: Option<Answer>,
        count: usize,
        canary: &str,
    ) -> Result<()> {
        let allowed = case
            .status
            .clone()
            .filter(|_| case.expect == Verdict::Accept)
            .map_or(vec![200], |s| s.0);
        let mut answer = first;
        for number in 0..count {
            let good = answer.with_context(|| format!("closed before answer {number}"))?;
            ensure!(
                allowed.contains(&good.status) && good.cut.is_none(),
                "answer {number} is\n{good}"
            );
            answer = if number + 1 < count || !case.closes {
                exchange.next().await?
            } else {
                None
            };
        }
        if case.closes {
            let more = exchange.connection.closed().await?;
            ensure!(
                more.is_empty(),
                "after the last answer came {:?}",
                String::from_utf8_lossy(&more)
            );
            return Ok(());
        }
        self.is_canary(
            &answer.context("closed before the canary's answer")?,
            canary,
        )
    }

    fn is_canary(&self, answer: &Answer, canary: &str) -> Result<()> {
        let right = answer.status == 200
            && answer.cut.is_none()
            && answer.text() == format!("o GET {canary}\n");
        ensure!(right, "the canary {canary} was answered with\n{answer}");
        Ok(())
    }

    /// What the origin saw: so many whole requests, then the canary as it was sent.
    async fn at_origin(&self, forwarded: usize, canaries: usize, canary: &str) -> Result<()> {
        let whole = |seen: &Vec<Seen>| seen.iter().filter(|seen| seen.whole).count();
        let wanted = forwarded + canaries;
        let arrived = until("the requests at the origin", || {
            (whole(&self.origin.seen()) >= wanted).then_some(())
        })
        .await;
        let verdicts = self.origin.judge();
        ensure!(verdicts.is_empty(), "{}", verdicts.join("\n"));
        let seen = self.origin.seen();
        let list: Vec<String> = seen
            .iter()
            .map(|s| format!("{:?} whole={}", s.request.text(), s.whole))
            .collect();
        arrived.with_context(|| list.join("\n"))?;
        ensure!(
            whole(&seen) == wanted,
            "{} whole requests at the origin, not {wanted}:\n{}",
            whole(&seen),
            list.join("\n")
        );
        let smuggled = seen
            .iter()
            .find(|seen| seen.request.target.contains("smuggled"));
        ensure!(
            smuggled.is_none(),
            "a smuggled request reached the origin:\n{}",
            list.join("\n")
        );
        let canaries_seen: Vec<&Seen> = seen
            .iter()
            .filter(|seen| seen.request.target.contains("canary"))
            .collect();
        ensure!(
            canaries_seen.len() == canaries,
            "{} canaries:\n{}",
            canaries_seen.len(),
            list.join("\n")
        );
        for seen in canaries_seen {
            let pure = seen.request.method == "GET"
                && seen.request.target == canary
                && seen.request.body.is_empty()
                && !seen.request.text().contains("poison");
            ensure!(pure, "the canary was changed:\n{}", seen.request.text());
        }
        Ok(())
    }

    fn contents(&self, saw: &Strings, never_saw: &Strings, texts: &Texts<'_>) -> Result<()> {
        let all: Vec<String> = self
            .origin
            .seen()
            .iter()
            .map(|seen| seen.request.text().to_lowercase())
            .collect();
        for part in &saw.0 {
            let part = String::from_utf8_lossy(&fill(part, texts)?).to_lowercase();
            ensure!(
                all.iter().any(|text| text.contains(&part)),
                "the origin never saw {part:?} in {all:?}"
            );
        }
        for part in &never_saw.0 {
            let part = String::from_utf8_lossy(&fill(part, texts)?).to_lowercase();
            ensure!(
                !all.iter().any(|text| text.contains(&part)),
                "the origin saw {part:?} in {all:?}"
            );
        }
        Ok(())
    }

    async fn response(&mut self, case: &ResponseCase, texts: &Texts<'_>) -> Result<()> {
        if self.given_up() {
            return Ok(());
        }
        let canary = self.begin().await;
        let raw = Some(fill(&case.send, texts)?);
        self.origin.reply(Reply {
            path: Some("/case".into()),
            raw,
            close: case.close,
            ..Reply::default()
        });
        let method = case.method.as_deref().unwrap_or("GET");
        let mut connection = Connection::open(&self.http).await?;
        let head = format!("{method} /case HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let answer = connection.exchange(method, head.as_bytes()).await?;
        let answer = answer.unwrap_or_else(|| Answer::cut("h1", "closed without an answer"));
        let refused = answer.status == 502 && answer.cut.is_none();
        let clean = || -> Result<()> {
            let status = case.status.unwrap_or(200);
            ensure!(
                answer.status == status && answer.cut.is_none(),
                "the client saw\n{answer}\nnot a whole {status}"
            );
            let body = fill(&case.body, texts)?;
            ensure!(
                answer.body == body,
                "the client saw\n{answer}\nnot the body {:?}",
                String::from_utf8_lossy(&body)
            );
            Ok(())
        };
        match case.expect {
            Verdict::Reject => {
                ensure!(refused, "the client saw\n{answer}\nnot 502");
                let status = answer.field("proxy-status").unwrap_or_default();
                ensure!(
                    status.contains("seawall; error="),
                    "Proxy-Status is {status:?}"
                );
            }
            Verdict::Accept => clean()?,
            Verdict::Either if refused => {}
            Verdict::Either => clean()?,
            Verdict::Cut => ensure!(
                refused || answer.cut.is_some(),
                "the client saw as whole\n{answer}"
            ),
        }
        for name in &case.lacks.0 {
            ensure!(
                answer.field(name).is_none(),
                "the client saw {name}:\n{answer}"
            );
        }
        let head = format!("GET {canary} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let same = if answer.cut.is_none() {
            connection.exchange("GET", head.as_bytes()).await?
        } else {
            None
        };
        let after = match same {
            Some(after) => Some(after),
            None => {
                Connection::open(&self.http)
                    .await?
                    .exchange("GET", head.as_bytes())
                    .await?
            }
        };
        self.is_canary(&after.context("no answer to the canary")?, &canary)
    }

    async fn h2(&mut self, case: &H2Case, texts: &Texts<'_>) -> Result<()> {
        if self.given_up() {
            return Ok(());
        }
        let canary = self.begin().await;
        let method = if case.data.is_some() { "POST" } else { "GET" };
        let good = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/case"),
        ];
        let good: Vec<(String, String)> = good
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let head: Vec<(String, String)> = case
            .head
            .clone()
            .unwrap_or(good)
            .into_iter()
            .chain(case.fields.clone())
            .collect();
        let data = case
            .data
            .as_deref()
            .map(|data| fill(data, texts))
            .transpose()?;
        let end = |last: bool| if last { frames::END_STREAM } else { 0 };
        let mut bytes = frame(
            frames::HEADERS,
            frames::END_HEADERS | end(data.is_none() && case.trailers.is_empty()),
            1,
            &fields(&head, texts)?,
        );
        if let Some(data) = &data {
            bytes.extend(frame(frames::DATA, end(case.trailers.is_empty()), 1, data));
        }
        if !case.trailers.is_empty() {
            bytes.extend(frame(
                frames::HEADERS,
                frames::END_HEADERS | frames::END_STREAM,
                1,
                &fields(&case.trailers, texts)?,
            ));
        }
        let mut client = FrameClient::open(&self.http, true).await?;
        client.write(&bytes).await;
        let decided = |seen: &FrameClient| {
            let stream = seen.streams.get(&1);
            stream.is_some_and(|s| s.reset.is_some() || s.ended)
                || seen.goaway.is_some_and(|code| code != 0)
        };
        client.read_until(patience(), decided).await?;
        let stream = client.streams.get(&1).cloned().unwrap_or_default();
        let error =
            stream.reset.is_some() || client.goaway.is_some_and(|code| code != 0) || client.closed;
        let refused = error || (400..600).contains(&stream.status);
        let status = case.status.unwrap_or(200);
        let taken = stream.status == status && stream.ended && !error;
        let accepted = match case.expect {
            Verdict::Reject => false,
            Verdict::Accept => true,
            Verdict::Either => taken,
            Verdict::Cut => bail!("only a response can be cut"),
        };
        let seen = format!(
            "{stream:?}, goaway {:?}, closed {}",
            client.goaway, client.closed
        );
        ensure!(
            if accepted { taken } else { refused },
            "{} but the client saw {seen}",
            if accepted { "accept" } else { "reject" }
        );
        let head = format!("GET {canary} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let after = Connection::open(&self.http)
            .await?
            .exchange("GET", head.as_bytes())
            .await?;
        self.is_canary(&after.context("no answer to the canary")?, &canary)?;
        self.at_origin(usize::from(accepted), 1, &canary).await?;
        self.contents(&case.saw, &case.never_saw, texts)
    }
}

fn fields(pairs: &[(String, String)], texts: &Texts<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        let (name, value) = (fill(name, texts)?, fill(value, texts)?);
        bytes.extend(block([(name.as_slice(), value.as_slice())]));
    }
    Ok(bytes)
}

/// Answers of a connection, each read as the answer to its request's method.
struct ReadyAnswers<'a> {
    connection: &'a mut Connection,
    methods: &'a [String],
    read: usize,
}

impl ReadyAnswers<'_> {
    fn method(&mut self) -> String {
        self.read += 1;
        self.methods
            .get(self.read - 1)
            .cloned()
            .unwrap_or_else(|| "GET".into())
    }

    async fn first(&mut self, bytes: &[u8]) -> Result<Option<Answer>> {
        let method = self.method();
        self.connection.exchange(&method, bytes).await
    }

    async fn next(&mut self) -> Result<Option<Answer>> {
        let method = self.method();
        self.connection.response(&method).await
    }
}
