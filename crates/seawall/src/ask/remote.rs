//! Control of another machine, asked over its API: what [`Ask`]s are as requests, and what comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_control::version::Chain;
use seawall_net::client::{Client, Fault, Reply, Request};
use seawall_net::outward::Outward;
use seawall_net::tls::config::{OriginWants, origin};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::problem::Details;
use crate::api::{Locations, Rollouts, TokensTold};
use crate::control::asks::{Answer, Ask, Asked, KillMade, NewPurge, NotMade, PurgeMade, Which};
use crate::data::random;

/// How long an answer may take: a large document is compiled for it.
const PATIENCE: Duration = Duration::from_secs(150);
/// Bytes of an answer: a difference of two documents.
const LARGEST: usize = 64 << 20;
/// How long something is waited for in one request, in seconds.
const WAIT: u64 = 20;

/// An API, and the token for it.
pub struct Remote {
    client: Client,
    base: String,
    token: String,
}

/// A request of the API.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// The content's type, and the content.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Remote {
    /// The API at this URL.
    ///
    /// # Errors
    /// There is no token, or no authority in the file that is to be trusted.
    pub fn at(url: &str, ca: Option<&Path>) -> Result<Self> {
        let token = std::env::var("SEAWALL_TOKEN").unwrap_or_default();
        let token = token.trim().to_owned();
        if token.is_empty() {
            bail!(
                "--api needs a token: set SEAWALL_TOKEN (`seawall token make` on the machine that runs Seawall makes one)"
            );
        }
        let authorities = match ca {
            Some(file) => {
                std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?
            }
            None => Vec::new(),
        };
        let tls = origin(OriginWants {
            authorities: &authorities,
            http1: true,
            ..OriginWants::default()
        })?;
        Ok(Self {
            client: Client {
                outward: Arc::new(Outward::new(true, true, true)),
                tls,
                agent: concat!("seawall/", env!("CARGO_PKG_VERSION")),
                patience: PATIENCE,
                largest: LARGEST,
            },
            base: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Asks, and hears the answer. What changes something is asked again where nobody knows whether it was heard: it is done once.
    ///
    /// # Errors
    /// It cannot be reached, or says why not.
    pub async fn ask(&self, asked: &Asked) -> Result<Answer> {
        let mut asked = asked.clone();
        if let Ask::Decide { rollout, .. } = &mut asked.ask
            && rollout.is_none()
        {
            *rollout = Some(self.only_rollout().await?);
        }
        let call = call(&asked.ask, &asked.why)?;
        let key = format!("{:016x}{:016x}", random()?, random()?);
        let changes = call.method != "GET" && !matches!(asked.ask, Ask::Check { .. });
        let once: &[(&str, &str)] = match changes {
            true => &[("idempotency-key", &key)],
            false => &[],
        };
        let reply = match self.send(&call, once).await {
            Err(Fault::Unreachable(..)) if changes => self.send(&call, once).await?,
            reply => reply?,
        };
        answer(&asked.ask, &reply, &self.base)
    }

    /// How rollouts stand, once they stand otherwise than this tag says. None: they stand so still.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub async fn standings(
        &self,
        ids: &[u64],
        known: &mut Option<String>,
    ) -> Result<Option<Answer>> {
        let ask = Ask::Rollouts { ids: ids.to_vec() };
        let mut call = call(&ask, "")?;
        let fields: Vec<(&str, &str)> = match known.as_deref() {
            Some(tag) => {
                let mark = if call.target.contains('?') { '&' } else { '?' };
                call.target = format!("{}{mark}wait={WAIT}", call.target);
                vec![("if-none-match", tag)]
            }
            None => Vec::new(),
        };
        let reply = self.send(&call, &fields).await?;
        if reply.status == 304 {
            return Ok(None);
        }
        let answer = answer(&ask, &reply, &self.base)?;
        *known = reply.field("etag").map(str::to_owned);
        Ok(Some(answer))
    }

    async fn only_rollout(&self) -> Result<u64> {
        let ask = Ask::Rollouts { ids: Vec::new() };
        let reply = self.send(&call(&ask, "")?, &[]).await?;
        match answer(&ask, &reply, &self.base)? {
            Answer::Rollouts(running) => match running.as_slice() {
                [one] => Ok(one.id),
                [] => bail!("no rollout runs"),
                _ => bail!("several rollouts run: name one by its number (`seawall rollouts`)"),
            },
            _ => bail!("{} answered something else", self.base),
        }
    }

    async fn send(&self, call: &Call, more: &[(&str, &str)]) -> Result<Reply, Fault> {
        let url = format!("{}{}", self.base, call.target);
        let bearer = format!("Bearer {}", self.token);
        let mut fields = vec![("authorization", bearer.as_str())];
        fields.extend_from_slice(more);
        if let Some((kind, _)) = &call.body {
            fields.push(("content-type", kind));
        }
        let request = Request {
            method: call.method,
            url: &url,
            fields: &fields,
            body: call.body.as_ref().map(|(_, body)| body.as_slice()),
        };
        self.client.send(request).await
    }
}

/// What is asked, as a request; why goes where the route has it.
///
/// # Errors
/// It is nothing that the API answers.
pub fn call(ask: &Ask, why: &str) -> Result<Call> {
    let get = |target: String| Call {
        method: "GET",
        target,
        body: None,
    };
    let post = |target: String, body: serde_json::Value| Call {
        method: "POST",
        target,
        body: Some(("application/json", body.to_string().into_bytes())),
    };
    let because = || json!({ "why": why });
    let reason = query(&[("why", Some(why.to_owned()))]);
    Ok(match ask {
        Ask::Apply {
            text,
            parent,
            approve,
            ..
        } => {
            let query = query(&[
                ("parent", parent.map(|parent| parent.to_string())),
                ("approve", approve.then(|| "true".into())),
                ("why", Some(why.to_owned())),
            ]);
            Call {
                method: "POST",
                target: format!("/api/v1/apply{query}"),
                body: Some(("application/toml", text.clone().into_bytes())),
            }
        }
        Ask::Check { text } => Call {
            method: "POST",
            target: "/api/v1/check".into(),
            body: Some(("application/toml", text.clone().into_bytes())),
        },
        Ask::Log { before, limit } => {
            let query = query(&[
                ("before", before.map(|before| before.to_string())),
                ("limit", Some(limit.to_string())),
            ]);
            get(format!("/api/v1/audit{query}"))
        }
        Ask::Versions {
            chain,
            before,
            limit,
        } => {
            let query = query(&[
                ("before", before.map(|before| before.to_string())),
                ("limit", Some(limit.to_string())),
            ]);
            get(format!("{}/versions{query}", place(chain)))
        }
        Ask::Document { chain, which } => {
            let which = match which {
                Which::Newest => None,
                Which::Serving => Some("serving".into()),
                Which::Number(number) => Some(number.to_string()),
            };
            get(format!(
                "{}/document{}",
                place(chain),
                query(&[("version", which)])
            ))
        }
        Ask::Diff { chain, a, b } => {
            let query = query(&[
                ("a", a.map(|a| a.to_string())),
                ("b", b.map(|b| b.to_string())),
            ]);
            get(format!("{}/diff{query}", place(chain)))
        }
        Ask::Rollback { chain, version } => post(
            format!("{}/rollback", place(chain)),
            json!({ "version": version, "why": why }),
        ),
        Ask::Delete {
            zone,
            restore: true,
        } => post(format!("/api/v1/zones/{zone}/restore"), because()),
        Ask::Delete { zone, .. } => Call {
            method: "DELETE",
            target: format!("/api/v1/zones/{zone}{reason}"),
            body: None,
        },
        Ask::Pin { chain, unpin: true } => Call {
            method: "DELETE",
            target: format!("{}/pin{reason}", place(chain)),
            body: None,
        },
        Ask::Pin { chain, .. } => Call {
            method: "PUT",
            ..post(format!("{}/pin", place(chain)), because())
        },
        Ask::Decide {
            rollout: Some(rollout),
            approve,
        } => {
            let word = if *approve { "approve" } else { "abort" };
            post(format!("/api/v1/rollouts/{rollout}/{word}"), because())
        }
        Ask::Rollouts { ids } => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let ids = Some(ids.join(",")).filter(|ids| !ids.is_empty());
            get(format!("/api/v1/rollouts{}", query(&[("ids", ids)])))
        }
        Ask::Kill {
            stage,
            zone,
            location,
            seconds: Some(seconds),
        } => post(
            "/api/v1/kills".into(),
            json!({ "stage": stage, "zone": zone, "location": location, "seconds": seconds, "why": why }),
        ),
        Ask::Kill {
            stage,
            zone,
            location,
            seconds: None,
        } => {
            let query = query(&[
                ("stage", Some(stage.clone())),
                ("zone", zone.clone()),
                ("location", location.clone()),
                ("why", Some(why.to_owned())),
            ]);
            Call {
                method: "DELETE",
                target: format!("/api/v1/kills{query}"),
                body: None,
            }
        }
        Ask::Purge { zone, what, soft } => post(
            format!("/api/v1/zones/{zone}/purges"),
            json!(NewPurge::of(what, *soft, why)),
        ),
        Ask::PurgeStands { purge } => get(format!("/api/v1/purges/{purge}")),
        Ask::Status => get("/api/v1/status".into()),
        Ask::Locations => get("/api/v1/locations".into()),
        Ask::JoinToken {
            location, canary, ..
        } => {
            let canary = canary.then(|| "true".to_owned());
            let query = query(&[("canary", canary)]);
            post(
                format!("/api/v1/locations/{location}/token{query}"),
                because(),
            )
        }
        Ask::Leave { location } => Call {
            method: "DELETE",
            target: format!("/api/v1/locations/{location}{reason}"),
            body: None,
        },
        Ask::Drain {
            location: Some(location),
            undrain: true,
        } => Call {
            method: "DELETE",
            target: format!("/api/v1/locations/{location}/drain{reason}"),
            body: None,
        },
        Ask::Drain {
            location: Some(location),
            ..
        } => Call {
            method: "PUT",
            ..post(format!("/api/v1/locations/{location}/drain"), because())
        },
        Ask::Drain { location: None, .. } => bail!("name the location with --location"),
        Ask::Tokens => get("/api/v1/tokens".into()),
        Ask::MakeToken(new) => post(
            format!("/api/v1/tokens{reason}"),
            serde_json::to_value(new)?,
        ),
        Ask::RevokeToken { name } => Call {
            method: "DELETE",
            target: format!("/api/v1/tokens/{name}{reason}"),
            body: None,
        },
        _ => bail!("this is asked on the machine itself, without --api"),
    })
}

