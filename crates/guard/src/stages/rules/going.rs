//! Rules that change where a request goes: the client elsewhere, or the request to another target.
//!
//! Conditions and prefixes look at a normal form of a path, so that no other spelling of it goes round them. A path that is
//! changed is built from the normal form that keeps encoded slashes, one that is not stays as the client spelt it; one in which
//! encoded slashes hide dot segments gets and loses no prefix, for nobody knows where that would lead.

use std::sync::Arc;

use seawall_model::document::redirect_rest;
use seawall_model::view::{normalise, normalise_generously};
use seawall_model::{Fuel, RequestView, Spent};
use seawall_rules::Expression;

use super::goal::Goal;
use crate::edits::HeadEdit;
use crate::reserved::is_reserved;
use crate::stage::Transform;
use crate::stages::targets;
use crate::verdict::{Page, Reason, Transformed};

/// A rule that sends the client elsewhere.
pub(super) struct Redirect {
    pub(super) when: Arc<Expression>,
    pub(super) status: u16,
    /// A URL, or a path that begins with one `/`.
    pub(super) to: Goal,
    pub(super) keep_path: bool,
    pub(super) keep_query: bool,
    pub(super) reason: Reason,
    pub(super) unfit: Reason,
}

/// A rule that changes the target.
pub(super) struct Rewrite {
    pub(super) when: Arc<Expression>,
    pub(super) path: Option<Goal>,
    pub(super) strip_prefix: Option<Box<[u8]>>,
    pub(super) add_prefix: Option<Box<[u8]>>,
    pub(super) query: Option<Goal>,
    pub(super) reason: Reason,
    pub(super) unfit: Reason,
}

/// A rule that fits does nothing, and it is told.
fn unfit(reason: &Reason) -> Transformed {
    Transformed::Edit(Arc::new(HeadEdit::default()), Some(reason.clone()))
}

/// What it costs to put a target together, with so many units for each byte: twice as many where bytes are encoded.
fn cost(request: &RequestView<'_>, each: u64) -> u64 {
    let target = request.head.target();
    let each = each << u64::from(target.contains(&b'%'));
    100 + each * target.len() as u64
}

impl Redirect {
    /// Whether browsers go where it says. What stands in the document was looked at when it was read.
    fn leads(&self, to: &[u8]) -> bool {
        let text = std::str::from_utf8(to).unwrap_or_default();
        !self.to.is_made() || redirect_rest(text).is_ok()
    }

    fn location(&self, to: &[u8], request: &RequestView<'_>) -> Vec<u8> {
        let mut location = to.to_vec();
        let path = request.head.path();
        // `*` has no place in a URL.
        if self.keep_path && path.starts_with(b"/") {
            if location.last() == Some(&b'/') {
                location.pop();
            }
            targets::append(&mut location, path);
            if to.starts_with(b"/") {
                // `//host` would be another host to the client (RFC 3986 §4.2).
                let slashes = location.iter().take_while(|byte| **byte == b'/').count();
                location.drain(..slashes.saturating_sub(1));
            }
        }
        let query = request.query();
        if self.keep_query && !query.is_empty() {
            let has_query = to.contains(&b'?');
            location.push(if has_query { b'&' } else { b'?' });
            targets::append(&mut location, query);
        }
        location
    }
}

impl Transform for Redirect {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        if !self.when.matches(request, fuel)? {
            return Ok(Transformed::Same);
        }
        fuel.spend(cost(request, 1))?;
        let to = self.to.of(request, fuel)?.filter(|to| self.leads(to));
        let Some(to) = to else {
            return Ok(unfit(&self.unfit));
        };
        let page = Page::Redirect {
            status: self.status,
            location: self.location(&to, request),
        };
        Ok(Transformed::Respond(page, self.reason.clone()))
    }
}

/// What was made is no path.
struct NoPath;

