//! The values of variables: made when a rule first asks for them in a phase.

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Item, Transaction};
use crate::body::{Sink, urlencoded};
use crate::program::{Selector, Target};
use crate::request::header;
use crate::seclang::tree::Processor;
use crate::texts::TextId;
use crate::vocabulary::Variable as V;

/// Units for each byte that is taken in.
const BYTE: u64 = 2;
/// How many cookies are read.
const COOKIES: usize = 1000;

impl<'t> Transaction<'t> {
    /// The values that a target means.
    pub(super) fn gather(
        &mut self,
        target: &Target,
        into: &mut Vec<Item>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        match target.variable {
            V::Tx => self.gather_tx(&target.selector, into, fuel),
            V::MatchedVar | V::MatchedVarName => {
                if let Some(matched) = self.matched {
                    let text = if target.variable == V::MatchedVar {
                        matched.text
                    } else {
                        let name = self.full_name(matched);
                        self.work.texts.add(&name)
                    };
                    into.push(plain(text));
                }
                Ok(())
            }
            V::MatchedVars | V::MatchedVarsNames => {
                fuel.spend(20 * self.chain.len() as u64)?;
                for matched in self.chain.clone() {
                    let full = self.full_name(matched);
                    let name = self.work.texts.add(&full);
                    if self.names(&target.selector, &full) {
                        let is_names = target.variable == V::MatchedVarsNames;
                        let text = if is_names { name } else { matched.text };
                        into.push(Item {
                            name,
                            value: Value::Text(text),
                        });
                    }
                }
                Ok(())
            }
            V::Rule => {
                if matches!(&target.selector, Selector::Name(name) if name == b"id") {
                    into.push(Item {
                        name: TextId::EMPTY,
                        value: Value::Number(self.rule as i64),
                    });
                }
                Ok(())
            }
            variable if variable.is_kept() => {
                self.gather_kept(variable, &target.selector, into);
                Ok(())
            }
            variable => {
                self.fill(variable, fuel)?;
                let items = self
                    .work
                    .items
                    .get(variable as usize)
                    .map_or(&[][..], Vec::as_slice);
                if matches!(target.selector, Selector::All) {
                    into.extend(items);
                } else {
                    fuel.spend(4 * items.len() as u64)?;
                    let means =
                        |item: &&Item| self.names(&target.selector, self.work.texts.get(item.name));
                    into.extend(items.iter().filter(means));
                }
                Ok(())
            }
        }
    }

    fn gather_tx(
        &mut self,
        selector: &Selector,
        into: &mut Vec<Item>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        if let Selector::Tx(id) = selector {
            if let Some(value) = self.work.store.get(*id) {
                let name = self.work.texts.add(self.program.names.name(*id));
                into.push(Item { name, value });
            }
            return Ok(());
        }
        let all: Vec<(Vec<u8>, Value)> = self
            .work
            .store
            .all(&self.program.names)
            .into_iter()
            .filter(|(name, _)| self.names(selector, name))
            .map(|(name, value)| (name.to_vec(), value))
            .collect();
        fuel.spend(2000 + 50 * all.len() as u64)?;
        for (name, value) in all {
            let name = self.work.texts.add(&name);
            into.push(Item { name, value });
        }
        Ok(())
    }

    fn gather_kept(&mut self, variable: V, selector: &Selector, into: &mut Vec<Item>) {
        let now = self.request.time;
        let Some(open) = self.opened.iter().find(|open| open.variable == variable) else {
            return;
        };
        for kept in open.values.iter().filter(|kept| kept.ends > now) {
            if self.names(selector, &kept.name) {
                let name = self.work.texts.add(&kept.name);
                let text = self.work.texts.add(&kept.value);
                into.push(Item {
                    name,
                    value: Value::Text(text),
                });
            }
        }
    }

    /// The values of this variable are made anew when they are asked for again.
    pub(super) fn unfill(&mut self, variable: V) {
        self.filled &= !(1 << variable as u8);
    }

