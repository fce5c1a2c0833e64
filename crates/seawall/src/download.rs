//! Files that are fetched when a person asks for them: rule sets, files of places.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seawall_net::client::{Client, Request};
use seawall_net::outward::Outward;
use seawall_net::tls::config::{OriginWants, origin};

/// How long a download may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Names a file of authorities to trust in place of the public ones, as OpenSSL's variable does: behind a proxy that looks into TLS
/// no other is any good.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// The content of a URL, of at most so many bytes.
///
/// # Errors
/// It cannot be had, or is longer.
pub fn download(url: &str, largest: usize) -> Result<Vec<u8>> {
    let authorities = match std::env::var_os(AUTHORITIES) {
        Some(path) => std::fs::read(&path)
            .with_context(|| format!("{AUTHORITIES} names {}", path.to_string_lossy()))?,
        None => Vec::new(),
    };
    let tls = origin(OriginWants {
        authorities: &authorities,
        http1: true,
        ..OriginWants::default()
    })?;
    let client = Client {
        outward: Arc::new(Outward::new(true, true, true)),
        tls,
        agent: concat!("seawall/", env!("CARGO_PKG_VERSION")),
        patience: PATIENCE,
        largest,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let request = Request {
                method: "GET",
                url: &url,
                fields: &[],
                body: None,
            };
            let reply = client.send(request).await?;
            match (reply.status, reply.field("location")) {
                (200, _) => return Ok(reply.body),
                (301..=308, Some(to)) if to.starts_with("https://") => url = to.to_owned(),
                (status, _) => bail!("{url}: answered with {status}"),
            }
        }
        bail!("{url}: more than {REDIRECTS} redirects")
    })
}