fn place(chain: &Chain) -> String {
    match chain.zone() {
        Some(zone) => format!("/api/v1/zones/{zone}"),
        None => "/api/v1/platform".into(),
    }
}

/// A query of what is there and not empty.
fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        let Some(value) = value.as_ref().filter(|value| !value.is_empty()) else {
            continue;
        };
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// What came, as control would have answered on its socket.
fn answer(ask: &Ask, reply: &Reply, base: &str) -> Result<Answer> {
    if !(200..300).contains(&reply.status) {
        let details: Option<Details> = serde_json::from_slice(&reply.body).ok();
        let Some(details) = details else {
            bail!(
                "{base} answered {}, and not as Seawall's API does: is it there?",
                reply.status
            );
        };
        let not: NotMade = details.not_made();
        bail!("{not}");
    }
    if reply.status == 204 {
        return Ok(Answer::Done);
    }
    Ok(match ask {
        Ask::Apply { .. } | Ask::Put { .. } | Ask::Rollback { .. } | Ask::Delete { .. } => {
            Answer::Applied(told(reply, base)?)
        }
        Ask::Check { .. } => Answer::Checked(told(reply, base)?),
        Ask::Versions { .. } => Answer::Versions(told(reply, base)?),
        Ask::Log { .. } => Answer::Log(told(reply, base)?),
        Ask::Diff { .. } => Answer::Diff(told(reply, base)?),
        Ask::Rollouts { .. } => Answer::Rollouts(told::<Rollouts>(reply, base)?.rollouts),
        Ask::Status => Answer::Status(told(reply, base)?),
        Ask::Locations => Answer::Locations(told::<Locations>(reply, base)?.locations),
        Ask::Tokens => Answer::Tokens(told::<TokensTold>(reply, base)?.tokens),
        Ask::MakeToken(_) => Answer::Token(told(reply, base)?),
        Ask::JoinToken { .. } => Answer::JoinToken(told(reply, base)?),
        Ask::Kill { .. } => Answer::Killed {
            rollout: told::<KillMade>(reply, base)?.rollout,
        },
        Ask::Purge { .. } => Answer::Purged {
            purge: told::<PurgeMade>(reply, base)?.purge,
        },
        Ask::PurgeStands { .. } => Answer::PurgeStands(told(reply, base)?),
        _ => bail!("{base} answered something else"),
    })
}

