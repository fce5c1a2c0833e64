//! Whole documents that are refused, and in which words.

use super::*;

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"[edge]
loction = "lhr"
location = "London Heathrow!"
http = ["8080", "0.0.0.0:80", "0.0.0.0:80"]
workers = "4"
outward = ["publik"]
access_log = true
limits = { header_timeout = 30, head_bytes = "10MB", fields = 4, target_bytes = 9000, drain = "2d" }

[lists.Office]
ips = ["203.0.113.1/24", 7]

[[zone]]
name = "a"
hosts = ["a.test", "b.test:80", "A.test."]
origin = [
    { url = "htp://x", weight = 0 },
    { url = "http://b.test/app", sni = "b.test" },
    "http://c.test",
    { url = "http://b.test", verify = false, proto = "2" },
]
tls = { client = "required", min_version = "1.1" }
hsts = true
health = { path = "healthz", status = [99, "399-200", "200"] }
request_headers = { set = { Host = "x", "X-A" = "a\nb", "x a" = "" }, remove = ["Connection"] }
redirect_https = "yes"

[[zone]]
name = "a"
hosts = ["a.test"]
origins = []
retry = { attempts = 99 }
access = {}
"#;
    let expected = r#"schema: is missing (write schema = 1 as the first line)
edge.loction: unknown key (did you mean `location`?; line 2)
edge.location: "London Heathrow!" is no name of a location (1 to 16 of a-z, 0-9 and -; line 3)
edge.http[0]: "8080" is no address to listen at (write "0.0.0.0:8080"; line 4)
edge.http[2]: "0.0.0.0:80" is listened at already (leave one out; line 4)
edge.workers: "4" is text, not a whole number (write workers = 4; line 5)
edge.outward[0]: "publik" is none of the known words (did you mean "public"?; line 6)
edge.access_log: is no table (write "off", or { file = "access.log" }; line 7)
edge.limits.header_timeout: 30 is a number, not a duration (write header_timeout = "30s"; line 8)
edge.limits.head_bytes: "10MB" has no known unit (write "10MiB"; units are B, KiB, MiB, GiB, TiB, steps of 1024; line 8)
edge.limits.fields: 4 is out of bounds (8 to 128; line 8)
edge.limits.target_bytes: 9000 is a number, not a size (write target_bytes = "9000B"; line 8)
edge.limits.drain: "2d" is out of bounds (0s to 1d; line 8)
lists.Office: is no name of a list (1 to 64 of a-z, 0-9 and _; line 10)
lists.Office.ips[0]: "203.0.113.1/24" has bits set behind its prefix (did you mean "203.0.113.0/24" or "203.0.113.1"?; line 11)
lists.Office.ips[1]: 7 is a number, not text (line 11)
zone[0].name: "a" is also zone[1].name (a name belongs to one zone; line 14)
zone[0].hosts[0]: "a.test" is also zone[0].hosts[2] (a host belongs to one zone; line 15)
zone[0].hosts[1]: "b.test:80" has a port (a host has none: leave `:` and the number out; line 15)
zone[0].hosts[2]: "a.test" is also zone[0].hosts[0] (a host belongs to one zone; line 15)
zone[0].origin[0].url: "htp://x" has no known scheme (did you mean http://?; line 17)
zone[0].origin[0].weight: 0 is out of bounds (1 to 1000; line 17)
zone[0].origin[1].url: "http://b.test/app" has a path (only scheme, host and port: the client's path is sent as it is; line 18)
zone[0].origin[2]: "http://c.test" is text, not a table (write { … }; line 19)
zone[0].origin[3].verify: has no effect on http://b.test (use https://, or leave it out; line 20)
zone[0].origin[3].proto: unknown key (known here: url, weight, protocol, host, sni, verify, ca, proxy_protocol, dotfiles, client_certificate; line 20)
zone[0].tls.client: has nothing to verify clients by (write client_ca = "…pem": the authorities that sign clients' certificates; line 22)
zone[0].tls.min_version: "1.1" is none of the known words (did you mean "1.2"?; line 22)
zone[0].hsts: true is true or false, not a table (write hsts = { … }; line 23)
zone[0].health.path: "healthz" is no path (it begins with `/`; line 24)
zone[0].health.status[0]: 99 is no range of statuses (statuses are 100 to 599, such as 204 or "200-399"; line 24)
zone[0].health.status[1]: "399-200" is no range of statuses (statuses are 100 to 599, such as 204 or "200-399"; line 24)
zone[0].request_headers.set.Host: "Host" is set elsewhere (write host = "…" in the origin; line 25)
zone[0].request_headers.set.X-A: "a\nb" is no field value (printable ASCII, without line ends; line 25)
zone[0].request_headers.set."x a": "x a" is no field name (letters, digits and `-`; line 25)
zone[0].request_headers.remove[0]: "Connection" belongs to one connection (the edge writes it for each; it cannot be edited; line 25)
zone[0].redirect_https: "yes" is text, not true or false (write redirect_https = true; line 26)
zone[1].origin: is missing (The servers behind the zone; line 28)
zone[1].name: "a" is also zone[0].name (a name belongs to one zone; line 29)
zone[1].hosts[0]: "a.test" is also zone[0].hosts[0] (a host belongs to one zone; line 30)
zone[1].origins: unknown key (did you mean `origin`?; line 31)
zone[1].retry.attempts: 99 is out of bounds (1 to 10; line 32)
zone[1].access: unknown key (this build has no `access` yet; line 33)"#;
    let told = read(text).unwrap_err().to_string();
    // A missing key has no line of its own: that of its table is told. Line by line, so that a failure shows which.
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        expected.lines().collect::<Vec<_>>()
    );
}

#[test]
fn the_schema_comes_first_and_is_known() {
    assert_eq!(
        problems(""),
        ["schema: is missing (write schema = 1 as the first line)"]
    );
    assert_eq!(
        problems("schema = 2\nwhat_is_this = 1"),
        ["schema: 2 is no schema that this build reads (write schema = 1; line 1)"]
    );
    assert_eq!(problems("schema = \"1\"").len(), 1);
    assert_eq!(
        problems("edge.location = \"a\"\nschema = 1"),
        ["schema: stands behind \"edge\" (it is the first key of the file; line 2)"]
    );
    assert_eq!(
        problems("[edge]\nschema = 1"),
        [
            "schema: is missing (write schema = 1 as the first line)",
            "edge.schema: unknown key (`schema` stands at the top of the file; line 2)"
        ]
    );
}

#[test]
fn text_that_is_no_toml_is_told_by_line_and_column() {
    let told = problems("schema = 1\n[edge\nlocation = \"ä\" x\n\n[edge]\n[edge]\n");
    assert!(
        told[0].starts_with("document: is no TOML: ") && told[0].ends_with("line 2, column 6)"),
        "{told:#?}"
    );
    assert!(
        told.iter().any(|line| line.ends_with("line 3, column 16)")),
        "{told:#?}"
    );
    let told = problems(&format!(
        "schema = 1\na = [\n#{}",
        "x".repeat(RECOVERABLE_BYTES)
    ));
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn hostile_documents_are_refused_within_bounds() {
    for text in [
        format!("schema = 1\na = {}", "[".repeat(1 << 20)),
        format!("schema = 1\na = {}", "{a=".repeat(1 << 18)),
        format!("schema = 1\n{}a = 1", "a.".repeat(1 << 18)),
        format!("schema = 1\n[{}a]", "a.".repeat(1 << 18)),
    ] {
        assert!(read(&text).is_err());
    }
    let limits = Limits {
        document_bytes: 10,
        ..Limits::default()
    };
    let refused = parse("schema = 1 # long", &limits).unwrap_err().to_string();
    assert_eq!(refused, "document: is 17 bytes long (at most 10 bytes)");
    let many: String = (0..5_000).map(|n| format!("key_{n} = 1\n")).collect();
    let refused = read(&format!("schema = 1\n{many}")).unwrap_err();
    assert_eq!((refused.list.len(), refused.more), (1_000, 4_000));
    assert!(refused.to_string().ends_with("\nand 4000 more"));
}

#[test]
fn lists_have_bounds_that_are_told() {
    let limits = Limits {
        zones: 1,
        hosts_per_zone: 1,
        origins_per_zone: 1,
        lists: 1,
        networks_per_list: 1,
        rules_per_zone: 1,
        list_refs: 1,
        content_types: 1,
        listeners: 0,
        trusted_proxies: 1,
        header_edits: 0,
        status_ranges: 1,
        text_bytes: 64,
        ..Limits::default()
    };
    let told = parse(
        &format!("{FULL}\n[[zone]]\nname = \"{}\"\n", "n".repeat(65)),
        &limits,
    )
    .unwrap_err();
    let told = told.to_string();
    for part in [
        "edge.http: has 1 entries (at most 0; ",
        "edge.trusted_proxies: has 2 entries (at most 1; ",
        "zone: has 3 entries (at most 1; ",
        "zone[0].hosts: has 2 entries (at most 1; ",
        "zone[0].origin: has 2 entries (at most 1; ",
        "zone[0].health.status: has 2 entries (at most 1; ",
        "zone[0].request_headers.set: has 1 entries (at most 0; ",
        "zone[0].response_headers.remove: has 1 entries (at most 0; ",
        "zone[0].rule: has 10 entries (at most 1; ",
        "zone[0].lists.block: has 3 entries (at most 1; ",
        "zone[0].maintenance.allow: has 2 entries (at most 1; ",
        "zone[0].body.content_types: has 2 entries (at most 1; ",
        "zone[0].hygiene.remove: has 1 entries (at most 0; ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let lists = "schema = 1\n[lists]\na.ips = []\nb.ips = [\"10.0.0.0/8\", \"192.0.2.1\"]\n";
    assert!(
        parse(lists, &limits)
            .unwrap_err()
            .to_string()
            .contains("lists: has 2 entries (at most 1; ")
    );
    let text = parse(
        &format!("{SMALL}max_body = \"{}\"", "1".repeat(65)),
        &limits,
    )
    .unwrap_err()
    .to_string();
    assert!(
        text.contains("zone[0].max_body: is 65 bytes long (at most 64 bytes; line 6)"),
        "{text}"
    );
}

#[test]
fn keys_of_one_kind_of_origin_do_not_go_with_another() {
    for (origins, says) in [
        (
            "{ url = \"http://b.test\", dotfiles = true }",
            "zone[0].origin[0].dotfiles: has no effect on http://b.test",
        ),
        (
            "{ url = \"file:/srv\", host = \"b.test\" }",
            "zone[0].origin[0].host: has no effect on file:/srv",
        ),
        (
            "{ url = \"file:/srv\", proxy_protocol = \"v1\" }",
            "zone[0].origin[0].proxy_protocol: has no effect on file:/srv",
        ),
        (
            "{ url = \"file:/srv\" }, { url = \"http://b.test\" }",
            "zone[0].origin: has a folder among others",
        ),
        (
            "{ url = \"http://b.test\", protocol = \"2\", proxy_protocol = \"v2\" }",
            "zone[0].origin[0].proxy_protocol: does not go with protocol = \"2\"",
        ),
        (
            "{ url = \"unix:/a.sock\", ca = \"a.pem\" }",
            "zone[0].origin[0].ca: has no effect on unix:/a.sock",
        ),
    ] {
        let text = SMALL.replace("{ url = \"https://b.test\" }", origins);
        let told = problems(&text);
        assert!(
            told.len() == 1 && told[0].starts_with(says),
            "{origins}: {told:#?}"
        );
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (more, says) in [
        (
            "hsts = { preload = true }",
            "zone[0].hsts.preload: cannot be without the rest",
        ),
        (
            "tls = { client_ca = \"a.pem\" }",
            "zone[0].tls.client_ca: has no effect while client is off",
        ),
        (
            "tls = { client_ca = \"a.pem\", client = \"yes\" }",
            "zone[0].tls.client: \"yes\" is none of the known words",
        ),
        (
            "tls = { certificate = \"letsencrypt\" }",
            "zone[0].tls.certificate: \"letsencrypt\" is no source",
        ),
        (
            "tls = { certificate = { cert = \"a\" } }",
            "zone[0].tls.certificate.key: is missing",
        ),
        (
            "tls = { certificate = { cert = \"\", key = \"k\" } }",
            "zone[0].tls.certificate.cert: is empty",
        ),
        (
            "health = { status = [] }",
            "zone[0].health.status: is empty",
        ),
        (
            "health = { path = \"/a b\" }",
            "zone[0].health.path: \"/a b\" is no path",
        ),
        (
            "response_headers = { set = { X-A = \"1\", x-a = \"2\" } }",
            "response_headers.set.x-a: is written twice",
        ),
        (
            "response_headers = { add = { X-A = 1 } }",
            "response_headers.add.X-A: is not text",
        ),
        (
            "response_headers = []",
            "zone[0].response_headers: this is a list, not a table",
        ),
        ("max_body = 10485760", "write max_body = \"10485760B\""),
        (
            "timeouts = { connect = \"0s\" }",
            "zone[0].timeouts.connect: \"0s\" is out of bounds (1ms to 1d",
        ),
        (
            "timeouts = 3.5",
            "zone[0].timeouts: 3.5 is a number with a point, not a table",
        ),
        (
            "timeouts = { idle = 999999999999999999999999999999999999 }",
            "write idle = \"99999999999999999999999999999999…s\"",
        ),
        (
            "balance = { by = \"header\" }",
            "zone[0].balance.by: has no name (write name = \"…\": which header;",
        ),
        (
            "balance = { by = \"path\", name = \"x\" }",
            "zone[0].balance.name: has no effect",
        ),
        (
            "balance = { by = \"cookie\", name = \"a b\" }",
            "zone[0].balance.name: \"a b\" is no name of a header or cookie",
        ),
        (
            "circuit = { pending = 1 }",
            "zone[0].circuit.pending: has no effect",
        ),
        (
            "cache = { mode = \"all\" }",
            "zone[0].cache.mode: \"all\" is none of the known words",
        ),
        (
            "cache = { slice = \"64KiB\" }",
            "zone[0].cache.slice: is too little",
        ),
        (
            "cache = { shield = \"Fra\" }",
            "zone[0].cache.shield: \"Fra\" is no name of a location",
        ),
        (
            "compress = { codings = [\"deflate\"] }",
            "zone[0].compress.codings[0]: \"deflate\" is none of the known words",
        ),
        (
            "compress = { types = [] }",
            "zone[0].compress.types: is empty",
        ),
        (
            "circuit = { connections = 1000001 }",
            "zone[0].circuit.connections: 1000001 is out of bounds",
        ),
        ("compress = { least = 3 }", "write least = \"3B\""),
        (
            "retry = { attempts = -1 }",
            "zone[0].retry.attempts: -1 is out of bounds",
        ),
        (
            "retry = { attempts = 99999999999999999999999 }",
            "zone[0].retry.attempts: 99999999999999999999999 is out",
        ),
        (
            "websocket = 1979-05-27",
            "zone[0].websocket: 1979-05-27 is a date, not true or false",
        ),
    ] {
        let told = problems(&format!("{SMALL}{more}\n"));
        assert!(
            told.len() == 1 && told[0].contains(says),
            "{more}: {told:#?}"
        );
    }
    for (text, says) in [
        (
            "schema = 1\nzone = []\nzones = 1",
            "zones: unknown key (did you mean `zone`?; line 3)",
        ),
        (
            "schema = 1\n[zone]\nname = \"a\"",
            "zone: is one table, not a list of tables (write [[zone]], or zone = [{ … }]; line 2)",
        ),
        (
            "schema = 1\n[edge]\nhttp = \"0.0.0.0:80\"",
            "edge.http: \"0.0.0.0:80\" is text, not a list (write http = [\"0.0.0.0:80\"]; line 3)",
        ),
        (
            "schema = 1\n[edge]\nhttp = [\"0.0.0.0:80\"]\nhttps = [\"0.0.0.0:80\"]",
            "edge.https[0]: \"0.0.0.0:80\" is listened at already (leave one out; line 4)",
        ),
        (
            "schema = 1\n[edge]\nlimits = { head_bytes = \"4KiB\" }",
            "edge.limits.target_bytes: is larger than head_bytes (the target is a part of the head; line 3)",
        ),
        (
            "schema = 1\n[edge]\nproxy_protocol = [\"http\"]",
            "edge.proxy_protocol: has no effect (write trusted_proxies = [\"…\"]: who is believed; line 3)",
        ),
        (
            "schema = 1\n[edge]\nlocation = \"a\\u0000\"",
            "edge.location: \"a\\0\" has control characters (leave them out; line 3)",
        ),
        (
            "schema = 1\n[edge]\n\"a\\u001b[0m.b\" = 1",
            "edge.\"a\\u{1b}[0m.b\": unknown key (known here: location, http, https, http3, admin, workers, spare, trusted_proxies, proxy_protocol, outward, parents, unready_when, kill, public_http, public_https, access_log, acme, limits; line 3)",
        ),
        (
            "schema = 1\nlists.a = {}",
            "lists.a: has neither `ips` nor `file` (write ips = [\"203.0.113.0/24\"], or file = \"….txt\"; line 2)",
        ),
    ] {
        assert_eq!(problems(text), [says]);
    }
}

#[test]
fn numbers_may_have_another_base_and_separators() {
    let document =
        read("schema = 0x1\n[edge]\nworkers = 0b10\nlimits.connections = 1_000\n").unwrap();
    assert_eq!(
        (document.edge.workers, document.edge.limits.connections),
        (Some(2), 1_000)
    );
}

#[test]
fn lines_are_right_after_other_line_ends_and_byte_order_marks() {
    assert_eq!(
        problems("\u{feff}schema = 1\r\n\r\nx = 1\r\n"),
        ["x: unknown key (known here: schema, edge, lists, zone; line 3)"]
    );
}

#[test]
fn ten_thousand_zones_are_read_and_a_clash_among_them_is_found() {
    let zone = |n: usize, host: usize| {
        format!(
            "[[zone]]\nname = \"z{n}\"\nhosts = [\"h{host}.test\"]\norigin = [{{ url = \"http://10.0.0.1:80\" }}]\n"
        )
    };
    let text: String = std::iter::once("schema = 1\n".to_owned())
        .chain((0..10_000).map(|n| zone(n, n)))
        .collect();
    let document = read(&text).unwrap();
    assert_eq!(document.zones.len(), 10_000);
    assert_eq!(read(&document.to_toml()), Ok(document));
    let told = problems(&format!("{text}{}", zone(10_000, 7)));
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("zone[7].hosts[0]: \"h7.test\" is also zone[10000].hosts[0] ("),
        "{}",
        told[0]
    );
    assert!(
        told[1].starts_with("zone[10000].hosts[0]: \"h7.test\" is also zone[7].hosts[0] ("),
        "{}",
        told[1]
    );
}
