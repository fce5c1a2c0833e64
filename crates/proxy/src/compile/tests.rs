//! What a compile shares, what it refuses, and what it leaves behind.

use seawall_guard::stages::lists as stage_lists;
use seawall_guard::{Seams, StageDef, ZoneInput};
use seawall_model::document;
use seawall_net::tls::config::self_signed;
use seawall_telemetry::{BuildInfo, Registry};
use tempfile::TempDir;

use super::*;
use crate::WORDS;
use crate::stages::STAGES;

/// A folder with files, a State, and what is live.
struct Bench {
    folder: TempDir,
    pem: (String, String),
    state: State,
    live: Option<Arc<Snapshot>>,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        Self::with(STAGES)
    }

    fn with(stages: &'static [&'static StageDef]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            pem: self_signed(vec!["localhost".into()]).unwrap(),
            state: State::new(registry(), stages),
            live: None,
            limits: Limits::default(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn compile(&self, text: &str) -> Compiled {
        let parsed = document::parse_zones(text, &self.limits);
        let pem = Some(self.pem.clone());
        let materials = Materials::load(&parsed.document, self.folder.path(), pem);
        let sources = Sources::new(&parsed, &materials);
        compile(&sources, &self.limits, &self.state, self.live.as_deref())
    }

    /// Compiles and swaps, as a reload does.
    fn go_live(&mut self, text: &str) -> (Arc<Snapshot>, Vec<Refused>) {
        let compiled = self.compile(text);
        let snapshot = compiled.snapshot;
        let snapshot = Arc::new(snapshot.unwrap_or_else(|| panic!("{}", compiled.problems)));
        self.state
            .settle(&snapshot.clone().into(), &compiled.refused);
        self.live = Some(snapshot.clone());
        (snapshot, compiled.refused)
    }
}

fn registry() -> Arc<Registry> {
    let build = BuildInfo {
        version: "0",
        commit: "",
    };
    Registry::new(&WORDS, build)
}

fn zone(name: &str, more: &str) -> String {
    format!(
        "[[zone]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\n\
         origin = [{{ url = \"http://192.0.2.1\" }}]\n{more}\n"
    )
}

fn document(zones: &[String]) -> String {
    format!("schema = 1\n{}", zones.concat())
}

fn named<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Arc<Zone> {
    let found = snapshot.zones.iter().find(|zone| &*zone.name == name);
    found.unwrap_or_else(|| panic!("no zone {name}"))
}

fn paths(problems: &Problems) -> Vec<&str> {
    problems
        .list
        .iter()
        .map(|problem| problem.path.as_str())
        .collect()
}

const BAD: &str = "tls = { certificate = { cert = \"no.pem\", key = \"no.key\" } }";

#[test]
fn equal_sources_make_equal_snapshots_in_any_process() {
    let text = format!(
        "schema = 1\n[lists.office]\nips = [\"192.0.2.0/24\"]\n{}{}",
        zone("a", "[zone.lists]\nblock = [\"office\"]"),
        zone("b", "hsts = { }")
    );
    let (mut one, mut other) = (Bench::new(), Bench::new());
    other.pem = one.pem.clone();
    let (one, other) = (one.go_live(&text).0, other.go_live(&text).0);
    assert_eq!(one.version, other.version);
    for (one, other) in one.zones.iter().zip(&other.zones) {
        assert_eq!(one.content, other.content);
        assert_eq!(one.version, other.version);
        assert_ne!(one.id, other.id, "ids are each machine's own");
    }
    assert_ne!(named(&one, "a").version, named(&one, "b").version);
}

#[test]
fn one_zones_change_costs_that_zone() {
    let mut bench = Bench::new();
    let (before, _) = bench.go_live(&document(&[zone("a", ""), zone("b", ""), zone("c", "")]));
    let changed = document(&[zone("c", ""), zone("a", ""), zone("b", "websocket = false")]);
    let (after, refused) = bench.go_live(&changed);
    assert_eq!(refused, []);
    assert!(Arc::ptr_eq(named(&before, "a"), named(&after, "a")));
    assert!(Arc::ptr_eq(named(&before, "c"), named(&after, "c")));
    let (old, new) = (named(&before, "b"), named(&after, "b"));
    assert!(!Arc::ptr_eq(old, new) && !new.websocket);
    assert_ne!(old.version, new.version);
    assert_ne!(before.version, after.version);
    assert_eq!(old.id, new.id);
    let (old, new) = (old.pool().member(0).unwrap(), new.pool().member(0).unwrap());
    assert!(Arc::ptr_eq(old, new), "what was learnt of an origin stays");
    // The location stands in every zone's Records, and is not what its owner wrote.
    let elsewhere = changed.replace("schema = 1\n", "schema = 1\n[edge]\nlocation = \"lhr\"\n");
    let (moved, _) = bench.go_live(&elsewhere);
    assert!(!Arc::ptr_eq(named(&after, "a"), named(&moved, "a")));
    assert_eq!(named(&after, "a").version, named(&moved, "a").version);
}

