//! A transaction that is left between phases, and what a zone takes out of a rule set.

mod request;

use request::{ON, ask, get, program};
use seawall_model::Fuel;
use seawall_waf::{Body, Exclusion, Nothing, Program, Response, Transaction, Workspace};

fn fired(program: &Program, target: &str, exclusions: &[&Exclusion]) -> Vec<u64> {
    let mut work = Workspace::default();
    let mut nothing = Nothing;
    let request = get(target, &[(b"Cookie", b"_ga=evil; b=2")]);
    let mut transaction = Transaction::new(program, &ON, request, &mut work, &mut nothing);
    for exclusion in exclusions {
        transaction.exclude(exclusion);
    }
    let mut fuel = Fuel::new(1_000_000);
    ask(&mut transaction, &mut fuel);
    transaction.matches().iter().map(|found| found.id).collect()
}

#[test]
fn what_a_zone_excludes_is_not_looked_at() {
    let program = program(
        "SecRule ARGS|REQUEST_COOKIES \"@rx evil\" \"id:10,phase:2,pass,tag:'a/b'\"\n\
         SecRule ARGS \"@contains evil\" \"id:11,phase:2,pass\"",
    );
    let of = |ids: &[&str], tags: &[&str], targets: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        Exclusion::new(&program, &own(ids), &own(tags), &own(targets))
    };
    let all = fired(&program, "/?q=evil", &[]);
    assert_eq!(all, [10, 10, 11][1..]);
    let with = |target: &str, exclusion: &Exclusion| fired(&program, target, &[exclusion]);
    assert_eq!(with("/?q=evil", &of(&["10"], &[], &[]).unwrap()), [11]);
    assert_eq!(with("/?q=evil", &of(&[], &["a/b"], &[]).unwrap()), [11]);
    let ids = of(&["1-99"], &[], &["ARGS:q"]).unwrap();
    assert_eq!(
        with("/?q=evil", &ids),
        [10],
        "the cookie is still looked at"
    );
    assert_eq!(with("/?p=evil", &ids), [10, 11]);
    let cookies = of(&[], &[], &["REQUEST_COOKIES:/^_ga/"]).unwrap();
    assert_eq!(with("/", &cookies), [0u64; 0]);
    for (target, fix) in [("&ARGS", "write \"ARGS\""), ("!ARGS:x", "write \"ARGS:x\"")] {
        let wrongs = of(&["10"], &[], &[target]).unwrap_err();
        let helps: Vec<_> = wrongs.iter().map(|wrong| wrong.help.as_str()).collect();
        assert_eq!(helps, [fix]);
    }
    let wrongs = of(&["12", "x"], &["none"], &["ARGZ"]).unwrap_err();
    let shown: Vec<_> = wrongs.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(
        shown
            .iter()
            .any(|text| text.contains("no rule has the id \"12\""))
    );
}

#[test]
fn a_transaction_goes_on_with_what_it_knew() {
    let program = program(
        "SecResponseBodyAccess On\n\
         SecAction \"id:1,phase:1,pass,nolog,setvar:tx.score=3,setvar:tx.word=abc,setvar:tx.made_%{tx.word}=7,ctl:ruleRemoveById=6\"\n\
         SecRule TX:score \"@eq 3\" \"id:2,phase:3,pass,msg:'%{tx.word}'\"\n\
         SecRule TX:/^made_/ \"@eq 7\" \"id:3,phase:3,pass\"\n\
         SecRule RESPONSE_BODY \"@rx leak\" \"id:4,phase:4,deny\"\n\
         SecRule ARGS \"@rx .\" \"id:5,phase:3,pass\"\n\
         SecAction \"id:6,phase:3,pass\"",
    );
    let (mut work, mut other) = (Workspace::default(), Workspace::default());
    let (mut nothing, mut fuel) = (Nothing, Fuel::new(1_000_000));
    let asked = get("/?q=1", &[]);
    let mut first = Transaction::new(&program, &ON, asked, &mut work, &mut nothing);
    ask(&mut first, &mut fuel);
    let left = first.leave();
    // Somebody else is served meanwhile.
    fired(&program, "/?q=evil", &[]);
    let mut then =
        Transaction::resume(&program, asked, left, &mut other, &mut nothing, &mut fuel).unwrap();
    let response = Response {
        status: 200,
        protocol: b"HTTP/1.1",
        headers: &[(b"Content-Type", b"text/html")],
    };
    then.response_head(response, &mut fuel).unwrap();
    let body = Body {
        bytes: b"a leak",
        cut: false,
    };
    let interrupted = then.response_body(body, &mut fuel).unwrap().cloned();
    assert_eq!(interrupted.map(|found| found.rule), Some(4));
    let ids: Vec<_> = then.matches().iter().map(|found| found.id).collect();
    assert_eq!(ids, [2, 3, 5, 4]);
    assert_eq!(then.matches().first().unwrap().message, "abc");
}

#[test]
fn a_jump_is_told_as_it_is_told_to_who_asks_why() {
    let program = program(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.level=12345\"\n\
         SecRule ARGS \"@rx (evil)\" \"id:2,phase:2,pass,capture\"\n\
         SecRule TX:level \"@gt 2\" \"id:3,phase:2,pass,nolog,skipAfter:END\"\n\
         SecAction \"id:4,phase:2,pass\"\n\
         SecMarker END\n\
         SecAction \"id:5,phase:2,pass\"",
    );
    for explains in [false, true] {
        let (mut work, mut nothing) = (Workspace::default(), Nothing);
        let (request, mut fuel) = (get("/?q=evil", &[]), Fuel::new(1_000_000));
        let mut transaction = Transaction::new(&program, &ON, request, &mut work, &mut nothing);
        if explains {
            transaction.explain();
        }
        ask(&mut transaction, &mut fuel);
        let told = transaction.matches().iter();
        let told = told.map(|found| {
            (
                found.id,
                found.variable.as_str(),
                found.shown(),
                found.piece,
            )
        });
        let expected = [
            (2, "ARGS:q", "»evil«".to_owned(), Some((0, 4))),
            (5, "TX:level", "12345".to_owned(), None),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected, "{explains}");
    }
}

#[test]
fn a_twin_knows_what_its_sibling_has_built() {
    let program = program("SecRule ARGS \"@rx (?i)select.+from\" \"id:10,phase:2,pass\"");
    let mut work = Workspace::default();
    work.warm(&program);
    let (twin, own) = (work.twin().memory().0, work.memory().0);
    assert!(own > 1_000 && twin * 2 > own, "{twin} of {own}");
}
