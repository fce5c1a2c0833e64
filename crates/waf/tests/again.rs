//! A workspace that has seen requests says of the next one what a new one says: what is kept from one to the next changes nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod request;

use request::{ask, get, program};
use seawall_model::Fuel;
use seawall_waf::{Engine, Exclusion, Match, Nothing, Program, Transaction, Workspace, Zone};

/// Settings with defaults first, as rule sets have them; then rules that look at requests.
const RULES: &str = "\
SecRequestBodyAccess On
SecRule &TX:level \"@eq 0\" \"id:1,phase:1,pass,nolog,setvar:tx.level=1\"
SecRule &TX:word \"@eq 0\" \"id:2,phase:1,pass,nolog,setvar:tx.word=default\"
SecAction \"id:3,phase:1,pass,nolog,setvar:tx.sum=+%{tx.level},setvar:tx.same=%{tx.word}\"
SecRule TX:level \"@lt 2\" \"id:4,phase:1,pass,nolog,skipAfter:END-1\"
SecAction \"id:5,phase:1,pass,nolog,setvar:tx.sum=+10\"
SecMarker END-1
SecRule REQUEST_HEADERS:User-Agent \"@rx (?i)evil\" \"id:10,phase:1,pass,msg:'%{tx.sum} %{tx.same}',t:lowercase\"
SecRule ARGS \"@pm union select\" \"id:11,phase:2,pass,t:urlDecodeUni,t:lowercase\"
SecRule ARGS|REQUEST_HEADERS \"@detectSQLi\" \"id:12,phase:2,pass\"
SecRule TX:level \"@ge 2\" \"id:13,phase:2,pass,msg:'%{tx.level}'\"
SecRule ARGS_NAMES \"@streq q\" \"id:14,phase:2,pass\"
";

fn zone(variables: &[(&str, &str)]) -> Zone {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Zone {
        engine: Some(Engine::DetectionOnly),
        variables: variables.iter().map(own).collect(),
        partial: false,
    }
}

#[derive(Clone, Copy)]
struct Sent {
    target: &'static str,
    agent: &'static str,
    explains: bool,
}

/// What matched.
fn play(
    program: &Program,
    zone: &Zone,
    sent: Sent,
    exclusion: Option<&Exclusion>,
    work: &mut Workspace,
) -> Vec<Match> {
    let headers: [(&[u8], &[u8]); 2] =
        [(b"User-Agent", sent.agent.as_bytes()), (b"Host", b"a.test")];
    let request = get(sent.target, &headers);
    let (mut nothing, mut fuel) = (Nothing, Fuel::new(10_000_000));
    let mut transaction = Transaction::new(program, zone, request, work, &mut nothing);
    if sent.explains {
        transaction.explain();
    }
    if let Some(exclusion) = exclusion {
        transaction.exclude(exclusion);
    }
    ask(&mut transaction, &mut fuel);
    transaction.log(&mut fuel).unwrap();
    transaction.matches().to_vec()
}

#[test]
fn what_is_kept_changes_nothing() {
    let (program, other) = (program(RULES), program(RULES));
    let zones = [
        zone(&[]),
        zone(&[("level", "2")]),
        zone(&[("level", "3"), ("word", "of the zone")]),
        zone(&[("word", "of another")]),
    ];
    let first = Exclusion::new(&program, &["1-3".into()], &[], &[]).unwrap();
    let last = Exclusion::new(&program, &["10".into()], &[], &[]).unwrap();
    let target = Exclusion::new(&program, &["4".into()], &[], &["TX:level".into()]).unwrap();
    let exclusions = [None, Some(&first), Some(&last), Some(&target)];
    let asked = [
        ("/", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("/?q=1", "EVIL/1"),
        ("/?q=union+select", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("/?EVIL/1=1%27%20or%20%271%27=%271", "EVIL/1"),
        ("/?q=EVIL/1", "1' or '1'='1"),
        ("/", ""),
    ];
    let mut work = Workspace::default();
    let mut seen = 0;
    for round in 0..3 {
        for zone in &zones {
            for (target, agent) in asked {
                for exclusion in exclusions {
                    let explains = round == 1;
                    let sent = Sent {
                        target,
                        agent,
                        explains,
                    };
                    let new = play(&program, zone, sent, exclusion, &mut Workspace::default());
                    let again = play(&program, zone, sent, exclusion, &mut work);
                    assert_eq!(again, new, "{target} {agent} {zone:?} in round {round}");
                    seen += new.len();
                }
            }
        }
        // What is known of one program's texts is nothing to another's.
        let sent = Sent {
            target: "/?q=EVIL/1",
            agent: "EVIL/1",
            explains: false,
        };
        play(&other, &zones[0], sent, None, &mut work);
    }
    assert!(seen > 300, "{seen} matches");
}

#[test]
fn what_was_begun_with_the_engine_off_is_nothing_to_who_has_it_on() {
    let program = program(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.sum=+1\"\n\
         SecRule ARGS \"@streq 1\" \"id:2,phase:1,pass,msg:'%{tx.sum}'\"",
    );
    let sent = Sent {
        target: "/?q=1",
        agent: "",
        explains: false,
    };
    let on = zone(&[]);
    let off = Zone {
        engine: Some(Engine::Off),
        ..zone(&[])
    };
    let mut work = Workspace::default();
    for (zone, expected) in [
        (&off, None),
        (&on, Some("1")),
        (&off, None),
        (&on, Some("1")),
    ] {
        let came = play(&program, zone, sent, None, &mut work);
        let first = came.first().map(|found| found.message.as_str());
        assert_eq!(first, expected, "{zone:?}");
    }
}

#[test]
fn the_first_rules_are_paid_for_once() {
    let program = program(RULES);
    let mut work = Workspace::default();
    let sent = Sent {
        target: "/",
        agent: "evil",
        explains: false,
    };
    let zone = zone(&[("level", "2")]);
    let shown = |work: &mut Workspace| play(&program, &zone, sent, None, work);
    let first = shown(&mut work);
    assert_eq!(first, shown(&mut work));
    let first = first.first().unwrap();
    assert_eq!((first.id, first.message.as_str()), (10, "12 default"));
}

#[test]
fn an_attack_behind_many_cookies_is_found() {
    let program = program("SecRule REQUEST_COOKIES \"@contains evil\" \"id:1,phase:1,pass\"");
    let mut line = "a;".repeat(20_000);
    line.push_str(" b=evil");
    let headers: [(&[u8], &[u8]); 1] = [(b"Cookie", line.as_bytes())];
    let request = get("/", &headers);
    let (mut work, mut nothing) = (Workspace::default(), Nothing);
    let mut fuel = Fuel::new(10_000_000);
    let zone = zone(&[]);
    let mut transaction = Transaction::new(&program, &zone, request, &mut work, &mut nothing);
    transaction.request_head(&mut fuel).unwrap();
    assert_eq!(transaction.matches().len(), 1);
}
