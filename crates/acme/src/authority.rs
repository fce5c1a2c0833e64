//! One authority: its directory, our account there, orders and renewal information. The protocol of RFC 8555, and no policy.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use seawall_model::Method;
use seawall_net::outward::Outward;
use seawall_net::tls::config::{OriginWants, origin};
use seawall_net::tls::der::Facts;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::jose::{AccountKey, base64url, sha256};
use crate::plan::{self, Window};
use crate::wire::{Reply, Wire};
use crate::{Challenge, Fault, Issued};

/// The longest that an authority may take to see a proof, and then to give the certificate. What a hook takes is not its time.
const ORDER: Duration = Duration::from_secs(180);
/// Between two looks at something that is not done.
const LOOK: Duration = Duration::from_secs(1);

/// Where a challenge is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// At `/.well-known/acme-challenge/TOKEN`: token and key authorization.
    Http(String, String),
    /// In a handshake: name and certificate.
    Alpn(String, Issued),
    /// In DNS: record and value.
    Dns(String, String),
}

/// Puts proofs where the authority looks, and takes them away again.
pub trait Present {
    /// Puts one there, or takes it away.
    fn present(&self, proof: &Proof, there: bool) -> impl Future<Output = Result<(), Fault>>;
}

/// The name of a certificate in renewal information (RFC 9773 §4.1); none where it does not say who issued it.
pub fn renewal_id(facts: &Facts) -> Option<String> {
    let authority = base64url(facts.authority.as_deref()?);
    Some(format!("{authority}.{}", base64url(&facts.serial)))
}

/// What time it is at an authority, in seconds since 1970. `ca` is PEM of authorities for its TLS, instead of the public ones; empty for
/// those.
///
/// # Errors
/// [`Fault`]: it cannot be reached or does not say.
pub async fn date(outward: &Arc<Outward>, directory: &str, ca: &[u8]) -> Result<u64, Fault> {
    let tls = origin(OriginWants {
        authorities: ca,
        http1: true,
        ..OriginWants::default()
    });
    let tls = tls.map_err(|fault| Fault::Own(fault.to_string()))?;
    let wire = Wire::new(outward.clone(), tls);
    let reply = wire.send(Method::Get, directory, None).await?;
    let date = reply.field("date").and_then(plan::http_date);
    date.ok_or_else(|| Fault::Nonsense("it does not say its time".into()))
}

/// What an authority says to everybody: where what is, when to renew, and what time it is there.
pub struct Directory<'w> {
    wire: &'w Wire,
    urls: Value,
    /// Its clock, when it answered: seconds since 1970.
    pub date: Option<u64>,
}

impl<'w> Directory<'w> {
    /// Reads it (RFC 8555 §7.1.1).
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn read(wire: &'w Wire, directory: &str) -> Result<Self, Fault> {
        let reply = wire.send(Method::Get, directory, None).await?;
        let date = reply.field("date").and_then(plan::http_date);
        let urls = good(&reply)?;
        Ok(Self { wire, urls, date })
    }

    /// When a certificate should be renewed (RFC 9773), and in how many seconds to ask again. None where the authority has none.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn renewal(&self, id: &str) -> Result<Option<(Window, u64)>, Fault> {
        let Ok(url) = text(&self.urls, "renewalInfo") else {
            return Ok(None);
        };
        let url = format!("{}/{id}", url.trim_end_matches('/'));
        let reply = self.wire.send(Method::Get, &url, None).await?;
        let said = good(&reply)?;
        let window = said.get("suggestedWindow");
        let at = |key| plan::rfc3339(window?.get(key)?.as_str()?);
        match (at("start"), at("end")) {
            (Some(start), Some(end)) if start < end => {
                let again = retry_after(&reply).map_or(plan::ASK, |after| after.as_secs());
                Ok(Some((Window { start, end }, again.clamp(60, 86_400))))
            }
            _ => Err(Fault::Nonsense(
                "renewal information without a window".into(),
            )),
        }
    }
}

/// One authority.
pub struct Authority<'w> {
    wire: &'w Wire,
    key: AccountKey,
    account: String,
    nonce: Option<String>,
    new_nonce: String,
    new_order: String,
    /// Its clock, when it answered: seconds since 1970.
    pub date: Option<u64>,
}

