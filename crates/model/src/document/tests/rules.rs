//! Rules, lists and the other stages of a zone: what is read, and in which words it is refused.

use super::*;
use crate::network::Network;

fn rules(text: &str) -> Vec<Rule> {
    let document = read(&format!("{SMALL}{text}")).unwrap();
    document.zones[0].rules.clone()
}

fn action(keys: &str) -> RuleAction {
    let keys = format!("[[zone.rule]]\nwhen = 'x'\n{keys}\n");
    rules(&keys).remove(0).action
}

#[test]
fn each_action_is_read_with_its_defaults() {
    assert_eq!(action("action = 'log'"), RuleAction::Log);
    assert_eq!(
        action("action = 'block'"),
        RuleAction::Block { status: 403 }
    );
    assert_eq!(
        action("action = 'skip'\nskip = ['waf', 'bots']"),
        RuleAction::Skip(SkipSet::BOTS | SkipSet::WAF)
    );
    assert_eq!(
        action("action = 'redirect'\nto = '/x'"),
        RuleAction::Redirect {
            status: 302,
            to: RuleTarget::Text("/x".into()),
            keep_path: false,
            keep_query: true
        }
    );
    assert_eq!(
        action("action = 'rewrite'\nquery = ''"),
        RuleAction::Rewrite {
            path: None,
            strip_prefix: None,
            add_prefix: None,
            query: Some(RuleTarget::Text(String::new()))
        }
    );
    assert_eq!(
        action("action = 'rewrite'\npath_expression = 'lower(http.request.uri.path)'"),
        RuleAction::Rewrite {
            path: Some(RuleTarget::Expression(
                "lower(http.request.uri.path)".into()
            )),
            strip_prefix: None,
            add_prefix: None,
            query: None
        }
    );
    assert_eq!(
        action("action = 'weigh'\nscore = 1_000"),
        RuleAction::Weigh(1_000)
    );
    let RuleAction::Header(edits) = action("action = 'header'\nset = { X-A = '1' }") else {
        panic!("no header edits")
    };
    assert_eq!(edits.set, [("X-A".to_owned(), "1".to_owned())]);
}

#[test]
fn rules_keep_their_order_and_their_words() {
    let text = "[[zone.rule]]\nname = 'Ünïque'\nwhen = '''\na\n\tor b'''\naction = 'log'\nmode = 'off'\n\
                [[zone.rule]]\nwhen = 'b'\naction = 'log'\n";
    let rules = rules(text);
    assert_eq!(rules[0].name.as_deref(), Some("Ünïque"));
    assert_eq!(rules[0].when, "a\n\tor b");
    assert_eq!(rules[0].mode, StageMode::Off);
    assert_eq!(
        (rules[1].name.as_deref(), rules[1].when.as_str()),
        (None, "b")
    );
    assert_eq!(rules[1].mode, StageMode::Enforce);
}

#[test]
fn rules_are_written_as_a_person_would_write_them() {
    let text = "\n[[zone.rule]]\nname = \"no scanners\"\nwhen = 'http.request.uri.path contains \"/wp-\"'\naction = \"block\"\nstatus = 404\n";
    let written = read(&format!("{SMALL}{text}")).unwrap().to_toml();
    assert!(written.ends_with(text), "{written}");
    let long = format!(
        "\n[[zone.rule]]\nwhen = \"x\"\naction = \"header\"\n\n[zone.rule.set]\nX-A = \"{}\"\n",
        "a".repeat(120)
    );
    let document = read(&format!("{SMALL}{text}{long}")).unwrap();
    assert!(
        document.to_toml().ends_with(&long),
        "{}",
        document.to_toml()
    );
    assert_eq!(read(&document.to_toml()), Ok(document));
}

