//! Actions, and what `ctl` controls.

use super::words;

words! {
    /// An action that is implemented.
    Action,
    /// All actions of the reference.
    ACTIONS:
    Accuracy = "accuracy",
    Allow = "allow",
    AuditLog = "auditlog",
    Block = "block",
    Capture = "capture",
    Chain = "chain",
    Ctl = "ctl",
    Deny = "deny",
    Drop = "drop",
    ExpireVar = "expirevar",
    Id = "id",
    InitCol = "initcol",
    Log = "log",
    LogData = "logdata",
    Maturity = "maturity",
    Msg = "msg",
    MultiMatch = "multiMatch",
    NoAuditLog = "noauditlog",
    NoLog = "nolog",
    Pass = "pass",
    Phase = "phase",
    Redirect = "redirect",
    Rev = "rev",
    SetRsc = "setrsc",
    SetSid = "setsid",
    SetUid = "setuid",
    SetVar = "setvar",
    Severity = "severity",
    Skip = "skip",
    SkipAfter = "skipAfter",
    Status = "status",
    T = "t",
    Tag = "tag",
    Ver = "ver",
    ;
    "append": "bodies are inspected, never rewritten",
    "deprecatevar": "values do not fall by themselves; expirevar ends a variable",
    "exec": "a rule must not start programs",
    "pause": "a worker must not wait; a zone's rate limits slow clients down",
    "prepend": "bodies are inspected, never rewritten",
    "proxy": "origins belong to the zone's document",
    "sanitiseArg": "what is logged is masked for every rule",
    "sanitiseMatched": "what is logged is masked for every rule",
    "sanitiseMatchedBytes": "what is logged is masked for every rule",
    "sanitiseRequestHeader": "what is logged is masked for every rule",
    "sanitiseResponseHeader": "what is logged is masked for every rule",
    "setenv": "the engine is pure and has no environment",
    "xmlns": "of XML the selectors /* and //@* are there, which need no names of spaces",
}

words! {
    /// Something that `ctl` controls.
    Control,
    /// All that `ctl` controls, by the reference.
    CONTROLS:
    AuditEngine = "auditEngine",
    AuditLogParts = "auditLogParts",
    ForceRequestBodyVariable = "forceRequestBodyVariable",
    RequestBodyAccess = "requestBodyAccess",
    RequestBodyProcessor = "requestBodyProcessor",
    ResponseBodyAccess = "responseBodyAccess",
    RuleEngine = "ruleEngine",
    RuleRemoveById = "ruleRemoveById",
    RuleRemoveByMsg = "ruleRemoveByMsg",
    RuleRemoveByTag = "ruleRemoveByTag",
    RuleRemoveTargetById = "ruleRemoveTargetById",
    RuleRemoveTargetByMsg = "ruleRemoveTargetByMsg",
    RuleRemoveTargetByTag = "ruleRemoveTargetByTag",
    ;
    "debugLogLevel": "the log has one level for all",
    "hashEnforcement": "the engine adds no hashes to pages",
    "hashEngine": "the engine adds no hashes to pages",
    "parseXmlIntoArgs": "XML is asked by XML:/* and XML://@*, and is in no arguments",
    "requestBodyLimit": "how much of a body is held belongs to the zone",
    "responseBodyLimit": "how much of a body is held belongs to the zone",
}
