//! Requests to an authority: HTTP by [`net::client`](seawall_net::client), with what the protocol wants of them.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use seawall_model::Method;
use seawall_net::client::{self, Client, Request};
use seawall_net::outward::Outward;

use crate::Fault;

pub use seawall_net::client::Reply;

/// The longest that a request may take, resolving and connecting included.
const PATIENCE: Duration = Duration::from_secs(30);
/// A chain of certificates is a few KiB.
const LARGEST: usize = 256 << 10;

/// How authorities are reached.
pub struct Wire {
    client: Client,
}

impl Wire {
    /// By connections to where this allows, to those whom this trusts.
    pub fn new(outward: Arc<Outward>, tls: Arc<ClientConfig>) -> Self {
        let client = Client {
            outward,
            tls,
            agent: concat!("seawall-acme/", env!("CARGO_PKG_VERSION")),
            patience: PATIENCE,
            largest: LARGEST,
        };
        Self { client }
    }

    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// [`Fault::Unreachable`], or [`Fault::Nonsense`] when it is no HTTP or no URL.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&str>,
    ) -> Result<Reply, Fault> {
        let fields: &[(&str, &str)] = match body {
            Some(_) => &[("content-type", "application/jose+json")],
            None => &[],
        };
        let request = Request {
            method: match method {
                Method::Post => "POST",
                Method::Head => "HEAD",
                _ => "GET",
            },
            url,
            fields,
            body: body.map(str::as_bytes),
        };
        let sent = self.client.send(request).await;
        sent.map_err(|fault| match fault {
            client::Fault::Unreachable(url, why) => Fault::Unreachable(url, why),
            client::Fault::Nonsense(why) => Fault::Nonsense(why),
        })
    }
}
