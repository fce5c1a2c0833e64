//! The API's description in OpenAPI 3.1, made of the table of routes and of the types themselves.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::{Details, PROBLEMS, named};
use super::route::{DESCRIPTION, Gives, In, Needs, Optional, PREFIX, Route, Takes};
use super::routes;
use crate::process::VERSION;
use crate::token::SCOPES;

/// What every route may answer with.
const ALL: &[&str] = &[
    "malformed",
    "unknown_parameter",
    "bad_parameter",
    "unauthorized",
    "forbidden",
    "slow",
    "misdirected",
    "too_many",
    "head_too_large",
    "internal",
    "busy",
];

/// The description as text, made once.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", description()))
}

fn description() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        for (before, place) in route.of.places() {
            let path = format!("{PREFIX}{before}{}", route.path);
            let operation = operation(route, before, place, &mut generator);
            let method = route.method.to_ascii_lowercase();
            paths.entry(path).or_default().insert(method, operation);
        }
    }
    let read = json!({
        "get": {
            "operationId": "openapi",
            "summary": "This description",
            "security": [],
            "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } } },
        }
    });
    let mut all: Map<String, Value> = Map::new();
    all.insert(DESCRIPTION.into(), read);
    all.extend(paths.into_iter().map(|(path, it)| (path, it.into())));
    let _ = generator.subschema_for::<Details>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Seawall",
            "version": VERSION,
            "description": about(),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8800", "description": "`seawall up`, unless --dashboard says otherwise" }],
        "security": [{ "token": [] }],
        "paths": all,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "`Authorization: Bearer sw_…`" } },
            "schemas": schemas,
        },
    })
}

fn about() -> String {
    let mut about = String::from(
        "What can be asked of a Seawall's control. Every change is a version, which is rolled out step by step and taken back by itself when it does worse.\n\nScopes of tokens:\n",
    );
    for scope in SCOPES {
        about.push_str(&format!("\n- `{}`: {}", scope.name, scope.what));
    }
    about
}

fn operation(route: &Route, before: &str, place: &str, generator: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    let id = match place {
        "platform" => format!("platform_{}", route.id),
        _ => route.id.to_owned(),
    };
    let scope = scope(route.needs, place);
    let more = match route.more {
        "" => format!("Scope: {scope}."),
        more => format!("{more}\n\nScope: {scope}."),
    };
    operation.insert("operationId".into(), id.into());
    operation.insert("summary".into(), route.what.into());
    operation.insert("description".into(), more.into());
    let parameters = parameters(route, before, generator);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(content) = takes(route.takes, generator) {
        operation.insert("requestBody".into(), content);
    }
    operation.insert("responses".into(), responses(route, generator));
    Value::Object(operation)
}

