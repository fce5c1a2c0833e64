//! Macros, and values as texts and numbers.

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Item, Matched, Named, Transaction};
use crate::operators;
use crate::program::{Piece, Selector, Target, Template};
use crate::texts::TextId;
use crate::vocabulary::{Shape, Variable};

/// Bytes that a template may become.
const LONGEST: usize = 64 << 10;
/// And one that somebody reads.
const SHOWN: usize = 1024;

impl Transaction<'_> {
    /// Appends what a template says now.
    pub(super) fn expand(
        &mut self,
        template: &Template,
        out: &mut Vec<u8>,
        fuel: &mut Fuel,
    ) -> Result<(), Spent> {
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => out.extend(text),
                Piece::Tx(id) => {
                    if let Some(value) = self.work.store.get(*id) {
                        self.print(value, out);
                    }
                }
                Piece::Variable(variable, name) => {
                    fuel.spend(50)?;
                    if let Some(item) = self.first(*variable, name, fuel)? {
                        self.print(item.value, out);
                    }
                }
            }
            if out.len() > LONGEST {
                out.truncate(LONGEST);
            }
            fuel.spend(out.len() as u64 / 16)?;
        }
        Ok(())
    }

    /// What is made of what a template says now.
    pub(super) fn expanded<T>(
        &mut self,
        template: &Template,
        fuel: &mut Fuel,
        make: impl FnOnce(&mut Self, &[u8]) -> T,
    ) -> Result<T, Spent> {
        let mut buffer = std::mem::take(&mut self.work.buffer);
        buffer.clear();
        let expanded = self.expand(template, &mut buffer, fuel);
        let made = expanded.map(|()| make(self, &buffer));
        self.work.buffer = buffer;
        made
    }

    /// A template for people, without what may be a secret. What would cost too much is left out.
    pub(super) fn shown(&mut self, template: &Template) -> String {
        let mut out = String::new();
        let mut fuel = Fuel::new(1_000_000);
        for piece in &template.0 {
            if let Piece::Text(text) = piece {
                out.push_str(&String::from_utf8_lossy(text));
                continue;
            }
            let one = Template(vec![piece.clone()]);
            let is_secret = self.reads_secret(&one, &mut fuel);
            let text = self.short(&one, &mut fuel);
            match is_secret {
                Ok(false) => out.push_str(&text),
                Ok(true) | Err(_) => out.extend(text.chars().map(masked)),
            }
        }
        let end = out.floor_char_boundary(SHOWN);
        out.truncate(end);
        out
    }

    /// A template for the client, whose secrets are its own.
    pub(super) fn sent(&mut self, template: &Template) -> String {
        self.short(template, &mut Fuel::new(1_000_000))
    }

    fn short(&mut self, template: &Template, fuel: &mut Fuel) -> String {
        let mut out = Vec::new();
        let _too_much = self.expand(template, &mut out, fuel);
        out.truncate(SHOWN);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The first value of a variable by this name, or of all when the name is empty.
    pub(super) fn first(
        &mut self,
        variable: Variable,
        name: &[u8],
        fuel: &mut Fuel,
    ) -> Result<Option<Item>, Spent> {
        let selector = if name.is_empty() {
            Selector::All
        } else {
            Selector::Name(name.to_vec())
        };
        let target = Target {
            variable,
            count: false,
            selector,
        };
        let mut found = Vec::new();
        self.gather(&target, &mut found, fuel)?;
        Ok(found.first().copied())
    }

    pub(super) fn print(&self, value: Value, out: &mut Vec<u8>) {
        match value {
            Value::Text(text) => out.extend(self.work.texts.get(text)),
            Value::Constant(id) => out.extend(self.program.constants.text(id)),
            Value::Number(number) => out.extend(itoa::Buffer::new().format(number).as_bytes()),
        }
    }

    pub(super) fn text_of(&mut self, value: Value) -> TextId {
        match value {
            Value::Text(text) => text,
            Value::Constant(id) => self.work.texts.keep(self.program.constants.text(id)),
            Value::Number(number) => {
                let mut buffer = itoa::Buffer::new();
                let digits = buffer.format(number).as_bytes();
                match number {
                    // Small ones are counts, which come again.
                    0..100 => self.work.texts.keep(digits),
                    _ => self.work.texts.add(digits),
                }
            }
        }
    }

    pub(super) fn number_of(&self, value: Value) -> i64 {
        match value {
            Value::Number(number) => number,
            Value::Text(text) => operators::number(self.work.texts.get(text)),
            Value::Constant(id) => operators::number(self.program.constants.text(id)),
        }
    }

    /// `ARGS:name`, or `REQUEST_URI`.
    pub(super) fn full_name(&self, matched: Matched) -> Vec<u8> {
        let mut name = matched.variable.name().as_bytes().to_vec();
        let of = match matched.name {
            Named::Text(text) => self.work.texts.get(text),
            Named::Tx(id) => self.program.names.name(id),
        };
        if matched.variable.shape() == Shape::Many && !of.is_empty() {
            name.push(b':');
            name.extend(of);
        }
        name
    }

    /// The name that a selector says, for what is counted.
    pub(super) fn name_of_selector(&mut self, target: &Target) -> TextId {
        let name = match &target.selector {
            Selector::Name(name) => name.as_slice(),
            Selector::Tx(id) => return self.tx_name(*id),
            Selector::All | Selector::Pattern(_) | Selector::TxPattern(..) => &[],
        };
        self.work.texts.keep(name)
    }
}

/// A letter or digit of what may be a secret.
fn masked(c: char) -> char {
    match c.is_alphanumeric() {
        true => '*',
        false => c,
    }
}
