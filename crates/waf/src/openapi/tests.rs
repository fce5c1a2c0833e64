use seawall_model::Fuel;

use super::{Described, Misfit, OpenApi};

const SHOP: &str = r##"{
  "openapi": "3.0.3", "info": {"title": "shop", "version": "1"},
  "servers": [{"url": "https://shop.test/api/"}],
  "paths": {
    "/orders": {
      "get": {"parameters": [
        {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        {"name": "state", "in": "query", "explode": false, "schema": {"type": "array", "maxItems": 2, "items": {"enum": ["open", "sent"]}}},
        {"name": "X-Trace", "in": "header", "required": true, "schema": {"type": "string", "format": "uuid"}}
      ]},
      "post": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}}
    },
    "/orders/{id}.{kind}": {},
    "/orders/{id}": {"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}],
      "get": {}, "delete": {}},
    "/orders/latest": {"get": {}}
  },
  "components": {"schemas": {
    "Order": {"type": "object", "additionalProperties": false, "required": ["item", "count"], "properties": {
      "item": {"type": "string", "pattern": "^[a-z\\d-]{1,20}$"},
      "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": true, "maximum": 10},
      "note": {"type": "string", "nullable": true, "maxLength": 5},
      "part": {"$ref": "#/components/schemas/Order"},
      "pay": {"oneOf": [{"type": "object", "required": ["card"]}, {"type": "object", "required": ["iban"]}]}
    }}
  }}
}"##;

fn shop(strict: bool) -> OpenApi {
    // Two parameters in one segment are not understood.
    let text = SHOP.replace("\"/orders/{id}.{kind}\": {},", "");
    OpenApi::read(text.as_bytes(), strict).unwrap_or_else(|problems| panic!("{problems}"))
}

fn asked(
    api: &OpenApi,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Misfit> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&[u8], &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let request = Described {
        method: method.as_bytes(),
        path: path.as_bytes(),
        query: query.as_bytes(),
        headers: &headers,
    };
    let mut fuel = Fuel::new(10_000_000);
    let expects = match api.head(&request, &mut fuel).unwrap() {
        Ok(expects) => expects,
        Err(misfit) => return Some(misfit),
    };
    let kind = headers.iter().find(|(name, _)| *name == b"Content-Type");
    let kind = kind.map(|(_, value)| *value);
    api.body(expects, kind, body.as_bytes(), &mut fuel)
        .unwrap()
        .err()
}

const TRACE: (&str, &str) = ("x-trace", "550e8400-e29b-41d4-a716-446655440000");

#[test]
fn heads_that_are_described_fit_and_no_others() {
    let api = shop(false);
    for (method, target, headers, rule) in [
        ("GET", "/api/orders", &[TRACE][..], ""),
        ("HEAD", "/api/orders", &[TRACE], ""),
        (
            "GET",
            "/api/orders?page=7&state=open,sent&else=1",
            &[TRACE],
            "",
        ),
        ("GET", "/api/orders?page=0", &[TRACE], "parameter"),
        ("GET", "/api/orders?page=1&page=2", &[TRACE], "parameter"),
        ("GET", "/api/orders?page=0x10", &[TRACE], "parameter"),
        ("GET", "/api/orders?page=%201", &[TRACE], "parameter"),
        ("GET", "/api/orders?page=' or 1=1", &[TRACE], "parameter"),
        ("GET", "/api/orders?state=open,lost", &[TRACE], "parameter"),
        (
            "GET",
            "/api/orders?state=open,open,open",
            &[TRACE],
            "parameter",
        ),
        ("GET", "/api/orders", &[], "parameter"),
        ("GET", "/api/orders", &[("X-Trace", "1")], "parameter"),
        ("PATCH", "/api/orders", &[TRACE], "method"),
        ("GET", "/orders", &[TRACE], "path"),
        ("GET", "/api/orders/", &[], "path"),
        ("GET", "/api/orders/12", &[], ""),
        ("DELETE", "/api/orders/%31%32", &[], ""),
        ("GET", "/api/orders/12;drop", &[], "parameter"),
        // What is fixed goes before what is open.
        ("GET", "/api/orders/latest", &[], ""),
        ("DELETE", "/api/orders/latest", &[], "method"),
    ] {
        let misfit = asked(&api, method, target, headers, "");
        let is = misfit.as_ref().map_or("", |misfit| misfit.rule);
        assert_eq!(is, rule, "{method} {target}: {misfit:?}");
    }
    let strict = asked(
        &shop(true),
        "GET",
        "/api/orders?page=7&else=1",
        &[TRACE],
        "",
    );
    assert_eq!(strict.unwrap().rule, "parameter");
}

