//! Rules that come before those of a rule set: what happens to bodies that cannot be inspected as they are.

/// What the Core Rule Set expects of the engine's own configuration (ModSecurity's recommended one does the same with ids of its
/// own): a body that cannot be read, is longer than what is inspected, or that two readers may read in two ways, is refused.
pub const PRELUDE: &str = r#"
SecRule REQBODY_ERROR "!@eq 0" \
    "id:9000001,phase:2,t:none,log,deny,status:400,severity:'CRITICAL',tag:'seawall-body',\
    msg:'The body of the request cannot be inspected',logdata:'%{reqbody_error_msg}'"

SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
    "id:9000002,phase:2,t:none,log,deny,status:400,severity:'CRITICAL',tag:'seawall-body',\
    msg:'A multipart body can be read in two ways'"

SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" \
    "id:9000003,phase:2,t:none,log,deny,status:400,severity:'CRITICAL',tag:'seawall-body',\
    msg:'A multipart body has a line that is nearly its boundary'"
"#;

#[cfg(test)]
mod tests {
    use super::PRELUDE;
    use crate::{File, Options, RuleSet};

    #[test]
    fn the_prelude_compiles() {
        let file = File {
            name: "prelude",
            text: PRELUDE,
        };
        let set = RuleSet::parse(&[file], &|_| None).unwrap();
        assert_eq!(set.compile(Options::default()).unwrap().rules(), 3);
    }
}
