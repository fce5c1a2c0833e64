//! Random expressions and random requests, judged by a second, naive interpreter that knows nothing of the first.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use request::{Numbers, Request, parse};
use seawall_rules::Lists;

/// A test in both languages: how it is written, and what it means.
enum Test {
    Leaf(String, Box<dyn Fn(&Plain) -> bool>),
    Not(Box<Test>),
    Join(&'static str, Vec<Test>),
}

/// What a request has, as texts.
struct Plain {
    method: String,
    host: String,
    target: String,
    lines: Vec<(String, String)>,
    client: u32,
}

impl Plain {
    fn lines(&self, name: &str) -> Vec<String> {
        let lines = self
            .lines
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.clone()).collect()
    }

    fn text(&self, field: &str) -> Option<String> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        Some(match field {
            "http.request.method" => self.method.clone(),
            "http.host" => self.host.to_lowercase(),
            "http.request.uri.path" => path.to_owned(),
            "http.request.uri.query" => query.to_owned(),
            "http.cookie" => self.lines("cookie").join("; "),
            "http.user_agent" => self.lines("user-agent").join(", "),
            "http.request.headers[\"x-a\"][0]" => return self.lines("x-a").first().cloned(),
            "http.request.headers[\"X-B\"][1]" => return self.lines("x-b").get(1).cloned(),
            _ => panic!("{field}"),
        })
    }
}

const FIELDS: [&str; 8] = [
    "http.request.method",
    "http.host",
    "http.request.uri.path",
    "http.request.uri.query",
    "http.cookie",
    "http.user_agent",
    "http.request.headers[\"x-a\"][0]",
    "http.request.headers[\"X-B\"][1]",
];

const WORDS: [&str; 8] = ["a", "ab", "", "b=a", "/a", "ba", "abab", "c"];

fn quoted(text: &str, numbers: &mut Numbers) -> String {
    match numbers.below(3) {
        0 => format!("r\"{text}\""),
        1 => format!("r##\"{text}\"##"),
        _ => {
            let bytes: Vec<String> = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{}\"", bytes.concat())
        }
    }
}

type Ask = Box<dyn Fn(&str) -> bool>;

/// A question about a text: what stands behind the field, and what it means.
fn ask(numbers: &mut Numbers) -> (String, Ask) {
    let word = *numbers.pick(&WORDS);
    let value = quoted(word, numbers);
    match numbers.below(6) {
        0 => (format!("eq {value}"), Box::new(move |text| text == word)),
        1 => (format!("!= {value}"), Box::new(move |text| text != word)),
        2 => (
            format!("contains {value}"),
            Box::new(move |text| text.contains(word)),
        ),
        3 => {
            let other = *numbers.pick(&WORDS);
            let set = format!("in {{{value} {}}}", quoted(other, numbers));
            (set, Box::new(move |text| [word, other].contains(&text)))
        }
        4 => (
            format!("matches r\"^{word}\""),
            Box::new(move |text| text.starts_with(word)),
        ),
        _ => {
            let pattern = format!("~ r\"(?:{word})(?:ab)*$\"");
            let naive = move |text: &str| {
                (0..=text.len() / 2)
                    .any(|times| text.ends_with(&format!("{word}{}", "ab".repeat(times))))
            };
            (pattern, Box::new(naive))
        }
    }
}

fn leaf(numbers: &mut Numbers) -> Test {
    let field = *numbers.pick(&FIELDS);
    match numbers.below(8) {
        0 => {
            let (behind, asks) = ask(numbers);
            let any = numbers.below(2) == 0;
            let name = if any { "any" } else { "all" };
            let source = format!("{name}(http.request.headers[\"x-b\"][*] {behind})");
            let naive = move |plain: &Plain| {
                let lines = plain.lines("x-b");
                let holds = lines.iter().filter(|line| asks(line)).count();
                holds > 0 && (any || holds == lines.len())
            };
            Test::Leaf(source, Box::new(naive))
        }
        1 => {
            let (begins, word) = (numbers.below(2) == 0, *numbers.pick(&WORDS));
            let name = if begins { "starts_with" } else { "ends_with" };
            let source = format!("{name}({field}, {})", quoted(word, numbers));
            let naive = move |plain: &Plain| {
                plain.text(field).is_some_and(|text| {
                    if begins {
                        text.starts_with(word)
                    } else {
                        text.ends_with(word)
                    }
                })
            };
            Test::Leaf(source, Box::new(naive))
        }
        2 => {
            let length = numbers.below(6) as i64;
            let source = format!("len({field}) gt {length}");
            let naive = move |plain: &Plain| {
                plain
                    .text(field)
                    .is_some_and(|text| text.len() as i64 > length)
            };
            Test::Leaf(source, Box::new(naive))
        }
        3 => {
            let (first, last) = (numbers.below(8) as u32, 8 + numbers.below(8) as u32);
            let source = format!("ip.src in {{10.0.0.{first}..10.0.0.{last} 10.0.1.0/24}}");
            let naive = move |plain: &Plain| (first..=last).contains(&plain.client);
            Test::Leaf(source, Box::new(naive))
        }
        4 => {
            let (behind, asks) = ask(numbers);
            let missing = behind.starts_with("!=");
            let source = format!("lower({field}) {behind}");
            let naive = move |plain: &Plain| {
                plain
                    .text(field)
                    .map_or(missing, |text| asks(&text.to_lowercase()))
            };
            Test::Leaf(source, Box::new(naive))
        }
        _ => {
            let (behind, asks) = ask(numbers);
            let missing = behind.starts_with("!=");
            let source = format!("{field} {behind}");
            let naive = move |plain: &Plain| plain.text(field).map_or(missing, |text| asks(&text));
            Test::Leaf(source, Box::new(naive))
        }
    }
}