    /// Makes the values of a variable.
    pub(super) fn fill(&mut self, variable: V, fuel: &mut Fuel) -> Result<(), Spent> {
        let bit = 1u128 << variable as u8;
        if self.filled & bit != 0 {
            return Ok(());
        }
        // These stay from when they were read.
        if matches!(
            variable,
            V::ArgsGet
                | V::ArgsPost
                | V::Files
                | V::MultipartPartHeaders
                | V::MultipartName
                | V::MultipartFilename
                | V::Xml
        ) {
            return Ok(());
        }
        let mut items = match self.work.items.get_mut(variable as usize) {
            Some(items) => std::mem::take(items),
            None => return Ok(()),
        };
        items.clear();
        let made = self.make(variable, &mut items, fuel);
        fuel.spend(VALUES * items.len() as u64)?;
        if let Some(place) = self.work.items.get_mut(variable as usize) {
            *place = items;
        }
        self.filled |= bit;
        made
    }

    fn make(&mut self, variable: V, items: &mut Vec<Item>, fuel: &mut Fuel) -> Result<(), Spent> {
        match variable {
            V::Args => {
                items.extend(self.kept(V::ArgsGet));
                items.extend(self.kept(V::ArgsPost));
            }
            V::ArgsNames => {
                self.make_names(V::ArgsGet, items);
                self.make_names(V::ArgsPost, items);
            }
            V::ArgsGetNames => self.make_names(V::ArgsGet, items),
            V::ArgsPostNames => self.make_names(V::ArgsPost, items),
            V::FilesNames => self.make_names(V::Files, items),
            V::RequestHeaders | V::RequestHeadersNames => {
                self.make_headers(
                    self.request.headers,
                    variable == V::RequestHeadersNames,
                    items,
                    fuel,
                )?;
            }
            V::ResponseHeaders | V::ResponseHeadersNames => {
                let headers = self.response.map_or(&[][..], |response| response.headers);
                self.make_headers(headers, variable == V::ResponseHeadersNames, items, fuel)?;
            }
            V::RequestCookies | V::RequestCookiesNames => {
                self.make_cookies(variable == V::RequestCookiesNames, items, fuel)?;
            }
            V::FilesSizes => {
                for (name, size) in &self.part_sizes {
                    items.push(Item {
                        name: *name,
                        value: Value::Number(*size as i64),
                    });
                }
            }
            _ => {
                if let Some(value) = self.single(variable, fuel)? {
                    items.push(Item {
                        name: TextId::EMPTY,
                        value,
                    });
                }
            }
        }
        Ok(())
    }

