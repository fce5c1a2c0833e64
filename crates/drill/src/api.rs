//! Control's API, as a drill uses it: what people and their programs use, with a token.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Void;
use crate::http::{self, Answer, Failed};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where control answers, and by which right.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its address.
    pub address: SocketAddr,
    /// A token that may do everything.
    pub token: String,
}

/// What became of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// None: it runs. True: it is everywhere. False: it was taken back.
    pub ended: Option<bool>,
    /// What is waited for, or how it ended.
    pub why: String,
    /// Of 10,000 clients.
    pub share: u64,
    /// Locations that have it.
    pub locations: u64,
}

impl Api {
    /// Asks.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, Failed> {
        self.ask_with(method, path, body, "application/json", PATIENCE)
            .await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: &str,
        kind: &str,
        patience: Duration,
    ) -> Result<Answer, Failed> {
        let content = match body.len() {
            0 => String::new(),
            length => format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"),
        };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{content}Connection: close\r\n\r\n{body}",
            self.address, self.token
        );
        http::ask(self.address, None, request.as_bytes(), patience).await
    }

    /// Applies a document. Status, and what was said.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn apply(&self, document: &str) -> Result<(u16, Value), Failed> {
        self.put(document, "/apply?why=a+drill").await
    }

    async fn put(&self, document: &str, path: &str) -> Result<(u16, Value), Failed> {
        let kind = "application/toml";
        let answer = self
            .ask_with("POST", path, document, kind, PATIENCE)
            .await?;
        Ok((answer.status, json(&answer)))
    }

    /// Applies a document that must be taken. The number of its last rollout.
    ///
    /// # Errors
    /// When it is not.
    pub async fn applied(&self, document: &str) -> Result<u64, Void> {
        self.taken(document, "/apply?why=a+drill").await
    }

    /// The same, by a person who has looked at it and means it.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn approved(&self, document: &str) -> Result<u64, Void> {
        self.taken(document, "/apply?why=a+drill&approve=true")
            .await
    }

    async fn taken(&self, document: &str, path: &str) -> Result<u64, Void> {
        let refused = |why: String| Void::NotInjected(format!("control did not take it: {why}"));
        let (status, said) = self
            .put(document, path)
            .await
            .map_err(|error| refused(error.to_string()))?;
        let rollouts = said.get("versions").and_then(Value::as_array);
        let last = rollouts
            .and_then(|versions| versions.last())
            .and_then(|made| made.get("rollout"))
            .and_then(Value::as_u64);
        match (status, last) {
            (200..=299, Some(rollout)) => Ok(rollout),
            _ => {
                let said = said.to_string();
                let said: String = said.chars().take(400).collect();
                Err(refused(format!("{status} {said}")))
            }
        }
    }

    /// How a rollout stands.
    pub async fn rollout(&self, number: u64) -> Option<Standing> {
        let path = format!("/rollouts/{number}");
        let answer = self.ask("GET", &path, "").await.ok()?;
        let said = json(&answer);
        let number = |name: &str| said.get(name).and_then(Value::as_u64);
        (answer.status == 200).then(|| Standing {
            ended: said.get("ended").and_then(Value::as_bool),
            why: said
                .get("why")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into(),
            share: number("share").unwrap_or(0),
            locations: number("locations").unwrap_or(0),
        })
    }

    /// Waits until a rollout has ended, or so long. How it stands then.
    pub async fn ended(&self, number: u64, patience: Duration) -> Option<Standing> {
        let until = Instant::now() + patience;
        let mut last = None;
        loop {
            if let Some(standing) = self.rollout(number).await {
                if standing.ended.is_some() {
                    return Some(standing);
                }
                last = Some(standing);
            }
            if Instant::now() >= until {
                return last;
            }
            // A token may ask twenty times a second.
            tokio::time::sleep(Duration::from_millis(70)).await;
        }
    }
}

/// The content, as JSON; null where it is none.
pub fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

impl Api {
    /// A token by which a location joins; `canary`: changes are to begin there.
    ///
    /// # Errors
    /// When control makes none.
    pub async fn join_token(&self, location: &str, canary: bool) -> Result<String, Void> {
        let path = format!("/locations/{location}/token?canary={canary}");
        let answer = self.ask("POST", &path, "").await;
        let answer = answer.map_err(|error| Void::Bed(format!("a token: {error}")))?;
        let said = json(&answer);
        let token = said.get("token").and_then(Value::as_str);
        token
            .map(str::to_owned)
            .ok_or_else(|| Void::Bed(format!("a token: {} {said}", answer.status)))
    }
}
