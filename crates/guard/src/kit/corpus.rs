//! What stages are shown: ordinary requests, bodies and responses, and odd ones. Each is something that the codecs let through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_model::{RequestHead, ResponseHead};

use super::{push, request};

/// A request, and who sent it.
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) head: RequestHead,
    pub(super) client: IpAddr,
    pub(super) https: bool,
}

type Line<'a> = (&'a [u8], &'a [u8]);

const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "get",
    "M-SEARCH",
    "!#$%&'*+-.^_`|~",
];

const TARGETS: &[&[u8]] = &[
    b"/",
    b"/index.html?a=b&c=d",
    b"/api/v1/users/42",
    b"/api",
    b"/%61pi/%2e%2e/admin",
    b"//evil.test//x",
    b"/\\evil.test",
    b"/a/../../../etc/passwd",
    b"/%00%ff%zz%",
    b"/\xff\xfe\x80",
    b"/?",
    b"/??a?b",
    b"/x;v=1/.seawall;/trace",
    b"/api/%252eseawall/trace",
    b"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    b"/search?q=1%27%20UNION%20SELECT%201,2--",
    b"/shell.PhP",
    b"*",
];

const FIELDS: &[&[Line<'_>]] = &[
    &[
        (b"host", b"a.test"),
        (b"user-agent", b"curl/8.0"),
        (b"accept", b"*/*"),
    ],
    &[(b"cookie", b""), (b"x-empty", b"")],
    &[
        (b"x-binary", b"\xff\x80\xc1"),
        (b"cookie", b"\x80=\xff; a=\"b\\\"\""),
    ],
    &[
        (b"x_odd-name", b"1"),
        (b"!#$%&'*+-.^_`|~", b"token"),
        (b"x-tab", b"a\tb"),
    ],
    &[
        (b"content-type", b"application/json"),
        (b"content-type", b"text/plain"),
    ],
    &[
        (b"cookie", b"a=1"),
        (b"cookie", b"a=2"),
        (b"COOKIE", b"a=3"),
    ],
    &[
        (b"authorization", b"Basic \xe2\x82\xac"),
        (b"referer", b"//"),
        (b"x-forwarded-for", b"::1, 999.1.1.1"),
    ],
];

fn clients() -> [IpAddr; 6] {
    [
        Ipv4Addr::new(192, 0, 2, 1).into(),
        Ipv4Addr::new(203, 0, 113, 255).into(),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1).into(),
        Ipv6Addr::from_bits(u128::MAX).into(),
    ]
}

/// All requests.
pub(super) fn requests() -> Vec<Sent> {
    let mut all = Vec::new();
    let mut add = |name: String, head: RequestHead, client: IpAddr| {
        let https = all.len() % 3 == 0;
        all.push(Sent {
            name,
            head,
            client,
            https,
        });
    };
    let clients = clients();
    let mut turn = clients.iter().cycle().copied();
    let mut next = || turn.next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let none: &[Line<'_>] = &[];
    for method in METHODS {
        add(format!("{method} /"), request(method, b"/", none), next());
    }
    for target in TARGETS {
        let name = format!("GET {}", String::from_utf8_lossy(target));
        add(name, request("GET", target, none), next());
    }
    for (nth, fields) in FIELDS.iter().enumerate() {
        let name = format!("fields {nth}");
        add(name, request("POST", b"/api/x", fields), next());
    }
    for client in clients {
        add(
            format!("client {client}"),
            request("GET", b"/", none),
            client,
        );
    }
    let many: Vec<(String, Vec<u8>)> = (0..100u32)
        .map(|nth| ("x-many".into(), nth.to_string().into_bytes()))
        .collect();
    add("100 fields".into(), request("GET", b"/", &many), next());
    let long = [(b"x-long", vec![b'a'; 16 << 10])];
    add("a long value".into(), request("GET", b"/", &long), next());
    for (name, part) in [
        ("a", &b"a"[..]),
        ("/", b"/"),
        ("%2e/", b"%2e/"),
        ("../", b"../"),
    ] {
        let target = [b"/", part.repeat(8_000 / part.len()).as_slice()].concat();
        let name = format!("a long path of {name}");
        add(name, request("GET", &target, none), next());
    }
    let query = [&b"/?"[..], &b"a=%41&".repeat(1_300)].concat();
    add("a long query".into(), request("GET", &query, none), next());
    all
}

/// Bodies, each with what is said of it: its type.
pub(super) fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let json = "application/json";
    vec![
        (json, b"{\"a\":[1,2,{\"b\":\"\\\"\"}]}".to_vec()),
        (json, b"[".repeat(5_000)),
        (json, b"{\"a\":".repeat(5_000)),
        (json, b"\"".repeat(5_001)),
        (json, b"\\".repeat(5_000)),
        (
            json,
            [b"[\"", b"x".repeat(200_000).as_slice(), b"\"]"].concat(),
        ),
        (
            json,
            [b" ".repeat(100_000).as_slice(), b"[[[[[[]]]]]]"].concat(),
        ),
        (json, b"\xff\xfe[\0{\0".to_vec()),
        (json, b"[\"\xe2\x82".to_vec()),
        (json, Vec::new()),
        ("application/ld+json; charset=utf-16", b"{}".to_vec()),
        ("APPLICATION/JSON;", b"]}".to_vec()),
        ("text/plain", b"hello".to_vec()),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n\r\n--x--".to_vec(),
        ),
        (
            "application/octet-stream",
            (0..=255u8).cycle().take(3_000).collect(),
        ),
        ("", b"?".to_vec()),
        (";;;", b"?".to_vec()),
        ("*/*", b"?".to_vec()),
    ]
}

/// Responses.
pub(super) fn responses() -> Vec<ResponseHead> {
    let respond = |status: u16, fields: &[Line<'_>]| {
        let mut head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        push(&mut head.fields, fields);
        head
    };
    let statuses = [
        200, 204, 206, 301, 304, 400, 401, 403, 404, 418, 429, 500, 503, 599, 999,
    ];
    let mut all: Vec<_> = statuses
        .iter()
        .map(|status| respond(*status, &[]))
        .collect();
    all.extend(FIELDS.iter().map(|fields| respond(200, fields)));
    all.push(respond(
        200,
        &[
            (b"Server", b"x"),
            (b"SERVER", b""),
            (b"x-content-type-options", b"\xff"),
        ],
    ));
    let mut many = respond(200, &[]);
    for nth in 0..100u32 {
        many.fields.push(b"x-many", nth.to_string().as_bytes());
    }
    all.push(many);
    all
}
