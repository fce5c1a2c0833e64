mod bodies;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::program::Options;
use crate::seclang::{File, RuleSet};

fn program(rules: &str) -> Program {
    let file = File {
        name: "a.conf",
        text: rules,
    };
    RuleSet::parse(&[file], &|_| Some(b"needle\nother".to_vec()))
        .unwrap_or_else(|problems| panic!("{problems}"))
        .compile(Options::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// What came of a request: ids that matched, what interrupted, and what a look at the transaction gives.
struct Came {
    ids: Vec<u64>,
    interrupted: Option<Interrupted>,
    would: Option<Interrupted>,
    first: Option<Match>,
    opened: Vec<Collection>,
}

struct Sent<'s> {
    target: &'s str,
    headers: &'s [(&'s str, &'s str)],
    body: &'s str,
}

const PLAIN: Sent<'static> = Sent {
    target: "/a/b.php?x=1&y=%41b",
    headers: &[("Host", "shop.test:8080"), ("Cookie", "c=d; e")],
    body: "",
};

fn play(rules: &str, sent: &Sent<'_>, engine: Engine) -> Came {
    play_with(rules, sent, engine, &mut Nothing)
}

fn play_with(
    rules: &str,
    sent: &Sent<'_>,
    engine: Engine,
    collections: &mut dyn Collections,
) -> Came {
    play_in(rules, sent, engine, collections, &mut Workspace::default())
}

fn play_in(
    rules: &str,
    sent: &Sent<'_>,
    engine: Engine,
    collections: &mut dyn Collections,
    work: &mut Workspace,
) -> Came {
    let program = program(rules);
    let headers: Vec<(&[u8], &[u8])> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let line = format!("POST {} HTTP/1.1", sent.target);
    let local = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let request = Request {
        client: local,
        client_port: 4000,
        server: local,
        server_port: 443,
        line: line.as_bytes(),
        method: b"POST",
        target: sent.target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        unique_id: b"ray",
        time: 1_790_000_000,
    };
    let zone = Zone {
        engine: Some(engine),
        variables: vec![("preset".into(), "7".into())],
        partial: false,
    };
    let mut fuel = Fuel::new(100_000_000);
    let mut transaction = Transaction::new(&program, &zone, request, work, collections);
    let body = Body {
        bytes: sent.body.as_bytes(),
        cut: false,
    };
    let response = Response {
        status: 500,
        protocol: b"HTTP/1.1",
        headers: &[(b"Content-Type", b"text/html")],
    };
    transaction.request_head(&mut fuel).unwrap();
    transaction.request_body(body, &mut fuel).unwrap();
    transaction.response_head(response, &mut fuel).unwrap();
    let page = Body {
        bytes: b"an error of sql",
        cut: false,
    };
    transaction.response_body(page, &mut fuel).unwrap();
    transaction.log(&mut fuel).unwrap();
    Came {
        ids: transaction
            .matches()
            .iter()
            .map(|matched| matched.id)
            .collect(),
        interrupted: transaction.interrupted().cloned(),
        would: transaction.would_interrupt().cloned(),
        first: transaction.matches().first().cloned(),
        opened: transaction.opened().to_vec(),
    }
}

fn ids(rules: &str) -> Vec<u64> {
    play(rules, &PLAIN, Engine::On).ids
}

#[test]
fn a_rule_interrupts_only_where_the_engine_is_on() {
    let rules = "SecRule ARGS:x \"@streq 1\" \"id:1,phase:1,deny,status:406,msg:'%{matched_var_name} is %{matched_var}'\"\n\
                 SecAction \"id:2,phase:2,pass\"\nSecAction \"id:3,phase:5,pass\"";
    let came = play(rules, &PLAIN, Engine::On);
    let interrupted = Interrupted {
        rule: 1,
        how: Interruption::Deny(406),
    };
    assert_eq!(came.interrupted, Some(interrupted.clone()));
    assert_eq!(came.ids, [1, 3]);
    let first = came.first.unwrap();
    assert_eq!(
        (first.message.as_str(), first.variable.as_str()),
        ("ARGS:x is 1", "ARGS:x")
    );
    let came = play(rules, &PLAIN, Engine::DetectionOnly);
    assert_eq!((came.interrupted, came.would), (None, Some(interrupted)));
    assert_eq!(came.ids, [1, 2, 3]);
    assert!(play(rules, &PLAIN, Engine::Off).ids.is_empty());
}

