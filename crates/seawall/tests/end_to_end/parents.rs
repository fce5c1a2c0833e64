//! Locations that ask one another before an origin: over their own certificates, and never at the price of an answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::fleet::{Control, struck};
use crate::tools::{Answer, curl, curl_command};
use crate::up::{Up, finished, send, until};

/// An origin whose answers each have a number, and what it was asked.
pub struct Site {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = heads.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let mut stream = stream;
                    loop {
                        let head: Vec<String> = lines
                            .by_ref()
                            .map_while(Result::ok)
                            .take_while(|line| !line.is_empty())
                            .collect();
                        if head.is_empty() {
                            return;
                        }
                        let nth = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(head.join("\n"));
                            seen.len()
                        };
                        if head[0].contains("/slow") {
                            thread::sleep(Duration::from_millis(300));
                        }
                        let body = match head[0].contains("/noise") {
                            true => noise(),
                            false => format!("{nth} {}", "text ".repeat(100)).into_bytes(),
                        };
                        let life = match head[0].contains("/page") {
                            true => {
                                "no-cache\r\nLink: </style.css>; rel=preload; as=style, </x>; rel=next"
                            }
                            false => "max-age=3600",
                        };
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nCache-Control: {life}\r\nContent-Type: text/plain\r\n\
                             Content-Length: {}\r\n\r\n",
                            body.len()
                        );
                        let answer = [answer.as_bytes(), &body].concat();
                        if stream.write_all(&answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// The heads of requests for a path.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let is_of = |head: &&String| head.split(' ').nth(1) == Some(path);
        heads.iter().filter(is_of).cloned().collect()
    }
}

/// Bytes that do not become shorter.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let byte = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..4_096).map(byte).collect()
}

