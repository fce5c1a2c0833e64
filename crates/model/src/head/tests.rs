//! Lines: their order, their one form on the way out, and asking for them.

use super::*;

#[test]
fn lines_are_written_in_one_form_however_they_came() {
    let mut fields = Fields::default();
    let raw = b"A: 1\r\nHost: x\r\nB:2\r\nC:  3 \r\nD: 4\r\n";
    fields.set_raw(raw);
    for (name, value) in [
        (0..1, 3..4),
        (6..10, 12..13),
        (15..16, 17..18),
        (20..21, 24..25),
        (28..29, 31..32),
    ] {
        let span = |range: std::ops::Range<usize>| Span::new(range.start, range.len());
        fields.push_span(span(name), span(value));
    }
    fields.append(b"E", b"5");
    let mut out = Vec::new();
    fields.write_lines(FieldId::Host.bit(), &mut out);
    assert_eq!(out, b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n");
}

#[test]
fn lines_keep_their_order_and_can_be_asked_by_id_or_name() {
    let mut fields = Fields::default();
    assert_eq!(fields.push(b"Host", b"a.test"), FieldId::Host);
    fields.push(b"X-One", b"1");
    fields.push(b"Via", b"1.1 a");
    fields.push(b"via", b"1.1 b");
    assert_eq!(fields.first(FieldId::Via), Some(&b"1.1 a"[..]));
    assert_eq!(fields.only(FieldId::Via), None);
    assert_eq!(fields.only(FieldId::Host), Some(&b"a.test"[..]));
    assert_eq!(fields.named(b"x-one"), Some(&b"1"[..]));
    fields.remove(FieldId::Via);
    assert!(!fields.has(FieldId::Via));
    fields.push(b"x_ONE", b"shadow");
    fields.remove_named(b"X-One");
    assert_eq!(fields.len(), 1);
}

#[test]
fn the_path_ends_at_the_first_question_mark_wherever_it_is() {
    let mut head = RequestHead::default();
    for length in 0..100 {
        for at in 0..=length {
            head.clear();
            let path = vec![b'a'; at];
            let mut target = path.clone();
            if at < length {
                target.push(b'?');
                target.resize(length, b'?');
            }
            head.target_span = head.fields.store(&target);
            assert_eq!(head.path(), path, "{at} of {length}");
        }
    }
}
