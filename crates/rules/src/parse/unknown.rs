//! Names that are known to nobody: what was meant, or what to write instead.

use seawall_model::problem::quote;
use seawall_model::suggest::nearest;

use super::Parser;
use crate::error::Error;
use crate::language::{FIELDS, FUNCTIONS, OPERATORS, refused_field, refused_function};

impl Parser<'_> {
    /// A name that is no field, or no function.
    pub(super) fn unknown(&self, at: usize, name: &str, called: bool) -> Error {
        let error = |what: String, help: String| Error::new(at, name.len(), what, help);
        let is_join = OPERATORS.iter().any(|operator| operator.name == name);
        if is_join {
            return error(
                format!("a comparison is missing before `{name}`"),
                "a comparison begins with a field".to_owned(),
            );
        }
        if name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit())
        {
            return error(
                format!("{} is no field", quote(name)),
                "a comparison begins with a field, and values stand behind its operator".to_owned(),
            );
        }
        let refused = if called {
            refused_function(name)
        } else {
            refused_field(name)
        };
        if let Some(instead) = refused {
            let what = format!("{} is not in this language", quote(name));
            return error(what, instead.to_owned());
        }
        let fields = || FIELDS.iter().map(|field| field.name);
        let functions = || FUNCTIONS.iter().map(|function| function.name);
        let form = |name: &str| {
            let function = FUNCTIONS.iter().find(|function| function.name == name);
            function.map(|function| format!("write {}", function.form))
        };
        let mean = |near: &str| format!("did you mean `{near}`?");
        let (what, help) = if called {
            let help = match fields().find(|field| *field == name) {
                Some(field) => Some(format!("`{field}` is a field: leave the parenthesis out")),
                None => nearest(name, functions()).map(mean),
            };
            ("function", help)
        } else {
            let help = form(name)
                .or_else(|| nearest(name, fields()).map(mean))
                .or_else(|| nearest(name, functions()).and_then(form));
            ("field", help)
        };
        let help = help.unwrap_or_else(|| {
            let all: Vec<&str> = if called {
                functions().collect()
            } else {
                vec!["http.host", "http.request.uri.path", "ip.src"]
            };
            format!(
                "there are {}{}",
                all.join(", "),
                if called { "" } else { " and others" }
            )
        });
        error(format!("{} is no {what}", quote(name)), help)
    }
}