impl<'w> Authority<'w> {
    /// Reads the directory, and finds or makes our account; its terms are agreed to.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn open(
        wire: &'w Wire,
        directory: &str,
        key: AccountKey,
        contact: Option<&str>,
    ) -> Result<Self, Fault> {
        let Directory { urls, date, .. } = Directory::read(wire, directory).await?;
        let mut authority = Self {
            wire,
            key,
            account: String::new(),
            nonce: None,
            new_nonce: text(&urls, "newNonce")?,
            new_order: text(&urls, "newOrder")?,
            date,
        };
        let mut wanted = json!({ "termsOfServiceAgreed": true });
        if let (Some(contact), Some(map)) = (contact, wanted.as_object_mut()) {
            map.insert("contact".into(), json!([format!("mailto:{contact}")]));
        }
        let url = text(&urls, "newAccount")?;
        let reply = authority.post(&url, Some(&wanted)).await?;
        authority.account = location(&reply)?;
        Ok(authority)
    }

    /// Gets a certificate for one name. `replaces` is the renewal id of the one before.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn order(
        &mut self,
        name: &str,
        replaces: Option<&str>,
        challenges: &[Challenge],
        present: &impl Present,
    ) -> Result<Issued, Fault> {
        let wanted = |replaces: Option<&str>| {
            let identifiers = json!([{ "type": "dns", "value": name }]);
            match replaces {
                Some(id) => json!({ "identifiers": identifiers, "replaces": id }),
                None => json!({ "identifiers": identifiers }),
            }
        };
        let url = self.new_order.clone();
        let reply = match self.post(&url, Some(&wanted(replaces))).await {
            // An authority that lost the one before, or knows it as replaced, still gives a new one.
            Err(Fault::Refused { .. }) if replaces.is_some() => {
                self.post(&url, Some(&wanted(None))).await?
            }
            reply => reply?,
        };
        let order_url = location(&reply)?;
        let mut order = good(&reply)?;
        let authorizations = order
            .get("authorizations")
            .and_then(Value::as_array)
            .cloned();
        for url in authorizations.unwrap_or_default().iter().take(4) {
            let url = url.as_str().unwrap_or_default();
            self.authorize(name, url, challenges, present).await?;
        }
        let due = Instant::now() + ORDER;
        let key = KeyPair::generate().map_err(own)?;
        order = self
            .wait(&order_url, order, &["ready", "valid"], due)
            .await?;
        if status(&order) == "ready" {
            let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(own)?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(&key).map_err(own)?;
            let csr = json!({ "csr": base64url(request.der()) });
            let reply = self.post(&text(&order, "finalize")?, Some(&csr)).await?;
            order = good(&reply)?;
        }
        order = self.wait(&order_url, order, &["valid"], due).await?;
        let reply = self.post(&text(&order, "certificate")?, None).await?;
        let chain = String::from_utf8(reply.body)
            .map_err(|_| Fault::Nonsense("a certificate that is no text".into()))?;
        Ok(Issued {
            chain,
            key: key.serialize_pem(),
        })
    }

    async fn authorize(
        &mut self,
        name: &str,
        url: &str,
        challenges: &[Challenge],
        present: &impl Present,
    ) -> Result<(), Fault> {
        let authorization = good(&self.post(url, None).await?)?;
        if status(&authorization) == "valid" {
            return Ok(());
        }
        let offered = authorization.get("challenges").and_then(Value::as_array);
        let offered = offered.cloned().unwrap_or_default();
        let chosen = challenges.iter().find_map(|challenge| {
            let of_kind = |offer: &&Value| {
                offer.get("type").and_then(Value::as_str) == Some(challenge.name())
            };
            Some((*challenge, offered.iter().find(of_kind)?))
        });
        let Some((challenge, offer)) = chosen else {
            return Err(Fault::Challenge {
                name: name.into(),
                challenge: challenges.first().map_or("none", |first| first.name()),
                detail: "it offers no challenge that we are told to use (a wildcard needs dns-01 with [edge.acme] dns_hook)".into(),
            });
        };
        let proof = self.proof(name, challenge, &text(offer, "token")?)?;
        let presented = match present.present(&proof, true).await {
            Ok(()) => {
                let due = Instant::now() + ORDER;
                self.prove(name, challenge, url, &text(offer, "url")?, due)
                    .await
            }
            Err(fault) => Err(fault),
        };
        // What could not be taken away does no harm; a good order is no less good.
        let _ = present.present(&proof, false).await;
        presented
    }

    fn proof(&self, name: &str, challenge: Challenge, token: &str) -> Result<Proof, Fault> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if token.is_empty() || token.len() > 256 || !token.bytes().all(fits) {
            return Err(Fault::Nonsense(
                "a token that is none (RFC 8555 §8.3)".into(),
            ));
        }
        let authorization = format!("{token}.{}", self.key.thumbprint());
        let digest = sha256(authorization.as_bytes());
        Ok(match challenge {
            Challenge::Http01 => Proof::Http(token.into(), authorization),
            Challenge::Dns01 => Proof::Dns(
                format!("_acme-challenge.{}", name.trim_start_matches("*.")),
                base64url(&digest),
            ),
            Challenge::TlsAlpn01 => {
                let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(own)?;
                params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
                let key = KeyPair::generate().map_err(own)?;
                let chain = params.self_signed(&key).map_err(own)?.pem();
                let key = key.serialize_pem();
                Proof::Alpn(name.into(), Issued { chain, key })
            }
        })
    }

    /// Says that the proof is there, and waits until the authority has seen it.
    async fn prove(
        &mut self,
        name: &str,
        challenge: Challenge,
        authorization: &str,
        url: &str,
        due: Instant,
    ) -> Result<(), Fault> {
        self.post(url, Some(&json!({}))).await?;
        loop {
            let reply = self.post(authorization, None).await?;
            let seen = good(&reply)?;
            let failed = |detail: String| Fault::Challenge {
                name: name.into(),
                challenge: challenge.name(),
                detail,
            };
            match status(&seen) {
                "valid" => return Ok(()),
                "pending" | "processing" if Instant::now() < due => {
                    tokio::time::sleep(pause(&reply)).await;
                }
                "pending" | "processing" => {
                    return Err(failed("it took longer than 3 minutes".into()));
                }
                _ => {
                    let all = seen.get("challenges").and_then(Value::as_array);
                    let detail = all
                        .into_iter()
                        .flatten()
                        .find_map(|challenge| challenge.get("error")?.get("detail")?.as_str());
                    let detail = bounded(detail.unwrap_or("it does not say why"));
                    return Err(failed(format!(
                        "{detail} (does the name lead to this machine, and are ports 80 and 443 open? `seawall doctor` looks)"
                    )));
                }
            }
        }
    }

    async fn wait(
        &mut self,
        url: &str,
        mut order: Value,
        wanted: &[&str],
        due: Instant,
    ) -> Result<Value, Fault> {
        let mut wait = LOOK;
        loop {
            match status(&order) {
                status if wanted.contains(&status) => return Ok(order),
                "pending" | "ready" | "processing" if Instant::now() < due => {}
                "invalid" => {
                    let detail = order
                        .get("error")
                        .and_then(|error| error.get("detail")?.as_str());
                    return Err(Fault::Refused {
                        kind: "order".into(),
                        detail: bounded(detail.unwrap_or("the order became invalid")),
                        after: None,
                    });
                }
                other => {
                    return Err(Fault::Nonsense(format!(
                        "an order that stays {:.40?}",
                        other
                    )));
                }
            }
            tokio::time::sleep(wait).await;
            let reply = self.post(url, None).await?;
            wait = pause(&reply);
            order = good(&reply)?;
        }
    }

    async fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Reply, Fault> {
        for _ in 0..3 {
            let nonce = match self.nonce.take() {
                Some(nonce) => nonce,
                None => {
                    let reply = self.wire.send(Method::Head, &self.new_nonce, None).await?;
                    nonce(&reply).ok_or_else(|| Fault::Nonsense("no nonce".into()))?
                }
            };
            let kid = (!self.account.is_empty()).then_some(self.account.as_str());
            let body = self.key.sign(kid, &nonce, url, payload)?;
            let reply = self.wire.send(Method::Post, url, Some(&body)).await?;
            self.nonce = self::nonce(&reply);
            match problem(&reply) {
                None => return Ok(reply),
                Some(fault) if fault.is_bad_nonce() => {}
                Some(fault) => return Err(fault),
            }
        }
        Err(Fault::Nonsense("it takes none of its own nonces".into()))
    }
}

