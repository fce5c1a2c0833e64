use super::*;

fn occurs(pattern: &str, text: &[u8]) -> bool {
    let regex = Regex::new(pattern, false, false).unwrap();
    let mut fuel = Fuel::new(u64::MAX);
    regex
        .occurs(text, 0, &mut Threads::default(), &mut fuel)
        .unwrap()
}

#[test]
fn patterns_are_of_bytes_and_dots_are_any() {
    assert!(occurs("a.b", b"xa\nb"));
    assert!(occurs(r"\x{bc}", b"\xbc"));
    assert!(occurs("^$", b""));
    assert!(occurs(r"\bfoo\b", b"a foo"));
    assert!(!occurs(r"\bfoo\b", b"afoo"));
    assert!(occurs("(?i)union", b"UNION"));
    assert!(!occurs("a$", b"a\n"));
    assert!(occurs("[^[]x", b"ax"));
    assert!(!occurs("[^[]x", b"[x"));
    assert!(occurs("ü", "ü".as_bytes()));
}

#[test]
fn what_is_not_linear_is_refused() {
    for pattern in [r"(?=a)b", r"(a)\1", "(?<!a)b"] {
        let wrong = Regex::new(pattern, false, false).unwrap_err();
        assert!(wrong.help.contains("linear"), "{wrong}");
    }
}

#[test]
fn groups_are_found_in_what_matched() {
    let regex = Regex::new("(a+)(b)?(c)", false, true).unwrap();
    let mut fuel = Fuel::new(u64::MAX);
    let groups = regex
        .captures(b"xaac", 0, &mut Threads::default(), &mut fuel)
        .unwrap();
    assert_eq!(groups, [Some((1, 4)), Some((1, 3)), None, Some((3, 4))]);
}

#[test]
fn a_text_that_builds_many_states_falls_back_and_still_finds() {
    let regex = Regex::new("[ab]*a[ab]{14}c", false, false).unwrap();
    let mut number = 9u64;
    let mut text: Vec<u8> = (0..4000)
        .map(|_| {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if number >> 63 == 0 { b'a' } else { b'b' }
        })
        .collect();
    let mut threads = Threads::default();
    let mut fuel = Fuel::new(u64::MAX);
    assert!(!regex.occurs(&text, 0, &mut threads, &mut fuel).unwrap());
    assert_eq!(threads.fallbacks, 1);
    text.extend(b"abbbbbbbbbbbbbbc");
    assert!(regex.occurs(&text, 0, &mut threads, &mut fuel).unwrap());
}