fn told<T: DeserializeOwned>(reply: &Reply, base: &str) -> Result<T> {
    serde_json::from_slice(&reply.body)
        .with_context(|| format!("{base} answered something else: is it of another version?"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use seawall_model::{Purged, RequestHead};
    use seawall_net::h1::{HeadLimits, parse_request};

    use super::*;
    use crate::control::asks::NewToken;

    /// The client asks what the routes mean: both ways lead to the same.
    #[test]
    fn what_is_asked_is_what_is_meant() {
        let zone = || Chain::Zone("a.test".into());
        let text = || "schema = 1\n".to_owned();
        let asks = [
            Ask::Apply {
                text: text(),
                folder: PathBuf::from("/"),
                parent: Some(7),
                approve: true,
            },
            Ask::Check { text: text() },
            Ask::Versions {
                chain: zone(),
                before: Some(9),
                limit: 1000,
            },
            Ask::Document {
                chain: Chain::Platform,
                which: Which::Serving,
            },
            Ask::Document {
                chain: zone(),
                which: Which::Number(3),
            },
            Ask::Diff {
                chain: zone(),
                a: None,
                b: Some(2),
            },
            Ask::Rollback {
                chain: Chain::Platform,
                version: Some(1),
            },
            Ask::Rollback {
                chain: zone(),
                version: None,
            },
            Ask::Delete {
                zone: "a.test".into(),
                restore: false,
            },
            Ask::Delete {
                zone: "a.test".into(),
                restore: true,
            },
            Ask::Pin {
                chain: zone(),
                unpin: false,
            },
            Ask::Pin {
                chain: Chain::Platform,
                unpin: true,
            },
            Ask::Decide {
                rollout: Some(5),
                approve: true,
            },
            Ask::Decide {
                rollout: Some(5),
                approve: false,
            },
            Ask::Rollouts { ids: Vec::new() },
            Ask::Rollouts { ids: vec![1, 22] },
            Ask::Kill {
                stage: "rules".into(),
                zone: Some("a.test".into()),
                location: None,
                seconds: Some(3_600),
            },
            Ask::Kill {
                stage: "waf".into(),
                zone: None,
                location: Some("lhr".into()),
                seconds: None,
            },
            Ask::Purge {
                zone: "a.test".into(),
                what: vec![
                    Purged::Everything,
                    Purged::Url("https://a.test/x?y".into()),
                    Purged::Prefix("a.test/x/".into()),
                    Purged::Host("a.test".into()),
                    Purged::Tag("näher".into()),
                ],
                soft: true,
            },
            Ask::PurgeStands { purge: 7 },
            Ask::Status,
            Ask::Locations,
            Ask::JoinToken {
                location: "lhr".into(),
                for_s: 3_600,
                canary: true,
            },
            Ask::Leave {
                location: "lhr".into(),
            },
            Ask::Drain {
                location: Some("lhr".into()),
                undrain: false,
            },
            Ask::Drain {
                location: Some("lhr".into()),
                undrain: true,
            },
            Ask::Tokens,
            Ask::MakeToken(NewToken {
                name: "ci".into(),
                scopes: vec!["write:a.test".into()],
                seconds: Some(60),
            }),
            Ask::RevokeToken { name: "ci".into() },
        ];
        for ask in asks {
            let call = call(&ask, "näher & \"genauer\"?").unwrap();
            let line = format!(
                "{} {} HTTP/1.1\r\nhost: localhost\r\n\r\n",
                call.method, call.target
            );
            let mut head = RequestHead::default();
            parse_request(line.as_bytes(), &HeadLimits::default(), &mut head).unwrap();
            let body = call.body.map(|(_, body)| body).unwrap_or_default();
            let meant = crate::api::meant(&head, &body).unwrap_or_else(|problem| {
                panic!("{line}: {problem:?}");
            });
            assert_eq!(meant, ask, "{line}");
        }
    }
}
