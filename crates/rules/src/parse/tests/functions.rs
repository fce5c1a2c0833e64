//! What is wrong with functions, maps, wildcards and lists, and where.

use std::sync::Arc;

use seawall_model::HostPattern;

use super::{check, lists};
use crate::bounds::Bounds;
use crate::expression::Expression;
use crate::hosts::HostSet;
use crate::lists::List;
use crate::sets::{NumberSet, TextSet};

#[test]
fn what_cloudflare_has_and_this_has_not_is_refused_by_name() {
    check(&[
        (
            "cf.threat_score gt 10",
            "^^^^^^^^^^^^^^^",
            "\"cf.threat_score\" is not in this language (there is no reputation",
        ),
        (
            "any(http.request.body.form[\"a\"][*] eq \"b\")",
            "    ^^^^^^^^^^^^^^^^^^^^^^",
            "rules judge the head before a body is read: [zone.body]",
        ),
        (
            "ip.src.city eq \"Berlin\"",
            "^^^^^^^^^^^",
            "ask ip.src.country or ip.src.asnum",
        ),
    ]);
}

#[test]
fn arguments_of_functions_have_their_kinds_and_bounds() {
    check(&[
        (
            "lower(http.request.uri.args) eq \"a\"",
            "      ^^^^^^^^^^^^^^^^^^^^^",
            "write [\"name\"][0] behind it",
        ),
        (
            "lower(len(http.host)) eq \"a\"",
            "      ^^^^^^^^^^^^^^",
            "write to_string(…) around it",
        ),
        (
            "len(http.request.headers) eq 1",
            "    ^^^^^^^^^^^^^^^^^^^^",
            "takes a text, or several",
        ),
        (
            "to_string(http.host) eq \"a\"",
            "          ^^^^^^^^^",
            "takes a number, an address, or a field that is yes or no",
        ),
        (
            "concat(\"a\", ip.src) eq \"a\"",
            "            ^^^^^^",
            "ip.src is an address",
        ),
        (
            "join(http.host, \",\") eq \"a\"",
            "     ^^^^^^^^^",
            "takes several texts, such as",
        ),
        (
            "has_key(http.cookie, \"a\")",
            "        ^^^^^^^^^^^",
            "takes texts by name",
        ),
        (
            "has_key(http.request.headers, \"a b\")",
            "                              ^^^^^",
            "this is no name of a header",
        ),
        (
            "has_value(ip.src, \"a\")",
            "          ^^^^^^",
            "takes several texts",
        ),
        (
            "len(split(http.cookie, \"\", 5)) eq 1",
            "                       ^^",
            "a separator is empty",
        ),
        (
            "len(split(http.cookie, \";\")) eq 1",
            "                          ^",
            "a comma and how many pieces at most are missing here",
        ),
        (
            "len(split(http.cookie, \";\", 129)) eq 1",
            "                            ^^^",
            "a whole number from 1 to 128",
        ),
        (
            "substring(http.host, a) eq \"a\"",
            "                     ^",
            "where it begins is missing here",
        ),
        (
            "url_decode(http.cookie, \"x\") eq \"a\"",
            "                        ^^^",
            "this is no option (`r` decodes over and over",
        ),
        (
            "remove_query_args(http.cookie, \"a\") eq \"a\"",
            "                  ^^^^^^^^^^^",
            "write http.request.uri.query",
        ),
        (
            "lookup_json_string(http.cookie) eq \"a\"",
            "                              ^",
            "a comma and a name are missing here",
        ),
        (
            "lookup_json_string(http.cookie, -1) eq \"a\"",
            "                                ^^",
            "a whole number from 0",
        ),
        (
            "cidr(ip.src, 33, 64) eq ::1",
            "             ^^",
            "a whole number from 1 to 32",
        ),
        (
            "cidr(ip.src, 24) eq ::1",
            "               ^",
            "a comma and bits of IPv6 are missing here",
        ),
        (
            "cidr6(http.host, 24) eq ::1",
            "      ^^^^^^^^^",
            "takes an address, such as ip.src",
        ),
    ]);
}

#[test]
fn several_texts_are_picked_or_asked() {
    check(&[
        (
            "http.request.uri.args.names eq \"a\"",
            "^^^^^^^^^^^^^^^^^^^^^^^^^^^",
            "is of several lines (write [0]",
        ),
        (
            "http.request.uri.args[0] eq \"a\"",
            "                      ^",
            "the name of an argument is missing here (write http.request.uri.args[\"name\"][0])",
        ),
        (
            "any(concat(http.request.cookies[\"a\"][*], http.request.cookies[\"b\"][*]) eq \"a\")",
            "                                                            ^",
            "another `[*]` stands before this one",
        ),
        (
            "any(lower(http.request.headers.values[*])[0] eq \"a\")",
            "                                          ^",
            "only [*] can stand here",
        ),
        (
            "split(http.cookie, \";\", 9)[200] eq \"a\"",
            "                          ^^^^",
            "there is no such piece",
        ),
        (
            "lower(http.host)[0] eq \"a\"",
            "                ^",
            "\"[\" is no operator",
        ),
    ]);
}

#[test]
fn wildcards_are_wrong_at_their_character() {
    check(&[
        (
            "http.host wildcard \"a**b\"",
            "                     ^^",
            "two stars say no more than one",
        ),
        (
            "http.host wildcard r\"a\\b\"",
            "                      ^",
            "this is no escape of a wildcard",
        ),
        (
            "lower(http.cookie) strict wildcard \"A*\"",
            "                                   ^^^^",
            "never has letters in upper case",
        ),
        (
            "http.host strictly wildcard \"a\"",
            "          ^^^^^^^^",
            "\"strictly\" is no operator",
        ),
        (
            "wildcard_replace(http.host, \"*\", \"${2}\") eq \"a\"",
            "                                  ^^^^",
            "there is no such star",
        ),
        (
            "wildcard_replace(http.host, \"*\", \"a$b\") eq \"a\"",
            "                                   ^",
            "write ${1} for the first `*`, and $$ for a dollar",
        ),
        (
            "wildcard_replace(http.host, \"*\", \"a\", \"i\") eq \"a\"",
            "                                      ^^^",
            "`s` tells upper and lower case apart",
        ),
    ]);
}

#[test]
fn lists_are_of_what_they_are_compared_with() {
    let mut all = lists();
    all.insert("texts", List::Texts(Arc::new(TextSet::new(Vec::new()))));
    all.insert(
        "numbers",
        List::Numbers(Arc::new(NumberSet::new(Vec::new()))),
    );
    let hosts = HostSet::new(&[HostPattern::parse("a.test").unwrap()]);
    all.insert("hosts", List::Hosts(Arc::new(hosts)));
    let says = |source: &str| match Expression::parse(source, &all, &Bounds::default()) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    };
    for (source, expected) in [
        ("ip.src in $office", "taken"),
        ("ip.src.asnum in $numbers", "taken"),
        ("http.cookie in $texts", "taken"),
        ("http.host in $hosts", "taken"),
        (
            "ip.src in $texts",
            "this list is of texts, and ip.src is none (name a list such as [lists.name] ips = [\"192.0.2.0/24\"])",
        ),
        (
            "ip.src.asnum in $hosts",
            "this list is of names of hosts, and ip.src.asnum is none (name a list such as [lists.name] numbers = [64512])",
        ),
        (
            "http.host in $numbers",
            "this list is of numbers, and http.host is none (name a list such as [lists.name] texts = [\"…\"])",
        ),
    ] {
        assert_eq!(says(source), expected, "{source}");
    }
}
