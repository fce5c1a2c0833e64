//! The Core Rule Set from `CRS_DIR`, or from `../shared/crs` beside the repository.

use std::path::PathBuf;

use seawall_waf::{File, RuleSet};

/// Where the rule set is, if it is there.
pub fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs");
    let folder = std::env::var_os("CRS_DIR").map_or(beside, PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(folder);
    }
    eprintln!("no rule set at {}: nothing is tested", folder.display());
    None
}

/// The rule set with this text between its set-up and its rules.
pub fn rules(setup: &str) -> Option<RuleSet> {
    let folder = folder()?;
    let mut files = vec![(
        "crs-setup.conf".to_owned(),
        std::fs::read_to_string(folder.join("crs-setup.conf.example")).unwrap(),
    )];
    files.push(("setup.conf".to_owned(), setup.to_owned()));
    let mut names: Vec<_> = std::fs::read_dir(folder.join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    names.sort();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.push((name, std::fs::read_to_string(&path).unwrap()));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| File { name, text })
        .collect();
    let data = |name: &str| std::fs::read(folder.join("rules").join(name)).ok();
    match RuleSet::parse(&files, &data) {
        Ok(set) => Some(set),
        Err(problems) => panic!("{problems}"),
    }
}