/// A control, a parent `fra` and two locations that ask it.
struct Tiers {
    site: Site,
    control: Control,
    at: SocketAddr,
    fra: Up,
    lhr: Up,
    ams: Up,
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Tiers {
    fn start(zone: &str) -> Self {
        let (site, at) = (Site::start(), free());
        let control = Control::start(20);
        let text = format!(
            "schema = 1\n[edge]\noutward = [\"public\", \"private\", \"loopback\"]\n\
             parents = {{ fra = {{ at = \"{at}\" }} }}\n\
             [[zone]]\nname = \"a.test\"\nhosts = [\"a.test\"]\norigin = [{{ url = \"http://{}\" }}]\n{zone}",
            site.address
        );
        let (code, said) = control.apply(&text, &[]);
        assert_eq!(code, Some(0), "{said}");
        let fra = control.joined("fra", &["--parent", &at.to_string()]);
        let [lhr, ams] = ["lhr", "ams"].map(|location| control.joined(location, &[]));
        until("the first version is everywhere", || {
            let (_, said) = control.asks(&["rollouts"]);
            said.contains("no rollout runs").then_some(())
        });
        let tiers = Self {
            site,
            control,
            at,
            fra,
            lhr,
            ams,
        };
        // Who has left is known only once what is published was read.
        for (nth, edge) in [&tiers.lhr, &tiers.ams].into_iter().enumerate() {
            until("the way to the parent", || {
                let path = format!("/way/{nth}/{}", tiers.site.heads.lock().unwrap().len());
                let answer = get(edge, &path);
                (cache_status(&answer).len() == 2).then_some(())
            });
        }
        tiers
    }
}

fn get(edge: &Up, path: &str) -> Answer {
    curl(&["-H", "Host: a.test", &edge.url(path)])
}

fn lines<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let named = answer.fields.iter().filter(|(known, _)| known == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn cache_status(answer: &Answer) -> Vec<&str> {
    lines(answer, "cache-status")
}

#[test]
fn a_miss_is_asked_of_the_parent_and_judged_and_edited_once() {
    let tiers = Tiers::start(
        "response_headers = { add = { X-Once = \"1\" } }\n\
         [zone.compress]\n\
         [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no\"'\naction = \"block\"\n",
    );
    let Tiers {
        site,
        fra,
        lhr,
        ams,
        ..
    } = &tiers;
    let first = get(lhr, "/a");
    assert_eq!(first.status, 200);
    assert_eq!(
        cache_status(&first),
        [
            "seawall; fwd=uri-miss; stored",
            "seawall; fwd=uri-miss; stored"
        ]
    );
    assert_eq!(lines(&first, "x-once"), ["1"]);
    assert_eq!(lines(&first, "seawall-ray").len(), 1);
    // The origin sees whose it is, and both that it came by.
    let [head] = &site.asked("/a")[..] else {
        panic!("{:?}", site.asked("/a"))
    };
    let head = head.to_ascii_lowercase();
    assert_eq!(head.matches("seawall; node=").count(), 2, "{head}");
    assert!(
        head.contains("x-forwarded-for: 127.0.0.1, 127.0.0.1"),
        "{head}"
    );
    let ray = first.field("seawall-ray").unwrap();
    let id = ray.split('-').next().unwrap().to_owned();
    assert!(
        head.contains(&format!("seawall-ray: {id}-fra")),
        "{ray}: {head}"
    );
    assert!(!head.contains("seawall-purged"), "{head}");
    // The next one has it from the parent, with its age.
    thread::sleep(Duration::from_millis(1_100));
    let other = get(ams, "/a");
    let said = cache_status(&other);
    assert!(said[0].starts_with("seawall; hit; ttl="), "{said:?}");
    assert_eq!(said[1], "seawall; fwd=uri-miss; stored");
    let age = |answer: &Answer| -> u64 { answer.field("age").unwrap().parse().unwrap() };
    assert!(age(&other) >= 1, "{other:?}");
    let again = get(ams, "/a");
    assert!(
        cache_status(&again)
            .last()
            .unwrap()
            .starts_with("seawall; hit"),
        "{again:?}"
    );
    assert!(age(&again) >= age(&other), "{again:?}");
    assert_eq!(other.body, first.body);
    assert_eq!(site.asked("/a").len(), 1);
    // Compressed for the client alone.
    let flags = [
        "-H",
        "Host: a.test",
        "-H",
        "Accept-Encoding: gzip",
        "--compressed",
    ];
    let packed = curl(&[&flags[..], &[&lhr.url("/packed")]].concat());
    assert_eq!(lines(&packed, "content-encoding"), ["gzip"]);
    assert_eq!(cache_status(&packed).len(), 2);
    assert_eq!(packed.body, get(ams, "/packed").body);
    assert_eq!(site.asked("/packed").len(), 1);
    // What the first edge refuses is asked of nobody.
    assert_eq!(get(lhr, "/no").status, 403);
    assert_eq!(site.asked("/no").len(), 0);
    assert_eq!(get(fra, "/a").body, first.body);
    // All at once, at two locations: once.
    let urls: Vec<String> = (0..8)
        .map(|_| lhr.url("/slow"))
        .chain((0..8).map(|_| ams.url("/slow")))
        .collect();
    thread::scope(|scope| {
        for url in &urls {
            scope.spawn(move || {
                let answer = curl(&["-H", "Host: a.test", url]);
                assert_eq!(answer.status, 200);
            });
        }
    });
    assert_eq!(site.asked("/slow").len(), 1);
    // Who asks oddly is answered by the origin: a parent believes who asks it, and would keep what comes for all.
    let steers = ["-H", "Host: a.test", "-H", "X-Original-URL: /evil"];
    let odd = curl(&[&steers[..], &[&lhr.url("/odd")]].concat());
    assert_eq!(
        cache_status(&odd),
        ["seawall; fwd=uri-miss; detail=odd-request"]
    );
    let next = get(ams, "/odd");
    assert!(cache_status(&next).len() == 2, "{next:?}");
    assert_ne!(next.body, odd.body);
    // A method that changes something goes to the origin, and what the parent has is forgotten.
    let posted = curl(&["-H", "Host: a.test", "-d", "x", &lhr.url("/a")]);
    assert_eq!(posted.status, 200);
    assert_eq!(cache_status(&posted), ["seawall; fwd=method"]);
    until("what was made invalid is fetched anew", || {
        (get(fra, "/a").body != first.body).then_some(())
    });
    // Where it was asked for, what is asked next is new, whether the parent has heard by then or not; and what is kept is that.
    for nth in 0..5 {
        let path = format!("/changed/{nth}");
        let before = get(lhr, &path).body;
        let url = lhr.url(&path);
        let posted = curl(&["-H", "Host: a.test", "-d", "x", &url]);
        assert_eq!(posted.status, 200);
        let after = get(lhr, &path).body;
        assert_ne!(after, before, "{path}");
        assert_eq!(get(lhr, &path).body, after);
    }
    // Once it has heard, it is asked again.
    let mut nth = 0;
    until("the parent is asked for what was made invalid", || {
        nth += 1;
        let answer = get(lhr, &format!("/changed/0?{nth}"));
        (cache_status(&answer).len() == 2).then_some(())
    });
}

/// What a location keeps of its joining, as files for curl.
fn identity(edge: &Up, field: &str) -> String {
    let text = std::fs::read(edge.data().join("location.json")).unwrap();
    let kept: Value = serde_json::from_slice(&text).unwrap();
    let path = edge.data().join(format!("{field}.test.pem"));
    std::fs::write(&path, kept[field].as_str().unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What is answered at a parent's port; none when the handshake fails.
fn at_port(at: SocketAddr, shows: Option<&Up>) -> Option<String> {
    let mut command = curl_command();
    command.args(["-k", "--write-out", "%{response_code}", "-o", "/dev/null"]);
    if let Some(edge) = shows {
        command.args(["--cert", &identity(edge, "certificate")]);
        command.args(["--key", &identity(edge, "tls_key")]);
    }
    let done = finished(command.args(["-H", "Host: a.test", &format!("https://{at}/port")]));
    let status = String::from_utf8_lossy(&done.stdout).into_owned();
    done.status.success().then_some(status)
}

#[test]
fn nobody_but_locations_of_the_fleet_is_let_in_at_the_parents_port() {
    let tiers = Tiers::start("");
    assert_eq!(at_port(tiers.at, Some(&tiers.lhr)), Some("200".into()));
    assert_eq!(at_port(tiers.at, None), None);
    let other = Control::start(20);
    let (code, said) = other.apply(&crate::fleet::first(&crate::origin::nowhere()), &[]);
    assert_eq!(code, Some(0), "{said}");
    let stranger = other.joined("lhr", &[]);
    assert_eq!(at_port(tiers.at, Some(&stranger)), None);
    // Who has left is let in no more, though its certificate is good; and serves on by itself.
    let (code, said) = tiers
        .control
        .asks(&["control", "leave", "ams", "--why", "test"]);
    assert_eq!(code, Some(0), "{said}");
    until("ams is let in no more", || {
        at_port(tiers.at, Some(&tiers.ams)).is_none().then_some(())
    });
    let answer = get(&tiers.ams, "/alone");
    assert_eq!(answer.status, 200);
    assert_eq!(cache_status(&answer), ["seawall; fwd=uri-miss; stored"]);
    assert_eq!(at_port(tiers.at, Some(&tiers.lhr)), Some("200".into()));
}

#[test]
fn purges_reach_both_and_a_dead_parent_costs_nobody_an_answer() {
    let tiers = Tiers::start("[zone.cache]\nshield = \"fra\"\n");
    let (lhr, ams) = (&tiers.lhr, &tiers.ams);
    let before = get(lhr, "/p").body;
    assert_eq!(get(ams, "/p").body, before);
    let words = ["purge", "a.test", "--everything", "--wait"];
    let (code, said) = tiers.control.asks(&words);
    assert_eq!(code, Some(0), "{said}");
    let after = get(lhr, "/p").body;
    assert_ne!(after, before, "the parent had it still");
    assert_eq!(get(ams, "/p").body, after);
    assert_eq!(tiers.site.asked("/p").len(), 2);
    drop(struck(tiers.fra));
    for path in ["/1", "/2", "/3", "/4"] {
        let answer = get(lhr, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(cache_status(&answer), ["seawall; fwd=uri-miss; stored"]);
        assert_eq!(tiers.site.asked(path).len(), 1);
    }
    let state = curl(&[&format!("http://{}/state", lhr.admin())]);
    let state: Value = serde_json::from_slice(&state.body).unwrap();
    let parent = &state["parents"][0];
    assert_eq!(parent["location"], "fra");
    assert!(parent["left_out_in_a_row"].as_u64() >= Some(1), "{parent}");
}

#[test]
fn what_is_too_much_to_be_told_one_by_one_makes_all_of_the_zone_be_told() {
    let tiers = Tiers::start("");
    let (fra, lhr) = (&tiers.fra, &tiers.lhr);
    let before = get(lhr, "/victim").body;
    assert_eq!(get(fra, "/victim").body, before);
    // Nobody hears meanwhile.
    let processes = [fra.pid(), fra.worker_now()];
    for pid in processes {
        send(pid, libc::SIGSTOP);
    }
    let many = lhr.url("/junk?[1-1040]");
    let flags = ["-H", "Host: a.test", "-d", "", "-o", "/dev/null", &many];
    let posted = finished(curl_command().args(flags));
    assert!(posted.status.success(), "{posted:?}");
    let posted = curl(&["-H", "Host: a.test", "-d", "", &lhr.url("/victim")]);
    assert_eq!(posted.status, 200);
    for pid in processes.into_iter().rev() {
        send(pid, libc::SIGCONT);
    }
    until("the parent has heard", || {
        (get(fra, "/victim").body != before).then_some(())
    });
    let mut nth = 0;
    until("the parent is asked again", || {
        nth += 1;
        let answer = get(lhr, &format!("/again/{nth}"));
        (cache_status(&answer).len() == 2).then_some(())
    });
    let after = get(lhr, "/victim").body;
    assert_ne!(after, before);
    assert_eq!(get(fra, "/victim").body, after);
}
