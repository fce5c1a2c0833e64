//! What a block tells, against the plain reading of its bytes one by one.

use super::*;

type Row = (fn(&[u8; BLOCK]) -> u32, fn(u8) -> bool);

const KINDS: [Row; 6] = [
    (not_host, |byte| {
        !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.' | b'_' | b'~')
    }),
    (controls, |byte| byte < 0x20 || byte == 0x7f),
    (not_plain, |byte| {
        !byte.is_ascii_alphanumeric() && byte != b'-'
    }),
    (not_target, |byte| {
        !matches!(byte, 0x21..=0x7e) || byte == b'#'
    }),
    (line_feeds, |byte| byte == b'\n'),
    (line_ends, |byte| byte == b'\r' || byte == b'\n'),
];

#[test]
fn every_byte_is_judged_as_its_kind_says() {
    for (number, (kind, is)) in KINDS.iter().enumerate() {
        for byte in 0..=255 {
            for place in 0..16 {
                let mut block = [if is(b'a') { b'\n' } else { b'a' }; 16];
                block[place] = byte;
                let expected = block
                    .iter()
                    .enumerate()
                    .fold(0, |mask, (at, byte)| mask | u32::from(is(*byte)) << at);
                assert_eq!(
                    kind(&block),
                    expected,
                    "kind {number}, byte {byte:#x} at {place}"
                );
            }
        }
    }
}

fn masks<M: Masks>(window: &[u8; WINDOW], other: &[u8; WINDOW]) -> [u32; 4] {
    [
        M::colons(window),
        M::controls(window),
        M::not_plain(window),
        M::differences(window, other),
    ]
}

#[test]
fn every_byte_of_a_window_is_judged_both_ways() {
    let other = *b"a-known-name:with-other-behind-i";
    for byte in 0..=255u8 {
        for place in 0..WINDOW {
            let mut window = other;
            window[place] = byte;
            let mask = |is: &dyn Fn(usize) -> bool| {
                (0..WINDOW).fold(0, |mask, at| mask | u32::from(is(at)) << at)
            };
            let expected = [
                mask(&|at| window[at] == b':'),
                mask(&|at| window[at] < 0x20 || window[at] == 0x7f),
                mask(&|at| !window[at].is_ascii_alphanumeric() && window[at] != b'-'),
                mask(&|at| window[at] | 0x20 != other[at]),
            ];
            assert_eq!(masks::<Halves>(&window, &other), expected, "{byte:#x}");
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                assert_eq!(masks::<Avx2>(&window, &other), expected, "{byte:#x}");
            }
        }
    }
}

#[test]
fn padding_keeps_every_byte_in_its_place() {
    let bytes: Vec<u8> = (1..=SIGHT as u8).collect();
    for length in 0..SIGHT {
        let mut expected = [0; LAST];
        expected[..length].copy_from_slice(&bytes[..length]);
        let mut last = [0; LAST];
        pad(&mut last, &bytes[..length]);
        assert_eq!(last, expected);
    }
}

#[test]
fn the_first_is_found_in_every_length() {
    for length in 0..50 {
        for hit in 0..=length {
            let mut bytes = vec![b'a'; length];
            if let Some(byte) = bytes.get_mut(hit) {
                *byte = b'\n';
            }
            for at in 0..length + 3 {
                let expected = if at <= hit { hit } else { length };
                assert_eq!(find(&bytes, at, line_feeds), expected, "{length} from {at}");
                assert_eq!(find(&bytes, at, controls), expected, "{length} from {at}");
            }
            assert_eq!(find_line_before_empty(&bytes), None);
            if let Some(byte) = bytes.get_mut(hit + 1) {
                *byte = b'\r';
                assert_eq!(find_line_before_empty(&bytes), Some(hit), "{length}");
            }
        }
    }
}