#[test]
fn a_secret_is_masked_wherever_rules_take_it() {
    let sent = Sent {
        target: "/?password=hunter2&q=plain",
        headers: &[
            ("Cookie", "c=hunter2 union select"),
            ("Authorization", "Bearer hunter2 union select"),
        ],
        body: "",
    };
    let first = |rules: &str| play(rules, &sent, Engine::On).first.unwrap();
    let chain = |of: &str, then: &str| {
        format!(
            "SecRule {of} \"@rx (hunter\\d union)\" \"id:1,phase:1,pass,capture,chain,msg:'m %{{TX.0}} %{{MATCHED_VAR}}'\"\n\
             SecRule {then} \"@rx union\" \"capture\""
        )
    };
    let authorization = "REQUEST_HEADERS:Authorization";
    for (rules, variable) in [
        (chain("REQUEST_COOKIES", "MATCHED_VAR"), "MATCHED_VAR"),
        (
            chain("REQUEST_COOKIES", "MATCHED_VARS"),
            "MATCHED_VARS:REQUEST_COOKIES:c",
        ),
        (chain(authorization, "MATCHED_VAR"), "MATCHED_VAR"),
        (chain(authorization, "TX:1"), "TX:1"),
    ] {
        let first = first(&rules);
        assert_eq!(first.variable, variable);
        assert!(first.value.starts_with(b"hunter2") || first.value.starts_with(b"Bearer"));
        assert!(
            first.shown().contains("******* »union«"),
            "{}",
            first.shown()
        );
        assert!(first.message.starts_with("m *"), "{}", first.message);
        assert!(!first.message.contains("hunter2"), "{}", first.message);
    }
    let kept = first(
        "SecRule ARGS:password \"@rx (.+)\" \"id:1,phase:1,pass,nolog,capture,setvar:'tx.kept=a %{tx.1}'\"\n\
         SecRule TX:kept \"@rx ^a\" \"id:2,phase:1,pass,capture,msg:'%{tx.kept}'\"",
    );
    assert_eq!((kept.id, kept.value.as_slice()), (2, &b"a hunter2"[..]));
    let told = (kept.shown(), kept.message);
    assert_eq!(told, ("»a« *******".to_owned(), "* *******".to_owned()));
    // What is nobody's secret is told.
    let plain = first(
        "SecRule ARGS:q \"@rx (\\w+)\" \"id:1,phase:1,pass,capture,msg:'%{tx.1} in %{matched_var}'\"",
    );
    assert_eq!(plain.message, "plain in plain");
    assert_eq!(plain.shown(), "»plain«");
}

#[test]
fn bodies_and_the_page_before_are_masked() {
    let sent = Sent {
        target: "/",
        headers: &[
            ("Content-Type", "text/xml"),
            ("Referer", "http://a.test/?token=hunter2"),
        ],
        body: "<a b='hunter2'><password>hunter2</password></a>",
    };
    for (target, phase, shown) in [
        ("XML:/*", 2, "»*******«"),
        ("XML://@*", 2, "»*******«"),
        (
            "REQUEST_HEADERS:Referer",
            1,
            "****://*.****/?*****=»hunter2«",
        ),
        // The page that the requests of these tests get.
        ("RESPONSE_BODY", 4, "** ***** ** »sql«"),
    ] {
        let rules = format!(
            "SecResponseBodyAccess On\n\
             SecRule {target} \"@rx hunter2|sql\" \"id:1,phase:{phase},pass,capture,msg:'m %{{MATCHED_VAR}}'\""
        );
        let first = play(&rules, &sent, Engine::On).first.unwrap();
        assert_eq!(first.shown(), shown, "{target}");
        let is_told = ["hunter2", "sql"].map(|word| first.message.contains(word));
        assert_eq!(is_told, [false; 2], "{}", first.message);
    }
}

