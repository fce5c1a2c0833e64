//! The ClientHello out of TLS records, against rustls: where it reads one, ours has kept that very message; and within QUIC,
//! where it comes without records and in any pieces.

use std::sync::{Arc, OnceLock};

use rustls::server::Acceptor;
use seawall_net::tls::{client_hello, config};

/// Records as a client sends them over TCP.
pub fn records(data: &[u8]) {
    let kept = client_hello(data);
    assert!(kept.len() <= data.len());
    if !kept.is_empty() {
        assert_eq!(kept[0], 1, "nothing else is called a ClientHello");
    }
    // The same message in records of another size is the same message.
    let mut records = Vec::new();
    let mut piece = super::pieces(data);
    let mut rest = &*kept;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(piece() * 8));
        records.extend_from_slice(&[22, 3, 1, 0, now.len() as u8]);
        records.extend_from_slice(now);
        rest = later;
    }
    assert_eq!(client_hello(&records), kept, "in other records");

    let mut acceptor = Acceptor::default();
    let mut from = data;
    let accepted = loop {
        match acceptor.read_tls(&mut from) {
            Ok(0) | Err(_) => break None,
            Ok(_) => match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => break Some(accepted),
                Err(_) => break None,
            },
        }
    };
    let Some(accepted) = accepted else { return };
    let whole = 4 + u32::from_be_bytes([0, kept[1], kept[2], kept[3]]) as usize;
    assert_eq!(kept.len(), whole, "kept whole, and nothing behind it");
    let hello = accepted.client_hello();
    if let Some(name) = hello.server_name() {
        let kept = kept.to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        let found = kept.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(found, "{name} is in it");
    }
    let suites: Vec<u8> = hello
        .cipher_suites()
        .iter()
        .flat_map(|suite| u16::from(*suite).to_be_bytes())
        .collect();
    let found = kept.windows(suites.len()).any(|part| part == suites);
    assert!(found, "its cipher suites are in it");
}

/// A configuration for `a.test`, and for nobody else.
pub fn choose(name: &str) -> Option<Arc<rustls::ServerConfig>> {
    static CONFIG: OnceLock<Arc<rustls::ServerConfig>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| {
        let (chain, key) = config::self_signed(vec!["a.test".into()]).unwrap();
        let identity = config::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let made = config::server(config::ServerWants {
            certificate: Some(identity.signer().unwrap()),
            only_tls13: true,
            client: config::ClientCertificate::Off,
            client_authorities: b"",
        });
        let mut server = rustls::ServerConfig::clone(&made.unwrap());
        server.alpn_protocols = vec![b"h3".to_vec()];
        Arc::new(server)
    });
    (name == "a.test").then(|| made.clone())
}
