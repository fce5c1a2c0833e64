//! A value by which requests are told apart.

use std::io::Write;
use std::net::IpAddr;

use seawall_model::{Fuel, RequestView, Spent};

use crate::bounds::Bounds;
use crate::error::Error;
use crate::lists::Lists;
use crate::parse::Parser;
use crate::patterns::Patterns;
use crate::value::{Address, Number, Seen, Text, Truth, Whose};

/// A value of a request: a text, a number, an address, or yes or no.
#[derive(Debug)]
pub struct Value {
    source: Box<str>,
    value: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Text(Text),
    Number(Number),
    Address(Address),
    Truth(Truth),
}

impl Value {
    /// Compiles a value: a field, with what is picked from it, or a function. `ip.src` alone is the /64 of an IPv6 client, because
    /// one client has all of it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(source: &str, lists: &Lists, bounds: &Bounds) -> Result<Self, Error> {
        let mut patterns = Patterns::unbounded();
        let mut value = Parser::new(source, lists, bounds, &mut patterns).value()?;
        if let (Kind::Address(address), "ip.src") = (&mut value, source.trim_ascii())
            && address.whose == Whose::Client
        {
            *address = address.cut(32, 64);
        }
        Ok(Self {
            source: source.into(),
            value,
        })
    }

    /// As [`Value::parse`], of a text; patterns are shared with, and charged to, the zone that was begun last.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place; a value that is no text.
    pub fn parse_text(
        source: &str,
        lists: &Lists,
        bounds: &Bounds,
        patterns: &mut Patterns,
    ) -> Result<Self, Error> {
        let value = Parser::new(source, lists, bounds, patterns).value()?;
        let kind = match &value {
            Kind::Text(_) => {
                return Ok(Self {
                    source: source.into(),
                    value,
                });
            }
            Kind::Number(_) => "a number",
            Kind::Address(_) => "an address",
            Kind::Truth(_) => "yes or no",
        };
        let what = format!("this is {kind}, and a text is meant");
        Err(Error::new(
            0,
            source.len(),
            what,
            "write to_string(…) around it",
        ))
    }

    /// Appends the text of a request; false where it is not there, or the value is no text.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn append_text(
        &self,
        view: &RequestView<'_>,
        fuel: &mut Fuel,
        out: &mut Vec<u8>,
    ) -> Result<bool, Spent> {
        let Kind::Text(text) = &self.value else {
            return Ok(false);
        };
        fuel.spend(10)?;
        let Some(read) = text.value(Seen::new(view), fuel)? else {
            return Ok(false);
        };
        fuel.spend(read.bytes().len() as u64 / 8)?;
        out.extend_from_slice(read.bytes());
        Ok(true)
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Appends what the request has, with its length before it, so that values behind one another are told apart. What is not there
    /// is unlike what is empty.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn append(
        &self,
        view: &RequestView<'_>,
        fuel: &mut Fuel,
        out: &mut Vec<u8>,
    ) -> Result<(), Spent> {
        let seen = Seen::new(view);
        fuel.spend(10)?;
        let begin = out.len();
        out.extend_from_slice(&u32::MAX.to_be_bytes());
        let is_there = match &self.value {
            Kind::Text(text) => match text.value(seen, fuel)? {
                Some(read) => {
                    fuel.spend(read.bytes().len() as u64 / 8)?;
                    out.extend_from_slice(read.bytes());
                    true
                }
                None => false,
            },
            Kind::Number(number) => match number.read(seen, fuel)? {
                Some(number) => {
                    out.extend_from_slice(&number.to_be_bytes());
                    true
                }
                None => false,
            },
            Kind::Address(address) => {
                match address.read(seen) {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
                true
            }
            Kind::Truth(truth) => {
                out.push(u8::from(truth.read(seen, fuel)?));
                true
            }
        };
        if is_there {
            let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX - 1);
            if let Some(mut place) = out.get_mut(begin..begin + 4) {
                // There is room for four bytes.
                let _ = place.write_all(&length.to_be_bytes());
            }
        }
        Ok(())
    }
}