#[test]
fn wrong_rules_are_refused_with_help() {
    let is = "zone[0].rule[0]";
    for (keys, says) in [
        (
            "action = 'log'",
            ".when: is missing (The expression, such as",
        ),
        (
            "when = 'x'",
            ".action: is missing (What becomes of the request, such as",
        ),
        (
            "when = \" \\n\"\naction = 'log'",
            ".when: is empty (The expression",
        ),
        ("when = 1\naction = 'log'", ".when: 1 is a number, not text"),
        (
            "when = \"a\\u0000\"\naction = 'log'",
            ".when: \"a\\0\" has control characters",
        ),
        (
            "when = 'x'\naction = 'challenge'\nstatus = 1",
            ".action: \"challenge\" is no action of this build (it comes with bot mitigation; use \"block\" until then;",
        ),
        (
            "when = 'x'\naction = 'blok'",
            ".action: \"blok\" is none of the known words (did you mean \"block\"?;",
        ),
        (
            "when = 'x'\naction = 'log'\nstatus = 403",
            ".status: has no meaning for action \"log\" (remove it; it belongs to \"block\" and \"redirect\";",
        ),
        (
            "when = 'x'\naction = 'block'\nto = '/x'",
            ".to: has no meaning for action \"block\" (remove it; it belongs to \"redirect\";",
        ),
        (
            "when = 'x'\naction = 'block'\nstatus = 302",
            ".status: 302 is out of bounds (400 to 599;",
        ),
        (
            "when = 'x'\naction = 'block'\nstatus = '403'",
            ".status: \"403\" is text, not a whole number (write status = 403;",
        ),
        (
            "when = 'x'\naction = 'redirect'\nstatus = 304\nto = '/'",
            ".status: 304 is out of bounds (301, 302, 303, 307 or 308;",
        ),
        (
            "when = 'x'\naction = 'redirect'",
            ".to: is missing (write to = \"https://example.com/x\"",
        ),
        (
            "when = 'x'\naction = 'redirect'\nto = '/?a'\nkeep_path = true",
            ".to: has a query, behind which no path can stand",
        ),
        (
            "when = 'x'\naction = 'redirect'\nto = '/#a'",
            ".to: has a fragment, behind which nothing can stand (leave it out, or write keep_query = false",
        ),
        (
            "when = 'x'\naction = 'redirect'\nto = '/'\nto_expression = 'http.host'",
            ".to_expression: excludes to (remove one of the two",
        ),
        (
            "when = 'x'\naction = 'redirect'\nto_expression = 'http.host'\nkeep_path = true",
            ".keep_path: has no meaning beside to_expression (write concat(",
        ),
        (
            "when = 'x'\naction = 'rewrite'\nstrip_prefix = '/a'\npath_expression = 'http.host'",
            ".strip_prefix: excludes path_expression",
        ),
        (
            "when = 'x'\naction = 'block'\nquery_expression = 'http.host'",
            ".query_expression: has no meaning for action \"block\"",
        ),
        (
            "when = 'x'\naction = 'skip'",
            ".skip: is missing (write skip = [\"waf\"];",
        ),
        (
            "when = 'x'\naction = 'skip'\nskip = []",
            ".skip: is empty (write [\"rate\"]",
        ),
        (
            "when = 'x'\naction = 'skip'\nskip = ['access']",
            ".skip[0]: \"access\" is none of the known words (one of \"rate\", \"bots\", \"waf\";",
        ),
        (
            "when = 'x'\naction = 'rewrite'",
            ": rewrites nothing (write one or more of path,",
        ),
        (
            "when = 'x'\naction = 'rewrite'\npath = '/a'\nstrip_prefix = '/b'",
            ".strip_prefix: excludes path (remove one of the two;",
        ),
        (
            "when = 'x'\naction = 'header'",
            ": edits nothing (write one or more of set,",
        ),
        (
            "when = 'x'\naction = 'header'\nset = {}\nremove = []",
            ": edits nothing (",
        ),
        (
            "when = 'x'\naction = 'header'\nset = { Host = 'a' }",
            ".set.Host: \"Host\" is set elsewhere",
        ),
        (
            "when = 'x'\naction = 'weigh'",
            ".score: is missing (write score = 5;",
        ),
        (
            "when = 'x'\naction = 'weigh'\nscore = 0",
            ".score: 0 is out of bounds (1 to 1000;",
        ),
        (
            "when = 'x'\naction = 'log'\nmode = 'on'",
            ".mode: \"on\" is none of the known words",
        ),
        (
            "when = 'x'\naction = 'log'\nname = ''",
            ".name: is empty (leave it out, or write a name;",
        ),
        (
            "when = 'x'\naction = 'log'\nname = \"a\\u202eb\"",
            "has characters that cannot be seen",
        ),
        (
            "when = 'x'\naction = 'log'\nname = ' a'",
            ".name: \" a\" has white space around it",
        ),
    ] {
        let told = problems(&format!("{SMALL}[[zone.rule]]\n{keys}\n"));
        assert!(
            told.len() == 1 && told[0].starts_with(is) && told[0].contains(says),
            "{keys}: {told:#?}"
        );
    }
    let rule = "[[zone.rule]]\nname = 'a'\nwhen = 'x'\naction = 'log'\n";
    assert_eq!(
        problems(&format!("{SMALL}{rule}{rule}")),
        [
            "zone[0].rule[1].name: \"a\" is also zone[0].rule[0].name (a name belongs to one rule; line 11)"
        ]
    );
    for (name, good) in [("n".repeat(100), true), ("n".repeat(101), false)] {
        let rule = rule.replace("'a'", &format!("'{name}'"));
        assert_eq!(read(&format!("{SMALL}{rule}")).is_ok(), good);
    }
    for (when, good) in [("w".repeat(4096), true), ("w".repeat(4097), false)] {
        let rule = rule.replace("'x'", &format!("'{when}'"));
        assert_eq!(read(&format!("{SMALL}{rule}")).is_ok(), good);
    }
}

