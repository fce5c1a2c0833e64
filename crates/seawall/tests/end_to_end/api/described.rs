//! The API answers what its description says: each operation of `/api/openapi.json` is asked of a Seawall that serves, and what comes
//! is held against the schema that is declared for it. The examples of `docs/api.md` are run, too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Api, json, zone};
use crate::origin::Answering;
use crate::tools::{Answer, curl};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is sent to each operation, in this order, so that each is about something that is there: name, path, content.
const CALLS: &[(&str, &str, &str, &str)] = &[
    (
        "put",
        "put_document",
        "/zones/b.test/document",
        "zone b.test",
    ),
    ("post", "check", "/check", "zone b.test redirect"),
    ("post", "apply", "/apply", "zone b.test redirect"),
    ("get", "status", "/status", ""),
    ("get", "zones", "/zones?limit=1", ""),
    ("get", "document", "/zones/a.test/document", ""),
    (
        "get",
        "platform_document",
        "/platform/document?version=serving",
        "",
    ),
    (
        "put",
        "platform_put_document",
        "/platform/document",
        "platform",
    ),
    ("get", "versions", "/zones/b.test/versions", ""),
    ("get", "platform_versions", "/platform/versions", ""),
    ("get", "version", "/zones/b.test/versions/1", ""),
    ("get", "platform_version", "/platform/versions/1", ""),
    ("get", "diff", "/zones/b.test/diff?a=1&b=2", ""),
    ("get", "platform_diff", "/platform/diff", ""),
    ("put", "pin", "/zones/a.test/pin", ""),
    ("delete", "unpin", "/zones/a.test/pin", ""),
    (
        "put",
        "platform_pin",
        "/platform/pin",
        "json {\"why\": \"a test\"}",
    ),
    (
        "post",
        "purge",
        "/zones/a.test/purges",
        "json {\"everything\": true}",
    ),
    ("get", "purge_stands", "/purges/PURGE", ""),
    ("get", "rollouts", "/rollouts", ""),
    ("get", "rollout", "/rollouts/PLATFORM", ""),
    // No guard asks for a person: there is nothing to approve.
    ("post", "approve", "/rollouts/PLATFORM/approve", "409"),
    (
        "post",
        "abort",
        "/rollouts/PLATFORM/abort",
        "json {\"why\": \"a test\"}",
    ),
    ("delete", "platform_unpin", "/platform/pin", ""),
    (
        "post",
        "rollback",
        "/zones/b.test/rollback",
        "json {\"version\": 1}",
    ),
    // To what serves, while that is on its way back; then there is nothing else that ever served everybody.
    ("post", "platform_rollback", "/platform/rollback", "perhaps"),
    ("delete", "delete_zone", "/zones/b.test", ""),
    ("post", "restore_zone", "/zones/b.test/restore", ""),
    (
        "post",
        "kill",
        "/kills",
        "json {\"stage\": \"rules\", \"zone\": \"a.test\", \"seconds\": 60, \"why\": \"a test\"}",
    ),
    (
        "delete",
        "end_kill",
        "/kills?stage=rules&zone=a.test&why=a+test",
        "",
    ),
    ("get", "audit", "/audit", ""),
    ("get", "locations", "/locations", ""),
    ("post", "join_token", "/locations/lhr/token", ""),
    // Nobody has joined here.
    ("delete", "leave", "/locations/lhr", "404"),
    ("put", "drain", "/locations/local/drain", ""),
    ("delete", "undrain", "/locations/local/drain", ""),
    (
        "post",
        "make_token",
        "/tokens",
        "json {\"name\": \"t\", \"scopes\": [\"read\"], \"seconds\": 60}",
    ),
    ("get", "tokens", "/tokens", ""),
    ("delete", "revoke_token", "/tokens/t", ""),
];

#[test]
fn every_operation_answers_as_it_is_described() {
    let site = Answering::start("good");
    let config = zone("a.test", &site.url(), "");
    // What is said of a rollout is said while it runs.
    let api = Api::with(&config, &["--edges", "127.0.0.1:0", "--speed", "20"]);
    let answer = curl(&[&format!("http://{}/api/openapi.json", api.address)]);
    let kept = std::fs::read_to_string(repository().join("docs/reference/openapi.json")).unwrap();
    assert_eq!(answer.text(), kept, "what is served is what is documented");
    let all = json(&answer);
    let mut untried = BTreeSet::new();
    for (path, methods) in all["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            untried.insert((
                path.clone(),
                method.clone(),
                operation["operationId"].as_str().unwrap().to_owned(),
            ));
        }
    }
    untried.retain(|(_, _, id)| id != "openapi");
    let (mut platform, mut purge) = (String::new(), String::new());
    for (method, id, path, content) in CALLS {
        let found = untried
            .iter()
            .find(|(_, of, name)| of == method && name == id);
        let known = found
            .unwrap_or_else(|| panic!("there is no {method} {id}"))
            .clone();
        let operation = &all["paths"][&known.0][&known.1];
        let path = path.replace("PLATFORM", &platform).replace("PURGE", &purge);
        let answer = call(&api, &site, method, &path, content);
        if *id == "platform_put_document" {
            platform = json(&answer)["versions"][0]["rollout"].to_string();
        }
        if *id == "purge" {
            purge = json(&answer)["purge"].to_string();
        }
        let good = match *content {
            "404" => answer.status == 404,
            "409" => answer.status == 409,
            "perhaps" => [200, 409].contains(&answer.status),
            _ => answer.status < 300,
        };
        assert!(good, "{method} {path}: {} {}", answer.status, answer.text());
        holds(&all, operation, &answer, id);
        // Without a token it is a problem, of the kind that is described.
        let nobody = curl(&["-X", &method.to_uppercase(), &api.url(&path)]);
        assert!(
            [401, 429].contains(&nobody.status),
            "{id}: {}",
            nobody.status
        );
        holds(&all, operation, &nobody, id);
        untried.remove(&known);
    }
    assert!(untried.is_empty(), "not tried: {untried:?}");
}