#[test]
fn names_that_may_be_read_as_described_ones_do_not_pass_for_others() {
    let text = r#"{"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [
        {"name": "id", "in": "query", "schema": {"type": "integer"}},
        {"name": "sort[by]", "in": "query", "schema": {"enum": ["name"]}},
        {"name": "X-Tenant", "in": "header", "schema": {"type": "integer"}},
        {"name": "sid", "in": "cookie", "schema": {"type": "integer"}}
    ]}}, "/b": {"get": {}}}}"#;
    let api = OpenApi::read(text.as_bytes(), false).unwrap();
    let query = |path: &str, query: &str| {
        let misfit = asked(&api, "GET", &format!("{path}?{query}"), &[], "");
        misfit.map_or("", |misfit| misfit.rule)
    };
    for fine in [
        "id=1",
        "%69d=1",
        "sort[by]=name",
        "sort%5Bby%5D=name",
        "x=1",
        "idx=y",
        "x.id=y",
        "_id=y",
        "sort_by=y",
        "x=1;y",
        "x=a;id",
        "&&",
    ] {
        assert_eq!(query("/a", fine), "", "{fine}");
    }
    for other in [
        "id=x",
        "+id=x",
        "id+=x",
        "ID=x",
        "id%00a=x",
        "id[]=x",
        "id%5B0%5D=x",
        "id.a=x",
        "%2569d=x",
        "id=1&id[]=x",
        "x=1;id=x",
        ";id=x",
        "sort=x",
        "sort[by][]=x",
    ] {
        assert_eq!(query("/a", other), "parameter", "{other}");
        assert_eq!(query("/b", other), "", "{other}");
    }
    let with = |name: &str, value: &str| {
        let misfit = asked(&api, "GET", "/a", &[(name, value)], "");
        misfit.map_or("", |misfit| misfit.rule)
    };
    for (name, value, rule) in [
        ("x-tenant", "1", ""),
        ("x-tenant", "x", "parameter"),
        ("X_Tenant", "1", "parameter"),
        ("x-tenants", "x", ""),
        ("Cookie", "sid=1", ""),
        ("Cookie", "a=b; sid=1; sid.sig=c; asid=d", ""),
        ("Cookie", "a={\"sid\": 1}, b; c=d e", ""),
        ("Cookie", "sid=x", "parameter"),
        ("Cookie", "sid =x", "parameter"),
        ("Cookie", "sid\t=1", "parameter"),
        ("Cookie", "SID=1", "parameter"),
        ("Cookie", "sid[]=x", "parameter"),
        ("Cookie", "a=b sid=x", "parameter"),
        ("Cookie", "a=b,sid=x", "parameter"),
    ] {
        assert_eq!(with(name, value), rule, "{name}: {value}");
    }
}

