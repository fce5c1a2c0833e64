//! The second argument of `SecRule`: an operator with its argument.

use seawall_model::Wrong;
use seawall_model::problem::quote;

use super::template::template;
use super::tree::{Argument, Condition};
use crate::vocabulary::{Found, OPERATORS, Operator};

/// Gives the bytes of a data file by its name, or nothing.
pub(crate) type Data<'d> = dyn Fn(&str) -> Option<Vec<u8>> + 'd;

/// Reads a condition.
pub(super) fn condition(text: &str, line: u32, data: &Data<'_>) -> Result<Condition, Wrong> {
    let text = text.trim_start();
    let (negated, rest) = match text.strip_prefix('!') {
        // `!` belongs to the operator only before `@`, else it is a pattern that begins with it.
        Some(rest) if rest.trim_start().starts_with('@') => (true, rest.trim_start()),
        _ => (false, text),
    };
    let (name, argument) = match rest.strip_prefix('@') {
        Some(rest) => match rest.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim_start()),
            None => (rest, ""),
        },
        None => ("rx", rest),
    };
    let operator = match Operator::find(name) {
        Found::Has(operator) => operator,
        Found::Refused(why) => {
            return Err(Wrong::new(
                format!("the operator {} is refused", quote(name)),
                why,
            ));
        }
        Found::Unknown => {
            return Err(Wrong::new(
                format!("unknown operator {}", quote(name)),
                super::nearest(name, OPERATORS),
            ));
        }
    };
    Ok(Condition {
        negated,
        operator,
        argument: self::argument(operator, argument, data)?,
        line,
    })
}

fn argument(operator: Operator, text: &str, data: &Data<'_>) -> Result<Argument, Wrong> {
    use Operator as O;
    Ok(match operator {
        O::Rx | O::RxGlobal => Argument::Text(text.to_owned()),
        O::Pm => Argument::List(phrases(text)),
        O::PmFromFile | O::Pmf | O::IpMatchFromFile | O::IpMatchF => {
            Argument::List(from_files(text, data)?)
        }
        O::IpMatch => Argument::List(
            text.split([',', ' '])
                .map(str::trim)
                .filter(|piece| !piece.is_empty())
                .map(|piece| piece.as_bytes().to_vec())
                .collect(),
        ),
        O::BeginsWith
        | O::Contains
        | O::ContainsWord
        | O::EndsWith
        | O::Eq
        | O::Ge
        | O::Gt
        | O::Le
        | O::Lt
        | O::StrEq
        | O::StrMatch
        | O::Within => Argument::Template(template(text.trim_end())?),
        O::DetectSqli
        | O::DetectXss
        | O::NoMatch
        | O::UnconditionalMatch
        | O::ValidateByteRange
        | O::ValidateUrlEncoding
        | O::ValidateUtf8Encoding
        | O::VerifyCc
        | O::VerifyCpf
        | O::VerifySsn
        | O::VerifySvnr => Argument::Text(text.trim_end().to_owned()),
    })
}

/// Words between spaces; `|41 42|` are bytes in hexadecimal.
fn phrases(text: &str) -> Vec<Vec<u8>> {
    text.split_whitespace().map(unescape).collect()
}

fn unescape(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (nth, piece) in word.split('|').enumerate() {
        let is_last = word.split('|').count() == nth + 1;
        if nth % 2 == 1 && !is_last {
            match hex(piece) {
                Some(found) => bytes.extend(found),
                None => {
                    bytes.push(b'|');
                    bytes.extend(piece.as_bytes());
                    bytes.push(b'|');
                }
            }
        } else {
            if nth % 2 == 1 {
                bytes.push(b'|');
            }
            bytes.extend(piece.as_bytes());
        }
    }
    bytes
}

fn hex(text: &str) -> Option<Vec<u8>> {
    text.split(' ')
        .map(|digits| u8::from_str_radix(digits, 16).ok())
        .collect()
}

/// The lines of all files that are named, without comments and empty ones.
fn from_files(names: &str, data: &Data<'_>) -> Result<Vec<Vec<u8>>, Wrong> {
    let mut all = Vec::new();
    for name in names.split_whitespace() {
        let bytes = data(name).ok_or_else(|| {
            Wrong::new(
                format!("there is no data file {}", quote(name)),
                "put it beside the rules that name it",
            )
        })?;
        all.extend(
            bytes
                .split(|byte| *byte == b'\n')
                .map(|line| line.trim_ascii())
                .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
                .map(<[u8]>::to_vec),
        );
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_their_arguments() {
        let data = |name: &str| (name == "a.data").then(|| b"# x\nb c\n\n d\n".to_vec());
        let read = |text: &str| condition(text, 1, &data).unwrap();
        assert_eq!(read("!@rx a b ").argument, Argument::Text("a b ".into()));
        assert!(read("!@rx a").negated);
        assert_eq!(read("a|b").operator, Operator::Rx);
        assert_eq!(
            read("@pm a |42 43|d e|").argument,
            Argument::List(vec![
                b"a".into(),
                b"|42".into(),
                b"43|d".into(),
                b"e|".into()
            ])
        );
        assert_eq!(
            read("@pmFromFile a.data").argument,
            Argument::List(vec![b"b c".into(), b"d".into()])
        );
        assert_eq!(
            condition("@pmf b.data", 1, &data).unwrap_err().to_string(),
            "there is no data file \"b.data\" (put it beside the rules that name it)"
        );
        assert_eq!(
            condition("@conains b", 1, &data).unwrap_err().to_string(),
            "unknown operator \"conains\" (did you mean contains?)"
        );
    }
}