fn call(api: &Api, site: &Answering, method: &str, path: &str, content: &str) -> Answer {
    let method = method.to_uppercase();
    let mut flags = vec!["-X", &method];
    let text;
    match content.split_once(' ') {
        Some(("zone", rest)) => {
            let (name, more) = rest.split_once(' ').unwrap_or((rest, ""));
            let more = if more.is_empty() {
                ""
            } else {
                "redirect_https = true\n"
            };
            text = zone(name, &site.url(), more);
            flags.extend([
                "-H",
                "Content-Type: application/toml",
                "--data-binary",
                &text,
            ]);
        }
        Some((_, json)) => flags.extend(["-H", "Content-Type: application/json", "-d", json]),
        None if content == "platform" => {
            text = "schema = 1\n[lists.office]\nips = [\"192.0.2.0/24\"]\n".to_owned();
            flags.extend([
                "-H",
                "Content-Type: application/toml",
                "--data-binary",
                &text,
            ]);
        }
        None => {}
    }
    if method == "PUT" {
        let condition = if path.contains("b.test") {
            "If-None-Match: *"
        } else {
            "If-Match: *"
        };
        flags.extend(["-H", condition]);
    }
    api.ask(&flags, path)
}

/// Whether an answer is one of those that are declared.
fn holds(all: &Value, operation: &Value, answer: &Answer, id: &str) {
    let declared = &operation["responses"][answer.status.to_string()];
    assert!(
        declared.is_object(),
        "{id}: {} is not declared",
        answer.status
    );
    let Some(content) = declared["content"].as_object() else {
        assert!(answer.body.is_empty(), "{id}: {}", answer.text());
        return;
    };
    let kind = answer.field("content-type").unwrap_or_default();
    let schema = content
        .get(kind)
        .unwrap_or_else(|| panic!("{id}: {kind} is not declared"));
    if kind != "application/toml" {
        fits(all, &schema["schema"], &json(answer), id);
    }
}

/// Whether a value fits a schema, and has nothing in it that is not described.
fn fits(all: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(path) = schema["$ref"].as_str() {
        let schema = all
            .pointer(path.trim_start_matches('#'))
            .expect("it is there");
        return fits(all, schema, value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let other = any.iter().find(|one| one["type"] != "null").unwrap();
        if !value.is_null() {
            fits(all, other, value, at);
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&is), "{at}: {value} is no {types:?}");
    for (nth, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(all, &schema["items"], item, &format!("{at}[{nth}]"));
    }
    let Some(object) = value.as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            object.contains_key(name.as_str().unwrap()),
            "{at}: {name} is missing"
        );
    }
    let open = !schema["additionalProperties"].is_null() && schema["additionalProperties"] != false;
    for (name, value) in object {
        let known = &schema["properties"][name];
        assert!(open || known.is_object(), "{at}: {name} is not described");
        if known.is_object() {
            fits(all, known, value, &format!("{at}.{name}"));
        }
    }
}

/// By a validator that knows nothing of Seawall (PyPI `openapi-spec-validator`).
#[test]
fn the_description_is_good_openapi() {
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
    let program = Path::new(&cache).join("seawall/openapi/bin/openapi-spec-validator");
    assert!(
        program.exists(),
        "{} is missing: run scripts/setup test",
        program.display()
    );
    let file = repository().join("docs/reference/openapi.json");
    let output = Command::new(&program).arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{told}");
    // It finds what is wrong.
    let broken = std::fs::read_to_string(&file)
        .unwrap()
        .replace("\"in\": \"path\"", "\"in\": \"nowhere\"");
    let folder = crate::up::Folder::new();
    let broken = folder.write("broken.json", &broken);
    assert!(
        !Command::new(&program)
            .arg(broken)
            .output()
            .unwrap()
            .status
            .success()
    );
}

/// Runs the shell examples of the page, in their order, as a person would.
#[test]
fn the_examples_of_the_page_work() {
    let site = Answering::start("good");
    let api = Api::start(&zone("example.com", &site.url(), ""));
    let page = std::fs::read_to_string(repository().join("docs/api.md")).unwrap();
    let examples: Vec<&str> = page
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 5, "{} examples", examples.len());
    let script = format!("set -eux\n{}", examples.join("\n"));
    let folder = crate::up::Folder::new();
    let bin = Path::new(env!("CARGO_BIN_EXE_seawall")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.join(""))
        .env("PATH", path)
        .env("API", format!("http://{}", api.address))
        .env("SEAWALL_DATA", api.up.data())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{told}");
}