#[test]
fn a_refused_zone_stays_as_it_was_and_the_others_go_live() {
    let mut bench = Bench::new();
    let (before, _) = bench.go_live(&document(&[zone("a", ""), zone("b", "")]));
    let worse = document(&[
        zone("b", BAD),
        zone("a", "websocket = false"),
        zone("new", BAD),
    ]);
    let compiled = bench.compile(&worse);
    assert_eq!(
        paths(&compiled.problems),
        [
            "zone[0].tls.certificate.cert",
            "zone[0].tls.certificate.key",
            "zone[2].tls.certificate.cert",
            "zone[2].tls.certificate.key",
        ]
    );
    let (after, refused) = bench.go_live(&worse);
    let old = named(&before, "b");
    assert!(Arc::ptr_eq(old, named(&after, "b")));
    assert!(Arc::ptr_eq(old, after.zone(b"b.test").unwrap()));
    assert!(!named(&after, "a").websocket);
    assert_eq!(after.zones.len(), 2);
    assert!(after.zone(b"new.test").is_none());
    let told: Vec<_> = refused
        .iter()
        .map(|zone| (zone.index, zone.name.as_str(), zone.stays.as_deref()))
        .collect();
    assert_eq!(told, [(0, "b", Some(&*old.version)), (2, "new", None)]);
    // What parsing refuses is refused in the same way, and mending it is one more change.
    let worst = document(&[zone("b", "max_body = true"), zone("a", "")]);
    let (after, refused) = bench.go_live(&worst);
    assert!(Arc::ptr_eq(old, named(&after, "b")));
    assert_eq!(refused.len(), 1);
    let (mended, _) = bench.go_live(&document(&[zone("a", ""), zone("b", "hsts = { }")]));
    assert!(named(&mended, "b").hsts.is_some());
    assert_eq!(named(&mended, "b").id, old.id);
}

#[test]
fn a_good_zone_gets_the_hosts_that_it_claims() {
    let mut bench = Bench::new();
    let both = |a: &str, b: &str, more: &str| {
        document(&[
            zone("a", more).replace("\"a.test\"", a),
            zone("b", "").replace("\"b.test\"", b),
        ])
    };
    bench.go_live(&both("\"a.test\", \"x.test\", \"*\"", "\"b.test\"", ""));
    // `a` is refused, and `b` claims one of its hosts: it was given away by whoever wrote the document.
    let (after, _) = bench.go_live(&both("\"a.test\"", "\"b.test\", \"x.test\"", BAD));
    let serves = |host: &str| &*after.zone(host.as_bytes()).unwrap().name;
    assert_eq!(
        [serves("a.test"), serves("x.test"), serves("y.test")],
        ["a", "b", "a"]
    );
    // Two zones that claim one host are a problem of both: who had it has it.
    let (after, refused) = bench.go_live(&both("\"a.test\", \"x.test\"", "\"x.test\"", ""));
    assert_eq!(refused.len(), 2);
    assert_eq!(&*after.zone(b"b.test").unwrap().name, "b");
}

#[test]
fn what_all_zones_share_is_good_as_a_whole_or_nothing_goes_live() {
    let mut bench = Bench::new();
    bench.go_live(&document(&[zone("a", "")]));
    bench.write("list.txt", "192.0.2.1\nnonsense\n");
    let text = document(&[zone("a", "websocket = false"), zone("b", BAD)]);
    let lists = "schema = 1\n[lists.x]\nfile = \"list.txt\"\n";
    let compiled = bench.compile(&text.replace("schema = 1\n", lists));
    assert!(compiled.snapshot.is_none());
    assert_eq!(
        paths(&compiled.problems),
        [
            "lists.x.file",
            "zone[1].tls.certificate.cert",
            "zone[1].tls.certificate.key"
        ]
    );
    let says = &compiled.problems.list[0].what;
    assert_eq!(says, "list.txt: line 2: \"nonsense\" is no IP network");
    // Nothing is refused for what is wrong elsewhere.
    assert_eq!(compiled.refused.len(), 1);
    let compiled = bench.compile(&format!("colour = 1\n{text}"));
    assert!(compiled.snapshot.is_none());
    assert!(compiled.refused.iter().all(|zone| zone.stays.is_none()));
}