impl Rewrite {
    /// The new path, if it is another one; `given` is in its normal form.
    fn path(&self, given: Option<&[u8]>, request: &RequestView<'_>) -> Option<Vec<u8>> {
        let mut normal = Vec::new();
        normalise(request.head.path(), &mut normal);
        let normal = normal.as_slice();
        let stripped = self.strip_prefix.as_deref().and_then(|prefix| {
            let rest = normal.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
        });
        let path = match (given, stripped) {
            (Some(path), _) => Some(path),
            (None, Some(b"")) => Some(&b"/"[..]),
            (None, rest) => rest,
        };
        match (&self.add_prefix, path) {
            (None, None) => None,
            (None, Some(path)) => Some(path.to_vec()),
            (Some(prefix), path) => Some([prefix, path.unwrap_or(normal)].concat()),
        }
    }

    /// Whether an origin that decodes slashes would find dot segments that are none before: with a prefix before them or without
    /// one they would lead elsewhere.
    fn hides_dots(&self, raw: &[u8]) -> bool {
        if !raw.contains(&b'%') || (self.strip_prefix.is_none() && self.add_prefix.is_none()) {
            return false;
        }
        let (mut plain, mut generous) = (Vec::new(), Vec::new());
        normalise(raw, &mut plain);
        normalise_generously(raw, &mut generous);
        let count = |path: &[u8]| path.split(|byte| *byte == b'/').count();
        let slashes = plain
            .windows(3)
            .filter(|three| matches!(*three, b"%2F" | b"%5C"))
            .count();
        count(&generous) != count(&plain) + slashes
    }

    /// The path that is given or made, in its normal form; an error where what was made is none.
    fn given(
        &self,
        request: &RequestView<'_>,
        fuel: &mut Fuel,
    ) -> Result<Result<Option<Vec<u8>>, NoPath>, Spent> {
        let Some(goal) = &self.path else {
            return Ok(Ok(None));
        };
        let Some(path) = goal
            .of(request, fuel)?
            .filter(|path| path.starts_with(b"/"))
        else {
            return Ok(Err(NoPath));
        };
        if !goal.is_made() {
            return Ok(Ok(Some(path.into_owned())));
        }
        fuel.spend(8 * path.len() as u64)?;
        let pieces: Vec<&[u8]> = path.split(|byte| *byte == b'?').collect();
        let path = pieces.join(&b"%3F"[..]);
        if self.hides_dots(&path) {
            return Ok(Err(NoPath));
        }
        let mut normal = Vec::new();
        normalise(&path, &mut normal);
        Ok(Ok(Some(normal)))
    }

    /// The new target; none where it stays as it is, or would be one of the edge's own.
    fn target(
        &self,
        given: Option<&[u8]>,
        query: Option<&[u8]>,
        request: &RequestView<'_>,
    ) -> Option<Vec<u8>> {
        let (before, raw) = (request.head.target(), request.head.path());
        if !raw.starts_with(b"/") || self.hides_dots(raw) {
            return None;
        }
        let mut target = match self.path(given, request) {
            Some(path) if is_reserved(&path) => return None,
            Some(path) => path,
            None if raw.starts_with(b"//") => {
                let mut normal = Vec::new();
                normalise(raw, &mut normal);
                normal
            }
            None => raw.to_vec(),
        };
        match query {
            // With its `?`, which may be there without a query.
            None => target.extend_from_slice(before.get(raw.len()..).unwrap_or_default()),
            Some(b"") => {}
            Some(query) => {
                target.push(b'?');
                target.extend_from_slice(query);
            }
        }
        (target != before).then_some(target)
    }
}

