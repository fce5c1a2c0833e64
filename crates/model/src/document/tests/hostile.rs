//! Documents that want to cost much: problems stay few, and time stays linear in the text.

use std::fmt::Write as _;

use super::*;

fn refused(text: &str) -> Problems {
    read(text).expect_err("no problem found")
}

#[test]
fn a_million_rules_are_one_problem() {
    // 14 bytes each, the last byte of the limit is reached.
    let text = format!("{SMALL}{}", "[[zone.rule]]\n".repeat(1_000_000));
    assert!(text.len() < Limits::default().document_bytes);
    let limits = Limits {
        rules_per_zone: 0,
        ..Limits::default()
    };
    let told = parse(&text, &limits).unwrap_err();
    assert_eq!(
        told.to_string(),
        "zone[0].rule: has 1000000 entries (at most 0; line 6)"
    );
    // By default the first thousand are looked at: each lacks two keys.
    let told = refused(&text);
    assert_eq!((told.list.len(), told.more), (1_000, 1_001));
}

#[test]
fn rules_over_the_limit_are_one_problem() {
    let rule = "[[zone.rule]]\nwhen='x'\naction='log'\n";
    let text = format!("{SMALL}{}", rule.repeat(100_000));
    let told = refused(&text);
    assert_eq!(
        told.to_string(),
        "zone[0].rule: has 100000 entries (at most 1000; line 6)"
    );
}

#[test]
fn a_million_networks_are_read() {
    let mut text = "schema = 1\nlists.a.ips = [".to_owned();
    for n in 0..1_000_000_u32 {
        // Writing to a String cannot fail.
        let _ = write!(text, "\"{}\",", std::net::Ipv4Addr::from_bits(n << 11));
        if text.len() > (16 << 20) - 32 {
            break;
        }
    }
    text.push_str("]\n");
    let document = read(&text).unwrap();
    let networks = document.lists["a"].ips.len();
    assert!(networks > 900_000, "{networks}");
    // Over the limit: one problem, and one for each of the first that are wrong.
    let limits = Limits {
        networks_per_list: 10,
        ..Limits::default()
    };
    let told = parse(&text, &limits).unwrap_err();
    assert_eq!(told.list.len(), 1);
    let told = refused(&text.replace(".0\"", ".x\""));
    assert_eq!(told.list.len(), 1_000);
    assert!(told.more > 100_000, "{}", told.more);
}

#[test]
fn unknown_keys_are_counted_not_listed() {
    let keys: String = (0..100_000).map(|n| format!("wen_{n} = 1\n")).collect();
    for table in [
        "",
        "[edge]\n",
        "[[zone]]\n",
        "[[zone]]\n[[zone.rule]]\n",
        "[lists.a]\n",
    ] {
        let told = refused(&format!("schema = 1\n{table}{keys}"));
        assert_eq!(told.list.len(), 1_000);
        assert!(told.more >= 99_000, "{}", told.more);
        assert!(told.to_string().len() < 1 << 20);
    }
}

#[test]
fn unknown_names_of_lists_cost_little() {
    // Names of one length, each some edits away from each that is referred to.
    let lists: String = (0..1_000)
        .map(|n| format!("[lists.{}{n:04}]\nips = []\n", "a".repeat(36)))
        .collect();
    let refs: Vec<String> = (0..1_000)
        .map(|n| format!("\"{}{n:04}\"", "b".repeat(36)))
        .collect();
    let zone = SMALL.strip_prefix("schema = 1\n").unwrap();
    let text = format!(
        "schema = 1\n{lists}{zone}[zone.lists]\nblock = [{}]\nonly = [{}]\n",
        refs.join(","),
        refs.join(",")
    );
    let told = refused(&text);
    assert_eq!((told.list.len(), told.more), (1_000, 1_000));
    // More lists than are allowed, and more references.
    let names: String = (0..300_000).map(|n| format!("l{n}.ips=[]\n")).collect();
    let text = format!(
        "schema = 1\n{zone}lists.block = [{}]\n[lists]\n{names}",
        refs.join(",")
    );
    let told = refused(&text);
    assert_eq!((told.list.len(), told.more), (1_000, 1));
}

#[test]
fn what_would_take_the_parser_gigabytes_is_refused_before_it_is_asked() {
    for line in [
        "a.a.a.a.a.a=1\n",
        "[a.a.a.a.a]\n",
        "a={a.a.a.a.a.a=1,b.b=1}\n",
    ] {
        let text = format!("{SMALL}{}", line.repeat((15 << 20) / line.len()));
        let told = refused(&text).to_string();
        assert!(
            told.starts_with("document: has too many keys and values"),
            "{told}"
        );
    }
    // What people write fits, and a value for every two bytes is refused or read.
    let zone = "[[zone]]\nname=\"a.test\"\nhosts=[\"a.test\",\"b.test\"]\norigin=[{url=\"http://a.test\"}]\n\
        [[zone.rule]]\nwhen='ssl'\naction='log'\n[zone.lists]\nblock=['a']\n";
    let whole = zone.repeat((16 << 20) / zone.len());
    assert!(weight::of(&whole) <= Limits::default().document_memory);
}

#[test]
fn nesting_ends_in_one_problem() {
    for text in [
        format!("{SMALL}rule = {}", "[".repeat(1 << 20)),
        format!("{SMALL}rule = [{}", "{set={".repeat(1 << 18)),
        format!("{SMALL}[zone.rule{}]", ".set".repeat(1 << 18)),
        format!(
            "{SMALL}body.content_types = {}1{}",
            "[".repeat(60),
            "]".repeat(60)
        ),
        format!("{SMALL}maintenance{} = 1", ".allow".repeat(60)),
    ] {
        assert!(refused(&text).list.len() <= 2);
    }
}

#[test]
fn duplicates_are_told_within_bounds() {
    // The same host 100,000 times, in one zone and in as many.
    let hosts = "\"a.test\",".repeat(100_000);
    let told = refused(&SMALL.replace("\"a.test\"", &hosts));
    assert_eq!((told.list.len(), told.more), (1_000, 1));
    let zone = SMALL.strip_prefix("schema = 1\n").unwrap();
    let found = parse_zones(
        &format!("schema = 1\n{}", zone.repeat(100_000)),
        &Limits::default(),
    );
    let told = found.problems.unwrap();
    assert_eq!((told.list.len(), told.more), (1_000, 199_000));
    assert!(found.platform_ok && found.bad_zones.len() == 100_000);
    // The same rule a thousand times, the same table twice, the same key 100,000 times.
    let rule = "[[zone.rule]]\nname='a'\nwhen='x'\naction='log'\n".repeat(1_000);
    assert_eq!(refused(&format!("{SMALL}{rule}")).list.len(), 999);
    for more in [
        "[zone.lists]\n[zone.lists]\n".to_owned(),
        "websocket = true\n".repeat(100_000),
    ] {
        let told = refused(&format!("{SMALL}{more}"));
        assert!(told.list.len() <= 1_000 && told.to_string().contains("is no TOML"));
    }
}
