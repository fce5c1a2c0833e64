//! Names on demand while the authority (acme2certifier) is slow for one of them: the others do not wait for it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::certificates::{Acme, config, serve, state};
use crate::up::{Folder, until};

/// Between Seawall and the authority: holds orders of one name back, and counts those of each.
struct Slow {
    directory: String,
    held: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    orders: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicBool>,
}

impl Slow {
    fn before(acme: &Acme, slow: &'static str) -> Self {
        let behind = acme.directory.trim_start_matches("http://");
        let behind = behind.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let made = Self {
            directory: format!("http://{}/directory", listener.local_addr().unwrap()),
            held: Arc::default(),
            most_at_once: Arc::default(),
            orders: Arc::default(),
            open: Arc::default(),
        };
        let (held, most) = (made.held.clone(), made.most_at_once.clone());
        let (orders, open) = (made.orders.clone(), made.open.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (behind, held, most) = (behind.clone(), held.clone(), most.clone());
                let (orders, open) = (orders.clone(), open.clone());
                thread::spawn(move || {
                    let request = whole(&client)?;
                    if let Some(name) = ordered(&request) {
                        let is_slow = name.starts_with(slow);
                        orders.lock().ok()?.push(name);
                        if is_slow {
                            let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            while !open.load(Ordering::SeqCst) {
                                thread::sleep(Duration::from_millis(20));
                            }
                            held.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                    hand_on(&behind, &request, client)
                });
            }
        });
        made
    }

    fn orders_of(&self, name: &str) -> usize {
        let orders = self.orders.lock().unwrap();
        orders.iter().filter(|order| *order == name).count()
    }
}

/// One request, head and body.
fn whole(mut client: &TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(request);
            }
        }
        let read = client.read(&mut piece).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
    }
}

/// The name that a request orders a certificate for: in the payload of a JWS (RFC 8555 §7.4).
fn ordered(request: &[u8]) -> Option<String> {
    let at = request.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let jws: serde_json::Value = serde_json::from_slice(&request[at..]).ok()?;
    let payload = decoded(jws["payload"].as_str()?);
    let payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(payload["identifiers"][0]["value"].as_str()?.to_owned())
}

/// base64url (RFC 4648 §5), without padding.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut many) = (Vec::new(), 0u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        (bits, many) = (bits << 6 | u32::from(value), many + 6);
        if many >= 8 {
            many -= 8;
            bytes.push((bits >> many) as u8);
        }
    }
    bytes
}

fn hand_on(behind: &str, request: &[u8], mut client: TcpStream) -> Option<()> {
    let mut server = TcpStream::connect(behind).ok()?;
    server.write_all(request).ok()?;
    let mut piece = [0; 16_384];
    loop {
        let read = server.read(&mut piece).ok().filter(|read| *read > 0)?;
        client.write_all(&piece[..read]).ok()?;
    }
}

#[test]
fn names_that_the_authority_is_slow_for_hold_up_no_others() {
    let acme = Acme::start(&[]);
    let slow = Slow::before(&acme, "slow");
    let up = serve(
        Folder::new(),
        &config(
            &format!(
                "directories = [\"{}\"]\non_demand = [\"*.shop.test\"]",
                slow.directory
            ),
            "[\"*\", \"own.test\"]",
        ),
    );
    acme.leads_to(&up);
    acme.issues(&up, "own.test");
    let ask = |name: &str| acme.serial(up.https(), name);
    assert_eq!(ask("slow1.shop.test"), None);
    until("its order", || {
        (slow.held.load(Ordering::SeqCst) == 1).then_some(())
    });
    // Whoever asks for the same meanwhile orders nothing more.
    for _ in 0..5 {
        assert_eq!(ask("slow1.shop.test"), None);
    }
    for name in ["one.shop.test", "two.shop.test"] {
        acme.issues(&up, name);
    }
    assert_eq!(slow.held.load(Ordering::SeqCst), 1, "it is held still");
    assert_eq!(slow.orders_of("slow1.shop.test"), 1);
    // So many at once, and no more, however many are asked for.
    for nth in 2..8 {
        ask(&format!("slow{nth}.shop.test"));
    }
    until("three that wait at the authority", || {
        (slow.held.load(Ordering::SeqCst) == 3).then_some(())
    });
    slow.open.store(true, Ordering::SeqCst);
    for nth in 1..8 {
        acme.issues(&up, &format!("slow{nth}.shop.test"));
    }
    assert_eq!(slow.most_at_once.load(Ordering::SeqCst), 3);
    let names = state(&up)["certificates"]["names"].clone();
    assert_eq!(names.as_object().unwrap().len(), 10, "{names}");
}
