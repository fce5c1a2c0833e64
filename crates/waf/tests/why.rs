//! Why a request was refused: what became of each rule, what matched, and that no secret is shown.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use request::{ON, ask, get, program};
use seawall_model::Fuel;
use seawall_waf::{Came, Exclusion, Match, Nothing, Transaction, Workspace};

const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1"
SecRule TX:level "@lt 2" "id:2,phase:2,pass,nolog,skipAfter:end"
SecRule ARGS "@rx never" "id:3,phase:2,pass"
SecMarker end
SecRule TX:level "@gt 2" "id:4,phase:2,pass"
SecRule ARGS "@rx absent" "id:5,phase:2,pass"
SecRule ARGS "@streq other" "id:6,phase:2,pass"
SecRule ARGS|REQUEST_COOKIES "@rx union select" "id:7,phase:2,pass,capture"
SecRule ARGS "@rx union" "id:8,phase:2,pass"
"#;

fn played(target: &str, cookie: &str) -> (Vec<(u64, Came)>, Vec<Match>) {
    let program = program(RULES);
    let headers: [(&[u8], &[u8]); 1] = [(b"Cookie", cookie.as_bytes())];
    let request = get(target, &headers);
    let (mut work, mut nothing) = (Workspace::default(), Nothing);
    let mut transaction = Transaction::new(&program, &ON, request, &mut work, &mut nothing);
    let eighth = Exclusion::new(&program, &["8".to_owned()], &[], &[]).unwrap();
    transaction.exclude(&eighth);
    transaction.explain();
    let mut fuel = Fuel::new(10_000_000);
    ask(&mut transaction, &mut fuel);
    let looked = transaction.looked().iter();
    let looked = looked.map(|looked| (looked.id, looked.came)).collect();
    (looked, transaction.matches().to_vec())
}

#[test]
fn each_rule_says_what_became_of_it() {
    let (looked, _) = played("/?q=a+union+select+b", "");
    let expected = [
        (1, Came::Matched),
        (2, Came::Matched),
        (4, Came::Gated),
        (5, Came::Absent),
        (6, Came::Unmet),
        (7, Came::Matched),
        (8, Came::Removed),
    ];
    assert_eq!(looked, expected);
}

#[test]
fn what_matched_is_marked_and_secrets_are_masked() {
    let shown = |target: &str, cookie: &str| {
        let (_, matches) = played(target, cookie);
        let shown = matches.iter();
        let shown = shown.map(|found| format!("{}={}", found.variable, found.shown()));
        shown.collect::<Vec<_>>()
    };
    let marked = shown("/?q=1+union+select+2", "");
    assert_eq!(marked, ["ARGS:q=1 »union select« 2"]);
    let masked = shown("/?password=hunter2+union+select", "");
    assert_eq!(masked, ["ARGS:password=******* »union select«"]);
    let masked = shown("/", "a=5ecret union select; b=1");
    assert_eq!(masked, ["REQUEST_COOKIES:a=****** »union select«"]);
    let url = "/?next=https%3A%2F%2Fa%2F%3Ftoken%3D5ecret+union+select";
    let masked = shown(url, "");
    assert_eq!(masked, ["ARGS:next=*****://*/?*****=****** »union select«"]);
    let told = shown("/?next=https%3A%2F%2Fa%2F%3Fb%3Dc+union+select", "");
    assert_eq!(told, ["ARGS:next=https://a/?b=c »union select«"]);
    let whole = shown("/?token=union+select", "");
    assert_eq!(whole, ["ARGS:token=»***** ******«"]);
    let long = format!("/?q={}union+select{}", "x".repeat(1000), "y".repeat(1000));
    let (_, matches) = played(&long, "");
    assert_eq!(matches[0].value.len(), 256);
    assert!(matches[0].shown().contains("x»union select«y"));
}
