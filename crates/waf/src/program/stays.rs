//! What stays from one phase of a request to the next.

use crate::vocabulary::Variable;

/// What the head of a request alone decides.
const OF_HEAD: [Variable; 13] = [
    Variable::ArgsGet,
    Variable::ArgsGetNames,
    Variable::QueryString,
    Variable::RequestBasename,
    Variable::RequestCookies,
    Variable::RequestCookiesNames,
    Variable::RequestFilename,
    Variable::RequestHeaders,
    Variable::RequestHeadersNames,
    Variable::RequestLine,
    Variable::RequestMethod,
    Variable::RequestUri,
    Variable::RequestUriRaw,
];
/// What is as the head says where there is no body, and what is empty then.
const WITHOUT_BODY: [Variable; 12] = [
    Variable::Args,
    Variable::ArgsNames,
    Variable::ArgsPost,
    Variable::ArgsPostNames,
    Variable::Files,
    Variable::FilesNames,
    Variable::FilesSizes,
    Variable::MultipartFilename,
    Variable::MultipartName,
    Variable::MultipartPartHeaders,
    Variable::RequestBody,
    Variable::Xml,
];

/// Which variables have the values that they had: a bit, which places of what occurs in them have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stays(pub(crate) u8);

impl Stays {
    pub(crate) const NOTHING: Self = Self(0);
    /// What a body does not change.
    pub(crate) const BESIDE_BODY: Self = Self(1);
    /// What is as it was where there is no body.
    pub(crate) const WITHOUT_BODY: Self = Self(2);

    /// The variables, a bit for each.
    pub(crate) fn variables(self) -> u128 {
        const HEAD: u128 = bits(&OF_HEAD);
        const BODY: u128 = bits(&WITHOUT_BODY);
        match self {
            Self::BESIDE_BODY => HEAD,
            Self::WITHOUT_BODY => HEAD | BODY,
            _ => 0,
        }
    }

    /// The bits of a place that has these variables.
    pub(super) fn of(variables: u128) -> u8 {
        let stay = |stays: Self| match variables & !stays.variables() {
            0 => stays.0,
            _ => 0,
        };
        stay(Self::BESIDE_BODY) | stay(Self::WITHOUT_BODY)
    }
}

const fn bits(variables: &[Variable]) -> u128 {
    let mut all = 0;
    let mut rest = variables;
    while let [variable, more @ ..] = rest {
        all |= 1 << *variable as u8;
        rest = more;
    }
    all
}
