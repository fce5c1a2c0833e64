//! Operators.

use super::words;

words! {
    /// An operator that is implemented.
    Operator,
    /// All operators of the reference.
    OPERATORS:
    BeginsWith = "beginsWith",
    Contains = "contains",
    ContainsWord = "containsWord",
    DetectSqli = "detectSQLi",
    DetectXss = "detectXSS",
    EndsWith = "endsWith",
    Eq = "eq",
    Ge = "ge",
    Gt = "gt",
    IpMatch = "ipMatch",
    IpMatchF = "ipMatchF",
    IpMatchFromFile = "ipMatchFromFile",
    Le = "le",
    Lt = "lt",
    NoMatch = "noMatch",
    Pm = "pm",
    Pmf = "pmf",
    PmFromFile = "pmFromFile",
    Rx = "rx",
    RxGlobal = "rxGlobal",
    StrEq = "streq",
    StrMatch = "strmatch",
    UnconditionalMatch = "unconditionalMatch",
    ValidateByteRange = "validateByteRange",
    ValidateUrlEncoding = "validateUrlEncoding",
    ValidateUtf8Encoding = "validateUtf8Encoding",
    VerifyCc = "verifyCC",
    VerifyCpf = "verifyCPF",
    VerifySsn = "verifySSN",
    VerifySvnr = "verifySVNR",
    Within = "within",
    ;
    "fuzzyHash": "there is no ssdeep in the engine",
    "geoLookup": "countries belong to the rules of a zone: ip.src.country",
    "gsbLookup": "a rule must not wait for another service",
    "inspectFile": "a rule must not start programs",
    "rbl": "a rule must not wait for DNS; lists of addresses are fetched in the background ([lists])",
    "rsub": "bodies are inspected, never rewritten",
    "validateDTD": "XML is read without any external entity",
    "validateHash": "the engine adds no hashes to pages",
    "validateSchema": "XML is read without any external entity",
}
