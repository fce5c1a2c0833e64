//! Variables.

use super::words;

words! {
    /// A variable that is implemented.
    Variable,
    /// All variables of the reference.
    VARIABLES:
    Args = "ARGS",
    ArgsCombinedSize = "ARGS_COMBINED_SIZE",
    ArgsGet = "ARGS_GET",
    ArgsGetNames = "ARGS_GET_NAMES",
    ArgsNames = "ARGS_NAMES",
    ArgsPost = "ARGS_POST",
    ArgsPostNames = "ARGS_POST_NAMES",
    AuthType = "AUTH_TYPE",
    Files = "FILES",
    FilesCombinedSize = "FILES_COMBINED_SIZE",
    FilesNames = "FILES_NAMES",
    FilesSizes = "FILES_SIZES",
    FullRequest = "FULL_REQUEST",
    FullRequestLength = "FULL_REQUEST_LENGTH",
    Global = "GLOBAL",
    HighestSeverity = "HIGHEST_SEVERITY",
    InboundDataError = "INBOUND_DATA_ERROR",
    Ip = "IP",
    MatchedVar = "MATCHED_VAR",
    MatchedVarName = "MATCHED_VAR_NAME",
    MatchedVars = "MATCHED_VARS",
    MatchedVarsNames = "MATCHED_VARS_NAMES",
    ModsecBuild = "MODSEC_BUILD",
    MscPcreError = "MSC_PCRE_ERROR",
    MscPcreLimitsExceeded = "MSC_PCRE_LIMITS_EXCEEDED",
    MultipartBoundaryQuoted = "MULTIPART_BOUNDARY_QUOTED",
    MultipartBoundaryWhitespace = "MULTIPART_BOUNDARY_WHITESPACE",
    MultipartCrlfLfLines = "MULTIPART_CRLF_LF_LINES",
    MultipartDataAfter = "MULTIPART_DATA_AFTER",
    MultipartDataBefore = "MULTIPART_DATA_BEFORE",
    MultipartFileLimitExceeded = "MULTIPART_FILE_LIMIT_EXCEEDED",
    MultipartFilename = "MULTIPART_FILENAME",
    MultipartHeaderFolding = "MULTIPART_HEADER_FOLDING",
    MultipartInvalidHeaderFolding = "MULTIPART_INVALID_HEADER_FOLDING",
    MultipartInvalidPart = "MULTIPART_INVALID_PART",
    MultipartInvalidQuoting = "MULTIPART_INVALID_QUOTING",
    MultipartLfLine = "MULTIPART_LF_LINE",
    MultipartMissingSemicolon = "MULTIPART_MISSING_SEMICOLON",
    MultipartName = "MULTIPART_NAME",
    MultipartPartHeaders = "MULTIPART_PART_HEADERS",
    MultipartSemicolonMissing = "MULTIPART_SEMICOLON_MISSING",
    MultipartStrictError = "MULTIPART_STRICT_ERROR",
    MultipartUnmatchedBoundary = "MULTIPART_UNMATCHED_BOUNDARY",
    OutboundDataError = "OUTBOUND_DATA_ERROR",
    PathInfo = "PATH_INFO",
    QueryString = "QUERY_STRING",
    RemoteAddr = "REMOTE_ADDR",
    RemoteHost = "REMOTE_HOST",
    RemotePort = "REMOTE_PORT",
    RemoteUser = "REMOTE_USER",
    ReqbodyError = "REQBODY_ERROR",
    ReqbodyErrorMsg = "REQBODY_ERROR_MSG",
    ReqbodyProcessor = "REQBODY_PROCESSOR",
    ReqbodyProcessorError = "REQBODY_PROCESSOR_ERROR",
    ReqbodyProcessorErrorMsg = "REQBODY_PROCESSOR_ERROR_MSG",
    RequestBasename = "REQUEST_BASENAME",
    RequestBody = "REQUEST_BODY",
    RequestBodyLength = "REQUEST_BODY_LENGTH",
    RequestCookies = "REQUEST_COOKIES",
    RequestCookiesNames = "REQUEST_COOKIES_NAMES",
    RequestFilename = "REQUEST_FILENAME",
    RequestHeaders = "REQUEST_HEADERS",
    RequestHeadersNames = "REQUEST_HEADERS_NAMES",
    RequestLine = "REQUEST_LINE",
    RequestMethod = "REQUEST_METHOD",
    RequestProtocol = "REQUEST_PROTOCOL",
    RequestUri = "REQUEST_URI",
    RequestUriRaw = "REQUEST_URI_RAW",
    Resource = "RESOURCE",
    ResponseBody = "RESPONSE_BODY",
    ResponseContentLength = "RESPONSE_CONTENT_LENGTH",
    ResponseContentType = "RESPONSE_CONTENT_TYPE",
    ResponseHeaders = "RESPONSE_HEADERS",
    ResponseHeadersNames = "RESPONSE_HEADERS_NAMES",
    ResponseProtocol = "RESPONSE_PROTOCOL",
    ResponseStatus = "RESPONSE_STATUS",
    Rule = "RULE",
    ServerAddr = "SERVER_ADDR",
    ServerName = "SERVER_NAME",
    ServerPort = "SERVER_PORT",
    Session = "SESSION",
    Sessionid = "SESSIONID",
    Status = "STATUS",
    StatusLine = "STATUS_LINE",
    Time = "TIME",
    TimeDay = "TIME_DAY",
    TimeEpoch = "TIME_EPOCH",
    TimeHour = "TIME_HOUR",
    TimeMin = "TIME_MIN",
    TimeMon = "TIME_MON",
    TimeSec = "TIME_SEC",
    TimeWday = "TIME_WDAY",
    TimeYear = "TIME_YEAR",
    Tx = "TX",
    UniqueId = "UNIQUE_ID",
    UrlencodedError = "URLENCODED_ERROR",
    User = "USER",
    Userid = "USERID",
    Xml = "XML",
    ;
    "DURATION": "the engine has no clock but the time at which a request began",
    "ENV": "the engine is pure and has no environment",
    "FILES_TMPNAMES": "uploads are never written to disk",
    "FILES_TMP_CONTENT": "uploads are never written to disk; what is in them stands in FULL_REQUEST, and in ARGS where a reader may take the part for a field",
    "GEO": "countries belong to the rules of a zone: ip.src.country",
    "PERF_ALL": "what rules cost is a metric of Seawall",
    "PERF_COMBINED": "what rules cost is a metric of Seawall",
    "PERF_GC": "what rules cost is a metric of Seawall",
    "PERF_LOGGING": "what rules cost is a metric of Seawall",
    "PERF_PHASE1": "what rules cost is a metric of Seawall",
    "PERF_PHASE2": "what rules cost is a metric of Seawall",
    "PERF_PHASE3": "what rules cost is a metric of Seawall",
    "PERF_PHASE4": "what rules cost is a metric of Seawall",
    "PERF_PHASE5": "what rules cost is a metric of Seawall",
    "PERF_RULES": "what rules cost is a metric of Seawall",
    "PERF_SREAD": "what rules cost is a metric of Seawall",
    "PERF_SWRITE": "what rules cost is a metric of Seawall",
    "SCRIPT_BASENAME": "there is no script at the edge; REQUEST_BASENAME is what was asked for",
    "SCRIPT_FILENAME": "there is no script at the edge; REQUEST_FILENAME is what was asked for",
    "SCRIPT_GID": "there is no script at the edge",
    "SCRIPT_GROUPNAME": "there is no script at the edge",
    "SCRIPT_MODE": "there is no script at the edge",
    "SCRIPT_UID": "there is no script at the edge",
    "SCRIPT_USERNAME": "there is no script at the edge",
    "SDBM_DELETE_ERROR": "collections are not kept in files",
    "STREAM_INPUT_BODY": "bodies are inspected, never rewritten",
    "STREAM_OUTPUT_BODY": "bodies are inspected, never rewritten",
    "USERAGENT_IP": "the client's address is REMOTE_ADDR",
    "WEBAPPID": "zones keep sites apart",
    "WEBSERVER_ERROR_LOG": "the edge's errors are in its own log",
}