#[test]
fn without_any_zone_left_nothing_goes_live() {
    let bench = Bench::new();
    let compiled = bench.compile(&document(&[zone("a", BAD), zone("b", "max_body = true")]));
    assert!(compiled.snapshot.is_none());
    assert_eq!(compiled.refused.len(), 2);
    // A document without zones is one that says so.
    assert!(bench.compile("schema = 1\n").snapshot.is_some());
}

#[test]
fn who_names_a_list_changes_with_it_and_nobody_else() {
    let mut bench = Bench::new();
    bench.write(
        "x.txt",
        "# office\n192.0.2.1 # the door\n\n 2001:db8::/32\r\n",
    );
    let zones = [
        zone("blocks", "[zone.lists]\nblock = [\"x\"]"),
        zone(
            "asks",
            "[[zone.rule]]\nwhen = 'ip.src in $x'\naction = \"log\"",
        ),
        zone(
            "spares",
            "[zone.maintenance]\nenabled = true\nallow = [\"x\"]",
        ),
        zone("other", "[zone.lists]\nblock = [\"y\"]"),
        zone("none", ""),
    ];
    let lists =
        "[lists.x]\nips = [\"10.0.0.0/8\"]\nfile = \"x.txt\"\n[lists.y]\nips = [\"10.0.0.1\"]\n";
    let text = format!("schema = 1\n{lists}{}", zones.concat());
    let (before, _) = bench.go_live(&text);
    let networks = |list: &crate::snapshot::List| match &list.list {
        seawall_rules::List::Networks(networks) => networks.clone(),
        other => panic!("{other:?}"),
    };
    let x = networks(before.list("x").unwrap());
    assert_eq!(x.len(), 3);
    for inside in ["192.0.2.1", "2001:db8::9", "10.9.9.9"] {
        assert!(x.contains(inside.parse().unwrap()), "{inside}");
    }
    bench.write("x.txt", "192.0.2.1\n");
    let (after, _) = bench.go_live(&text);
    for name in ["blocks", "asks", "spares"] {
        let (old, new) = (named(&before, name), named(&after, name));
        assert!(
            !Arc::ptr_eq(old, new) && old.version != new.version,
            "{name}"
        );
    }
    for name in ["other", "none"] {
        assert!(
            Arc::ptr_eq(named(&before, name), named(&after, name)),
            "{name}"
        );
    }
    let shared = |name: &str| {
        let (old, new) = (before.list(name).unwrap(), after.list(name).unwrap());
        Arc::ptr_eq(&networks(old), &networks(new))
    };
    assert!(shared("y") && !shared("x"));
}

#[test]
fn a_file_that_changes_changes_those_who_name_it() {
    let mut bench = Bench::new();
    let write = |bench: &Bench| {
        let (certificate, key) = self_signed(vec!["a.test".into()]).unwrap();
        bench.write("a.pem", &certificate);
        bench.write("a.key", &key);
    };
    write(&bench);
    let files = "tls = { certificate = { cert = \"a.pem\", key = \"a.key\" } }";
    let text = document(&[zone("a", files), zone("b", "")]);
    let (before, _) = bench.go_live(&text);
    write(&bench);
    let (after, _) = bench.go_live(&text);
    assert!(!Arc::ptr_eq(named(&before, "a"), named(&after, "a")));
    assert!(Arc::ptr_eq(named(&before, "b"), named(&after, "b")));
    // A certificate that is half renewed is a problem, and the old one serves.
    bench.write("a.key", &self_signed(vec!["a.test".into()]).unwrap().1);
    let (broken, refused) = bench.go_live(&text);
    assert_eq!(refused.len(), 1);
    assert!(Arc::ptr_eq(named(&after, "a"), named(&broken, "a")));
}

#[test]
fn an_id_is_a_zones_as_long_as_its_document_names_it() {
    let mut bench = Bench::new();
    let all = document(&[zone("a", ""), zone("b", "")]);
    let (first, _) = bench.go_live(&all);
    let id = named(&first, "a").id;
    assert_ne!(id, named(&first, "b").id);
    // A new process that is given what the old one kept, and finds the zone bad: the id is its own still.
    let mut later = Bench::new();
    let kept = bench.state.zone_ids.all();
    let kept = kept.iter().map(|(name, id)| (name.as_str(), *id));
    assert_eq!(later.state.zone_ids.restore(kept), 0);
    later.go_live(&document(&[zone("a", BAD), zone("b", "")]));
    assert_eq!(later.state.zone_ids.get("a"), Some(id));
    let ticket = bench.state.tickets.of(id.0).encrypt(b"session").unwrap();
    bench.go_live(&document(&[zone("b", "")]));
    assert_eq!(bench.state.zone_ids.get("a"), None);
    let (back, _) = bench.go_live(&all);
    let new = named(&back, "a");
    assert_ne!(new.id, id, "another zone of the same name");
    let opened = new.tls().unwrap().ticketer.decrypt(&ticket);
    assert_eq!(opened, None, "another zone's");
    let members = [named(&first, "a"), new].map(|zone| zone.pool().member(0).unwrap().clone());
    assert!(!Arc::ptr_eq(&members[0], &members[1]));
}

