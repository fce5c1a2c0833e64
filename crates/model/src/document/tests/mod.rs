//! Whole documents: what is read and written back.

mod hostile;
mod partial;
mod pieces;
mod refused;
mod rules;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::host::HostPattern;

/// Every key with a value that is not its default.
const FULL: &str = r#"schema = 1

[edge]
location = "lhr"
http = ["127.0.0.1:80"]
https = ["[::]:443"]
http3 = false
admin = "127.0.0.1:0"
workers = 2
spare = true
trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]
proxy_protocol = ["https"]
outward = ["public"]
unready_when = ["config_stale", "origins_down"]
kill = ["rules"]
public_http = 80
public_https = 443
access_log = { file = "-", rotate_at = "1MiB", keep = 2 }

[edge.parents]
fra = { at = "fra.example.net:8804", of = ["lhr"] }
sin = { at = "[2001:db8::1]:8804" }

[edge.acme]
contact = "me@example.com"
directories = ["https://acme.test/directory"]
ca = "acme-ca.pem"
challenges = ["dns-01", "http-01"]
dns_hook = ["/usr/local/bin/hook", "-v"]
on_demand = ["*.shop.test"]
on_demand_most = 5

[edge.limits]
head_bytes = "16KiB"
target_bytes = "4KiB"
fields = 50
header_timeout = "5s"
idle_timeout = "1m"
body_idle_timeout = "20s"
body_min_rate = "1KiB"
write_timeout = "15s"
connections = 1000
connections_per_client = 10
requests_per_connection = 500
requests_in_progress = 5000
body_memory = "64MiB"
cache_memory = "128MiB"
cache_disk = "1GiB"
client_table = 20000
h2_streams = 64
tls_handshake_timeout = "3s"
drain = "30s"
retire = "1m"
memory = "2GiB"
soak = "30s"

[lists.office]
ips = ["203.0.113.0/24"]

[lists.bad]
file = "lists/bad.txt"

[lists.kinds]
texts = ["GET", ""]

[lists.systems]
numbers = ["64512"]

[lists.shops]
hosts = ["a.test", "*.b.test"]

[[zone]]
name = "example.com"
hosts = ["example.com", "*.example.com"]
origin = [
    { url = "https://10.0.0.1:8443", weight = 3, protocol = "2", host = "app.test:8080", sni = "app.test", verify = false, ca = "ca.pem", client_certificate = { cert = "c.pem", key = "secret://key" } },
    { url = "unix:/run/app.sock", proxy_protocol = "v2" },
]
redirect_https = true
websocket = false
managed_by = "file"
replay = false
max_body = "10MiB"
passive = { failures = 2, eject_for = "30s" }
balance = { by = "cookie", name = "session", most_load_percent = 150, slow_start = "30s" }
outlier = { deviation_percent = 250, interval = "20s", requests = 50, most_percent = 30 }
circuit = { connections = 100, pending = 50, requests = 200, retries = 10 }
timeouts = { connect = "1s", header = "10s", idle = "20s", total = "5m" }
retry = { attempts = 3, budget_percent = 10 }
compress = { codings = ["gzip"], types = ["text/*"], least = "1KiB" }
hsts = { max_age = "730d", include_subdomains = true, preload = true }
request_headers = { set = { X-A = "1" }, add = { X-B = "2" }, remove = ["X-C"] }
response_headers = { set = { Server = "s" }, add = { X-B = "q\"" }, remove = ["X-Powered-By"] }

[zone.health]
path = "/healthz?deep=1"
every = "1s"
timeout = "500ms"
status = ["200-299", "404"]
host = "check.test"
healthy_after = 1
unhealthy_after = 2

[zone.cache]
mode = "everything"
development_mode = true
slice = "512KiB"
cache_deception_armor = false
verify_digest = true
shield = "fra"
early_hints = true
prefetch = true

[[zone.cache.rule]]
when = 'http.request.uri.path.extension in {"css" "js"}'
cache = "eligible"
edge_ttl = "1h"
edge_ttl_mode = "override_origin"
browser_ttl = "10m"
serve_stale = "1d"
store_set_cookie = true
key = { query = "none", headers = ["x-a"], cookies = ["lang"], device_type = true }