#[test]
fn names_are_kept_and_what_only_stands_where_one_would_is_not() {
    let sent = Sent {
        target: "/?of-query&q=1",
        headers: &[
            ("Cookie", "of-cookie; c=d"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        body: "of-body",
    };
    let rules = "SecRule ARGS_NAMES|REQUEST_COOKIES|REQUEST_COOKIES_NAMES \"@rx ^of-\" \"id:1,phase:2,pass\"";
    let mut work = Workspace::default();
    let came = play_in(rules, &sent, Engine::On, &mut Nothing, &mut work);
    assert_eq!(came.ids, [1], "they are looked at");
    for (text, is_kept) in [
        ("q", true),
        ("c", true),
        ("of-query", false),
        ("of-cookie", false),
        ("of-body", false),
    ] {
        let id = work.texts.add(text.as_bytes());
        assert_eq!(id.is_kept(), is_kept, "{text}");
    }
}

#[test]
fn every_link_of_a_chain_has_to_match() {
    let chain = |second: &str| {
        format!(
            "SecRule ARGS \"@rx ^(\\d)\" \"id:1,phase:1,pass,capture,chain,setvar:tx.seen=1\"\nSecRule {second} \"t:none\"\n\
             SecRule TX:seen \"@eq 1\" \"id:2,phase:1,pass\""
        )
    };
    assert_eq!(ids(&chain("MATCHED_VAR \"@streq 1\"")), [1, 2]);
    assert_eq!(ids(&chain("TX:1 \"@eq 1\"")), [1, 2]);
    assert_eq!(ids(&chain("MATCHED_VARS_NAMES \"@streq ARGS:x\"")), [1, 2]);
    // What the first link did stays done.
    assert_eq!(ids(&chain("TX:1 \"@eq 2\"")), [2]);
}

#[test]
fn variables_have_their_values() {
    for (condition, holds) in [
        ("ARGS:y \"@streq Ab\"", true),
        ("&ARGS \"@eq 2\"", true),
        ("ARGS|!ARGS:x|!ARGS:/^Y$/ \"@unconditionalMatch\"", false),
        ("ARGS_NAMES \"@within x y\"", true),
        ("REQUEST_COOKIES:c \"@streq d\"", true),
        ("REQUEST_COOKIES_NAMES \"@streq e\"", true),
        ("REQUEST_FILENAME \"@endsWith .php\"", true),
        ("REQUEST_BASENAME \"@streq b.php\"", true),
        ("QUERY_STRING \"@beginsWith x=1\"", true),
        ("SERVER_NAME \"@streq shop.test\"", true),
        ("REMOTE_ADDR \"@ipMatch 192.0.2.0/24,10.0.0.1\"", true),
        ("REMOTE_ADDR \"@ipMatch 10.0.0.1\"", false),
        ("REQUEST_HEADERS:host \"@contains shop\"", true),
        ("REQUEST_METHOD \"!@streq GET\"", true),
        ("TX:preset \"@eq 7\"", true),
        ("&TX:nothing \"@eq 0\"", true),
        ("TX:nothing \"@eq 0\"", false),
        ("TIME_YEAR \"@eq 2026\"", true),
        ("TIME \"@rx ^14:13:20$\"", true),
        ("ARGS_COMBINED_SIZE \"@eq 5\"", true),
        ("REQUEST_URI_RAW \"@pmFromFile x.data\"", false),
        ("UNIQUE_ID \"@streq ray\"", true),
    ] {
        let rule = format!("SecRule {condition} \"id:1,phase:1,pass\"");
        assert_eq!(ids(&rule) == [1], holds, "{condition}");
    }
}

#[test]
fn bodies_become_variables() {
    let json = Sent {
        target: "/",
        headers: &[("Content-Type", "application/json; charset=utf-8")],
        body: r#"{"a":{"b":"needle"},"c":[1,2]}"#,
    };
    let rules = "SecRule ARGS:json.a.b \"@pm needle\" \"id:1,phase:2,pass\"\nSecRule &ARGS:json.c \"@eq 2\" \"id:2,phase:2,pass\"\n\
                 SecRule REQBODY_ERROR \"@eq 1\" \"id:3,phase:2,pass\"\nSecRule REQUEST_BODY \"@unconditionalMatch\" \"id:4,phase:2,pass\"";
    assert_eq!(play(rules, &json, Engine::On).ids, [1, 2]);
    let broken = Sent {
        body: "{\"a\":",
        ..json
    };
    assert_eq!(play(rules, &broken, Engine::On).ids, [3]);
    let xml = Sent {
        target: "/",
        headers: &[("Content-Type", "text/xml")],
        body: "<a b='needle'>other</a>",
    };
    let rules = "SecRule XML:/* \"@streq other\" \"id:1,phase:2,pass\"\nSecRule XML://@* \"@streq needle\" \"id:2,phase:2,pass\"";
    assert_eq!(play(rules, &xml, Engine::On).ids, [1, 2]);
}

#[test]
fn responses_are_looked_at() {
    let rules = "SecRule RESPONSE_STATUS \"@ge 500\" \"id:1,phase:3,pass\"\nSecRule RESPONSE_BODY \"@rx sql$\" \"id:2,phase:4,deny\"\n\
                 SecRule RESPONSE_HEADERS:content-type \"@beginsWith text/\" \"id:3,phase:4,pass\"";
    let came = play(rules, &PLAIN, Engine::On);
    assert_eq!(came.ids, [1, 2]);
    assert_eq!(came.interrupted.map(|it| it.rule), Some(2));
}

#[test]
fn jumps_pass_rules_over() {
    let rules = "SecAction \"id:1,phase:1,pass,skipAfter:END\"\nSecAction \"id:2,phase:1,pass\"\nSecMarker END\n\
                 SecAction \"id:3,phase:1,pass,skip:1\"\nSecAction \"id:4,phase:1,pass\"\nSecAction \"id:5,phase:1,allow:phase\"\n\
                 SecAction \"id:6,phase:1,pass\"\nSecAction \"id:7,phase:2,allow\"\nSecAction \"id:8,phase:3,pass\"\nSecAction \"id:9,phase:5,pass\"";
    assert_eq!(ids(rules), [1, 3, 5, 7, 9]);
    let problems = RuleSet::parse(
        &[File {
            name: "a",
            text: "SecAction \"id:1,phase:1,pass,skipAfter:NOWHERE\"\nSecRule ARGS \"@rx (a\" \"id:2\"",
        }],
        &|_| None,
    )
    .unwrap()
    .compile(Options::default())
    .unwrap_err();
    let shown: Vec<_> = problems.list.iter().map(|problem| problem.line).collect();
    assert_eq!(shown, [Some(2), Some(1)]);
}

#[test]
fn ctl_changes_what_runs() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10-11,ctl:ruleRemoveByTag=^off$,ctl:ruleRemoveTargetById=13;ARGS:x\"\n\
                 SecAction \"id:10,phase:1,pass\"\nSecAction \"id:12,phase:1,pass,tag:off\"\n\
                 SecRule ARGS \"@streq 1\" \"id:13,phase:1,pass\"\nSecRule ARGS \"@streq 1\" \"id:14,phase:1,pass\"\n\
                 SecAction \"id:15,phase:1,pass,ctl:ruleEngine=Off\"\nSecAction \"id:16,phase:1,pass\"";
    assert_eq!(ids(rules), [14, 15]);
}

#[test]
fn multi_match_asks_after_each_step() {
    let rule = |more: &str| {
        format!("SecRule ARGS:y \"@rx ^Ab$\" \"id:1,phase:1,pass,t:none,t:lowercase{more}\"")
    };
    assert!(ids(&rule("")).is_empty());
    assert_eq!(ids(&rule(",multiMatch")), [1]);
}

#[test]
fn scores_add_up_for_each_match() {
    let rules = "SecRule ARGS \"@unconditionalMatch\" \"id:1,phase:1,pass,nolog,setvar:tx.score=+%{tx.preset},setvar:'tx.by_%{matched_var_name}=1'\"\n\
                 SecRule TX:score \"@eq 14\" \"id:2,phase:1,pass\"\nSecRule &TX:/^by_args:/ \"@eq 2\" \"id:3,phase:1,pass\"\n\
                 SecAction \"id:4,phase:1,pass,nolog,setvar:tx.score=-4,setvar:!tx.preset\"\nSecRule TX:score \"@eq 10\" \"id:5,phase:1,pass,chain\"\n\
                 SecRule &TX:preset \"@eq 0\"";
    assert_eq!(ids(rules), [2, 3, 5]);
}

#[derive(Default)]
struct Known(Vec<crate::Change>);

impl Collections for Known {
    fn write(&mut self, name: &'static str, key: &[u8], changes: Vec<crate::Change>) {
        assert_eq!((name, key), ("IP", &b"192.0.2.7"[..]));
        self.0.extend(changes);
    }

    fn read(&mut self, name: &'static str, key: &[u8]) -> Vec<Kept> {
        assert_eq!((name, key), ("IP", &b"192.0.2.7"[..]));
        let kept = |name: &[u8], value: &[u8], ends| Kept {
            name: name.to_vec(),
            value: value.to_vec(),
            ends,
        };
        vec![kept(b"hits", b"2", u64::MAX), kept(b"old", b"1", 5)]
    }
}

#[test]
fn collections_outlive_requests() {
    let rules = "SecRule &IP:hits \"@gt 0\" \"id:9,phase:1,pass\"\nSecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}\"\n\
                 SecRule IP:hits \"@eq 2\" \"id:2,phase:1,pass,setvar:ip.hits=+1,expirevar:ip.hits=60,setvar:ip.new=a\"\n\
                 SecRule &IP:old \"@eq 0\" \"id:3,phase:1,pass\"";
    let mut known = Known::default();
    let came = play_with(rules, &PLAIN, Engine::On, &mut known);
    assert_eq!(came.ids, [2, 3]);
    let open = came.opened.first().unwrap();
    assert!(open.changed);
    let shown: Vec<_> = open
        .values
        .iter()
        .map(|kept| (kept.name.as_slice(), kept.value.as_slice(), kept.ends))
        .collect();
    assert_eq!(
        shown,
        [
            (&b"hits"[..], &b"3"[..], 1_790_000_060),
            (b"old", b"1", 5),
            (b"new", b"a", 1_790_003_600)
        ]
    );
    let change = |name: &[u8], how, ends| crate::Change {
        name: name.to_vec(),
        how,
        ends,
    };
    let mut open = came.opened.first().unwrap().clone();
    assert_eq!(
        open.take_changes(),
        [
            change(b"hits", crate::How::By(1), 1_790_000_060),
            change(b"new", crate::How::To(b"a".to_vec()), 1_790_003_600),
        ]
    );
    assert_eq!(open.take_changes(), []);
}

/// What a request does to `IP:hits`, which is 2 before.
fn hits_change(actions: &str) -> Vec<(crate::How, u64)> {
    let rules = format!(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{{REMOTE_ADDR}}\"\nSecAction \"id:2,phase:1,pass,nolog,{actions}\""
    );
    let came = play_with(&rules, &PLAIN, Engine::On, &mut Known::default());
    let mut open = came.opened.first().unwrap().clone();
    let changes = open.take_changes().into_iter();
    changes.map(|change| (change.how, change.ends)).collect()
}

#[test]
fn what_is_counted_is_a_difference_and_what_is_set_is_none() {
    use crate::How::{By, Gone, To};
    let to = |text: &str| To(text.into());
    let (kept, anew) = (u64::MAX, 1_790_003_600);
    for (actions, how, ends) in [
        ("setvar:ip.hits=+3", By(3), kept),
        ("setvar:ip.hits=-1", By(-1), kept),
        ("setvar:ip.hits=1", to("1"), kept),
        ("setvar:ip.hits=2", to("2"), kept),
        ("setvar:ip.hits=%{tx.preset}", to("7"), kept),
        ("setvar:ip.hits=5,setvar:ip.hits=+1", to("6"), kept),
        ("setvar:ip.hits=+1,setvar:ip.hits=5", to("5"), kept),
        ("setvar:!ip.hits", Gone, 0),
        ("setvar:!ip.hits,expirevar:ip.hits=60", Gone, 0),
        ("setvar:!ip.hits,setvar:ip.hits=+1", to("1"), anew),
        ("setvar:ip.new=+1", By(1), anew),
        ("setvar:ip.new=1", to("1"), anew),
    ] {
        assert_eq!(hits_change(actions), [(how, ends)], "{actions}");
    }
}

#[test]
fn what_rules_change_is_seen_by_the_next_ones() {
    let looks = |from: u64| {
        format!(
            "SecRule HIGHEST_SEVERITY \"@lt 3\" \"id:{from},phase:1,pass\"\n\
             SecRule USERID \"@rx ^bob\" \"id:{},phase:1,pass\"\n\
             SecRule ARGS|SESSIONID \"@pm alice\" \"id:{},phase:1,pass\"\n\
             SecRule REQBODY_PROCESSOR \"@rx XML\" \"id:{},phase:1,pass\"\n",
            from + 1,
            from + 2,
            from + 3
        )
    };
    let changes = "SecAction \"id:5,phase:1,pass,nolog,severity:CRITICAL,setuid:bob,setsid:alice,ctl:requestBodyProcessor=XML\"\n";
    let rules = format!("{}{changes}{}", looks(1), looks(11));
    assert_eq!(ids(&rules), [11, 12, 13, 14]);
}

#[test]
fn what_is_allowed_would_not_be_refused() {
    let would = |rules: &str| {
        let on = play(rules, &PLAIN, Engine::On);
        let detects = play(rules, &PLAIN, Engine::DetectionOnly);
        assert_eq!(detects.interrupted, None);
        assert_eq!(on.interrupted, detects.would, "{rules}");
        assert_eq!(on.would, None);
        (detects.would.map(|would| would.rule), detects.ids)
    };
    let deny = |id: u64, phase: u8| format!("SecAction \"id:{id},phase:{phase},deny\"\n");
    let allow = |phase: u8, what: &str| format!("SecAction \"id:1,phase:{phase},nolog,{what}\"\n");
    let all = [allow(1, "allow"), deny(2, 1), deny(3, 2), deny(4, 4)].concat();
    assert_eq!(would(&all), (None, vec![2, 3, 4]));
    let phase = [allow(1, "allow:phase"), deny(2, 1), deny(3, 2)].concat();
    assert_eq!(would(&phase), (Some(3), vec![2, 3]));
    let request = [allow(1, "allow:request"), deny(2, 2), deny(3, 3)].concat();
    assert_eq!(would(&request), (Some(3), vec![2, 3]));
    let late = [deny(2, 1), allow(2, "allow")].concat();
    assert_eq!(would(&late), (Some(2), vec![2]));
    // What is only logged interrupts nothing.
    assert_eq!(would(&deny(2, 5)), (None, vec![2]));
}

#[test]
fn without_fuel_nothing_is_judged() {
    let program = program("SecRule ARGS \"@rx a.*b\" \"id:1,phase:1,deny\"");
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = Request {
        client: local,
        client_port: 1,
        server: local,
        server_port: 1,
        line: b"GET /?x=ab HTTP/1.1",
        method: b"GET",
        target: b"/?x=ab",
        protocol: b"HTTP/1.1",
        headers: &[],
        unique_id: b"",
        time: 0,
    };
    let mut work = Workspace::default();
    let mut nothing = Nothing;
    let zone = Zone::default();
    let mut least = 0;
    loop {
        let mut transaction = Transaction::new(&program, &zone, request, &mut work, &mut nothing);
        let mut fuel = Fuel::new(least);
        if transaction.request_head(&mut fuel).is_ok() {
            assert!(transaction.interrupted().is_some());
            break;
        }
        assert!(transaction.matches().is_empty() || transaction.interrupted().is_none());
        least += 10;
    }
    assert!(least > 50);
}