fn parameters(route: &Route, before: &str, generator: &mut SchemaGenerator) -> Vec<Value> {
    let path = format!("{before}{}", route.path);
    let named = path.split('{').skip(1);
    let named = named.filter_map(|rest| rest.split_once('}').map(|(name, _)| name.to_owned()));
    let mut parameters: Vec<Value> = named
        .map(|name| {
            let schema = match name.as_str() {
                "version" | "rollout" => json!({ "type": "integer", "minimum": 0 }),
                _ => json!({ "type": "string" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    for param in route.params {
        let (name, place) = match param.place {
            In::Query => (param.name.to_owned(), "query"),
            In::Head => (title(param.name), "header"),
        };
        parameters.push(json!({
            "name": name,
            "in": place,
            "description": param.what,
            "schema": (param.schema)(generator),
        }));
    }
    parameters
}

/// A field's name as people write it.
fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

fn takes(takes: Takes, generator: &mut SchemaGenerator) -> Option<Value> {
    let (kind, schema, required) = match takes {
        Takes::Nothing => return None,
        Takes::Document => ("application/toml", json!({ "type": "string" }), true),
        Takes::Json(schema, optional) => (
            "application/json",
            schema(generator).to_value(),
            optional == Optional::No,
        ),
    };
    Some(json!({ "required": required, "content": { kind: { "schema": schema } } }))
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let tag = json!({ "ETag": { "description": "Names what was answered.", "schema": { "type": "string" } } });
    let (status, good) = match route.gives {
        Gives::Nothing => ("204", json!({ "description": "Done" })),
        Gives::Document => (
            "200",
            json!({ "description": "The document", "headers": tag, "content": { "application/toml": { "schema": { "type": "string" } } } }),
        ),
        Gives::Json(schema) => (
            "200",
            json!({ "description": "Done", "content": { "application/json": { "schema": schema(generator) } } }),
        ),
        Gives::New(schema) => (
            "201",
            json!({ "description": "Made", "content": { "application/json": { "schema": schema(generator) } } }),
        ),
    };
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    all.insert(status.into(), good);
    let knows = |param: &super::route::Param| param.name == "if-none-match";
    if route.method == "GET" && route.params.iter().any(knows) {
        let same = json!({ "description": "It is as the client knows it" });
        all.insert("304".into(), same);
    }
    let of_content: &[&str] = match route.takes {
        Takes::Nothing => &[],
        _ => &["bad_body", "too_large", "media_type"],
    };
    let mut titles: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let once = |param: &super::route::Param| param.name == routes::ONCE.name;
    let of_key: &[&str] = match route.params.iter().any(once) {
        true => &["key_reused"],
        false => &[],
    };
    let names = ALL
        .iter()
        .chain(of_content)
        .chain(of_key)
        .chain(route.problems);
    for def in names.filter_map(|name| named(name)) {
        let titles = titles.entry(def.status).or_default();
        if !titles.contains(&def.title) {
            titles.push(def.title);
        }
    }
    let schema = reference::<Details>(generator);
    for (status, titles) in titles {
        let problem = json!({
            "description": titles.join("; or: "),
            "content": { "application/problem+json": { "schema": schema } },
        });
        all.insert(status.to_string(), problem);
    }
    json!(all)
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Scopes, problems and endpoints as a page of the reference.
pub fn markdown() -> String {
    let mut out = String::from(
        "# The API: scopes, endpoints, problems\n\nAll that can be asked, with its schemas, is in [openapi.json](openapi.json); how it is used: [api.md](../api.md).\n\n## Scopes\n\n| Scope | What it allows |\n|---|---|\n",
    );
    for scope in SCOPES {
        out.push_str(&format!("| `{}` | {} |\n", scope.name, scope.what));
    }
    out.push_str("\n## Endpoints\n\n| | | Scope | |\n|---|---|---|---|\n");
    for route in routes::all() {
        for (before, place) in route.of.places() {
            out.push_str(&format!(
                "| {} | `{PREFIX}{before}{}` | {} | {} |\n",
                route.method,
                route.path,
                scope(route.needs, place),
                route.what
            ));
        }
    }
    out.push_str("\n## Problems\n\n| Status | `type` is `urn:seawall:problem:` and | What it means | What can be done |\n|---|---|---|---|\n");
    for def in PROBLEMS {
        out.push_str(&format!(
            "| {} | `{}` | {} | {} |\n",
            def.status, def.name, def.title, def.help
        ));
    }
    out
}

/// What a token must be allowed, in words.
fn scope(needs: Needs, place: &str) -> String {
    match (needs, place) {
        (Needs::Word(word), _) => format!("`{word}`"),
        (Needs::Chain, "platform") => "`platform`".into(),
        (Needs::Chain, _) => "`write:ZONE`".into(),
        (Needs::Document, _) => {
            "`write:ZONE` for each zone that changes, `platform` where that does".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_has_a_name_and_a_path_of_its_own_and_known_problems() {
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for route in routes::all() {
            assert!(ids.insert(route.id), "{} is there twice", route.id);
            assert!(
                places.insert((route.method, route.of as u8, route.path)),
                "{} {} is there twice",
                route.method,
                route.path
            );
            for problem in route.problems.iter().chain(ALL) {
                assert!(named(problem).is_some(), "{problem} is no kind");
            }
            if let Needs::Word(word) = route.needs {
                let known = |def: &crate::token::ScopeDef| def.name == word;
                assert!(SCOPES.iter().any(known), "{word} is no scope");
            }
            let changes = route.method != "GET" && route.id != "check";
            let once = |param: &super::super::route::Param| param.name == "idempotency-key";
            assert_eq!(route.params.iter().any(once), changes, "{}", route.id);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = text();
        let all: Value = serde_json::from_str(text).unwrap();
        let mut found = 0;
        for part in text.split("\"$ref\": \"#").skip(1) {
            let path = part.split('"').next().unwrap();
            assert!(all.pointer(path).is_some(), "{path} leads nowhere");
            found += 1;
        }
        assert!(found > 50, "{found} references");
    }
}
