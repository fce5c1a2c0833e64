//! Variables that have one value.

use std::borrow::Cow;

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::values::BYTE;
use super::{Item, Transaction};
use crate::body::urlencoded;
use crate::request::header;
use crate::texts::TextId;
use crate::vocabulary::Variable as V;

impl<'t> Transaction<'t> {
    /// The path of the target, and what is behind its `?`.
    pub(super) fn path_and_query(&self) -> (&'t [u8], &'t [u8]) {
        let target = self.request.target;
        let target = match target.starts_with(b"/") {
            true => target,
            // The absolute form: what follows the authority.
            false => match memchr::memmem::find(target, b"://") {
                Some(at) => {
                    let rest = target.get(at + 3..).unwrap_or_default();
                    let slash = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                    rest.get(slash..).unwrap_or_default()
                }
                None => target,
            },
        };
        match memchr::memchr(b'?', target) {
            Some(at) => (
                target.get(..at).unwrap_or_default(),
                target.get(at + 1..).unwrap_or_default(),
            ),
            None => (target, &[]),
        }
    }

    pub(super) fn single(&mut self, variable: V, fuel: &mut Fuel) -> Result<Option<Value>, Spent> {
        let request = self.request;
        let number = |number: usize| Ok(Some(Value::Number(number as i64)));
        let flag = |is: bool| Ok(Some(Value::Number(i64::from(is))));
        let flags = self.flags.unwrap_or_default();
        let bytes: &[u8] = match variable {
            V::RequestLine => request.line,
            V::RequestMethod => request.method,
            V::RequestProtocol => request.protocol,
            V::RequestUriRaw => request.target,
            V::RequestUri => {
                let (path, query) = self.path_and_query();
                let length = path.len() + usize::from(!query.is_empty()) + query.len();
                let target = request.target;
                target
                    .get(target.len().saturating_sub(length)..)
                    .unwrap_or_default()
            }
            V::QueryString => self.path_and_query().1,
            V::UniqueId => request.unique_id,
            V::RequestBody => match self.body_text() {
                Some(Cow::Borrowed(bytes)) => bytes,
                Some(Cow::Owned(text)) => {
                    fuel.spend(BYTE * text.len() as u64)?;
                    return Ok(Some(Value::Text(self.work.texts.add(&text))));
                }
                None => return Ok(None),
            },
            V::ReqbodyProcessor => match self.processor {
                Some(processor) => processor.name().as_bytes(),
                None => return Ok(None),
            },
            V::ReqbodyErrorMsg | V::ReqbodyProcessorErrorMsg => {
                self.body_error.unwrap_or("").as_bytes()
            }
            V::ResponseBody => {
                if self.phase < 4 || !self.reads_response {
                    return Ok(None);
                }
                self.response_body.bytes
            }
            V::AuthType => {
                let value = header(request.headers, b"authorization").unwrap_or_default();
                value.split(|byte| *byte == b' ').next().unwrap_or_default()
            }
            V::ResponseContentType => header(
                self.response.map_or(&[][..], |response| response.headers),
                b"content-type",
            )
            .unwrap_or_default(),
            V::ResponseProtocol => match self.response {
                Some(response) => response.protocol,
                None => return Ok(None),
            },
            V::ModsecBuild => b"030000000",
            V::RequestBodyLength => {
                return number(if self.phase < 2 {
                    0
                } else {
                    self.body.bytes.len()
                });
            }
            V::ReqbodyError | V::ReqbodyProcessorError => return flag(self.body_error.is_some()),
            V::UrlencodedError => return flag(self.url_error),
            V::InboundDataError => return flag(self.body.cut),
            V::OutboundDataError => return flag(self.response_body.cut),
            V::MscPcreError | V::MscPcreLimitsExceeded => return flag(false),
            V::HighestSeverity => return number(usize::from(self.highest_severity)),
            V::RemotePort => return number(usize::from(request.client_port)),
            V::ServerPort => return number(usize::from(request.server_port)),
            V::ArgsCombinedSize => {
                let items: Vec<Item> = self
                    .kept(V::ArgsGet)
                    .chain(self.kept(V::ArgsPost))
                    .collect();
                let length = |id: TextId| self.work.texts.get(id).len();
                let sizes = items.iter().map(|item| match item.value {
                    Value::Text(text) => length(item.name) + length(text),
                    Value::Number(_) | Value::Constant(_) => 0,
                });
                return number(sizes.sum());
            }
            V::FilesCombinedSize => {
                return number(self.part_sizes.iter().map(|(_, size)| size).sum());
            }
            V::ResponseStatus | V::Status => match self.response {
                Some(response) => return number(usize::from(response.status)),
                None => return Ok(None),
            },
            V::ResponseContentLength => return number(self.response_body.bytes.len()),
            V::MultipartBoundaryQuoted => return flag(flags.boundary_quoted),
            V::MultipartBoundaryWhitespace => return flag(flags.boundary_whitespace),
            V::MultipartCrlfLfLines => return flag(flags.crlf_and_lf),
            V::MultipartDataAfter => return flag(flags.data_after),
            V::MultipartDataBefore => return flag(flags.data_before),
            V::MultipartFileLimitExceeded => return flag(flags.file_limit),
            V::MultipartHeaderFolding => return flag(flags.header_folding),
            V::MultipartInvalidHeaderFolding => return flag(flags.invalid_folding),
            V::MultipartInvalidPart => return flag(flags.invalid_part),
            V::MultipartInvalidQuoting => return flag(flags.invalid_quoting),
            V::MultipartLfLine => return flag(flags.lf_line),
            V::MultipartMissingSemicolon | V::MultipartSemicolonMissing => {
                return flag(flags.missing_semicolon);
            }
            V::MultipartStrictError => return flag(flags.strict_error()),
            V::MultipartUnmatchedBoundary => return flag(flags.unmatched_boundary),
            _ => {
                let text = self.made_up(variable);
                fuel.spend(BYTE * text.len() as u64)?;
                return Ok(Some(Value::Text(self.work.texts.add(&text))));
            }
        };
        fuel.spend(BYTE * bytes.len() as u64)?;
        let texts = &mut self.work.texts;
        let text = match variable {
            V::RequestMethod | V::RequestProtocol | V::ResponseProtocol => texts.keep(bytes),
            _ => texts.add(bytes),
        };
        Ok(Some(Value::Text(text)))
    }