fn own(error: rcgen::Error) -> Fault {
    Fault::Own(error.to_string())
}

/// What the authority says, without anything that a terminal or a log would act upon.
fn bounded(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(300).collect()
}

fn status(value: &Value) -> &str {
    value
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn text(value: &Value, key: &str) -> Result<String, Fault> {
    let found = value.get(key).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| Fault::Nonsense(format!("no `{key}` in it")))
}

fn location(reply: &Reply) -> Result<String, Fault> {
    let found = reply.field("location").map(str::to_owned);
    found.ok_or_else(|| Fault::Nonsense("no Location".into()))
}

fn nonce(reply: &Reply) -> Option<String> {
    let nonce = reply.field("replay-nonce")?;
    (nonce.len() <= 512).then(|| nonce.to_owned())
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    reply
        .field("retry-after")?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// Until the next look: what the authority asks for, within reason.
fn pause(reply: &Reply) -> Duration {
    retry_after(reply)
        .unwrap_or(LOOK)
        .clamp(LOOK, Duration::from_secs(15))
}

/// The JSON of a good reply.
fn good(reply: &Reply) -> Result<Value, Fault> {
    if let Some(fault) = problem(reply) {
        return Err(fault);
    }
    serde_json::from_slice(&reply.body)
        .map_err(|error| Fault::Nonsense(format!("no JSON: {error}")))
}

/// What a reply that is none of 2xx says (RFC 8555 §6.7).
fn problem(reply: &Reply) -> Option<Fault> {
    if (200..300).contains(&reply.status) {
        return None;
    }
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let word = |key| said.get(key).and_then(Value::as_str);
    let kind = word("type").unwrap_or("no reason");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    Some(Fault::Refused {
        kind: bounded(kind),
        detail: bounded(word("detail").map_or(&*format!("status {}", reply.status), |text| text)),
        after: retry_after(reply),
    })
}
