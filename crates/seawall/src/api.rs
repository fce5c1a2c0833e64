//! The API over HTTP: `/api/v1` on control's port. Each thing that can be asked is declared once, in [`routes`]; what answers, what
//! describes it ([`openapi`]) and what is documented are made of that.
//!
//! It has a thread of its own: who floods it keeps neither rollouts nor agents waiting. What is asked goes to control's loop through
//! a bounded channel, and is answered there, as what comes by the socket is. Not here: what an answer is
//! ([`control`](crate::control)), connections ([`serve`]).

mod call;
mod limit;
pub mod openapi;
pub mod problem;
pub mod route;
mod routes;
mod serve;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use seawall_model::{RequestHead, without_port};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::cli::{self, Listen};
#[cfg(test)]
use crate::control::asks::Ask;
use crate::control::asks::{Answer, Asked, NotMade};
use crate::control::diff::diff;
use crate::control::engine::unix;
use crate::say::complain;
use crate::token::{Scope, Token, Tokens};
use call::{Body, Call, Reply};
pub use call::{Locations, Rollouts, TokensTold};
use limit::{Limits, Spent};
use problem::Problem;
use route::{Found, Needs, Route};

/// Where it listens unless something else is said.
pub const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8800);
/// How long an answer may take: a large document is compiled for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is waited for is looked at again after so long, whether control said that something turned or not.
const LOOK: Duration = Duration::from_secs(1);
/// Documents that are read at once: they may be long, and are held whole.
const DOCUMENTS: usize = 4;
/// Differences that are looked for at once.
const DIFFS: usize = 2;
/// Who waits for a rollout, all together.
const WAITING: usize = 64;

/// Something that is asked of control, and where the answer goes.
pub struct Question {
    /// What.
    pub asked: Asked,
    /// Where to.
    pub answer: oneshot::Sender<Result<Answer, NotMade>>,
}

/// What it begins with.
pub struct Begin {
    /// Where it listens, and by which names.
    pub flags: cli::Up,
    /// To control.
    pub ask: mpsc::Sender<Question>,
    /// Who may ask.
    pub tokens: Arc<Tokens>,
    /// Counts up whenever something may be other than it was.
    pub turned: watch::Receiver<u64>,
    /// The address is told by it, once there is one.
    pub listens: mpsc::Sender<SocketAddr>,
}

/// Begins to answer, on a thread of its own; unless the flags leave it out.
///
/// # Errors
/// When there is no room for a thread.
pub fn begin(begin: Begin) -> std::io::Result<()> {
    let Some(address) = begin.flags.dashboard.unwrap_or(Listen::At(USUAL)).address() else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Differences are looked for there, and no more at once than that.
        .max_blocking_threads(DIFFS)
        .build()?;
    let api = Api {
        ask: begin.ask,
        tokens: begin.tokens,
        turned: begin.turned,
        names: begin.flags.dashboard_host,
        limits: RefCell::new(Limits::new()),
        documents: Arc::new(Semaphore::new(DOCUMENTS)),
        waiting: Semaphore::new(WAITING),
    };
    let run = move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, serve::listen(address, api, begin.listens));
    };
    std::thread::Builder::new().name("api".into()).spawn(run)?;
    if !address.ip().is_loopback() {
        complain(format_args!(
            "the API listens on {address} without TLS: tokens can be read on the way there. Keep it to this machine, and put a zone of \
             your own before it"
        ));
    }
    Ok(())
}

/// What answers.
pub struct Api {
    ask: mpsc::Sender<Question>,
    tokens: Arc<Tokens>,
    turned: watch::Receiver<u64>,
    /// Names by which it may be asked, beside addresses.
    names: Vec<String>,
    limits: RefCell<Limits>,
    documents: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Api {
    /// Answers a request, whose body is read only when it is clear that it may be asked.
    pub async fn answer(&self, from: IpAddr, head: &RequestHead, body: &mut Body<'_, '_>) -> Reply {
        let mut budget = None;
        let answered = self.try_answer(from, head, body, &mut budget).await;
        let mut reply = answered.unwrap_or_else(Problem::reply);
        if let Some(budget) = budget {
            limit::tell(&budget, &mut reply);
        }
        reply
    }

    async fn try_answer(
        &self,
        from: IpAddr,
        head: &RequestHead,
        body: &mut Body<'_, '_>,
        budget: &mut Option<Spent>,
    ) -> Result<Reply, Problem> {
        if !self.is_ours(head.authority()) {
            return Err(Problem::of("misdirected"));
        }
        let now = Instant::now();
        // Before anything else is looked at: whoever asks too much costs this and no more.
        self.limits.borrow_mut().address(from, now)?;
        let (route, mut call) = match route::find(routes::all(), head)? {
            Found::Description => return Ok(Reply::json(200, openapi::text())),
            Found::Route(route, call) => (route, call),
        };
        let token = self.token(from, head, now)?;
        let spent = self.limits.borrow_mut().token(&token.name, now);
        *budget = Some(spent.as_ref().map_or(Spent::ALL, |spent| *spent));
        spent?;
        may(&token, route, &call)?;
        call.check(route, head)?;
        let held = match route.takes.is_large() {
            true => self.documents.clone().acquire_owned().await.ok(),
            false => None,
        };
        call.body = body.read(route, head).await?;
        // It may have taken a while to come.
        let token = self.still(token)?;
        let ask = (route.ask)(&call)?;
        let asked = call.asked(ask, token)?;
        let reply = self.reply(route, &call, asked).await;
        drop(held);
        reply
    }

    /// Whether a request means us: an address, or a name that we were given. A page elsewhere on the web must not reach this through
    /// somebody's browser and a name of its own (DNS rebinding).
    fn is_ours(&self, authority: &[u8]) -> bool {
        let host = without_port(authority);
        let bare = host
            .strip_prefix(b"[")
            .and_then(|rest| rest.strip_suffix(b"]"))
            .unwrap_or(host);
        let names = self.names.iter().map(String::as_bytes);
        let mut names = names.chain([b"localhost".as_slice()]);
        std::str::from_utf8(bare).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
            || names.any(|name| name.eq_ignore_ascii_case(bare))
    }

    /// The token of a request. A good one is always heard: guesses of others at the same address do not lock it out.
    fn token(&self, from: IpAddr, head: &RequestHead, now: Instant) -> Result<Arc<Token>, Problem> {
        let text = head.fields.only(seawall_model::FieldId::Authorization);
        let text = text.unwrap_or_default();
        let bearer = match text.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
            _ => b"",
        };
        if let Some(token) = self.tokens.find(bearer, unix()) {
            return Ok(token);
        }
        self.limits.borrow_mut().failed(from, now)?;
        Err(Problem::of("unauthorized"))
    }