[[zone.cache.rule]]
when = "true"
key = { include_query = ["a"] }

[[zone.cache.rule]]
when = "true"
cache = "bypass"
edge_ttl = "0s"
edge_ttl_mode = "respect_origin"
store_set_cookie = false
key = { exclude_query = ["utm_source"] }

[zone.tls]
certificate = { cert = "/etc/seawall/tls/chain.pem", key = "/etc/seawall/tls/key.pem" }
min_version = "1.3"
client = "required"
client_ca = "clients.pem"

[[zone.rule]]
name = "no scanners"
when = 'http.request.uri.path contains "/wp-"'
action = "block"
status = 404
mode = "watch"

[[zone.rule]]
when = """
ip.src in $office
and not http.host eq "a.test"
"""
action = "skip"
skip = ["rate", "waf"]

[[zone.rule]]
when = "true"
action = "redirect"
status = 308
to = "https://example.com/x"
keep_path = true
keep_query = false

[[zone.rule]]
when = "true"
action = "rewrite"
path = "/new"
add_prefix = "/v2"
query = ""

[[zone.rule]]
when = "true"
action = "redirect"
to_expression = 'concat("https://", http.host)'

[[zone.rule]]
when = "true"
action = "rewrite"
path_expression = "lower(http.request.uri.path)"
query_expression = 'concat("a=", http.host)'

[[zone.rule]]
when = "true"
action = "rewrite"
strip_prefix = "/api"

[[zone.rule]]
when = "true"
action = "header"
set = { x-a = "1" }
add = { x-b = "1" }
remove = ["x-c"]

[[zone.rule]]
when = "true"
action = "weigh"
score = 5

[[zone.rule]]
when = "true"
action = "log"

[zone.rules]
mode = "watch"
threshold = 20

[[zone.rate_limit]]
name = "logins"
when = 'http.request.uri.path eq "/login"'
by = ["ip.src", "lower(http.host)"]
requests = 10
per = "1m"
action = "log"
mode = "watch"

[[zone.rate_limit]]
requests = 1000
per = "1h"

[zone.rate]
mode = "watch"
headers = false

[zone.lists]
mode = "watch"
block = ["bad", "203.0.113.0/24", "2001:db8::1"]
allow = ["office"]
skip = ["bots"]
only = ["0.0.0.0/0"]

[zone.ddos]
mode = "off"
requests_per_client = 100
errors_per_client = 50
per = "1m"
concurrent_per_client = 20

[zone.body]
mode = "watch"
content_types = ["application/json", "text/*"]
json_depth = 32

[zone.hotlink]
mode = "watch"
enabled = true
extensions = ["png"]
allow = ["*.friend.test"]

[zone.waf]
mode = "watch"
ruleset = "/etc/seawall/crs"
paranoia = 2
threshold = 10
response_threshold = 8
responses = true
body_limit = "64KiB"
longer = "pass"
response_limit = "32KiB"
response_longer = "refuse"
coded = "pass"
methods = ["GET", "POST"]
managed = ["captcha", "sso"]
patches = "SecRule ARGS:q \"@streq x\" \"id:1,phase:1,deny\""
events = 8
debug_header = ["192.0.2.0/24"]

[zone.waf.shadow]
ruleset = "/etc/seawall/crs-next"
paranoia = 2
threshold = 7

[zone.waf.openapi]
mode = "watch"
file = "shop.json"
strict = true

[[zone.waf.exception]]
rules = ["942100"]
tags = ["attack-sqli"]
targets = ["ARGS:comment"]
paths = ["/blog/*"]

[zone.hygiene]
mode = "watch"
remove = ["x-powered-by"]
nosniff = true

[zone.transform]
mode = "off"

[zone.maintenance]
enabled = true
message = "Back at <noon>."
page = "closed.html"
retry_after = "1h"
allow = ["office", "192.0.2.7"]

[[zone]]
name = "files"
hosts = ["files.test"]
origin = [{ url = "file:/srv/www", dotfiles = true }]
"#;

const SMALL: &str = "schema = 1\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"https://b.test\" }]\n";

