use super::*;

/// Tests of the C library say `sqli 0|1 fingerprint hex` and `xss 0|1 - hex`.
#[test]
fn answers_are_those_of_the_c_library() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let Ok(vectors) = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/libinjection/vectors.txt"
    )) else {
        panic!("no vectors");
    };
    for line in vectors.lines() {
        let mut fields = line.split(' ');
        let (Some(text), Some(expected), Some(html)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|nth| u8::from_str_radix(text.get(2 * nth..2 * nth + 2).unwrap(), 16).unwrap())
            .collect();
        count += 1;
        let found = sqli(&bytes).unwrap_or_else(|| "-".into());
        if found != expected {
            wrong.push(format!(
                "sqli {:?}: {found}, expected {expected}",
                String::from_utf8_lossy(&bytes)
            ));
        }
        if xss(&bytes) != (html == "1") {
            wrong.push(format!(
                "xss {:?}: expected {html}",
                String::from_utf8_lossy(&bytes)
            ));
        }
        let kinds = crate::transform::classes(&bytes);
        assert!(may_be_sqli(&bytes, kinds) || expected == "-", "{bytes:?}");
        assert!(may_be_xss(kinds) || html == "0", "{bytes:?}");
    }
    assert!(count > 1000);
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
}