    /// The token, if it is good still: what was revoked is revoked at once.
    fn still(&self, token: Arc<Token>) -> Result<Arc<Token>, Problem> {
        if self.tokens.stands(&token, unix()) {
            Ok(token)
        } else {
            Err(Problem::of("unauthorized"))
        }
    }

    /// Asks control.
    async fn asked(&self, asked: Asked) -> Result<Answer, Problem> {
        let (answer, answered) = oneshot::channel();
        let question = Question { asked, answer };
        if self.ask.try_send(question).is_err() {
            return Err(Problem::of("busy").again_after(1));
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(Problem::of("busy").again_after(1)),
            Err(_) => Err(Problem::of("slow")),
        }
    }

    async fn reply(&self, route: &Route, call: &Call, asked: Asked) -> Result<Reply, Problem> {
        if let Some(wait) = call.wait {
            return self.wait(call, asked, wait).await;
        }
        let answer = match self.asked(asked).await? {
            Answer::Texts {
                a,
                b,
                before,
                after,
            } => {
                let look = move || diff(a, b, &before, &after);
                let found = tokio::task::spawn_blocking(look).await;
                Answer::Diff(found.map_err(|_| Problem::of("slow"))?)
            }
            answer => answer,
        };
        Reply::of(route, call, answer)
    }

    /// Answers when what is asked is other than what the client knows by its `If-None-Match`, or when it has waited long enough.
    async fn wait(&self, call: &Call, asked: Asked, wait: Duration) -> Result<Reply, Problem> {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(Problem::of("busy").again_after(2));
        };
        let due = Instant::now() + wait;
        let mut turned = self.turned.clone();
        loop {
            turned.mark_unchanged();
            if let Some(token) = &asked.token {
                self.still(token.clone())?;
            }
            let answer = self.asked(asked.clone()).await?;
            let reply = Reply::of_standing(call, answer)?;
            if reply.status != 304 || Instant::now() >= due {
                return Ok(reply);
            }
            let look = (Instant::now() + LOOK).min(due);
            let _ = tokio::time::timeout_at(look, turned.changed()).await;
        }
    }
}

/// Whether a token may ask this at all. What a document changes is looked at when it has been read.
fn may(token: &Token, route: &Route, call: &Call) -> Result<(), Problem> {
    let allowed = match route.needs {
        Needs::Word(word) => token.may(&Scope::Word(word)),
        Needs::Chain => call
            .chain
            .as_ref()
            .is_some_and(|chain| token.may_change(chain)),
        Needs::Document => true,
    };
    let approves = call.param("approve") == Some("true");
    if approves && !token.may(&Scope::Word("rollouts")) {
        return Err(lacks("rollouts"));
    }
    if allowed {
        return Ok(());
    }
    let scope = match (&route.needs, &call.chain) {
        (Needs::Word(word), _) => (*word).to_owned(),
        (_, Some(chain)) => crate::token::of_chain(chain).to_string(),
        (_, None) => String::new(),
    };
    Err(lacks(&scope))
}

fn lacks(scope: &str) -> Problem {
    Problem::of("forbidden").saying(format!("this takes a token with the scope `{scope}`"))
}

/// What every ask of the API is about, for tests that the client asks what the routes mean.
#[cfg(test)]
pub(crate) fn meant(head: &RequestHead, body: &[u8]) -> Result<Ask, Problem> {
    match route::find(routes::all(), head)? {
        Found::Description => Err(Problem::of("unknown_endpoint")),
        Found::Route(route, mut call) => {
            call.check(route, head)?;
            call.body = body.to_vec();
            (route.ask)(&call)
        }
    }
}
