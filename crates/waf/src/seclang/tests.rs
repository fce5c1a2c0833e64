use super::*;

fn problems(text: &str) -> Vec<String> {
    let file = File {
        name: "a.conf",
        text,
    };
    match RuleSet::parse(&[file], &|_| None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.list.iter().map(ToString::to_string).collect(),
    }
}

fn parse(text: &str) -> RuleSet {
    let file = File {
        name: "a.conf",
        text,
    };
    RuleSet::parse(&[file], &|_| None).unwrap()
}

#[test]
fn all_that_is_wrong_is_told_with_its_line() {
    let told = problems(
        "SecRule ARGS|ARGZ \"@rxx a\" \\\n  \"phase:1,\\\n  dney\"\nSecFoo a\nSecAuditLog x\nSecRule ARGS \"@rx a\" \"id:1,chain\"\nSecMarker X\n\
         SecRule ARGS \"@rx a\" \"id:1\"\nSecRuleEngine Maybe\nSecRule ARGS",
    );
    let expected = [
        "a.conf: unknown variable \"ARGZ\" (did you mean ARGS?; line 1)",
        "a.conf: unknown operator \"rxx\" (line 1)",
        "a.conf: unknown action \"dney\" (did you mean deny?; line 3)",
        "a.conf: the rule has no id (add id:… with a number of its own; line 1)",
        "a.conf: unknown directive \"SecFoo\" (line 4)",
        "a.conf: the directive \"SecAuditLog\" is refused (events go to Seawall's own log; line 5)",
        "a.conf: the chain of rule 1 does not end (let a SecRule follow, or leave out `chain`; line 6)",
        "a.conf: the id 1 is given twice (it is given at a.conf line 6 already; line 8)",
        "a.conf: \"Maybe\" is no mode of the engine (write On, Off or DetectionOnly; line 9)",
        "a.conf: SecRule has 1 arguments (it takes 2 to 3; one with spaces stands in quotes; line 10)",
    ];
    assert_eq!(told, expected);
}

#[test]
fn defaults_fill_what_a_rule_leaves_out() {
    let set = parse(
        "SecDefaultAction \"phase:1,nolog,deny,status:406,t:lowercase\"\n\
         SecRule ARGS a \"id:1,phase:1,block,t:trim\"\nSecRule ARGS a \"id:2,phase:1,pass,log,t:none\"\nSecRule ARGS a \"id:3\"",
    );
    let shown: Vec<_> = set
        .statements
        .iter()
        .map(|statement| match statement {
            Statement::Rule(rule) => {
                let actions = &rule.links[0].actions;
                (
                    actions.disruptive.clone().unwrap(),
                    actions.status,
                    actions.log,
                    actions.transformations.as_ref().unwrap().len(),
                )
            }
            Statement::Marker(_) => panic!("no marker"),
        })
        .collect();
    use tree::Disruptive::{Deny, Pass};
    assert_eq!(
        shown,
        [
            (Deny, Some(406), Some(false), 2),
            (Pass, None, Some(true), 0),
            (Pass, None, Some(true), 0)
        ]
    );
}

#[test]
fn updates_and_removals_are_applied() {
    let set = parse(
        "SecRuleRemoveById 4\nSecRule ARGS a \"id:1,tag:x\"\nSecRule ARGS a \"id:2,tag:y,msg:'hello world'\"\nSecRule ARGS a \"id:3\"\nSecRule ARGS a \"id:4\"\n\
         SecRuleRemoveByTag ^x$\nSecRuleRemoveByMsg hello\nSecRuleUpdateTargetById 3 \"!ARGS:b\"\nSecRuleUpdateActionById 3 \"deny,status:409\"",
    );
    assert_eq!(set.rules(), 1);
    let Statement::Rule(rule) = &set.statements[0] else {
        panic!("no rule");
    };
    assert_eq!(rule.id, 3);
    assert_eq!(rule.links[0].targets.len(), 2);
    assert_eq!(rule.links[0].actions.status, Some(409));
}

#[test]
fn what_only_compiling_finds_is_told_with_the_others() {
    let text = "SecRule ARGS \"@rx a(?=b)\" \"id:1,phase:2\"\n\
                SecRule ARGS \"@streq a\" \"id:2,phase:2,ctl:ruleRemoveById=x\"\n\
                SecRule REMOTE_ADDR \"@ipMatch nowhere\" \"id:3,phase:1\"\n\
                SecRule ARGS \"@streq a\" \"id:4,phase:2,skipAfter:none\"\n";
    let file = File { name: "a", text };
    let problems = RuleSet::parse(&[file], &|_| None).unwrap_err();
    let mut lines: Vec<_> = problems.list.iter().map(|one| one.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [Some(1), Some(2), Some(3), Some(4)]);
}
