use super::*;

fn of(transformation: Transformation, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if apply(transformation, text, &mut out) {
        out
    } else {
        assert!(out.is_empty());
        text.to_vec()
    }
}

#[test]
fn transformations_are_modsecuritys() {
    use Transformation as T;
    for (transformation, text, expected) in [
        (
            T::UrlDecodeUni,
            &b"a%20b+c%u0041%uff1c%zz%"[..],
            &b"a b cA<%zz%"[..],
        ),
        (T::UrlDecode, b"%u0041%41", b"%u0041A"),
        (
            T::JsDecode,
            br"\u0041\x42\103\n\q\uzz\400",
            b"ABC\nquzz\x200",
        ),
        (T::CssDecode, br"\41 b\000042\q\", b"AbBq"),
        (
            T::HtmlEntityDecode,
            b"&lt;&#x41;&#66;&amp&nope;&#;",
            b"<AB&&nope;&#;",
        ),
        (T::EscapeSeqDecode, br"\x41\102\n\q\\", b"AB\n\\q\\"),
        (T::CmdLine, br#"C^:\W"in  ,;/etc (x"#, b"c:win/etc(x"),
        (T::CompressWhitespace, b"a \t\n b", b"a b"),
        (T::RemoveWhitespace, b" a\tb ", b"ab"),
        (T::RemoveNulls, b"a\0b", b"ab"),
        (T::ReplaceComments, b"a/*b*/c/*d", b"a c "),
        (T::RemoveCommentsChar, b"a/*b*/c--d#e<!--f-->", b"abcdef"),
        (T::RemoveComments, b"a/*b*/c#d", b"ac"),
        (T::NormalizePath, b"/a//b/./c/../../d/", b"/a/d/"),
        (
            T::NormalizePath,
            b"dir/./.././../../foo/bar/.",
            b"../../foo/bar",
        ),
        (T::NormalizePath, b"/../../etc", b"/etc"),
        (T::NormalizePathWin, br"\a\..\b", b"/b"),
        (T::Length, b"abc", b"3"),
        (T::Base64Decode, b"dGVzdA==", b"test"),
        (T::Base64DecodeExt, b"d.G V\nzdA==", b"test"),
        (T::Base64Encode, b"test", b"dGVzdA=="),
        (T::HexEncode, b"\x01\xff", b"01ff"),
        (T::HexDecode, b"01ff", b"\x01\xff"),
        (T::SqlHexDecode, b"a0x4142z", b"aABz"),
        (T::Utf8ToUnicode, "aé\u{ff1c}".as_bytes(), b"a%u00e9%uff1c"),
        (T::Trim, b" a ", b"a"),
        (T::UrlEncode, b"a b/", b"a+b%2f"),
        (T::ParityZero7bit, b"\xc1", b"A"),
    ] {
        let got = of(transformation, text);
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(expected),
            "{} of {:?}",
            transformation.name(),
            String::from_utf8_lossy(text)
        );
    }
    assert_eq!(
        of(T::Sha1, b"abc").iter().take(2).collect::<Vec<_>>(),
        [&0xa9, &0x99]
    );
    assert_eq!(of(T::Md5, b"abc").first(), Some(&0x90));
}

/// What `touched` promises: a text without these kinds of bytes stays as it is.
#[test]
fn texts_that_cannot_change_do_not_change() {
    let mut number = 5u64;
    let mut next = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 56) as u8
    };
    for _ in 0..20_000 {
        let length = next() % 12;
        let text: Vec<u8> = (0..length).map(|_| next()).collect();
        let narrow: Vec<u8> = text.iter().map(|byte| byte % 64 + 32).collect();
        for text in [&text, &narrow] {
            let has = classes(text);
            for transformation in Transformation::ALL {
                if touches_all(*transformation) || has & touched(*transformation) != 0 {
                    continue;
                }
                assert_eq!(
                    &of(*transformation, text),
                    text,
                    "{}",
                    transformation.name()
                );
            }
        }
    }
}

#[test]
fn no_transformation_grows_beyond_six_times() {
    for byte in 0..=255u8 {
        let text = vec![byte; 300];
        for transformation in Transformation::ALL {
            assert!(of(*transformation, &text).len() <= 6 * text.len());
        }
    }
}

#[test]
fn what_is_said_to_stay_stays_and_nothing_else_does() {
    const LETTERS: &[u8] = b" ab/(,\"A\t\xa0\xc2;^";
    let mut number = 7u64;
    let mut next = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 40) as usize
    };
    let mut stayed = 0;
    for _ in 0..50_000 {
        let length = next() % 9;
        let letters = (0..length).map(|_| LETTERS.get(next() % LETTERS.len()).copied());
        let text: Vec<u8> = letters.flatten().collect();
        let (mut compressed, mut command, mut without) = (Vec::new(), Vec::new(), Vec::new());
        space::compress(&text, &mut compressed);
        space::cmd_line(&text, &mut command);
        space::remove(&text, &mut without);
        assert_eq!(space::is_compressed(&text), compressed == text, "{text:?}");
        assert_eq!(space::is_cmd_line(&text), command == text, "{text:?}");
        stayed += usize::from(command == text);
        let mut expected = Vec::new();
        let mut rest = text.as_slice();
        while let Some((byte, after)) = rest.split_first() {
            let is_wide = *byte == 0xc2 && after.first() == Some(&0xa0);
            if !is_wide && !matches!(byte, b' ' | 9..=13 | 0xa0) {
                expected.push(*byte);
            }
            rest = after;
        }
        assert_eq!(without, expected, "{text:?}");
    }
    assert!(stayed > 1_000, "{stayed}");
}
