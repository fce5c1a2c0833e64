//! Playing harmless requests through the rules before the first real one, so that a thread has built the states that harmless
//! requests need. Without it the first requests cost a hundred times what later ones do.

use std::net::{IpAddr, Ipv4Addr};

use seawall_model::Fuel;

use super::{Nothing, Transaction, Workspace, Zone};
use crate::program::Program;
use crate::request::{Body, Request, Response};
use crate::seclang::tree::Engine;

/// What people send, of many kinds.
const VALUES: [&str; 32] = [
    "hello",
    "garden chair",
    "The quick brown fox jumps over the lazy dog",
    "please send the order to London by Friday",
    "42",
    "3.14",
    "-7",
    "2026-07-24",
    "2026-07-24T10:15:30Z",
    "someone@shop.test",
    "+44 20 7946 0000",
    "https://shop.test/products/garden?page=2",
    "/products/search",
    "8f14e45fceea167a5a36dedd4bea2543",
    "550e8400-e29b-41d4-a716-446655440000",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "true",
    "",
    "en-GB,en;q=0.5",
    "gzip, deflate, br",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148",
    "max-age=0",
    "field_name",
    "user[address][city]",
    "first_name last_name",
    "Price: 12.50 EUR (incl. tax)",
    "O'Neill & Sons, Ltd.",
    "a,b;c|d",
    "We'd like 3 of these - thanks!",
];

/// Common words, some on each line: what begins like a command and is none is what patterns look at longest.
const WORDS: &str = include_str!("words.txt");

/// Every two letters as the begin of a word.
fn pairs() -> impl Iterator<Item = String> {
    (b'a'..=b'z').map(|first| {
        let words: Vec<String> = (b'a'..=b'z')
            .map(|second| [first, second, b'e'].map(char::from).iter().collect())
            .collect();
        words.join(" ")
    })
}

impl Workspace {
    /// Builds what harmless requests need of a program. It takes some hundred milliseconds; a thread does it once, before it serves.
    pub fn warm(&mut self, program: &Program) {
        let zone = Zone {
            engine: Some(Engine::DetectionOnly),
            variables: Vec::new(),
            partial: false,
        };
        let encoded: Vec<String> = VALUES.iter().map(|value| encode(value)).collect();
        let more: Vec<String> = pairs().collect();
        let texts: Vec<&[u8]> = VALUES
            .iter()
            .copied()
            .chain(encoded.iter().map(String::as_str))
            .chain(WORDS.lines())
            .chain(more.iter().map(String::as_str))
            .map(str::as_bytes)
            .collect();
        self.begin(program);
        program.matchers.warm(&texts, &mut self.cache);
        let pairs: Vec<String> = (0..)
            .zip(&encoded)
            .map(|(nth, value)| format!("name_{nth}={value}"))
            .collect();
        let json: Vec<String> = (0..)
            .zip(VALUES)
            .map(|(nth, value)| format!("\"name_{nth}\":{value:?}"))
            .collect();
        let json = format!("{{{}}}", json.join(","));
        let form = pairs.join("&");
        for nth in 0..VALUES.len() {
            let few: Vec<&str> = pairs
                .iter()
                .cycle()
                .skip(nth)
                .take(6)
                .map(String::as_str)
                .collect();
            let value = VALUES.get(nth).copied().unwrap_or_default();
            let agent = VALUES.get(21 + nth % 3).copied().unwrap_or_default();
            let query = few.join("&");
            self.play(
                program,
                &zone,
                "GET",
                &format!("/shop/page_{nth}.html?{query}"),
                [value, agent],
                ("", ""),
            );
        }
        self.play(program, &zone, "GET", "/", ["", ""], ("", ""));
        let lines: Vec<&str> = WORDS
            .lines()
            .chain(more.iter().map(String::as_str))
            .collect();
        for some in lines.chunks(16) {
            let form: Vec<String> = some
                .iter()
                .map(|line| format!("text={}", encode(line)))
                .collect();
            let form = form.join("&");
            self.play(
                program,
                &zone,
                "POST",
                "/order",
                ["", ""],
                ("application/x-www-form-urlencoded", &form),
            );
        }
        for _ in 0..2 {
            self.play(
                program,
                &zone,
                "POST",
                "/order",
                ["", ""],
                ("application/x-www-form-urlencoded", &form),
            );
            self.play(
                program,
                &zone,
                "POST",
                "/api/v1/order",
                ["", ""],
                ("application/json", &json),
            );
        }
    }

    fn play(
        &mut self,
        program: &Program,
        zone: &Zone,
        method: &str,
        target: &str,
        [value, agent]: [&str; 2],
        (kind, body): (&str, &str),
    ) {
        let length = body.len().to_string();
        let cookie = format!(
            "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; last={}",
            encode(value)
        );
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b"Host", b"shop.test"),
            (b"User-Agent", agent.as_bytes()),
            (
                b"Accept",
                b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            ),
            (b"Accept-Language", b"en-GB,en;q=0.5"),
            (b"Accept-Encoding", b"gzip, deflate, br"),
            (b"Referer", b"https://shop.test/products/garden"),
            (b"Connection", b"keep-alive"),
            (b"Cookie", cookie.as_bytes()),
        ];
        if !kind.is_empty() {
            headers.push((b"Content-Type", kind.as_bytes()));
            headers.push((b"Content-Length", length.as_bytes()));
        }
        let line = format!("{method} {target} HTTP/1.1");
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = Request {
            client: local,
            client_port: 40_000,
            server: local,
            server_port: 443,
            line: line.as_bytes(),
            method: method.as_bytes(),
            target: target.as_bytes(),
            protocol: b"HTTP/1.1",
            headers: &headers,
            unique_id: b"0123456789abcdef",
            time: 0,
        };
        let response = Response {
            status: 200,
            protocol: b"HTTP/1.1",
            headers: &[(b"Content-Type", b"text/html; charset=utf-8")],
        };
        let page = Body {
            bytes: b"<!doctype html><html><head><title>Shop</title></head><body><p>Welcome.</p></body></html>",
            cut: false,
        };
        let body = Body {
            bytes: body.as_bytes(),
            cut: false,
        };
        let mut nothing = Nothing;
        let mut fuel = Fuel::new(u64::MAX);
        let mut transaction = Transaction::new(program, zone, request, self, &mut nothing);
        transaction.work.cache.is_warming = true;
        let _never_spent = transaction
            .request_head(&mut fuel)
            .map(|_| ())
            .and_then(|()| transaction.request_body(body, &mut fuel).map(|_| ()))
            .and_then(|()| transaction.response_head(response, &mut fuel).map(|_| ()))
            .and_then(|()| transaction.response_body(page, &mut fuel).map(|_| ()))
            .and_then(|()| transaction.log(&mut fuel));
        self.cache.is_warming = false;
    }
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
