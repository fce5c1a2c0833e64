//! Reading a description: its paths, and what they mention.

use std::collections::HashMap;

use seawall_model::{Problem, Problems, Wrong};
use serde_json::{Map, Value};

use super::schema::{Schema, SchemaId, Within};
use super::{Content, MOST_OPENAPI, OpenApi, Operation, Parameter, Place, Route, unique};

/// Paths, and schemas with all that stand in them.
const PATHS: usize = 5_000;
const SCHEMAS: usize = 50_000;
/// References to references, and schemas within schemas.
const DEPTH: usize = 64;
/// Methods of a path item.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// What a path item has besides.
const BESIDE: [&str; 4] = ["summary", "description", "servers", "parameters"];

impl OpenApi {
    /// Reads a description in JSON. `is_strict`: whether arguments that it does not describe are refused.
    ///
    /// # Errors
    /// All problems, each with its path within the file.
    pub fn read(text: &[u8], is_strict: bool) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        let document = match unique::read(text) {
            _ if text.len() > MOST_OPENAPI => {
                reader.wrong("", "is larger than 4 MiB".into());
                return Err(reader.problems);
            }
            Ok(document) => document,
            Err(what) => {
                let help = "write it in JSON; from YAML: yq -o json";
                reader.tell("", Wrong::new(what, help));
                return Err(reader.problems);
            }
        };
        let version = document.get("openapi").and_then(Value::as_str);
        if !version.is_some_and(|version| version.starts_with("3.")) {
            reader.wrong("/openapi", "is not 3.0 or 3.1".into());
        }
        reader.root = document;
        let root = std::mem::take(&mut reader.root);
        reader.paths(&root);
        reader.references(&root);
        match reader.problems.list.is_empty() {
            true => Ok(Self::of(reader.routes, reader.schemas, is_strict)),
            false => Err(reader.problems),
        }
    }

    fn of(routes: Vec<Route>, schemas: Vec<Schema>, is_strict: bool) -> Self {
        let mut by_length: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, route) in routes.iter().enumerate() {
            let all = by_length.entry(route.segments.len()).or_default();
            all.push(place);
        }
        for places in by_length.values_mut() {
            let fixed = |place: &usize| routes.get(*place).map_or(0, Route::fixed);
            places.sort_by_key(|place| std::cmp::Reverse(fixed(place)));
        }
        Self {
            routes,
            by_length,
            schemas,
            is_strict,
        }
    }
}

#[derive(Default)]
struct Reader {
    root: Value,
    routes: Vec<Route>,
    schemas: Vec<Schema>,
    /// Schemas of which only the reference is known so far: by it the number.
    named: HashMap<String, SchemaId>,
    /// Those that are still to be read.
    waiting: Vec<(String, SchemaId)>,
    depth: usize,
    problems: Problems,
}

impl Within for Reader {
    fn schema(&mut self, value: &Value, at: &str) -> SchemaId {
        let id = self.schemas.len();
        if id >= SCHEMAS || self.depth >= DEPTH {
            if self.problems.list.is_empty() {
                let what =
                    format!("there are more than {SCHEMAS} schemas, or {DEPTH} in one another");
                self.wrong(at, what);
            }
            return 0;
        }
        self.schemas.push(Schema::default());
        self.depth += 1;
        let schema = self.read_schema(value, at);
        self.depth -= 1;
        if let Some(place) = self.schemas.get_mut(id) {
            *place = schema;
        }
        id
    }

    fn wrong(&mut self, at: &str, what: String) {
        let help = "write the description without it, or leave this file out";
        self.tell(at, Wrong::new(what, help));
    }
}

impl Reader {
    fn tell(&mut self, at: &str, wrong: Wrong) {
        self.problems.list.push(Problem::new(at, wrong));
    }

    fn read_schema(&mut self, value: &Value, at: &str) -> Schema {
        match value {
            Value::Bool(true) => Schema::default(),
            Value::Bool(false) => Schema {
                one_of_these: Some(Vec::new()),
                ..Schema::default()
            },
            Value::Object(object) => match object.get("$ref").and_then(Value::as_str) {
                Some(reference) => Schema {
                    same: Some(self.named(reference)),
                    ..Schema::default()
                },
                None => Schema::read(object, at, self),
            },
            _ => {
                self.wrong(at, "is no schema".into());
                Schema::default()
            }
        }
    }

    /// The number of a schema that is referred to. It may be read later, and mention itself.
    fn named(&mut self, reference: &str) -> SchemaId {
        if let Some(id) = self.named.get(reference) {
            return *id;
        }
        let id = self.schemas.len();
        self.schemas.push(Schema::default());
        self.named.insert(reference.to_owned(), id);
        self.waiting.push((reference.to_owned(), id));
        id
    }

    fn references(&mut self, root: &Value) {
        while let Some((reference, id)) = self.waiting.pop() {
            if self.schemas.len() >= SCHEMAS {
                return self.wrong(&reference, format!("there are more than {SCHEMAS} schemas"));
            }
            let Some(value) = find(root, &reference) else {
                self.wrong(&reference, "is not in this file".into());
                continue;
            };
            let schema = self.read_schema(value, &reference);
            if let Some(place) = self.schemas.get_mut(id) {
                *place = schema;
            }
        }
        // One that is only another, in a circle, is nothing.
        for id in 0..self.schemas.len() {
            let mut at = Some(id);
            for _ in 0..=DEPTH {
                at = at.and_then(|id| self.schemas.get(id)?.same);
            }
            if at.is_some() {
                let what = "a reference leads to itself, or over too many others";
                return self.wrong("/components/schemas", what.into());
            }
        }
    }