#[test]
fn numbers_are_what_they_are_however_they_are_written() {
    let is = |schema: &str, value: &str| {
        let text = format!(
            r#"{{"openapi": "3.1.0", "paths": {{"/a": {{"post": {{"requestBody": {{"content": {{"application/json": {{"schema": {schema}}}}}}}}}}}}}}}"#
        );
        let api = OpenApi::read(text.as_bytes(), false).unwrap();
        let json = [("Content-Type", "application/json")];
        asked(&api, "POST", "/a", &json, value).is_none()
    };
    let int32 = r#"{"type": "integer", "format": "int32"}"#;
    let int64 = r#"{"type": "integer", "format": "int64"}"#;
    let cents = r#"{"type": "number", "multipleOf": 0.01}"#;
    let sevens = r#"{"multipleOf": 7}"#;
    let some = r#"{"enum": [1, "a", [2.0, {"b": 3}]]}"#;
    for (schema, fits, others) in [
        (
            int32,
            &["0", "2147483647", "-2147483648", "2147483647.0"][..],
            &["2147483648", "2147483648.0", "-2147483649", "1e10"][..],
        ),
        (
            int64,
            &["9223372036854775807", "-9223372036854775808", "1e3"],
            &["9223372036854775808", "-9223372036854777856", "1e19"],
        ),
        (
            cents,
            &[
                "0",
                "0.07",
                "1234567.89",
                "19.99",
                "-0.29",
                "4611686018427387904",
            ],
            &["0.001", "1234567.895", "1e-9"],
        ),
        (
            sevens,
            &["7", "-14", "9223372036854775807", "14.0"],
            &["8", "9223372036854775806", "7.5"],
        ),
        (
            some,
            &["1", "1.0", "10e-1", "\"a\"", "[2, {\"b\": 3.0}]"],
            &["1.5", "true", "\"1\"", "[2]", "[2, {\"b\": 4}]", "[2, {}]"],
        ),
        (r#"{"const": 1.0}"#, &["1", "1.0"], &["2", "\"1\""]),
    ] {
        for value in fits {
            assert!(is(schema, value), "{schema} {value}");
        }
        for value in others {
            assert!(!is(schema, value), "{schema} {value}");
        }
    }
}

#[test]
fn bodies_are_what_their_schema_says() {
    let api = shop(false);
    let json = [("Content-Type", "application/json; charset=utf-8")];
    let post = |body: &str| asked(&api, "POST", "/api/orders", &json, body);
    assert_eq!(
        post(
            r#"{"item": "chair-2", "count": 9, "note": null, "part": {"item": "leg", "count": 4}}"#
        ),
        None
    );
    assert_eq!(
        post(r#"{"item": "chair", "count": 1.0, "pay": {"iban": "x"}}"#),
        None
    );
    for (body, what) in [
        (r#"{"item": "chair"}"#, "/ lacks a member"),
        (
            r#"{"item": "chair", "count": 10}"#,
            "/count is out of its range",
        ),
        (
            r#"{"item": "chair", "count": "1"}"#,
            "/count is of another type",
        ),
        (
            r#"{"item": "chair", "count": 1.5}"#,
            "/count is of another type",
        ),
        (
            r#"{"item": "Chair", "count": 1}"#,
            "/item does not fit its pattern",
        ),
        (
            r#"{"item": "chair", "count": 1, "note": "öffnen"}"#,
            "/note is too short or long",
        ),
        (
            r#"{"item": "chair", "count": 1, "admin": true}"#,
            "/ has a member that is not described",
        ),
        (
            r#"{"item": "chair", "count": 1, "part": {"count": 1}}"#,
            "/part lacks a member",
        ),
        (
            r#"{"item": "chair", "count": 1, "pay": {"card": 1, "iban": 2}}"#,
            "/pay is none of what it may be",
        ),
        (
            r#"{"item": "chair", "count": 1, "count": 2}"#,
            "an object has a key twice",
        ),
        ("[", "is no JSON (line 1, column 1)"),
        ("[]", "/ is of another type"),
        ("", "the body is not there"),
    ] {
        assert_eq!(
            post(body).map(|misfit| misfit.what).as_deref(),
            Some(what),
            "{body}"
        );
    }
    let note = asked(
        &api,
        "POST",
        "/api/orders",
        &json,
        "{\"item\": \"chair\", \"count\": 1, \"note\": \"öffne\"}",
    );
    assert_eq!(note, None, "characters are counted, not bytes");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let form = asked(&api, "POST", "/api/orders", &form, "item=chair");
    assert_eq!(form.unwrap().rule, "content_type");
    assert_eq!(
        asked(&api, "GET", "/api/orders/1", &[], "x").unwrap().rule,
        "body"
    );
}

#[test]
fn what_is_not_understood_is_told_by_its_place() {
    let problems = |text: &str| {
        let problems = OpenApi::read(text.as_bytes(), false).unwrap_err();
        let all = problems.list.iter();
        all.map(|problem| format!("{}: {}", problem.path, problem.what))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        problems(SHOP),
        ["/paths//orders/{id}.{kind}: is no path, or has two parameters in one segment"]
    );
    let of = |schema: &str| {
        problems(&format!(
            r#"{{"openapi": "3.1.0", "paths": {{"/a": {{"post": {{"requestBody": {{"content": {{"application/json": {{"schema": {schema}}}}}}}}}}}}}}}"#
        ))
    };
    let at = "/paths//a/post/requestBody/content/application/json";
    assert_eq!(
        of(r#"{"if": true}"#),
        [format!(
            "{at}/if: is not understood, and cannot be passed over"
        )]
    );
    assert!(of(r#"{"pattern": "(?=a)b"}"#)[0].contains("linear time"));
    assert_eq!(
        of(r##"{"$ref": "#/components/schemas/None"}"##),
        ["#/components/schemas/None: is not in this file"]
    );
    assert_eq!(
        of(r##"{"$ref": "other.json"}"##),
        ["other.json: is not in this file"]
    );
    let circle = r##"{"openapi": "3.0.0", "paths": {"/a": {"get": {"parameters": [{"name": "q", "in": "query",
        "schema": {"$ref": "#/components/schemas/A"}}]}}},
        "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}}}"##;
    assert_eq!(problems(circle).len(), 1);
    assert_eq!(
        problems("openapi: 3.0.0")[0],
        ": is no JSON (line 1, column 1)"
    );
    assert_eq!(
        problems(r#"{"swagger": "2.0", "paths": {}}"#),
        ["/openapi: is not 3.0 or 3.1"]
    );
}

/// A schema that mentions itself twice could be asked without end.
#[test]
fn asking_ends_with_its_fuel() {
    let text = r##"{"openapi": "3.1.0", "paths": {"/a": {"post": {"requestBody": {"content": {"application/json":
        {"schema": {"$ref": "#/components/schemas/A"}}}}}}},
        "components": {"schemas": {"A": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/A"}]}}}}"##;
    let api = OpenApi::read(text.as_bytes(), false).unwrap();
    let request = Described {
        method: b"POST",
        path: b"/a",
        query: b"",
        headers: &[],
    };
    let mut fuel = Fuel::new(1_000_000);
    let expects = api.head(&request, &mut fuel).unwrap().unwrap();
    let asked = api.body(expects, Some(b"application/json"), b"1", &mut fuel);
    assert!(asked.is_err());
}