fn read(text: &str) -> Result<Document, Problems> {
    parse(text, &Limits::default())
}

fn problems(text: &str) -> Vec<String> {
    read(text)
        .expect_err("no problem found")
        .list
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The paths of all keys that a TOML text has, as the table of keys writes them.
fn paths(text: &str) -> BTreeSet<String> {
    fn walk(at: &str, value: &toml::Value, found: &mut BTreeSet<String>) {
        let known = KEYS.iter().find(|key| key.path == at).map(|key| key.kind);
        match value {
            toml::Value::Table(table) if !matches!(known, Some(Kind::Pairs(_))) => {
                for (name, value) in table {
                    let name = if matches!(at, "lists" | "edge.parents") {
                        "<name>"
                    } else {
                        name.as_str()
                    };
                    let path = if at.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{at}.{name}")
                    };
                    found.insert(path.clone());
                    walk(&path, value, found);
                }
            }
            toml::Value::Array(items) => {
                items
                    .iter()
                    .filter(|item| item.is_table())
                    .for_each(|item| walk(&format!("{at}[]"), item, found));
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(
        "",
        &toml::Value::Table(toml::from_str(text).unwrap()),
        &mut found,
    );
    found
}

#[test]
fn every_key_is_read_and_written_back() {
    let document = read(FULL).unwrap();
    let text = document.to_toml();
    assert_eq!(read(&text).as_ref(), Ok(&document), "{text}");
    // What is written follows from the values that were read: a key that one of the two forgets is missing here.
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(paths(&text), known);
    assert_eq!(text, read(&text).unwrap().to_toml());
}

#[test]
fn what_is_written_looks_as_a_person_would_write_it() {
    let mut written = read(FULL).unwrap().to_toml();
    for (line, shown) in [
        ("hosts = [\"example.com\", \"*.example.com\"]\n", true),
        ("retry = { attempts = 3, budget_percent = 10 }\n", true),
        ("\n[zone.health]\npath = \"/healthz?deep=1\"\n", true),
        ("websocket = true", false),
        ("managed_by = \"anyone\"", false),
    ] {
        assert_eq!(written.contains(line), shown, "{line} in {written}");
    }
    written = read(SMALL).unwrap().to_toml();
    assert_eq!(
        written,
        "schema = 1\n\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\norigin = [{ url = \"https://b.test\" }]\n"
    );
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_code() {
    let mut checked = 0;
    for key in KEYS {
        let Absent::Is(default) = key.default else {
            continue;
        };
        let Some((table, name)) = key.path.rsplit_once('.') else {
            continue;
        };
        // Nothing may depend on whether the key is written: the same table, with the key and without it. Each stands
        // in a document of its own; where a table must have other keys, they are there.
        let document = |line: &str| match table {
            "zone[].origin[]" => SMALL.replace(
                " }]",
                &format!("{}{line} }}]", if line.is_empty() { "" } else { ", " }),
            ),
            "zone[].rule[]" => {
                let rule = "when = \"x\"\naction = \"redirect\"\nto = \"/\"";
                format!("{SMALL}[[zone.rule]]\n{rule}\n{line}\n")
            }
            table if table.starts_with("zone[].cache.rule[]") => {
                let rule = "when = \"x\"\ncache = \"bypass\"";
                let header = match table.strip_prefix("zone[].cache.rule[].") {
                    Some(name) => format!("[zone.cache.rule.{name}]\n"),
                    None => String::new(),
                };
                format!("{SMALL}[[zone.cache.rule]]\n{rule}\n{header}{line}\n")
            }
            "zone[].waf.shadow" => {
                format!("{SMALL}[zone.waf.shadow]\nruleset = \"x\"\n{line}\n")
            }
            "zone[].waf.openapi" => {
                format!("{SMALL}[zone.waf.openapi]\nfile = \"x\"\n{line}\n")
            }
            "zone[].waf.exception[]" => {
                // It has to leave out something; by another key than the one that is looked at.
                let other = if name == "tags" {
                    "rules = [\"1\"]"
                } else {
                    "tags = [\"x\"]"
                };
                format!("{SMALL}[[zone.waf.exception]]\n{other}\n{line}\n")
            }
            "zone[].rate_limit[]" => {
                format!("{SMALL}[[zone.rate_limit]]\nrequests = 1\nper = \"1s\"\n{line}\n")
            }
            table if table.starts_with("zone[]") => {
                let header = table.replacen("zone[]", "zone", 1);
                let header = if header == "zone" {
                    String::new()
                } else {
                    format!("[{header}]\n")
                };
                format!("{SMALL}{header}{line}\n")
            }
            table => format!("schema = 1\n[{table}]\n{line}\n"),
        };
        let with = read(&document(&format!("{name} = {default}")));
        let without = read(&document(""));
        assert!(without.is_ok(), "{}: {without:?}", key.path);
        assert_eq!(with, without, "{}", key.path);
        checked += 1;
    }
    assert!(checked > 70, "{checked}");
}

#[test]
fn an_empty_document_is_all_defaults() {
    let document = read("schema = 1").unwrap();
    assert_eq!(document, Document::default());
    assert_eq!(document.edge.http, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(document.edge.limits.idle_timeout, Duration::from_secs(75));
    let outward = document.edge.outward(false);
    assert!(outward.loopback && outward.private && outward.public);
    let outward = document.edge.outward(true);
    assert!(!outward.loopback && outward.private && outward.public);
    let AccessLog::File(log) = &document.edge.access_log else {
        panic!("{document:?}")
    };
    assert_eq!((log.rotate_at, log.keep), (104_857_600, 5));
    assert_eq!(document.to_toml(), "schema = 1\n");
}

#[test]
fn a_zone_has_the_documented_defaults() {
    let zone = read(SMALL).unwrap().zones.remove(0);
    assert_eq!(zone.hosts, [HostPattern::Exact("a.test".into())]);
    assert_eq!(
        zone.passive,
        Passive {
            failures: 5,
            eject_for: Duration::from_secs(10)
        }
    );
    assert_eq!(zone.timeouts.total, None);
    assert_eq!(
        zone.retry,
        Retry {
            attempts: 2,
            budget_percent: 20
        }
    );
    assert_eq!(zone.tls.certificate, Certificate::SelfSigned);
    assert!(zone.websocket && !zone.redirect_https && zone.hsts.is_none() && zone.health.is_none());
    let document = read(&format!("{SMALL}health = {{}}")).unwrap();
    let health = document.zones[0].health.clone().unwrap();
    assert_eq!(health.status, [200..=399]);
    assert_eq!((health.healthy_after, health.unhealthy_after), (2, 3));
}

#[test]
fn switches_can_be_off() {
    let text = "schema = 1\n[edge]\naccess_log = \"off\"\nadmin = \"none\"\nhttp = []\nhttps = []\noutward = []\n";
    let document = read(text).unwrap();
    assert_eq!(document.edge.access_log, AccessLog::Off);
    assert_eq!(document.edge.admin, None);
    assert!(document.edge.http.is_empty() && document.edge.https.is_empty());
    assert!(!document.edge.outward(false).public);
    assert_eq!(read(&document.to_toml()), Ok(document));
}

#[test]
fn the_example_of_the_handbook_is_read() {
    let text = r#"
schema = 1

[edge]                                   # a comment
location = "lhr"
http  = ["0.0.0.0:8080"]
https = ["0.0.0.0:8443"]

[lists.office]
ips = ["203.0.113.0/24"]

[[zone]]
name  = "example.com"
hosts = ["example.com", "*.example.com"]
origin = [{ url = "http://10.0.0.1:8080", weight = 1 }]
health = { path = "/healthz", every = "5s" }
tls    = { certificate = "self-signed" }
"#;
    let document = read(text).unwrap();
    assert_eq!(document.zones[0].health.as_ref().unwrap().path, "/healthz");
    assert!(document.lists["office"].ips[0].contains("203.0.113.9".parse().unwrap()));
    let later = format!("{text}\n[zone.cache]\nmode = \"standard\"\n[[zone.access]]\n");
    assert_eq!(
        problems(&later),
        ["zone[0].access: unknown key (this build has no `access` yet; line 21)",]
    );
}