#[test]
fn what_was_meant_by_rule_and_rules_is_told() {
    assert_eq!(
        problems(&format!("{SMALL}[[zone.rules]]\nwhen = 'x'\n")),
        [
            "zone[0].rules: is a list, not a table (write [[zone.rule]] for each rule; [zone.rules] is the stage; line 6)"
        ]
    );
    assert_eq!(
        problems(&format!("{SMALL}[zone.rule]\nwhen = 'x'\n")),
        [
            "zone[0].rule: is one table, not a list of tables (write [[zone.rule]], or rule = [{ … }]; line 6)"
        ]
    );
}

#[test]
fn zones_refer_to_lists_and_networks() {
    let lists = "[lists]\noffice.ips = ['203.0.113.0/24']\nbad.file = 'bad.txt'\n";
    let text = format!(
        "{}[zone.lists]\nblock = ['bad', '192.0.2.1']\nallow = ['office']\nskip = ['waf']\n",
        SMALL.replace("[[zone]]", &format!("{lists}[[zone]]"))
    );
    let document = read(&text).unwrap();
    let zone = &document.zones[0].lists;
    let one = Network::parse("192.0.2.1").unwrap();
    assert_eq!(
        zone.block,
        [ListRef::Named("bad".into()), ListRef::Network(one)]
    );
    assert_eq!(zone.allow, [ListRef::Named("office".into())]);
    assert_eq!(zone.skip, SkipSet::WAF);
    assert_eq!(document.lists["bad"].file, Some("bad.txt".into()));
    assert!(document.lists["bad"].ips.is_empty());
    for (line, says) in [
        (
            "block = ['offce']",
            "lists.block[0]: \"offce\" is no list (did you mean \"office\"?;",
        ),
        (
            "only = ['$office']",
            "lists.only[0]: \"$office\" is no list (did you mean \"office\"?;",
        ),
        (
            "only = ['$Worst']",
            "lists.only[0]: \"$Worst\" is no list (write the section [lists.<name>], or a network;",
        ),
        (
            "block = ['spammers']",
            "\"spammers\" is no list (write the section [lists.spammers], or a network;",
        ),
        (
            "block = ['10.0.0.1/8']",
            "lists.block[0]: \"10.0.0.1/8\" has bits set behind its prefix",
        ),
        ("block = [1]", "lists.block[0]: 1 is a number, not text"),
        (
            "skip = ['waf']",
            "lists.skip: has no effect while `allow` is empty (name the clients in `allow`",
        ),
    ] {
        let text = SMALL.replace("[[zone]]", &format!("{lists}[[zone]]"));
        let told = problems(&format!("{text}[zone.lists]\n{line}\n"));
        assert!(told.len() == 1 && told[0].contains(says), "{told:#?}");
    }
    let told = problems(&format!("{SMALL}[zone.maintenance]\nallow = ['office']\n"));
    assert!(
        told[0].contains("\"office\" is no list (write the section [lists.office]"),
        "{told:#?}"
    );
    // One problem, not one for each who refers to what cannot be read.
    let text = SMALL.replace("[[zone]]", "lists = 1\n[[zone]]");
    let told = problems(&format!("{text}[zone.lists]\nblock = ['office']\n"));
    assert_eq!(
        told,
        ["lists: 1 is a number, not a table (write lists = { … }; line 2)"]
    );
}

