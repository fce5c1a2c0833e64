//! The values of variables: made when a rule first asks for them in a phase.

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Item, Transaction, cookies};
use crate::body::{Sink, urlencoded};
use crate::program::{Selector, Target, TxId};
use crate::texts::TextId;
use crate::vocabulary::Variable as V;

/// Units for each byte that is taken in.
pub(super) const BYTE: u64 = 2;

/// Variables that are there from when the head or the body was read.
const READ: [V; 7] = [
    V::ArgsGet,
    V::ArgsPost,
    V::Files,
    V::MultipartPartHeaders,
    V::MultipartName,
    V::MultipartFilename,
    V::Xml,
];

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
                        self.text_of(matched.value)
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
                        let text = if is_names {
                            name
                        } else {
                            self.text_of(matched.value)
                        };
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
                let name = self.tx_name(*id);
                into.push(Item { name, value });
            }
            return Ok(());
        }
        if let Selector::TxPattern(pattern, known) = selector {
            fuel.spend(4 * known.len() as u64)?;
            for id in known {
                if let Some(value) = self.work.store.get(*id) {
                    let name = self.tx_name(*id);
                    into.push(Item { name, value });
                }
            }
            fuel.spend(50 * self.work.store.made_up_count() as u64)?;
            let made_up = self.work.store.all_made_up(|name| pattern.is_in(name));
            for (name, value) in made_up {
                let name = self.work.texts.add(&name);
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

    pub(super) fn tx_name(&mut self, id: TxId) -> TextId {
        if let Some(Some(name)) = self.work.tx_names.get(id.index()) {
            return *name;
        }
        let name = self.work.texts.keep(self.program.names.name(id));
        if self.work.tx_names.len() <= id.index() {
            self.work.tx_names.resize(id.index() + 1, None);
        }
        if let Some(place) = self.work.tx_names.get_mut(id.index()) {
            *place = Some(name);
        }
        name
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
        self.empty &= self.filled;
        self.note_read();
    }

    /// Notes which of the variables that are read with the head or the body are empty.
    pub(super) fn note_read(&mut self) {
        for variable in READ {
            let items = self.work.items.get(variable as usize);
            if items.is_none_or(Vec::is_empty) {
                self.empty |= 1 << variable as u8;
            }
        }
    }

    /// Which of these variables have any value; makes them. A bit for each.
    pub(super) fn present(&mut self, variables: u128, fuel: &mut Fuel) -> Result<u128, Spent> {
        let mut unknown = variables & !(self.filled | self.empty);
        while unknown != 0 {
            if let Some(variable) = V::ALL.get(unknown.trailing_zeros() as usize) {
                self.fill(*variable, fuel)?;
            }
            unknown &= unknown - 1;
        }
        Ok(variables & !self.empty)
    }

    /// Makes the values of a variable.
    pub(super) fn fill(&mut self, variable: V, fuel: &mut Fuel) -> Result<(), Spent> {
        let bit = 1u128 << variable as u8;
        if self.filled & bit != 0 {
            return Ok(());
        }
        // These stay from when they were read.
        if READ.contains(&variable) {
            return Ok(());
        }
        let mut items = match self.work.items.get_mut(variable as usize) {
            Some(items) => std::mem::take(items),
            None => return Ok(()),
        };
        items.clear();
        let made = self.make(variable, &mut items, fuel);
        fuel.spend(VALUES * items.len() as u64)?;
        if items.is_empty() {
            self.empty |= bit;
        }
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

    pub(super) fn kept(&self, variable: V) -> impl Iterator<Item = Item> + '_ {
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
            let (name, value) = match names {
                true => {
                    let name = self.work.texts.keep(name);
                    (name, name)
                }
                false => self.work.texts.field(name, value),
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
            let mut rest = *line;
            for pair in line.split(|byte| *byte == b';') {
                let (from, length) = (rest, pair.len());
                rest = rest.get(length + 1..).unwrap_or_default();
                let pair = pair.trim_ascii_start();
                // However many: they are a head's, which is bounded, and each is paid for.
                if pair.is_empty() {
                    continue;
                }
                let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
                let (name, value) = pair.split_at_checked(at).unwrap_or((pair, &[]));
                let value = value.get(1..).unwrap_or_default();
                let name = self.work.texts.name(name, value);
                let text = match names {
                    true => name,
                    false => self.work.texts.add(value),
                };
                items.push(Item {
                    name,
                    value: Value::Text(text),
                });
                if names || !cookies::is_quoted(value) {
                    continue;
                }
                let on = from.get(length - value.len()..).unwrap_or_default();
                let told = cookies::unquoted(on, value.len());
                for text in told.into_iter().flatten() {
                    fuel.spend(BYTE * text.len() as u64)?;
                    let value = Value::Text(self.work.texts.add(&text));
                    items.push(Item { name, value });
                }
            }
        }
        Ok(())
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
            name: self.texts.name(name, value),
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