    fn kept(&self, variable: V) -> impl Iterator<Item = Item> + '_ {
        let items = self.work.items.get(variable as usize);
        items.into_iter().flatten().copied()
    }

    fn make_names(&self, of: V, items: &mut Vec<Item>) {
        items.extend(self.kept(of).map(|item| Item {
            name: item.name,
            value: Value::Text(item.name),
        }));
    }

    fn make_headers(
        &mut self,
        headers: &[(&[u8], &[u8])],
        names: bool,
        items: &mut Vec<Item>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        for (name, value) in headers {
            fuel.spend(BYTE * (name.len() + value.len()) as u64)?;
            let name = self.work.texts.add(name);
            let value = if names {
                name
            } else {
                self.work.texts.add(value)
            };
            items.push(Item {
                name,
                value: Value::Text(value),
            });
        }
        Ok(())
    }

    /// RFC 6265 §4.2.1, read as generously as origins do.
    fn make_cookies(
        &mut self,
        names: bool,
        items: &mut Vec<Item>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        for (name, line) in self.request.headers {
            if !name.eq_ignore_ascii_case(b"cookie") {
                continue;
            }
            fuel.spend(BYTE * line.len() as u64)?;
            for pair in line.split(|byte| *byte == b';') {
                let pair = pair.trim_ascii_start();
                if pair.is_empty() || items.len() >= COOKIES {
                    continue;
                }
                let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
                let (name, value) = pair.split_at_checked(at).unwrap_or((pair, &[]));
                let name = self.work.texts.add(name);
                let value = if names {
                    name
                } else {
                    self.work.texts.add(value.get(1..).unwrap_or_default())
                };
                items.push(Item {
                    name,
                    value: Value::Text(value),
                });
            }
        }
        Ok(())
    }

    /// The path of the target, and what is behind its `?`.
    fn path_and_query(&self) -> (&'t [u8], &'t [u8]) {
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

    fn single(&mut self, variable: V, fuel: &mut Fuel) -> Result<Option<Value>, Spent> {
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
            V::RequestBody => {
                let is_text = matches!(self.processor, None | Some(Processor::UrlEncoded));
                if self.phase < 2 || !self.reads_body || !is_text || self.body.bytes.is_empty() {
                    return Ok(None);
                }
                self.body.bytes
            }
            V::ReqbodyProcessor => match self.processor {
                Some(processor) => processor.name().as_bytes(),
                None => return Ok(None),
            },
            V::ReqbodyErrorMsg => self.body_error.unwrap_or("").as_bytes(),
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
            V::ReqbodyError => return flag(self.body_error.is_some()),
            V::UrlencodedError => return flag(self.url_error),
            V::InboundDataError => return flag(self.body.cut),
            V::OutboundDataError => return flag(self.response_body.cut),
            V::MscPcreLimitsExceeded => return flag(false),
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
                    Value::Number(_) => 0,
                });
                return number(sizes.sum());
            }
            V::FilesCombinedSize => {
                return number(self.part_sizes.iter().map(|(_, size)| size).sum());
            }
            V::ResponseStatus => match self.response {
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
            V::MultipartMissingSemicolon => return flag(flags.missing_semicolon),
            V::MultipartStrictError => return flag(flags.strict_error()),
            V::MultipartUnmatchedBoundary => return flag(flags.unmatched_boundary),
            _ => {
                let text = self.made_up(variable);
                fuel.spend(BYTE * text.len() as u64)?;
                return Ok(Some(Value::Text(self.work.texts.add(&text))));
            }
        };
        fuel.spend(BYTE * bytes.len() as u64)?;
        Ok(Some(Value::Text(self.work.texts.add(bytes))))
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

    /// Arguments of the query.
    pub(super) fn read_query(&mut self, fuel: &mut Fuel) -> Result<(), Spent> {
        for items in &mut self.work.items {
            items.clear();
        }
        let query = self.path_and_query().1;
        // A fragment is none of the query's.
        fuel.spend(3 * BYTE * query.len() as u64)?;
        self.url_error |= self.read_pairs(query, V::ArgsGet);
        Ok(())
    }

    pub(super) fn read_pairs(&mut self, text: &[u8], variable: V) -> bool {
        let separator = self.program.settings.separator;
        let mut sink = self.arguments(variable);
        let invalid = urlencoded::read(text, separator, &mut sink);
        self.put_back(variable, sink);
        invalid
    }

    /// Takes arguments of a variable.
    pub(super) fn arguments(&mut self, variable: V) -> Arguments {
        Arguments {
            items: self
                .work
                .items
                .get_mut(variable as usize)
                .map(std::mem::take)
                .unwrap_or_default(),
            texts: std::mem::take(&mut self.work.texts),
            most: self.program.settings.arguments,
            over: false,
        }
    }

    pub(super) fn put_back(&mut self, variable: V, sink: Arguments) {
        self.work.texts = sink.texts;
        if let Some(place) = self.work.items.get_mut(variable as usize) {
            *place = sink.items;
        }
        if sink.over {
            self.body_error
                .get_or_insert("more arguments than are inspected");
        }
    }
}

/// Units for each value that is made.
const VALUES: u64 = 20;

/// Takes arguments, up to a limit.
pub(super) struct Arguments {
    items: Vec<Item>,
    texts: crate::texts::Texts,
    most: usize,
    over: bool,
}

impl Sink for Arguments {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.items.len() >= self.most {
            self.over = true;
            return false;
        }
        let item = Item {
            name: self.texts.add(name),
            value: Value::Text(self.texts.add(value)),
        };
        self.items.push(item);
        true
    }
}

fn plain(text: TextId) -> Item {
    Item {
        name: TextId::EMPTY,
        value: Value::Text(text),
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
