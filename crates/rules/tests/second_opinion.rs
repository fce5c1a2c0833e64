//! Random expressions and random requests, judged by a second, naive interpreter that knows nothing of the first.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod request;

use request::{Numbers, Request, parse};
use seawall_model::Fuel;
use seawall_rules::{Lists, Set};

/// A test in both languages: how it is written, and what it means.
enum Test {
    Leaf(String, Box<dyn Fn(&Plain) -> bool>),
    Not(Box<Test>),
    Join(&'static str, Vec<Test>),
}

/// What a request has, as texts.
#[derive(Debug)]
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

/// What `*` means, tried at every place.
fn fits(wildcard: &[u8], text: &[u8]) -> bool {
    match wildcard.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| fits(rest, text.split_at(at).1)),
        Some((byte, rest)) => {
            let front = text.split_first();
            front.is_some_and(|(first, behind)| first == byte && fits(rest, behind))
        }
    }
}

type Make = Box<dyn Fn(&Plain) -> Option<String>>;

/// A text that functions make: how it is written, and what it is.
fn made(numbers: &mut Numbers) -> (String, Make) {
    let field = *numbers.pick(&FIELDS);
    let word = *numbers.pick(&WORDS);
    match numbers.below(6) {
        0 => {
            let (from, to) = (numbers.below(5), numbers.below(5));
            let source = format!("substring({field}, {from}, -{to})");
            let naive = move |plain: &Plain| {
                let text = plain.text(field)?;
                // Minus nothing is the beginning.
                let end = if to == 0 {
                    0
                } else {
                    text.len().saturating_sub(to)
                };
                Some(text.chars().take(end).skip(from.min(end)).collect())
            };
            (source, Box::new(naive))
        }
        1 => {
            let source = format!("concat({field}, {})", quoted(word, numbers));
            let naive = move |plain: &Plain| Some(plain.text(field)? + word);
            (source, Box::new(naive))
        }
        2 => {
            let naive = move |plain: &Plain| Some(plain.text(field)?.replace(['a', '='], ""));
            (format!("remove_bytes({field}, \"a=\")"), Box::new(naive))
        }
        3 => {
            let source = format!("join(split({field}, \"a\", 3), \"-\")");
            let naive = move |plain: &Plain| {
                let text = plain.text(field).unwrap_or_default();
                Some(text.splitn(3, 'a').collect::<Vec<_>>().join("-"))
            };
            (source, Box::new(naive))
        }
        4 => {
            let naive = |plain: &Plain| {
                let (_, query) = plain.target.split_once('?')?;
                let mut pairs = query.split('&');
                let first = |pair: &str| pair.strip_prefix("b=").map(str::to_owned);
                pairs.find_map(first)
            };
            (
                "http.request.uri.args[\"b\"][0]".to_owned(),
                Box::new(naive),
            )
        }
        _ => {
            let naive = move |plain: &Plain| Some(plain.text(field)?.to_uppercase());
            (format!("upper(lower({field}))"), Box::new(naive))
        }
    }
}

fn leaf(numbers: &mut Numbers) -> Test {
    let field = *numbers.pick(&FIELDS);
    match numbers.below(11) {
        8 => {
            let wildcard = *numbers.pick(&["*a", "a*", "*", "*b*b*", "a*b", "ab", "/*"]);
            let strict = numbers.below(2) == 0;
            let operator = if strict {
                "strict wildcard"
            } else {
                "wildcard"
            };
            let source = format!("{field} {operator} \"{wildcard}\"");
            let naive = move |plain: &Plain| {
                let text = plain.text(field);
                let text = text.map(|text| if strict { text } else { text.to_lowercase() });
                text.is_some_and(|text| fits(wildcard.as_bytes(), text.as_bytes()))
            };
            Test::Leaf(source, Box::new(naive))
        }
        9 | 10 => {
            let (text, value) = made(numbers);
            let word = *numbers.pick(&WORDS);
            let source = format!("{text} contains {}", quoted(word, numbers));
            let source = source
                .replace("upper(", "lower(upper(")
                .replace(")) contains", "))) contains");
            let is_upper = source.starts_with("lower(upper(");
            let naive = move |plain: &Plain| {
                let text = value(plain);
                let text = text.map(|text| if is_upper { text.to_lowercase() } else { text });
                text.is_some_and(|text| text.contains(word))
            };
            Test::Leaf(source, Box::new(naive))
        }
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

fn request(plain: &Plain) -> Request {
    let lines: Vec<(&str, &str)> = plain
        .lines
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut request = Request::new(&plain.method, &plain.host, &plain.target, &lines);
    request.client = std::net::Ipv4Addr::from_bits(0x0a00_0000 | plain.client).into();
    request
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
            let request = request(&plain);
            let mut fuel = Fuel::new(100_000);
            let holds = expression.matches(&request.view(), &mut fuel).unwrap();
            assert_eq!(
                holds,
                test.naive(&plain),
                "{source}\n{:?} {} {}",
                plain.lines,
                plain.target,
                plain.host
            );
            yes += usize::from(holds);
            asked += 1;
        }
    }
    assert!(yes > asked / 5 && yes < asked * 4 / 5, "{yes} of {asked}");
}

/// Asked together, expressions say what they say by themselves, and together they cost less.
#[test]
fn a_set_says_what_its_expressions_say() {
    let mut numbers = Numbers(4);
    let (mut together, mut alone) = (0, 0);
    for size in [0, 1, 2, 7, 40, 200, 200, 200] {
        let sources = (0..size).map(|nth| test(&mut numbers, nth % 5).written(0));
        let sources: Vec<String> = sources.filter(|source| source.len() <= 4096).collect();
        let expressions: Vec<_> = sources
            .iter()
            .map(|source| parse(source, &Lists::new()))
            .collect();
        let set = Set::new(&expressions);
        assert_eq!(set.len(), expressions.len());
        for _ in 0..60 {
            let plain = plain(&mut numbers);
            let request = request(&plain);
            let (mut fuel, mut found) = (Fuel::new(10_000_000), Vec::new());
            set.fitting(&request.view(), &mut fuel, &mut found).unwrap();
            together += fuel.used();
            let needed = fuel.used();
            let mut fuel = Fuel::new(10_000_000);
            let view = request.view();
            let holds = (0..)
                .zip(&expressions)
                .filter(|(_, expression)| expression.matches(&view, &mut fuel).unwrap());
            let expected: Vec<u32> = holds.map(|(nth, _)| nth).collect();
            for nth in 0..size as u32 {
                let (said, known) = (found.contains(&nth), expected.contains(&nth));
                assert_eq!(said, known, "{:?}\n{plain:?}", sources.get(nth as usize));
            }
            assert_eq!(found, expected);
            alone += fuel.used();
            for less in [0, needed / 2, needed - 1] {
                let mut fuel = Fuel::new(less);
                let spent = set.fitting(&request.view(), &mut fuel, &mut found);
                assert!(spent.is_err(), "{less} of {needed}");
            }
        }
    }
    assert!(together < alone, "{together} together, {alone} alone");
}