#[test]
fn an_empty_list_is_read_and_written() {
    let document =
        read("schema = 1\nlists.a.ips = []\nlists.b = { ips = ['192.0.2.1'], file = 'b' }\n")
            .unwrap();
    assert!(document.lists["a"].ips.is_empty() && document.lists["a"].file.is_none());
    assert_eq!(document.lists["b"].ips.len(), 1);
    assert_eq!(read(&document.to_toml()), Ok(document));
}

#[test]
fn limits_are_read_with_their_defaults_and_refused_with_help() {
    let limit = |keys: &str| format!("{SMALL}[[zone.rate_limit]]\n{keys}\n");
    let document = read(&limit("requests = 5\nper = '1m'")).unwrap();
    let expected = RateLimit {
        requests: 5,
        per: Duration::from_secs(60),
        ..RateLimit::default()
    };
    assert_eq!(document.zones[0].rate_limits, [expected]);
    assert!(document.zones[0].rate.headers);
    for (keys, says) in [
        ("per = '1s'", "zone[0].rate_limit[0].requests: is missing"),
        ("requests = 1", "zone[0].rate_limit[0].per: is missing"),
        (
            "requests = 0\nper = '1s'",
            "zone[0].rate_limit[0].requests: 0 is out of bounds",
        ),
        ("requests = 1\nper = '2d'", "zone[0].rate_limit[0].per: "),
        (
            "requests = 1\nper = '1s'\nby = []",
            "zone[0].rate_limit[0].by: is empty",
        ),
        (
            "requests = 1\nper = '1s'\nby = [' ']",
            "zone[0].rate_limit[0].by[0]: is empty",
        ),
        (
            "requests = 1\nper = '1s'\naction = 'challenge'",
            "zone[0].rate_limit[0].action: \"challenge\" is no action of this build (it comes with bot mitigation",
        ),
        (
            "requests = 1\nper = '1s'\naction = 'blok'",
            "zone[0].rate_limit[0].action: \"blok\" is none of the known words (did you mean \"block\"?",
        ),
        (
            "requests = 1\nper = '1s'\nname = 'a'\n[[zone.rate_limit]]\nrequests = 1\nper = '1s'\nname = 'a'",
            "zone[0].rate_limit[1].name: \"a\" is also zone[0].rate_limit[0].name",
        ),
        (
            "requests = 1\nper = '1s'\n[zone.rate]\nheader = true",
            "did you mean `headers`?",
        ),
    ] {
        let told = problems(&limit(keys));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(says), "{:?} has no {says}", told[0]);
    }
}