#[test]
fn each_zone_has_tickets_of_its_own_and_keeps_them() {
    let mut bench = Bench::new();
    let (before, _) = bench.go_live(&document(&[zone("a", ""), zone("b", "")]));
    let (after, _) = bench.go_live(&document(&[zone("a", "hsts = { }"), zone("b", "")]));
    let tickets = |snapshot: &Snapshot, name| {
        let tls = named(snapshot, name).tls().unwrap();
        tls.ticketer.clone()
    };
    let ticket = tickets(&before, "a").encrypt(b"session").unwrap();
    let opens = |with: Arc<dyn rustls::server::ProducesTickets>| with.decrypt(&ticket).is_some();
    assert!(opens(tickets(&after, "a")), "over a change of the zone");
    assert!(!opens(tickets(&after, "b")), "by another zone");
}

#[test]
fn all_problems_are_told_at_once() {
    let bench = Bench::new();
    let text = format!(
        "schema = 1\n[lists.x]\nfile = \"none.txt\"\n{}{}",
        zone(
            "a",
            "tls = { client = \"required\", client_ca = \"ca.pem\" }"
        ),
        zone(
            "b",
            "[[zone.rule]]\nwhen = 'http.hots eq \"x\"'\naction = \"log\"\n\
             [[zone.rule]]\nwhen = 'ip.src in $nobody'\naction = \"log\""
        )
    )
    .replace(
        "origin = [{ url = \"http://192.0.2.1\" }]",
        "origin = [{ url = \"https://192.0.2.1\", ca = \"o.pem\" }]",
    );
    let compiled = bench.compile(&text);
    let told = paths(&compiled.problems);
    for path in [
        "lists.x.file",
        "zone[0].tls.client_ca",
        "zone[0].origin[0].ca",
        "zone[1].origin[0].ca",
        "zone[1].rule[0].when",
        "zone[1].rule[1].when",
    ] {
        assert!(told.contains(&path), "{path} is missing in {told:?}");
    }
}

#[test]
fn lists_of_problems_and_of_networks_have_an_end() {
    let mut bench = Bench::new();
    bench.limits.problems = 20;
    bench.limits.networks_per_list = 1_000;
    bench.write("bad.txt", &"x\n".repeat(100_000));
    let compiled = bench.compile("schema = 1\n[lists.x]\nfile = \"bad.txt\"\n");
    assert_eq!(compiled.problems.list.len(), 20);
    assert_eq!(compiled.problems.more, 100_000 - 20);
    let many: String = (0..2_000u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from(n)))
        .collect();
    bench.write("many.txt", &many);
    let compiled = bench.compile("schema = 1\n[lists.x]\nfile = \"many.txt\"\n");
    assert_eq!(
        compiled.problems.to_string(),
        "lists.x.file: many.txt: line 1001 is one network too many (at most 1000 in one file)"
    );
    let zones: Vec<String> = (0..100).map(|n| zone(&format!("z{n}"), BAD)).collect();
    let compiled = bench.compile(&document(&zones));
    assert_eq!(compiled.problems.list.len(), 20);
    assert_eq!(compiled.problems.more, 180);
    assert_eq!(compiled.refused.len(), 100);
    // One line without an end is no more than a problem.
    bench.write("line.txt", &"9".repeat(10 << 20));
    let compiled = bench.compile("schema = 1\n[lists.x]\nfile = \"line.txt\"\n");
    assert!(compiled.problems.to_string().len() < 1_000);
}

/// As the stage `lists`, but for zones with a certain name.
static FAILING: StageDef = StageDef {
    name: "lists",
    build: |input: &mut ZoneInput<'_>| -> Seams {
        assert_ne!(input.zone.name, "unlucky", "a bug in a stage");
        (stage_lists::DEF.build)(input)
    },
    ..stage_lists::DEF
};

static ALL_FAILING: &[&StageDef] = &[&FAILING];

