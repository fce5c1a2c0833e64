//! What edges need control for, and what becomes of them without it: nothing that serves.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Found;
use crate::bed::{Bed, COMES_UP};
use crate::error::Void;
use crate::http;
use crate::site::waking;
use crate::timeline::Kind;

/// The location that is started anew.
const RESTARTED: usize = 11;
/// Who does not answer for so long hangs.
const HANGS: Duration = Duration::from_millis(700);
/// A manifest is signed anew within this time, though nothing is new.
const SIGNS: Duration = Duration::from_secs(90);
/// On a busy machine so much later.
const LATE: Duration = Duration::from_secs(10);
/// So many requests a second a client in a loop makes, at least, to be one.
const LOOP: u64 = 200;
/// For so long, on the wall.
const FLOOD: Duration = Duration::from_secs(8);

/// O5.
pub async fn control_is_gone(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    bed.timeline.note(Kind::Fault, "control is killed");
    bed.control.kill();
    bed.tempo_time(Duration::from_secs(60)).await;
    let (Some(edge), Some(clients)) = (bed.edges.get(RESTARTED), bed.clients.get(RESTARTED)) else {
        return Err(Void::NotInjected("there is no such location".into()));
    };
    // As when traffic is led away: who is not there is not asked.
    clients.away.set(true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    bed.timeline
        .note(Kind::Fault, "an edge dies as a whole, and is started anew");
    edge.strike();
    let came = tokio::time::timeout(Duration::from_secs(15), bed.restart(RESTARTED)).await;
    let came = matches!(came, Ok(Ok(())));
    found.claim(
        "an edge starts from its own disk while control is dead",
        came,
    );
    if came {
        clients.away.set(false);
        bed.timeline
            .note(Kind::Detected, "it serves what it served");
    }
    bed.tempo_time(Duration::from_secs(240)).await;
    let setting = bed.setting.clone();
    bed.control.again(&setting).await?;
    bed.timeline.note(Kind::Note, "control is back");
    let next = bed.brings_everywhere(&bed.site.shop(&harmless())).await;
    found.claim(
        "the next change is everywhere once it is back",
        next.is_ok(),
    );
    Ok(found)
}

/// A change that does nothing.
fn harmless() -> String {
    waking("harmless")
}

/// O6 and O15.
pub async fn store_is_ill(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let blank = bed.site.shop_before("", "");
    bed.timeline
        .note(Kind::Fault, "a document with blank fields");
    let (status, _) = bed
        .api()
        .apply(&blank)
        .await
        .map_err(|error| Void::NotInjected(error.to_string()))?;
    found.claim("blank fields are refused where they come in", status == 422);

    let pid = bed.control.pid();
    let pid = pid.ok_or_else(|| Void::NotInjected("control does not run".into()))?;
    // SAFETY: numbers; it is a child of ours that nobody has waited for.
    let signal = |signal| unsafe { libc::kill(pid, signal) == 0 };
    bed.timeline.note(
        Kind::Fault,
        "control and its store hang for 30 s, then are slow",
    );
    if !signal(libc::SIGSTOP) {
        return Err(Void::NotInjected("control could not be stopped".into()));
    }
    let api = bed.api();
    let asked = api.ask("GET", "/status", "");
    if tokio::time::timeout(HANGS, asked).await.is_ok() {
        return Err(Void::NotInjected(
            "control answers though it was stopped".into(),
        ));
    }
    bed.tempo_time(Duration::from_secs(30)).await;
    for _ in 0..20 {
        signal(libc::SIGCONT);
        tokio::time::sleep(Duration::from_millis(10)).await;
        signal(libc::SIGSTOP);
        tokio::time::sleep(Duration::from_millis(90)).await;
    }
    signal(libc::SIGCONT);

    bed.timeline.note(Kind::Fault, "the store is gone");
    bed.control.kill();
    let data = bed.control.data();
    let store = |suffix: &str| data.join(format!("control.db{suffix}"));
    let names = ["", "-wal", "-shm"];
    for name in names {
        let _ = fs::rename(store(name), store(&format!("{name}.away")));
    }
    fs::create_dir(store("")).map_err(Void::at("in place of the store"))?;
    let setting = bed.setting.clone();
    let log = bed.folder.join("control-without.log");
    bed.control.spawn(&setting, &log)?;
    bed.tempo_time(Duration::from_secs(120)).await;
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let told = bed.until(COMES_UP, || said().contains("store")).await;
    found.claim("control without its store says so", told);
    bed.control.kill();
    fs::remove_dir(store("")).map_err(Void::at("in place of the store"))?;
    for name in names {
        let _ = fs::rename(store(&format!("{name}.away")), store(name));
    }
    bed.control.again(&setting).await?;
    bed.timeline
        .note(Kind::Note, "the drill puts the store back");
    let next = bed.brings_everywhere(&bed.site.shop(&harmless())).await;
    found.claim(
        "the next change is everywhere once it is back",
        next.is_ok(),
    );
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

/// O7.
pub async fn keys_are_changed(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let deaf = bed.edges.get(RESTARTED);
    let deaf = deaf.ok_or_else(|| Void::NotInjected("there is no such location".into()))?;
    if !deaf.signal("agent", libc::SIGSTOP) {
        return Err(Void::NotInjected("an agent could not be stopped".into()));
    }
    bed.timeline.note(
        Kind::Fault,
        "the key that signs is made anew twice, while an edge hears nothing",
    );
    for _ in 0..2 {
        bed.keys(&["keys", "rotate"]).await?;
        bed.tempo_time(Duration::from_secs(20)).await;
    }
    let shown = bed.keys(&["keys", "show"]).await?;
    let mut online = shown.lines().filter_map(|line| line.strip_prefix("online"));
    let used = online.next_back().unwrap_or_default().trim().to_owned();
    let manifest = bed.control.data().join("published/manifest");
    let signs = || fs::read_to_string(&manifest).is_ok_and(|text| text.contains(&used));
    if used.is_empty() || !bed.until(bed.tempo().scaled(SIGNS) + LATE, signs).await {
        return Err(Void::NotInjected(
            "control does not sign with its newest key: revoking it would be nothing".into(),
        ));
    }
    bed.timeline
        .note(Kind::Fault, "the key in use is revoked, as one that is old");
    bed.keys(&["keys", "revoke", &used]).await?;
    deaf.signal("agent", libc::SIGCONT);
    bed.timeline.note(Kind::Note, "the edge hears again");
    let document = bed.site.shop(&harmless());
    let patience = Duration::from_secs(20) + bed.tempo().scaled(Duration::from_secs(120));
    let next = tokio::time::timeout(patience, bed.brings_everywhere(&document)).await;
    let next = matches!(next, Ok(Ok(())));
    found.claim(
        "the next change is everywhere, signed by a key that all believe",
        next,
    );
    if next {
        bed.timeline
            .note(Kind::Detected, "a change is everywhere, by another key");
    }
    found.claim("no client noticed", bed.nobody_saw_it());
    Ok(found)
}

impl Bed {
    /// A command about keys, which must be carried out. What it said.
    async fn keys(&self, words: &[&str]) -> Result<String, Void> {
        match self.command(words).await? {
            (Some(0), said) => Ok(said),
            (_, said) => Err(Void::NotInjected(format!("{words:?}: {said}"))),
        }
    }
}

/// O9.
pub async fn api_is_flooded(bed: &Bed) -> Result<Found, Void> {
    let mut found = Found::default();
    let words = ["token", "make", "page", "--scope", "read"];
    let (code, token) = bed.command(&words).await?;
    if code != Some(0) {
        return Err(Void::NotInjected(format!("no token for the page: {token}")));
    }
    let page = crate::api::Api {
        address: bed.api().address,
        token: token
            .split_whitespace()
            .find(|word| word.starts_with("sw_"))
            .unwrap_or_default()
            .to_owned(),
    };
    bed.timeline
        .note(Kind::Fault, "a page asks the API in a loop");
    let until = Instant::now() + FLOOD;
    let (flood, others) = tokio::join!(floods(&page, until), works(bed, until));
    let (asked, refused, told) = flood;
    bed.timeline.note(
        Kind::Detected,
        format!("{refused} of its {asked} requests were answered 429"),
    );
    if asked < LOOP * FLOOD.as_secs() {
        return Err(Void::NotInjected(format!(
            "it asked {asked} times in {FLOOD:?}: fewer than {LOOP} a second are no flood"
        )));
    }
    found.claim(
        "most of what the page asks is answered 429",
        refused * 2 > asked,
    );
    found.claim("and each time how long to wait", told == refused);
    found.claim(
        format!("all of {} requests of others were answered", others.0),
        others.0 > 20 && others.0 == others.1,
    );
    found.claim("no client of a site noticed", bed.nobody_saw_it());
    Ok(found)
}

/// How often it asked, was refused for it, and was told how long to wait.
async fn floods(page: &crate::api::Api, until: Instant) -> (u64, u64, u64) {
    let (mut asked, mut refused, mut told) = (0, 0, 0);
    let from: Option<IpAddr> = "127.77.0.1".parse().ok();
    let request = format!(
        "GET /api/v1/zones HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        page.address, page.token
    );
    while Instant::now() < until {
        // Four at once, as a page does.
        let ask = || {
            http::ask(
                page.address,
                from,
                request.as_bytes(),
                Duration::from_secs(2),
            )
        };
        let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
        for answer in [a, b, c, d] {
            asked += 1;
            if let Ok(answer) = answer
                && answer.status == 429
            {
                refused += 1;
                told += u64::from(answer.field("retry-after").is_some());
            }
        }
    }
    (asked, refused, told)
}

/// How often somebody else asked, and was answered.
async fn works(bed: &Bed, until: Instant) -> (u64, u64) {
    let (mut asked, mut answered) = (0, 0);
    while Instant::now() < until {
        asked += 1;
        let answer = bed.api().ask("GET", "/status", "").await;
        answered += u64::from(answer.is_ok_and(|answer| answer.status == 200));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (asked, answered)
}
