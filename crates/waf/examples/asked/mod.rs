//! The requests that rules are measured with, the same each time: in the room's examples, and by the bench over HTTP.

pub type Headers = Vec<(&'static str, String)>;

pub struct Asked {
    pub name: &'static str,
    pub method: &'static str,
    pub target: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

const WORDS: [&str; 40] = [
    "garden", "window", "paper", "please", "London", "music", "summer", "number", "coffee",
    "travel", "yellow", "market", "simple", "bridge", "planet", "orange", "silver", "winter",
    "letter", "doctor", "mountain", "river", "people", "morning", "picture", "kitchen", "teacher",
    "holiday", "library", "station", "computer", "keyboard", "football", "village", "harbour",
    "blanket", "journey", "captain", "history", "weather",
];

/// Words, the same each time.
pub struct Words(pub u64);

impl Words {
    pub fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn word(&mut self) -> &'static str {
        WORDS[self.next() as usize % WORDS.len()]
    }
}

pub fn common() -> Headers {
    vec![
        ("Host", "shop.test".into()),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into(),
        ),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".into(),
        ),
    ]
}

pub fn requests() -> Vec<Asked> {
    let mut words = Words(7);
    let plain = Asked {
        name: "plain GET",
        method: "GET",
        target: "/index.html".into(),
        headers: common(),
        body: Vec::new(),
    };
    let mut headers = common();
    headers.extend([
        ("Accept-Language", "en-GB,en;q=0.5".to_string()),
        ("Accept-Encoding", "gzip, deflate, br".into()),
        ("Referer", "https://shop.test/products/garden".into()),
        ("Connection", "keep-alive".into()),
        (
            "Cookie",
            "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; lang=en".into(),
        ),
        ("Upgrade-Insecure-Requests", "1".into()),
        ("Cache-Control", "max-age=0".into()),
    ]);
    let typical = Asked {
        name: "typical GET",
        method: "GET",
        target: "/products/search?q=garden+chair&page=2&sort=price&category=outdoor&in_stock=true"
            .into(),
        headers: headers.clone(),
        body: Vec::new(),
    };
    let mut form = String::new();
    for nth in 0..30 {
        let value: Vec<_> = (0..8).map(|_| words.word()).collect();
        form.push_str(&format!(
            "{}field_{nth}={}",
            if nth > 0 { "&" } else { "" },
            value.join("+")
        ));
    }
    let post = |name, kind: &str, body: Vec<u8>| {
        let mut headers = headers.clone();
        headers.push(("Content-Type", kind.to_owned()));
        headers.push(("Content-Length", body.len().to_string()));
        Asked {
            name,
            method: "POST",
            target: "/api/order".into(),
            headers,
            body,
        }
    };
    let mut json = String::from("{");
    for nth in 0..600 {
        let value = match nth % 3 {
            0 => format!("\"{} {}\"", words.word(), words.word()),
            1 => words.next().to_string(),
            _ => format!("\"{}\"", words.word()),
        };
        json.push_str(&format!(
            "{}\"{}_{nth}\":{value}",
            if nth > 0 { "," } else { "" },
            words.word()
        ));
    }
    json.push('}');
    vec![
        plain,
        typical,
        post(
            "form, 30 fields",
            "application/x-www-form-urlencoded",
            form.into_bytes(),
        ),
        post("JSON, 600 leaves", "application/json", json.into_bytes()),
    ]
}
