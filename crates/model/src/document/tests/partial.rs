//! Documents of which a part is good: which zones are bad, and whether anything else is.

use super::*;

fn parsed(text: &str) -> Parsed {
    parse_zones(text, &Limits::default())
}

fn zone(name: &str, host: &str, more: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigin = [{{ url = \"sample\" }}]\n{more}\n"
    )
}

fn bad(parsed: &Parsed) -> Vec<usize> {
    parsed.bad_zones.iter().copied().collect()
}

#[test]
fn a_bad_zone_keeps_its_place_and_the_others_are_good() {
    let text = [
        "schema = 1\n".to_owned(),
        zone("a", "a.test", ""),
        zone("b", "b.test", "websocket = 1\nretry.attempts = 3"),
        zone("c", "c.test", "unknown = 1"),
        zone("d", "d.test", "[[zone.rule]]\naction = \"log\""),
        zone("e", "e.test", ""),
    ];
    let found = parsed(&text.concat());
    assert!(found.platform_ok);
    assert_eq!(bad(&found), [1, 2, 3]);
    assert_eq!(found.problems.as_ref().unwrap().list.len(), 3);
    let names: Vec<&str> = found
        .document
        .zones
        .iter()
        .map(|zone| zone.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    // What could be read is there, and the default stands in for what could not.
    assert_eq!(found.document.zones[1].retry.attempts, 3);
    assert!(found.document.zones[1].websocket);
}

#[test]
fn what_is_no_table_keeps_its_place_too() {
    let zone = "{ name = 'a', hosts = ['a.test'], origin = [{ url = 'sample' }] }";
    let found = parsed(&format!("schema = 1\nzone = [1, {zone}, 'x']\n"));
    assert!(found.platform_ok);
    assert_eq!(bad(&found), [0, 2]);
    assert_eq!(found.document.zones.len(), 3);
    assert_eq!(found.document.zones[0], Zone::default());
    assert_eq!(found.document.zones[1].name, "a");
}

#[test]
fn a_clash_is_a_problem_of_all_who_clash() {
    let text = [
        "schema = 1\n".to_owned(),
        zone("a", "a.test", ""),
        zone("b", "b.test", ""),
        zone("c", "A.test.", ""),
        zone("d", "d.test", ""),
        zone("b", "e.test", ""),
        zone("f", "a.test", ""),
    ];
    let found = parsed(&text.concat());
    assert!(found.platform_ok);
    assert_eq!(bad(&found), [0, 1, 2, 4, 5]);
    let told: Vec<&str> = found
        .problems
        .as_ref()
        .unwrap()
        .list
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "zone[0].hosts[0]",
            "zone[1].name",
            "zone[2].hosts[0]",
            "zone[4].name",
            "zone[5].hosts[0]"
        ]
    );
}

#[test]
fn bad_zones_are_complete_when_problems_are_cut() {
    let limits = Limits {
        problems: 3,
        ..Limits::default()
    };
    let text: String = std::iter::once("schema = 1\n".to_owned())
        .chain((0..100).map(|n| zone(&format!("z{n}"), &format!("h{}.test", n / 2), "x = 1")))
        .chain([zone("good", "good.test", "")])
        .chain([zone("z7", "last.test", "")])
        .collect();
    let found = parse_zones(&text, &limits);
    let problems = found.problems.clone().unwrap();
    assert_eq!((problems.list.len(), problems.more), (3, 199));
    let expected: Vec<usize> = (0..100).chain([101]).collect();
    assert_eq!(bad(&found), expected);
    assert!(found.platform_ok);
    // A clash alone, beyond what is listed, is a problem of the first as well.
    let clash = [
        "schema = 1\n".to_owned(),
        zone("a", "a.test", ""),
        zone("b", "b.test", "x = 1\ny = 1\nz = 1"),
        zone("c", "a.test", ""),
    ];
    assert_eq!(bad(&parse_zones(&clash.concat(), &limits)), [0, 1, 2]);
}

#[test]
fn what_all_zones_share_must_be_good() {
    let good = zone("a", "a.test", "");
    for (text, zones) in [
        (format!("schema = 1\nunknown = 1\n{good}"), 1),
        (format!("schema = 1\nedge.workers = 0\n{good}"), 1),
        (format!("schema = 1\nlists.a.ips = ['x']\n{good}"), 1),
        (format!("schema = 1\nlists.A.ips = []\n{good}"), 1),
        (good.clone(), 1),
        (format!("lists.a.ips = []\nschema = 1\n{good}"), 1),
        ("schema = 1\nzone = 1\n".into(), 0),
        (format!("schema = 2\n{good}"), 0),
        (format!("schema = 1\n{good}\n]"), 0),
        (format!("schema = 1\n{good}[zone.lists]\n[zone.lists]\n"), 0),
    ] {
        let found = parsed(&text);
        assert!(!found.platform_ok && found.problems.is_some(), "{text}");
        assert_eq!(bad(&found), [0; 0], "{text}");
        assert_eq!(found.document.zones.len(), zones, "{text}");
    }
    let limits = Limits {
        zones: 1,
        ..Limits::default()
    };
    let found = parse_zones(&format!("schema = 1\n{good}{good}"), &limits);
    assert!(!found.platform_ok && found.bad_zones.is_empty());
}

#[test]
fn a_good_document_is_good_in_all_parts() {
    let found = parsed(FULL);
    assert!(found.platform_ok && found.bad_zones.is_empty() && found.problems.is_none());
    assert_eq!(Ok(found.document), read(FULL));
}