impl Transform for Rewrite {
    fn transform(&self, request: &RequestView<'_>, fuel: &mut Fuel) -> Result<Transformed, Spent> {
        if !self.when.matches(request, fuel)? {
            return Ok(Transformed::Same);
        }
        // Decoded again and again, to see whether it is one of ours.
        fuel.spend(cost(request, 4))?;
        let Ok(given) = self.given(request, fuel)? else {
            return Ok(unfit(&self.unfit));
        };
        let query = match &self.query {
            Some(goal) => match goal.of(request, fuel)? {
                None => return Ok(unfit(&self.unfit)),
                query => query,
            },
            None => None,
        };
        let Some(target) = self.target(given.as_deref(), query.as_deref(), request) else {
            return Ok(Transformed::Same);
        };
        let edit = HeadEdit {
            target: Some(target),
            ..HeadEdit::default()
        };
        Ok(Transformed::Edit(Arc::new(edit), Some(self.reason.clone())))
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::places::Place;
    use crate::stages::rules::DEF;
    use crate::verdict::{Answer, Page};

    const ALWAYS: &str = "[[zone.rule]]\nwhen = 'http.request.uri.path ne \"/never\"'\n";

    fn location(keys: &str, target: &str) -> String {
        let place = Place::of(&DEF, &format!("{ALWAYS}action = 'redirect'\n{keys}"));
        let refusal = place.refused("192.0.2.1", "GET", target).unwrap();
        assert_eq!(refusal.reason.name, "redirect");
        match refusal.answer {
            Answer::Page(Page::Redirect { status, location }) => {
                format!("{status} {}", String::from_utf8(location).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn redirects_keep_what_they_are_told_to_keep() {
        for (keys, target, expected) in [
            ("to = '/new'", "/old?a=b", "302 /new?a=b"),
            ("to = '/new'", "/old", "302 /new"),
            ("to = '/new'", "/old?", "302 /new"),
            ("to = '/new?x=y'", "/old?a=b", "302 /new?x=y&a=b"),
            ("to = '/new'\nkeep_query = false", "/old?a=b", "302 /new"),
            (
                "to = 'https://b.test'\nkeep_path = true",
                "/x?y",
                "302 https://b.test/x?y",
            ),
            (
                "to = 'https://b.test/z/'\nkeep_path = true",
                "/x",
                "302 https://b.test/z/x",
            ),
            (
                "to = 'https://b.test/z'\nkeep_path = true",
                "/x//y",
                "302 https://b.test/z/x//y",
            ),
            (
                "to = 'https://b.test'\nstatus = 308",
                "/x?y",
                "308 https://b.test?y",
            ),
            ("to = '/new'\nkeep_path = true", "/old", "302 /new/old"),
        ] {
            assert_eq!(location(keys, target), expected, "{keys} {target}");
        }
    }

    #[test]
    fn no_path_makes_another_host_of_a_redirect() {
        for (keys, target, expected) in [
            (
                "to = '/'\nkeep_path = true",
                "//evil.test/x",
                "302 /evil.test/x",
            ),
            (
                "to = '/'\nkeep_path = true",
                "///evil.test",
                "302 /evil.test",
            ),
            (
                "to = '/'\nkeep_path = true",
                "/\\evil.test",
                "302 /%5Cevil.test",
            ),
            (
                "to = '/'\nkeep_path = true",
                "/.//evil.test",
                "302 /.//evil.test",
            ),
            (
                "to = '/a'\nkeep_path = true",
                "//evil.test",
                "302 /a//evil.test",
            ),
            (
                "to = 'https://b.test'\nkeep_path = true",
                "*",
                "302 https://b.test",
            ),
            (
                "to = 'https://b.test'\nkeep_path = true",
                "//evil.test",
                "302 https://b.test//evil.test",
            ),
            (
                "to = 'https://b.test'\nkeep_path = true",
                "/@evil.test",
                "302 https://b.test/@evil.test",
            ),
        ] {
            assert_eq!(location(keys, target), expected, "{keys} {target}");
        }
    }

    fn rewritten(keys: &str, target: &str) -> String {
        let place = Place::of(&DEF, &format!("{ALWAYS}action = 'rewrite'\n{keys}"));
        let (told, got) = place.asked("GET", target, &[]);
        let got = got.trim_end();
        let expected = if got == target {
            ""
        } else {
            "rules/rewrite(#1)"
        };
        assert_eq!(told, expected, "it is told if it did something");
        got.to_owned()
    }

    #[test]
    fn rewrites_change_path_and_query() {
        for (keys, target, expected) in [
            ("path = '/new'", "/old?a=b", "/new?a=b"),
            ("path = '/new'\nquery = ''", "/old?a=b", "/new"),
            ("path = '/new'\nadd_prefix = '/v2'", "/old", "/v2/new"),
            ("query = 'x=1'", "/old?a=b", "/old?x=1"),
            ("query = 'x=1'", "/%6Fld", "/%6Fld?x=1"),
            ("query = ''", "/old?", "/old"),
            ("strip_prefix = '/api'", "/api/x?y", "/x?y"),
            ("strip_prefix = '/api'", "/api", "/"),
            ("strip_prefix = '/api'", "/api/", "/"),
            ("strip_prefix = '/api'", "/apis/x", "/apis/x"),
            ("strip_prefix = '/api'", "/api/a%2fb", "/a%2Fb"),
            (
                "strip_prefix = '/api'",
                "/api/..%2fsecret",
                "/api/..%2fsecret",
            ),
            ("add_prefix = '/v2'", "/a%5c..%5c..%5cb", "/a%5c..%5c..%5cb"),
            ("add_prefix = '/v2'", "/a%2f..b", "/v2/a%2F..b"),
            (
                "strip_prefix = '/api'\nadd_prefix = '/v2'",
                "/api/x",
                "/v2/x",
            ),
            ("strip_prefix = '/api'\nadd_prefix = '/v2'", "/x", "/v2/x"),
            ("add_prefix = '/v2'", "/", "/v2/"),
            ("add_prefix = '/v2'", "*", "*"),
        ] {
            assert_eq!(rewritten(keys, target), expected, "{keys} {target}");
        }
    }

    #[test]
    fn no_spelling_goes_round_a_rewrite_or_makes_more_of_it() {
        for (target, expected) in [
            ("/%61pi/x", "/x"),
            ("//api//x", "/x"),
            ("/a/../api/x", "/x"),
            ("/api/../secret", "/api/../secret"),
            ("/api%2fx", "/api%2fx"),
            ("/api//evil.test", "/evil.test"),
            ("/api/\\evil.test", "/evil.test"),
            ("/api/.seawall/trace", "/api/.seawall/trace"),
            ("/api/%252eSeawall;x/trace", "/api/%252eSeawall;x/trace"),
            ("/api/.seawall", "/api/.seawall"),
        ] {
            assert_eq!(
                rewritten("strip_prefix = '/api'", target),
                expected,
                "{target}"
            );
        }
        assert_eq!(rewritten("query = 'x'", "//a/b"), "/a/b?x");
    }

    #[test]
    fn redirects_lead_where_an_expression_says() {
        let to = |expression: &str| format!("to_expression = '{expression}'");
        for (expression, target, expected) in [
            (
                r#"concat("https://", http.host, "/new", http.request.uri.path)"#,
                "/old?a[]=b",
                "302 https://a.test/new/old?a[]=b",
            ),
            (
                r#"concat("/s?q=", http.request.uri.args["q"][0])"#,
                "/?q=a%0d%0aX:1",
                "302 /s?q=a%0d%0aX:1&q=a%0d%0aX:1",
            ),
            (
                r#"concat("/", url_decode(http.request.uri.args["q"][0]))"#,
                "/?q=%3Cb%20c%3E%5C%23",
                "302 /%3Cb%20c%3E%5C%23?q=%3Cb%20c%3E%5C%23",
            ),
            (
                r#"concat("https://b.test/?l=", lower(http.request.uri.path))"#,
                "/A",
                "302 https://b.test/?l=/a",
            ),
        ] {
            assert_eq!(location(&to(expression), target), expected, "{expression}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_told_and_the_request_goes_on() {
        let made = r#"action = 'redirect'
            to_expression = 'concat(url_decode(http.request.uri.args["q"][0]))'"#;
        let place = Place::of(&DEF, &format!("{ALWAYS}{made}"));
        let long = format!("/?q=/{}", "a".repeat(9_000));
        for target in [
            "/",
            "/?q=",
            "/?q=//evil.test",
            "/?q=/%0d%0aSet-Cookie:x",
            "/?q=/%00",
            "/?q=javascript:alert(1)",
            "/?q=https://u@evil.test",
            "/?q=https://a.test%5C@evil.test",
            "/?q=https://",
            "/?q=%5C%5Cevil.test",
            &long,
        ] {
            let (told, got) = place.asked("GET", target, &[]);
            assert_eq!((told.as_str(), got.trim_end()), ("rules/unfit(#1)", target));
        }
        let told = place.asked("GET", "/?q=/%5C%5Cevil.test", &[]).0;
        assert_eq!(told, "302 rules/redirect(#1)");
    }

    #[test]
    fn rewrites_make_path_and_query_by_expressions() {
        for (keys, target, expected) in [
            (
                r#"path_expression = 'regex_replace(http.request.uri.path, "^/a/", "/b/")'"#,
                "/a/x?y",
                "/b/x?y",
            ),
            (
                r#"path_expression = 'concat("/h/", http.host, http.request.uri.path)'
                   query_expression = 'concat("p=", http.request.uri.path)'"#,
                "/x?y#z",
                "/h/a.test/x?p=/x",
            ),
            (
                r#"path_expression = 'concat("/x/", url_decode(http.request.uri.args["q"][0]))'
                   query = ''"#,
                "/?q=../b?c%20d",
                "/b%3Fc%20d",
            ),
            (
                r#"query_expression = 'remove_query_args(http.request.uri.query, "a")'"#,
                "/?a=1&b=2",
                "/?b=2",
            ),
            (
                r#"query_expression = 'remove_query_args(http.request.uri.query, "a")'"#,
                "/?a=1",
                "/",
            ),
            (
                r#"path_expression = 'concat("/.seawall", http.request.uri.path)'"#,
                "/trace",
                "/trace",
            ),
        ] {
            assert_eq!(rewritten(keys, target), expected, "{keys} {target}");
        }
        for (path, target) in [
            ("lower(http.host)", "/x"),
            ("url_decode(http.request.uri.args[\"q\"][0])", "/?q=/%0a"),
        ] {
            let rule = format!("{ALWAYS}action = 'rewrite'\npath_expression = '{path}'");
            let (told, got) = Place::of(&DEF, &rule).asked("GET", target, &[]);
            assert_eq!((told.as_str(), got.trim_end()), ("rules/unfit(#1)", target));
        }
    }

    #[test]
    fn an_expression_that_makes_no_text_is_refused_where_it_stands() {
        for (keys, says) in [
            (
                "action = 'redirect'\nto_expression = 'ip.src'",
                "rule[0].to_expression: this is an address",
            ),
            (
                "action = 'rewrite'\npath_expression = 'len(http.host)'",
                "rule[0].path_expression: this is a number",
            ),
            (
                "action = 'rewrite'\nquery_expression = 'http.hots'",
                "rule[0].query_expression: ",
            ),
        ] {
            let place = Place::made(&DEF, &format!("{ALWAYS}{keys}"), true);
            assert_eq!(place.problems.len(), 1, "{:?}", place.problems);
            assert!(place.problems[0].contains(says), "{:?}", place.problems);
        }
    }

    #[test]
    fn later_rules_see_the_new_target() {
        let rules = format!(
            "{ALWAYS}action = 'rewrite'\nstrip_prefix = '/api'\n\
             [[zone.rule]]\nwhen = 'http.request.uri.path eq \"/x\"'\naction = 'block'"
        );
        let place = Place::of(&DEF, &rules);
        let told = place.asked("GET", "/api/x", &[]).0;
        assert_eq!(told, "403 rules/rewrite(#1) rules/block(#2)");
    }
}
