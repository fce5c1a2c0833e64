//! Paths without doubled slashes, `.` and `..`.

/// Appends the path as a file system would read it. Going up beyond the begin of a relative path stays.
pub(super) fn normalize(text: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    let rooted = text.first() == Some(&b'/');
    if rooted {
        out.push(b'/');
    }
    let base = out.len();
    // How many bytes, from `base` on, cannot be taken back.
    let mut fixed = base;
    for segment in text.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                if out.len() > fixed {
                    let kept = out.get(fixed..).unwrap_or_default();
                    // Without the slash at its end.
                    let body = kept.strip_suffix(b"/").unwrap_or(kept);
                    let cut = body.iter().rposition(|byte| *byte == b'/');
                    out.truncate(fixed + cut.map_or(0, |at| at + 1));
                } else if !rooted {
                    out.extend(b"../");
                    fixed = out.len();
                }
            }
            segment => {
                out.extend(segment);
                out.push(b'/');
            }
        }
    }
    if out.len() > base && text.last() != Some(&b'/') {
        out.pop();
    }
    debug_assert!(out.len() >= begin);
}
