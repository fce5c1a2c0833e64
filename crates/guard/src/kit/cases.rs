//! How each stage is configured for the kit.

use super::Case;

/// The stages of this room.
pub const CASES: &[Case] = &[
    Case {
        stage: "lists",
        documents: &[
            "[zone.lists]\nmode = '{mode}'\nblock = ['bad', '198.51.100.0/24', '2001:db8:bad::/48']\n\
             [lists.bad]\nips = ['203.0.113.0/24']",
            "[zone.lists]\nmode = '{mode}'\nallow = ['192.0.2.0/24', '2001:db8::/32']\nskip = ['rate', 'bots']\n\
             block = ['0.0.0.0/0', '::/0']",
            "[zone.lists]\nmode = '{mode}'\nonly = ['192.0.2.1']",
        ],
    },
    Case {
        stage: "ddos",
        documents: &[
            "[zone.ddos]\nmode = '{mode}'\nrequests_per_client = 3",
            "[zone.ddos]\nmode = '{mode}'\nerrors_per_client = 1\nper = '1h'",
            "[zone.ddos]\nmode = '{mode}'\nrequests_per_client = 5\nerrors_per_client = 2\nper = '1s'",
        ],
    },
    Case {
        stage: "maintenance",
        documents: &[
            "[zone.maintenance]\nenabled = true\nallow = ['192.0.2.1', '2001:db8::/64']",
            "[zone.maintenance]\nenabled = true\nmessage = 'Back <soon>.'\nretry_after = '1d'",
        ],
    },
    Case {
        stage: "hotlink",
        documents: &[
            "[zone.hotlink]\nmode = '{mode}'\nenabled = true",
            "[zone.hotlink]\nmode = '{mode}'\nenabled = true\nextensions = ['', 'html', 'php']\nallow = ['*.friend.test']",
        ],
    },
    Case {
        stage: "transform",
        documents: &[
            "redirect_https = true\ntransform = { mode = '{mode}' }",
            "transform = { mode = '{mode}' }\n[zone.request_headers]\n\
             set = { x-real-ip = 'none', cookie = '' }\nadd = { accept = 'text/plain' }\nremove = ['referer', 'x-many']",
        ],
    },
    Case {
        stage: "rules",
        documents: &[
            "rules = { mode = '{mode}' }\n[[zone.rule]]\n\
             when = 'http.request.method in {\"POST\" \"DELETE\" \"\"} or http.request.uri.path contains \"admin\"'\n\
             action = 'block'\n\
             [[zone.rule]]\nwhen = 'lower(http.request.uri.query) contains \"select\"'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'ip.src in $office'\naction = 'skip'\nskip = ['waf']\n\
             [lists.office]\nips = ['192.0.2.0/24']",
            "rules = { mode = '{mode}', threshold = 5 }\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path matches \"(?i)/(a+)+b|[.]php$\"'\naction = 'weigh'\nscore = 3\n\
             [[zone.rule]]\nwhen = 'any(http.request.headers[\"x-many\"][*] contains \"7\")'\naction = 'weigh'\nscore = 5",
            "rules = { mode = '{mode}' }\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path ne \"/\"'\naction = 'redirect'\nto = '/'\nkeep_path = true",
            "rules = { mode = '{mode}' }\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path ne \"/none\"'\naction = 'rewrite'\n\
             strip_prefix = '/api'\nadd_prefix = '/v2'\nquery = 'a=b'\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path contains \"v2\"'\naction = 'rewrite'\nstrip_prefix = '/v2'\n\
             [[zone.rule]]\nwhen = 'http.host ne \"\"'\naction = 'header'\nset = { x-host = 'some' }\nremove = ['cookie']",
            "rules = { mode = '{mode}' }\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path wildcard \"/admin*\"'\naction = 'block'\n\
             [[zone.rule]]\nwhen = 'lower(http.cookie) contains \"session\"'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'any(url_decode(http.request.uri.args.values[*], \"r\")[*] contains \"select\")'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'any(http.request.headers.values[*] matches \"[0-9]{9}\")'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'http.request.method eq \"PUT\" and ip.src in {192.0.2.0/24 2001:db8::/32}'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'starts_with(http.request.uri.path, \"/a\") or ends_with(http.request.uri.path, \".php\")'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'http.request.full_uri contains \"//\" and not ssl'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'len(http.request.cookies.names) gt 5'\naction = 'log'\n\
             [[zone.rule]]\nwhen = 'has_key(http.request.headers, \"x-many\")'\naction = 'log'",
        ],
    },
    Case {
        stage: "rate",
        documents: &[
            "rate = { mode = '{mode}' }\n[[zone.rate_limit]]\nrequests = 2\nper = '1h'\n\
             when = 'http.request.uri.path contains \"admin\" or lower(http.cookie) contains \"a\"'",
            "rate = { mode = '{mode}' }\n[[zone.rate_limit]]\nrequests = 100\nper = '1s'\naction = 'log'\n\
             by = ['http.request.headers[\"x-many\"][0]', 'lower(http.cookie)', 'http.request.full_uri', 'ip.src']",
        ],
    },
    Case {
        stage: "body",
        documents: &[
            "max_body = '100B'\nbody = { mode = '{mode}' }",
            "[zone.body]\nmode = '{mode}'\ncontent_types = ['application/json', 'text/*']",
            "max_body = '1MiB'\n[zone.body]\nmode = '{mode}'\njson_depth = 3",
        ],
    },
    Case {
        stage: "waf",
        documents: &[
            "[zone.waf]\nmode = '{mode}'\nruleset = 'sample'",
            "[zone.waf]\nmode = '{mode}'\nruleset = 'sample'\nresponses = true\nlonger = 'pass'\nbody_limit = '1KiB'\n\
             debug_header = ['192.0.2.0/24']",
            "[zone.waf]\nmode = '{mode}'\nruleset = 'sample'\nthreshold = 1\nbody_limit = '0B'\n\
             [[zone.waf.exception]]\nrules = ['3']\npaths = ['/api*']",
            "[zone.waf]\nmode = '{mode}'\nmethods = ['GET', 'POST']\ncoded = 'pass'\nresponses = true\nresponse_longer = 'refuse'\n\
             response_limit = '100B'\npatches = 'SecAction \"id:90,phase:1,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.count=+1\"'\n\
             [zone.waf.shadow]\nruleset = 'sample'\n[zone.waf.openapi]\nmode = '{mode}'\nfile = 'openapi'\nstrict = true",
        ],
    },
    Case {
        stage: "hygiene",
        documents: &[
            "[zone.hygiene]\nmode = '{mode}'\nremove = ['server', 'X-Powered-By', 'x-many']",
            "[zone.hygiene]\nmode = '{mode}'\nnosniff = true",
        ],
    },
];
