//! The functions.

use super::Kind;

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it gives.
    pub gives: Kind,
    /// What it does, for the reference.
    pub what: &'static str,
    pub(crate) call: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Any,
    All,
    StartsWith,
    EndsWith,
    HasKey,
    HasValue,
    Lower,
    Upper,
    Length,
    Concat,
    Join,
    Split,
    Substring,
    ToString,
    UrlDecode,
    DecodeBase64,
    EncodeBase64,
    RemoveBytes,
    RemoveQueryArgs,
    JsonString,
    JsonInteger,
    WildcardReplace,
    RegexReplace,
    Cidr,
    Cidr6,
}

const fn function(
    name: &'static str,
    form: &'static str,
    gives: Kind,
    call: Call,
    what: &'static str,
) -> Function {
    Function {
        name,
        form,
        gives,
        what,
        call,
    }
}

/// All functions.
pub static FUNCTIONS: &[Function] = &[
    function(
        "starts_with",
        "starts_with(text, \"…\")",
        Kind::Bool,
        Call::StartsWith,
        "whether the text begins so",
    ),
    function(
        "ends_with",
        "ends_with(text, \"…\")",
        Kind::Bool,
        Call::EndsWith,
        "whether the text ends so",
    ),
    function(
        "any",
        "any(texts[*] …)",
        Kind::Bool,
        Call::Any,
        "whether the comparison holds for at least one of several texts",
    ),
    function(
        "all",
        "all(texts[*] …)",
        Kind::Bool,
        Call::All,
        "whether the comparison holds for each of several texts, and there is one",
    ),
    function(
        "has_key",
        "has_key(map, \"…\")",
        Kind::Bool,
        Call::HasKey,
        "whether there is a text of this name",
    ),
    function(
        "has_value",
        "has_value(texts, \"…\")",
        Kind::Bool,
        Call::HasValue,
        "whether one of several texts is this one",
    ),
    function(
        "lower",
        "lower(text)",
        Kind::Bytes,
        Call::Lower,
        "the text with ASCII letters in lower case",
    ),
    function(
        "upper",
        "upper(text)",
        Kind::Bytes,
        Call::Upper,
        "the text with ASCII letters in upper case",
    ),
    function(
        "len",
        "len(text)",
        Kind::Int,
        Call::Length,
        "the length of the text in bytes; of several texts how many there are",
    ),
    function(
        "concat",
        "concat(text, \"…\", text)",
        Kind::Bytes,
        Call::Concat,
        "the texts behind one another, up to 32",
    ),
    function(
        "join",
        "join(texts, \"…\")",
        Kind::Bytes,
        Call::Join,
        "several texts as one, with this between them; empty without any",
    ),
    function(
        "split",
        "split(text, \"…\", 64)",
        Kind::Array,
        Call::Split,
        "the pieces between these separators; 1 to 128 at most, of which the last is the rest",
    ),
    function(
        "substring",
        "substring(text, 1, -1)",
        Kind::Bytes,
        Call::Substring,
        "the bytes from the first number, counted from 0, up to the second one, or to the end without one; negative numbers count from the end",
    ),
    function(
        "to_string",
        "to_string(number)",
        Kind::Bytes,
        Call::ToString,
        "a number, an address, or a yes or no (`true`, `false`) as text",
    ),
    function(
        "url_decode",
        "url_decode(text, \"ur\")",
        Kind::Bytes,
        Call::UrlDecode,
        "the text with `%XX` and `+` decoded; with the option `r` over and over, with `u` `%uXXXX` as UTF-8 too",
    ),
    function(
        "decode_base64",
        "decode_base64(text)",
        Kind::Bytes,
        Call::DecodeBase64,
        "what Base64 says, in either alphabet; not there where the text is none",
    ),
    function(
        "encode_base64",
        "encode_base64(text)",
        Kind::Bytes,
        Call::EncodeBase64,
        "the text as Base64 with padding",
    ),
    function(
        "remove_bytes",
        "remove_bytes(text, \"…\")",
        Kind::Bytes,
        Call::RemoveBytes,
        "the text without any of these bytes",
    ),
    function(
        "remove_query_args",
        "remove_query_args(text, \"…\")",
        Kind::Bytes,
        Call::RemoveQueryArgs,
        "a query without the arguments of these decoded names",
    ),
    function(
        "lookup_json_string",
        "lookup_json_string(text, \"…\", 0)",
        Kind::Bytes,
        Call::JsonString,
        "the text in JSON to which these names and places lead, 1 to 16 of them; not there where they do not",
    ),
    function(
        "lookup_json_integer",
        "lookup_json_integer(text, \"…\", 0)",
        Kind::Int,
        Call::JsonInteger,
        "the whole number in JSON to which these names and places lead",
    ),
    function(
        "wildcard_replace",
        "wildcard_replace(text, \"/a/*\", \"/b/${1}\", \"s\")",
        Kind::Bytes,
        Call::WildcardReplace,
        "the second text, with what the stars stood for, where the first one describes the whole; else as it is. In any case without `s`",
    ),
    function(
        "regex_replace",
        "regex_replace(text, r\"^/v(\\d+)/\", \"/${1}/\")",
        Kind::Bytes,
        Call::RegexReplace,
        "the text with the first piece that the pattern matches replaced, `${1}` by what its first group matched; else as it is. The pattern has 400 states at most, and its cost is the text's length times them",
    ),
    function(
        "cidr",
        "cidr(address, 24, 48)",
        Kind::Ip,
        Call::Cidr,
        "the first address of the network of so many bits, of IPv4 and of IPv6",
    ),
    function(
        "cidr6",
        "cidr6(address, 48)",
        Kind::Ip,
        Call::Cidr6,
        "the same for IPv6; IPv4 as it is",
    ),
];

pub(crate) fn call(name: &str) -> Option<Call> {
    let function = FUNCTIONS.iter().find(|function| function.name == name);
    function.map(|function| function.call)
}