    fn paths(&mut self, root: &Value) {
        let Some(paths) = root.get("paths").and_then(Value::as_object) else {
            return self.wrong("/paths", "is not there".into());
        };
        if paths.len() > PATHS {
            return self.wrong("/paths", format!("has more than {PATHS} paths"));
        }
        let bases = bases(root);
        for (path, item) in paths {
            let at = format!("/paths/{path}");
            let Some(item) = resolved(root, item).as_object() else {
                self.wrong(&at, "is no path item".into());
                continue;
            };
            for key in item.keys() {
                let is_known = METHODS.contains(&key.as_str()) || BESIDE.contains(&key.as_str());
                if !is_known && !key.starts_with("x-") {
                    self.wrong(&format!("{at}/{key}"), "is not understood".into());
                }
            }
            for base in &bases {
                let mut operations = Vec::new();
                for method in METHODS {
                    let Some(operation) = item.get(method) else {
                        continue;
                    };
                    let at = format!("{at}/{method}");
                    let operation = self.operation(root, item, operation, &at);
                    operations.push((method.to_ascii_uppercase(), operation));
                }
                match Route::segments(&format!("{base}{path}")) {
                    Some(segments) => self.routes.push(Route {
                        segments,
                        operations,
                    }),
                    None => self.wrong(
                        &at,
                        "is no path, or has two parameters in one segment".into(),
                    ),
                }
            }
        }
    }

    fn operation(
        &mut self,
        root: &Value,
        item: &Map<String, Value>,
        operation: &Value,
        at: &str,
    ) -> Operation {
        let mut read = Operation::default();
        let list = |of: Option<&Value>| {
            let list = of.and_then(|value| value.get("parameters")).cloned();
            list.and_then(|list| list.as_array().cloned())
                .unwrap_or_default()
        };
        let item = Value::Object(item.clone());
        // The operation's own come last, and stand for those of the path with their names.
        for parameter in list(Some(&item)).iter().chain(&list(Some(operation))) {
            if let Some(parameter) = self.parameter(resolved(root, parameter), at) {
                let is_same = |known: &Parameter| {
                    known.name == parameter.name && known.place == parameter.place
                };
                read.parameters.retain(|known| !is_same(known));
                read.parameters.push(parameter);
            }
        }
        if let Some(body) = operation.get("requestBody") {
            read.body = Some(self.content(resolved(root, body), &format!("{at}/requestBody")));
        }
        read
    }

    fn parameter(&mut self, parameter: &Value, at: &str) -> Option<Parameter> {
        let text = |key: &str| {
            parameter
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let name = text("name").to_owned();
        let at = format!("{at}/parameters/{name}");
        let place = match text("in") {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            "cookie" => Place::Cookie,
            _ => {
                self.wrong(&at, "stands in no path, query, header or cookie".into());
                return None;
            }
        };
        // Of these OpenAPI says that they are no parameters (3.0.3, 4.7.12.1).
        let is_none = ["accept", "content-type", "authorization"]
            .iter()
            .any(|is| name.eq_ignore_ascii_case(is));
        if place == Place::Header && is_none {
            return None;
        }
        let style = text("style");
        if matches!(
            style,
            "matrix" | "label" | "deepObject" | "spaceDelimited" | "pipeDelimited"
        ) {
            self.wrong(&at, format!("the style {style} is not understood"));
        }
        let explodes = parameter.get("explode").and_then(Value::as_bool);
        let is_form = matches!(place, Place::Query | Place::Cookie);
        let schema = match parameter.get("schema") {
            Some(schema) => self.schema(schema, &format!("{at}/schema")),
            // `content` says how it is written: in JSON, mostly. It is a text then.
            None => self.schema(&Value::Bool(true), &at),
        };
        Some(Parameter {
            is_required: parameter.get("required") == Some(&Value::Bool(true)),
            has_commas: !explodes.unwrap_or(is_form),
            name,
            place,
            schema,
        })
    }

    fn content(&mut self, body: &Value, at: &str) -> Content {
        let mut types = Vec::new();
        let content = body.get("content").and_then(Value::as_object);
        for (kind, media) in content.into_iter().flatten() {
            let kind = kind.split(';').next().unwrap_or_default();
            let kind = kind.trim().to_ascii_lowercase();
            let is_json = kind == "application/json" || kind.ends_with("+json");
            let schema = media.get("schema").filter(|_| is_json);
            let schema = schema.map(|schema| self.schema(schema, &format!("{at}/content/{kind}")));
            types.push((kind, schema));
        }
        Content {
            is_required: body.get("required") == Some(&Value::Bool(true)),
            types,
        }
    }
}

/// What a value refers to, if it does; of what it refers to nothing more is resolved than a few times.
fn resolved<'v>(root: &'v Value, mut value: &'v Value) -> &'v Value {
    for _ in 0..8 {
        let reference = value.get("$ref").and_then(Value::as_str);
        match reference.and_then(|reference| find(root, reference)) {
            Some(meant) => value = meant,
            None => break,
        }
    }
    value
}

/// What `#/components/…` means (RFC 6901).
fn find<'v>(root: &'v Value, reference: &str) -> Option<&'v Value> {
    root.pointer(reference.strip_prefix('#')?)
}

/// The paths of the servers, without what follows the last `/`.
fn bases(root: &Value) -> Vec<String> {
    let servers = root.get("servers").and_then(Value::as_array);
    let urls = servers
        .into_iter()
        .flatten()
        .filter_map(|server| server.get("url")?.as_str());
    let mut bases: Vec<String> = urls
        .map(|url| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("")
            });
            rest.trim_end_matches('/').to_owned()
        })
        .collect();
    bases.sort();
    bases.dedup();
    bases.truncate(8);
    if bases.is_empty() {
        bases.push(String::new());
    }
    bases
}
