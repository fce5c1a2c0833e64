//! A request to ask expressions about.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests, of which each uses a part"
)]

use std::net::{IpAddr, SocketAddr};

use seawall_model::{ConnFacts, Fuel, HttpVersion, RequestHead, RequestView};
use seawall_rules::{Bounds, Expression, Lists};

pub struct Request {
    pub head: RequestHead,
    pub conn: ConnFacts,
    pub client: IpAddr,
    pub https: bool,
}

impl Request {
    pub fn new(method: &str, host: &str, target: &str, lines: &[(&str, &str)]) -> Self {
        let mut head = RequestHead::default();
        head.method_span = head.fields.store(method.as_bytes());
        head.target_span = head.fields.store(target.as_bytes());
        head.authority_span = head.fields.store(host.as_bytes());
        head.version = HttpVersion::Http2;
        for (name, value) in lines {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        Self {
            head,
            conn: ConnFacts {
                peer,
                local: peer,
                tls: None,
            },
            client: "192.0.2.1".parse().unwrap(),
            https: true,
        }
    }

    pub fn view(&self) -> RequestView<'_> {
        RequestView::new(&self.head, &self.conn, self.client, self.https)
    }

    #[track_caller]
    pub fn matches(&self, source: &str, lists: &Lists) -> bool {
        let expression = parse(source, lists);
        let mut fuel = Fuel::new(1 << 40);
        expression.matches(&self.view(), &mut fuel).unwrap()
    }
}

#[track_caller]
pub fn parse(source: &str, lists: &Lists) -> Expression {
    match Expression::parse(source, lists, &Bounds::default()) {
        Ok(expression) => expression,
        Err(error) => panic!("{error}\n{}", error.render(source)),
    }
}

/// xorshift64*: the same numbers each time.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.next() >> 11) as usize % most
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        from.get(self.below(from.len())).unwrap()
    }
}