    /// Variables that stand nowhere as they are.
    fn made_up(&self, variable: V) -> Vec<u8> {
        let request = self.request;
        let day = request.time / 86_400;
        let clock = request.time % 86_400;
        let date = civil(day);
        let text = match variable {
            V::RequestFilename | V::PathInfo | V::RequestBasename => {
                let mut path = Vec::new();
                decode_path(self.path_and_query().0, &mut path);
                if variable == V::RequestBasename {
                    let slash = path.iter().rposition(|byte| matches!(byte, b'/' | b'\\'));
                    path.drain(..slash.map_or(0, |at| at + 1));
                }
                return path;
            }
            V::RemoteAddr | V::RemoteHost => self.client().to_string(),
            V::ServerAddr => request.server.to_string(),
            V::ServerName => {
                let host = header(request.headers, b"host").unwrap_or_default();
                let bare = match host.starts_with(b"[") {
                    true => host.split_inclusive(|byte| *byte == b']').next(),
                    false => host.split(|byte| *byte == b':').next(),
                };
                return bare.unwrap_or_default().to_vec();
            }
            V::RemoteUser => {
                let value = header(request.headers, b"authorization").unwrap_or_default();
                let encoded = value.strip_prefix(b"Basic ").unwrap_or_default();
                let mut decoded = Vec::new();
                crate::transform::apply(
                    crate::vocabulary::Transformation::Base64Decode,
                    encoded,
                    &mut decoded,
                );
                let end = memchr::memchr(b':', &decoded).unwrap_or(decoded.len());
                decoded.truncate(end);
                return decoded;
            }
            V::FullRequest => return self.full_request(),
            V::FullRequestLength => self.full_request().len().to_string(),
            V::StatusLine => match self.response {
                Some(response) => format!(
                    "{} {}",
                    String::from_utf8_lossy(response.protocol),
                    response.status
                ),
                None => String::new(),
            },
            V::Sessionid => return self.key_of(V::Session),
            V::Userid => return self.key_of(V::User),
            V::TimeEpoch => request.time.to_string(),
            V::Time => format!(
                "{:02}:{:02}:{:02}",
                clock / 3600,
                clock / 60 % 60,
                clock % 60
            ),
            V::TimeHour => (clock / 3600).to_string(),
            V::TimeMin => (clock / 60 % 60).to_string(),
            V::TimeSec => (clock % 60).to_string(),
            // 1970 began on a Thursday.
            V::TimeWday => ((day + 4) % 7).to_string(),
            V::TimeDay => date.2.to_string(),
            V::TimeMon => date.1.to_string(),
            V::TimeYear => date.0.to_string(),
            _ => String::new(),
        };
        text.into_bytes()
    }

    fn key_of(&self, variable: V) -> Vec<u8> {
        let open = self.opened.iter().find(|open| open.variable == variable);
        open.map(|open| open.key.clone()).unwrap_or_default()
    }

    fn full_request(&self) -> Vec<u8> {
        let mut text = self.request.line.to_vec();
        text.extend(b"\r\n");
        for (name, value) in self.request.headers {
            for piece in [name, &b": "[..], value, b"\r\n"] {
                text.extend(piece);
            }
        }
        text.extend(b"\r\n");
        text.extend(self.body.bytes);
        text
    }
}

/// `%HH` of a path; `+` is itself there.
fn decode_path(path: &[u8], out: &mut Vec<u8>) {
    for (nth, piece) in path.split(|byte| *byte == b'+').enumerate() {
        if nth > 0 {
            out.push(b'+');
        }
        urlencoded::decode(piece, out);
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant's "chrono-compatible low-level date algorithms").
fn civil(day: u64) -> (u64, u64, u64) {
    let z = day + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}