/// How a variable is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value, or none.
    Single,
    /// Named values, which a selector may choose from.
    Many,
}

impl Variable {
    /// Whether it has many named values.
    pub(crate) const fn shape(self) -> Shape {
        match self {
            Self::Args
            | Self::ArgsGet
            | Self::ArgsGetNames
            | Self::ArgsNames
            | Self::ArgsPost
            | Self::ArgsPostNames
            | Self::Files
            | Self::FilesNames
            | Self::FilesSizes
            | Self::Global
            | Self::Ip
            | Self::MatchedVars
            | Self::MatchedVarsNames
            | Self::MultipartFilename
            | Self::MultipartName
            | Self::MultipartPartHeaders
            | Self::RequestCookies
            | Self::RequestCookiesNames
            | Self::RequestHeaders
            | Self::RequestHeadersNames
            | Self::Resource
            | Self::ResponseHeaders
            | Self::ResponseHeadersNames
            | Self::Rule
            | Self::Session
            | Self::Tx
            | Self::User
            | Self::Xml => Shape::Many,
            _ => Shape::Single,
        }
    }

    /// Whether rules can write it: TX, and the collections that outlive a request.
    pub(crate) const fn is_written(self) -> bool {
        matches!(self, Self::Tx) || self.is_kept()
    }

    /// Whether its value may change while the rules of a phase run: what rules write, and what their matches and effects say.
    pub(crate) const fn may_change(self) -> bool {
        self.is_written()
            || matches!(
                self,
                Self::HighestSeverity
                    | Self::MatchedVar
                    | Self::MatchedVarName
                    | Self::MatchedVars
                    | Self::MatchedVarsNames
                    | Self::ReqbodyProcessor
                    | Self::Rule
                    | Self::Sessionid
                    | Self::Userid
            )
    }

    /// Whether it is a collection that outlives a request.
    pub(crate) const fn is_kept(self) -> bool {
        matches!(
            self,
            Self::Global | Self::Ip | Self::Resource | Self::Session | Self::User
        )
    }
}
