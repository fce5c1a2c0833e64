//! What is asked with an `Idempotency-Key` is done once, and a key is of one request; emergency switches over HTTP.

use super::{Api, json, said, zone};
use crate::origin::Answering;
use crate::tools::{Answer, curl};
use crate::up::until;

impl Api {
    /// Posts JSON with this key.
    fn posts_once(&self, key: &str, path: &str, body: &str) -> Answer {
        let key = format!("Idempotency-Key: {key}");
        let flags = [
            "-H",
            "Content-Type: application/json",
            "-H",
            &key,
            "-d",
            body,
        ];
        self.ask(&flags, path)
    }

    /// How many entries of this kind the log has.
    fn entries(&self, kind: &str) -> usize {
        let audit = self.get("/audit?limit=1000");
        let entries = audit["entries"].as_array().unwrap().iter();
        entries
            .filter(|entry| entry["what"]["kind"] == kind)
            .count()
    }
}

#[test]
fn the_same_request_again_has_no_second_effect() {
    let site = Answering::start("good");
    let api = Api::start(&zone("a.test", &site.url(), ""));
    let text = zone("a.test", &site.url(), "redirect_https = true\n");
    let once = ["-H", "If-Match: *", "-H", "Idempotency-Key: 7f1c"];
    let put = |token: &str, text: &str| {
        let done = api.put(token, "/zones/a.test/document", text, &once);
        assert_eq!(done.status, 200, "{}", done.text());
        json(&done)["versions"].clone()
    };
    let first = put(&api.token, &text);
    // In between somebody went back: without the key it would be a change again.
    let back = api.post(&api.token, "/zones/a.test/rollback", "{}");
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(put(&api.token, &text), first);
    assert_eq!(
        api.get("/zones/a.test/versions")["versions"][0]["number"],
        3
    );
    // Another token's key is another's.
    let other = api.token("other", &["write:*"]);
    assert_ne!(put(&other, &text), first);
    let pin = ["-X", "PUT", "-H", "Idempotency-Key: p"];
    for _ in 0..2 {
        assert_eq!(api.ask(&pin, "/zones/a.test/pin").status, 204);
    }
    let audit = api.get("/audit");
    let pins = audit["entries"].as_array().unwrap().iter();
    assert_eq!(
        pins.filter(|entry| entry["what"]["kind"] == "pinned")
            .count(),
        1
    );
}

#[test]
fn a_key_is_of_one_request() {
    let site = Answering::start("good");
    let api = Api::start(&zone("a.test", &site.url(), ""));
    let once = ["-H", "If-Match: *", "-H", "Idempotency-Key: k"];
    let text = zone("a.test", &site.url(), "redirect_https = true\n");
    let path = "/zones/a.test/document";
    assert_eq!(api.put(&api.token, path, &text, &once).status, 200);
    let log = api.get("/status")["log"].clone();
    // Other content, another query, another method and path.
    let other = zone("a.test", &site.url(), "websocket = false\n");
    let reused = [
        api.put(&api.token, path, &other, &once),
        api.put(&api.token, &format!("{path}?why=x"), &text, &once),
        api.posts_once("k", "/zones/a.test/rollback", "{}"),
    ];
    for answer in reused {
        assert_eq!(answer.status, 422, "{}", answer.text());
        let told = json(&answer);
        assert_eq!(told["type"], "urn:seawall:problem:key_reused", "{told}");
        assert!(told["detail"].as_str().unwrap().contains("used before"));
    }
    let newest = api.get("/zones/a.test/versions");
    assert_eq!(newest["versions"][0]["number"], 2, "nothing was done");
    let entries = api.get("/audit?limit=1000")["entries"].clone();
    let by_token = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["who"] == "token:admin" && entry["seq"].as_u64() > log.as_u64());
    assert_eq!(by_token.count(), 0);
    // The very same is answered as it was.
    let again = api.put(&api.token, path, &text, &once);
    assert_eq!(json(&again)["versions"][0]["version"], 2);
}