#[test]
fn lists_are_of_one_kind() {
    let list = |keys: &str| format!("{SMALL}[lists.a]\n{keys}\n");
    let document = read(&list("numbers = ['64512', 'AS1']")).unwrap();
    assert_eq!(
        document.lists["a"].numbers.as_deref(),
        Some(&[64_512, 1][..])
    );
    assert!(!document.lists["a"].is_of_addresses());
    for (keys, says) in [
        ("", "lists.a: has neither `ips` nor `file` (write ips = "),
        (
            "ips = []\ntexts = ['a']",
            "lists.a: is of more than one kind",
        ),
        (
            "texts = []\nhosts = []",
            "lists.a: is of more than one kind",
        ),
        (
            "numbers = ['x']",
            "lists.a.numbers[0]: \"x\" is no whole number",
        ),
        ("hosts = ['*']", "lists.a.hosts[0]: \"*\" is every host"),
        ("hosts = ['a b']", "lists.a.hosts[0]: "),
    ] {
        let told = problems(&list(keys));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(says), "{:?} has no {says}", told[0]);
    }
}

#[test]
fn the_other_stages_have_bounds_and_help() {
    for (lines, says) in [
        (
            "rules.threshold = 0",
            "zone[0].rules.threshold: 0 is out of bounds (1 to 100000;",
        ),
        (
            "rules.treshold = 1",
            "zone[0].rules.treshold: unknown key (did you mean `threshold`?;",
        ),
        (
            "ddos.per = '2h'",
            "zone[0].ddos.per: \"2h\" is out of bounds (1s to 1h;",
        ),
        (
            "ddos.requests_per_client = -1",
            "zone[0].ddos.requests_per_client: -1 is out of bounds",
        ),
        (
            "ddos.errors_per_client = 100000001",
            "zone[0].ddos.errors_per_client: 100000001 is out of bounds",
        ),
        (
            "body.json_depth = 513",
            "zone[0].body.json_depth: 513 is out of bounds (0 to 512;",
        ),
        (
            "body.content_types = ['json']",
            "zone[0].body.content_types[0]: \"json\" is no media type",
        ),
        (
            "hotlink.extensions = ['a.b']",
            "zone[0].hotlink.extensions[0]: \"a.b\" is no extension",
        ),
        (
            "hotlink.allow = ['a b']",
            "zone[0].hotlink.allow[0]: \"a b\"",
        ),
        (
            "waf.exception = [{ paths = ['/x'] }]",
            "zone[0].waf.exception[0]: leaves out nothing, or everything",
        ),
        (
            "waf.exception = [{ rules = ['x'] }]",
            "zone[0].waf.exception[0].rules[0]: \"x\" is no id and no range of ids",
        ),
        (
            "waf.exception = [{ tags = ['a'], paths = ['x'] }]",
            "zone[0].waf.exception[0].paths[0]: \"x\" is no path",
        ),
        (
            "hygiene.remove = ['via']",
            "zone[0].hygiene.remove[0]: \"via\" protects from loops",
        ),
        (
            "hygiene.nosniff = 1",
            "zone[0].hygiene.nosniff: 1 is a number, not true or false",
        ),
        (
            "transform.mode = 'Off'",
            "zone[0].transform.mode: \"Off\" is none of the known words (did you mean \"off\"?;",
        ),
        (
            "maintenance = true",
            "zone[0].maintenance: true is true or false, not a table",
        ),
        (
            "maintenance.retry_after = '2d'",
            "zone[0].maintenance.retry_after: \"2d\" is out of bounds (1s to 1d;",
        ),
    ] {
        let told = problems(&format!("{SMALL}{lines}\n"));
        assert!(
            told.len() == 1 && told[0].contains(says),
            "{lines}: {told:#?}"
        );
    }
    let long = format!("{SMALL}maintenance.message = \"{}\"\n", "ä".repeat(501));
    assert_eq!(
        problems(&long),
        ["zone[0].maintenance.message: is 501 characters long (at most 500; line 6)"]
    );
}
