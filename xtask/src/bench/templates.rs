//! The configurations of contenders: templates in `bench/`, filled in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Fills in a template of `bench/` and writes it into `dir`.
pub fn render(template: &str, values: &[(&str, String)], dir: &Path) -> Result<PathBuf> {
    let source = super::workspace().join("bench").join(template);
    let text = fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
    let path = dir.join(template);
    fs::write(
        &path,
        fill(&text, values).with_context(|| format!("template {template}"))?,
    )?;
    Ok(path)
}

fn fill(text: &str, values: &[(&str, String)]) -> Result<String> {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    match filled.split_once("{{") {
        Some((_, rest)) => bail!(
            "no value for {:?}",
            rest.split("}}").next().unwrap_or_default()
        ),
        None => Ok(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_need_every_value() {
        let values = [("http", "8080".to_owned())];
        assert_eq!(
            fill("listen {{http}};", &values).expect("filled"),
            "listen 8080;"
        );
        let error = fill("listen {{http}}; root {{dir}};", &values).expect_err("dir has no value");
        assert!(error.to_string().contains("\"dir\""));
    }

    #[test]
    fn every_template_is_filled_by_what_start_gives() {
        let names = [
            "dir",
            "http",
            "https",
            "origin",
            "cert",
            "key",
            "pem",
            "blocked",
            "allowed",
            "module",
            "rules",
            "crs",
            "paranoia",
            "threshold",
        ];
        let values = names.map(|name| (name, "1".to_owned()));
        for template in [
            "origin.conf",
            "nginx.conf",
            "haproxy.cfg",
            "seawall.toml",
            "guard.toml",
            "rules.toml",
            "modsecurity.conf",
        ] {
            let text = fs::read_to_string(super::super::workspace().join("bench").join(template))
                .expect("template");
            fill(&text, &values).expect(template);
        }
    }
}
