use seawall_model::{Limits, document};

use super::*;

fn zone(more: &str) -> u64 {
    let text = format!(
        "schema = 1\n[lists.a]\nips = []\n[[zone]]\nname = \"a\"\nhosts = [\"a.test\"]\n\
         origin = [{{ url = \"http://192.0.2.1\" }}]\n{more}\n"
    );
    let document = document::parse(&text, &Limits::default()).unwrap();
    Digest::of(document.zones.first().unwrap())
}

#[test]
fn every_kind_of_change_shows() {
    let changes = [
        "",
        "websocket = false",
        "managed_by = \"file\"",
        "redirect_https = true",
        "max_body = \"1KiB\"",
        "health = { }",
        "health = { path = \"/x\" }",
        "retry = { attempts = 3 }",
        "timeouts = { total = \"9s\" }",
        "balance = { by = \"path\" }",
        "balance = { by = \"client\" }",
        "balance = { by = \"header\", name = \"a\" }",
        "balance = { by = \"cookie\", name = \"a\" }",
        "balance = { slow_start = \"9s\" }",
        "outlier = { deviation_percent = 0 }",
        "circuit = { requests = 9 }",
        "cache = { mode = \"off\" }",
        "cache = { mode = \"everything\" }",
        "cache = { development_mode = true }",
        "cache = { slice = \"512KiB\" }",
        "cache = { cache_deception_armor = false }",
        "cache = { verify_digest = true }",
        "cache = { shield = \"a\" }",
        "cache = { early_hints = true }",
        "cache = { prefetch = true }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\ncache = \"bypass\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\ncache = \"eligible\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nedge_ttl = \"1s\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nedge_ttl = \"1s\"\nedge_ttl_mode = \"override_origin\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nbrowser_ttl = \"1s\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nserve_stale = \"1s\"",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nstore_set_cookie = true",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { query = \"none\" }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { include_query = [\"a\"] }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { exclude_query = [\"a\"] }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { headers = [\"a\"] }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { cookies = [\"a\"] }",
        "[[zone.cache.rule]]\nwhen = 'ssl'\nkey = { device_type = true }",
        "compress = { }",
        "compress = { codings = [\"br\"] }",
        "compress = { types = [\"text/css\"] }",
        "tls = { min_version = \"1.3\" }",
        "tls = { certificate = \"acme\" }",
        "hsts = { }",
        "request_headers = { set = { x = \"y\" } }",
        "request_headers = { add = { x = \"y\" } }",
        "response_headers = { set = { x = \"y\" } }",
        "[zone.lists]\nblock = [\"a\"]",
        "[zone.lists]\nallow = [\"a\"]",
        "[zone.lists]\nallow = [\"a\"]\nskip = [\"waf\"]",
        "[zone.lists]\nblock = [\"192.0.2.0/24\"]",
        "[zone.ddos]\nrequests_per_client = 5",
        "[zone.ddos]\nmode = \"watch\"",
        "[[zone.rate_limit]]\nrequests = 1\nper = \"1s\"",
        "[[zone.rate_limit]]\nrequests = 1\nper = \"1s\"\naction = \"log\"",
        "[[zone.rate_limit]]\nrequests = 1\nper = \"1s\"\nby = [\"http.host\"]",
        "[zone.rate]\nheaders = false",
        "[zone.body]\njson_depth = 5",
        "[zone.hotlink]\nenabled = true",
        "[zone.hygiene]\nnosniff = true",
        "[zone.waf]\nparanoia = 2",
        "[zone.waf]\ndebug_header = [\"192.0.2.0/24\"]",
        "[[zone.waf.exception]]\nrules = [\"1\"]",
        "[[zone.waf.exception]]\nrules = [\"1\"]\npaths = [\"/a\"]",
        "[zone.maintenance]\nenabled = true",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"log\"",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"block\"",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"block\"\nstatus = 404",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"rewrite\"\npath = \"/a\"",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"rewrite\"\nstrip_prefix = \"/a\"",
        "[[zone.rule]]\nwhen = 'ssl'\naction = \"rewrite\"\nadd_prefix = \"/a\"",
    ];
    let mut seen = std::collections::BTreeMap::new();
    for change in changes {
        assert_eq!(zone(change), zone(change));
        if let Some(other) = seen.insert(zone(change), change) {
            panic!("{change:?} and {other:?} are the same");
        }
    }
}

#[test]
fn texts_do_not_run_into_one_another() {
    let two = |a: &str, b: &str| Digest::of(&(a.to_owned(), b.to_owned()));
    assert_ne!(two("ab", "c"), two("a", "bc"));
    assert_ne!(two("", "a"), two("a", ""));
    assert_ne!(Digest::of("a"), Digest::of("a\0"));
    let files: Vec<Vec<u8>> = (0..40).map(|length| vec![0; length]).collect();
    let numbers: std::collections::BTreeSet<u64> =
        files.iter().map(|file| Digest::of(&Bytes(file))).collect();
    assert_eq!(numbers.len(), files.len());
}

/// Versions stand in Records and in other machines' reports: they do not change by themselves.
#[test]
fn the_number_is_the_same_everywhere() {
    assert_eq!(&*Digest::version(Digest::of("seawall")), VERSION_OF_SEAWALL);
}

const VERSION_OF_SEAWALL: &str = "2061018a0e6d";