fn test(numbers: &mut Numbers, depth: usize) -> Test {
    match numbers.below(if depth > 3 { 1 } else { 6 }) {
        1 => Test::Not(Box::new(test(numbers, depth + 1))),
        2..=4 => {
            let join = *numbers.pick(&["and", "or", "xor"]);
            let members = (0..2 + numbers.below(2)).map(|_| test(numbers, depth + 1));
            Test::Join(join, members.collect())
        }
        _ => leaf(numbers),
    }
}

impl Test {
    fn rank(&self) -> usize {
        match self {
            Self::Leaf(..) => 4,
            Self::Not(_) => 3,
            Self::Join("and", _) => 2,
            Self::Join("xor", _) => 1,
            Self::Join(..) => 0,
        }
    }

    /// With parentheses only where they are needed, so that the order in which words bind is tested too.
    fn written(&self, least: usize) -> String {
        let text = match self {
            Self::Leaf(source, _) => source.clone(),
            Self::Not(test) => format!("not {}", test.written(3)),
            Self::Join(join, tests) => {
                let parts: Vec<String> =
                    tests.iter().map(|test| test.written(self.rank())).collect();
                parts.join(&format!(" {join} "))
            }
        };
        if self.rank() < least {
            format!("({text})")
        } else {
            text
        }
    }

    fn naive(&self, plain: &Plain) -> bool {
        match self {
            Self::Leaf(_, naive) => naive(plain),
            Self::Not(test) => !test.naive(plain),
            Self::Join("and", tests) => tests.iter().all(|test| test.naive(plain)),
            Self::Join("or", tests) => tests.iter().any(|test| test.naive(plain)),
            Self::Join(_, tests) => tests.iter().filter(|test| test.naive(plain)).count() % 2 == 1,
        }
    }
}

fn plain(numbers: &mut Numbers) -> Plain {
    let values = ["a", "ab", "abab", "", "AB", "b=a", "cab", "aB/a"];
    let names = ["x-a", "X-A", "x-b", "X-b", "cookie", "User-Agent"];
    let lines = (0..numbers.below(7)).map(|_| {
        (
            (*numbers.pick(&names)).to_owned(),
            (*numbers.pick(&values)).to_owned(),
        )
    });
    let lines = lines.collect();
    Plain {
        method: (*numbers.pick(&["GET", "a", "ab", "Ab"])).to_owned(),
        host: (*numbers.pick(&["ab", "AB", "a", "abab", "c.test"])).to_owned(),
        target: (*numbers.pick(&["/a", "/ab?ab", "/?b=a", "/abab?", "/A?c", "/ba"])).to_owned(),
        lines,
        client: numbers.below(20) as u32,
    }
}

#[test]
fn two_interpreters_agree() {
    let mut numbers = Numbers(3);
    let (mut yes, mut asked) = (0, 0);
    for _ in 0..3000 {
        let test = test(&mut numbers, 0);
        let source = test.written(0);
        if source.len() > 4096 {
            continue;
        }
        let expression = parse(&source, &Lists::new());
        for _ in 0..8 {
            let plain = plain(&mut numbers);
            let lines: Vec<(&str, &str)> = plain
                .lines
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let mut request = Request::new(&plain.method, &plain.host, &plain.target, &lines);
            request.client = std::net::Ipv4Addr::from_bits(0x0a00_0000 | plain.client).into();
            let mut fuel = seawall_model::Fuel::new(100_000);
            let holds = expression.matches(&request.view(), &mut fuel).unwrap();
            assert_eq!(
                holds,
                test.naive(&plain),
                "{source}\n{lines:?} {} {}",
                plain.target,
                plain.host
            );
            yes += usize::from(holds);
            asked += 1;
        }
    }
    assert!(yes > asked / 5 && yes < asked * 4 / 5, "{yes} of {asked}");
}