#[test]
fn an_approval_comes_with_its_version_and_an_abort_with_its_way_back() {
    let site = Answering::start("good");
    // Slow enough that it is on its way all the time.
    let api = Api::with(&zone("a.test", &site.url(), ""), &["--speed", "1"]);
    let text = zone("a.test", &site.url(), "redirect_https = true\n");
    let put = |query: &str| {
        let path = format!("/zones/a.test/document{query}");
        let done = api.put(&api.token, &path, &text, &["-H", "If-Match: *"]);
        assert_eq!(done.status, 200, "{}", done.text());
        json(&done)
    };
    let made = put("");
    let rollout = made["versions"][0]["rollout"].clone();
    // It is there already: it is approved, and nothing is made a second time.
    let approved = put("?approve=true");
    assert_eq!(approved["versions"], serde_json::json!([]), "{approved}");
    assert_eq!(approved["unchanged"], 1);
    assert!(approved["notes"][0].as_str().unwrap().contains("goes on"));
    assert_eq!(
        (
            api.entries("approved"),
            put("?approve=true")["notes"][0].is_null()
        ),
        (1, true)
    );

    let abort = || {
        api.posts_once(
            "ab",
            &format!("/rollouts/{rollout}/abort"),
            r#"{"why":"no"}"#,
        )
    };
    assert_eq!((abort().status, abort().status), (204, 204));
    let versions = api.get("/zones/a.test/versions");
    assert_eq!(
        versions["versions"][0]["number"], 3,
        "one way back: {versions}"
    );
    assert_eq!(api.get(&format!("/rollouts/{rollout}"))["ended"], false);
    // The end and the way back are of one request.
    let entries = api.get("/audit?limit=1000")["entries"].clone();
    let of_abort = entries.as_array().unwrap().iter();
    let of_abort = of_abort.filter(|entry| entry["why"] == "no");
    let kinds: Vec<_> = of_abort
        .map(|entry| entry["what"]["kind"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["rollout_started", "version_created", "rollout_ended"],
        "newest first"
    );
    let applied = put("?approve=true");
    let rollout = &applied["versions"][0]["rollout"];
    let entries = api.get("/audit?limit=1000")["entries"].clone();
    let is_it = |entry: &serde_json::Value| {
        entry["what"]["kind"] == "approved" && entry["what"]["rollout"] == *rollout
    };
    assert!(entries.as_array().unwrap().iter().any(is_it), "{applied}");
}

#[test]
fn a_stage_is_switched_off_and_on_over_the_api() {
    let site = Answering::start("good");
    let rule = "[[zone.rule]]\nwhen = 'http.request.uri.path eq \"/no\"'\naction = \"block\"\n";
    let api = Api::start(&zone("a.test", &site.url(), rule));
    let get = || curl(&["-H", "Host: a.test", &api.up.url("/no")]).status;
    assert_eq!(get(), 403);
    let writer = api.token("writer", &["write:*", "rollouts"]);
    let body = r#"{"stage":"rules","zone":"a.test","seconds":604800,"why":"it blocks"}"#;
    assert_eq!(api.post(&writer, "/kills", body).status, 403);
    for (wrong, status) in [
        (r#"{"stage":"rules","zone":"a.test","seconds":60}"#, 400),
        (r#"{"stage":"rules","seconds":60,"why":" "}"#, 409),
        (r#"{"stage":"rules","seconds":0,"why":"x"}"#, 409),
        (r#"{"stage":"nonsense","seconds":60,"why":"x"}"#, 409),
        (
            r#"{"stage":"rules","zone":"b.test","seconds":60,"why":"x"}"#,
            409,
        ),
        (
            r#"{"stage":"rules","location":"lhr","seconds":60,"why":"x"}"#,
            409,
        ),
    ] {
        let answer = api.post(&api.token, "/kills", wrong);
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text());
    }
    // Sent twice, it is one switch.
    let kill = || api.posts_once("k1", "/kills", body);
    let (first, again) = (kill(), kill());
    assert_eq!((first.status, again.status), (201, 201), "{}", first.text());
    assert_eq!(json(&first), json(&again));
    assert_eq!(api.entries("kill_set"), 1);
    assert!(api.ended(&json(&first)["rollout"]), "it is everywhere");
    until("the switch", || (get() == 200).then_some(()));
    let end = ["-X", "DELETE", "-H", "Idempotency-Key: k2"];
    let path = "/kills?stage=rules&zone=a.test&why=mended";
    assert_eq!(
        (api.ask(&end, path).status, api.ask(&end, path).status),
        (204, 204)
    );
    until("its end", || (get() == 403).then_some(()));
    assert_eq!(api.ask(&["-X", "DELETE"], path).status, 409, "none is set");
    assert_eq!(api.ask(&["-X", "DELETE"], "/kills").status, 400);

    let killer = api.token("killer", &["kills", "read"]);
    let words = [
        "kill", "rules", "--zone", "a.test", "--for", "7d", "--why", "again", "--wait",
    ];
    let output = api.seawall(&killer, &words);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("everywhere"), "{}", said(&output));
    until("the switch", || (get() == 200).then_some(()));
    let output = api.seawall(&killer, &["kill", "rules", "--zone", "a.test", "--end"]);
    assert!(output.status.success(), "{}", said(&output));
    until("its end", || (get() == 403).then_some(()));
}