#[test]
fn a_stage_that_panics_while_it_is_built_costs_one_zone() {
    let mut bench = Bench::with(ALL_FAILING);
    let text = document(&[zone("unlucky", ""), zone("a", "")]);
    let compiled = bench.compile(&text);
    assert_eq!(paths(&compiled.problems), ["zone[0]"]);
    let (after, refused) = bench.go_live(&text);
    assert_eq!((after.zones.len(), refused.len()), (1, 1));
    assert_eq!(&*after.zones.first().unwrap().name, "a");
}

/// A zone with so many dear patterns, all different, the first one with this number.
fn dear_zone(name: &str, first: usize, count: usize) -> String {
    let rules = (first..first + count).map(|nth| {
        format!(
            "[[zone.rule]]\naction = 'log'\nwhen = 'http.host matches \"(a{{1,60}}b{{1,60}}){{1,8}}c{nth}\"'\n"
        )
    });
    zone(name, &rules.collect::<String>())
}

#[test]
fn a_zone_with_too_many_dear_patterns_is_refused_at_the_rule_and_the_others_go_live() {
    let mut bench = Bench::new();
    let text = document(&[dear_zone("dear", 0, 50), zone("plain", "")]);
    let compiled = bench.compile(&text);
    let first = &compiled.problems.list[0];
    assert!(first.path.starts_with("zone[0].rule["), "{first}");
    assert!(
        first.what.contains("those of the zone take more than"),
        "{first}"
    );
    assert!(first.help.contains("repeat less often"), "{first}");
    // One for all of them, and a rule that is wrong by itself is told beside it.
    assert_eq!(compiled.problems.list.len(), 1);
    let more = first.what.split("with ").last().unwrap();
    let more: usize = more.split(' ').next().unwrap().parse().unwrap();
    assert!((30..49).contains(&more), "{first}");
    assert!(first.what.ends_with("more rules of this zone"), "{first}");
    let wrong = "[[zone.rule]]\naction = 'log'\nwhen = 'http.hast eq \"a\"'\n";
    let both = dear_zone("dear", 0, 50) + wrong;
    assert_eq!(bench.compile(&document(&[both])).problems.list.len(), 2);
    let (snapshot, refused) = bench.go_live(&text);
    assert_eq!(refused.len(), 1);
    assert_eq!(snapshot.zones.len(), 1);
    // Equal patterns count once.
    let same = dear_zone("dear", 0, 1).replace("[[zone.rule]]", "@");
    let (head, rule) = same.split_once('@').unwrap();
    let fifty = format!("[[zone.rule]]{rule}").repeat(50);
    let (snapshot, refused) = bench.go_live(&document(&[format!("{head}{fifty}")]));
    assert!(refused.is_empty());
    assert_eq!(named(&snapshot, "dear").patterns.len(), 1);
}

#[test]
fn what_all_zones_patterns_may_take_is_charged_in_order_whatever_was_live() {
    let mut bench = Bench::new();
    let zones: Vec<String> = (0..6)
        .map(|nth| dear_zone(&format!("zone-{nth}"), 3 * nth, 3))
        .collect();
    let (snapshot, _) = bench.go_live(&document(&zones[..1]));
    // Room for three zones and a part of the fourth.
    bench.limits.pattern_bytes_per_document = 7 * named(&snapshot, "zone-0").patterns.work() / 2;
    bench.limits.problems = 1_000;
    let told = |bench: &Bench, text: &str| {
        let compiled = bench.compile(text);
        let refused: Vec<usize> = compiled.refused.iter().map(|zone| zone.index).collect();
        (refused, compiled.problems)
    };
    let text = document(&zones);
    let cold = Bench {
        live: None,
        folder: tempfile::tempdir().unwrap(),
        pem: bench.pem.clone(),
        state: State::new(registry(), STAGES),
        limits: bench.limits.clone(),
    };
    let from_nothing = told(&cold, &text);
    assert_eq!(from_nothing.0, [3, 4, 5], "{}", from_nothing.1);
    // The last ones are live: they are refused all the same, and stay as they were.
    for live in [&zones[..1], &zones[3..], &zones[4..5], &zones[2..4]] {
        bench.go_live(&document(live));
        assert_eq!(told(&bench, &text), from_nothing);
    }
    // What another zone wrote as well is shared: it costs all of them nothing more.
    let twin = dear_zone("twin", 0, 3);
    let (snapshot, refused) = bench.go_live(&document(&[zones[0].clone(), twin]));
    assert!(refused.is_empty());
    assert_eq!(
        named(&snapshot, "twin").patterns.work(),
        named(&snapshot, "zone-0").patterns.work()
    );
}
