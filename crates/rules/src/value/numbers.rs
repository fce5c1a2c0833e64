//! Numbers, addresses, and what is yes or no.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_model::{Fuel, Spent};

use super::{Array, Seen, Text};
use crate::json::{self, Found, Key};

/// A number of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    /// Bytes of a text.
    Length(Text),
    /// Elements.
    Count(Array),
    /// A whole number in JSON.
    Json(Text, Box<[Key]>),
    /// The port of ours that the client reached.
    ServerPort,
    /// The client's autonomous system; 0 where it is not known.
    Asn,
}

impl Number {
    /// Reads it; none where what it asks for is not there.
    pub(crate) fn read(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<Option<i64>, Spent> {
        let number = match self {
            Self::Length(text) => match text.read(seen, fuel)? {
                Some(read) => i64::try_from(read.bytes().len()).unwrap_or(i64::MAX),
                None => return Ok(None),
            },
            Self::Count(array) => array.count(seen, fuel)?,
            Self::Json(text, keys) => {
                let Some(read) = text.value(seen, fuel)? else {
                    return Ok(None);
                };
                return Ok(match json::find(read.bytes(), keys, fuel)? {
                    Some(Found::Number(number)) => Some(number),
                    _ => None,
                });
            }
            Self::ServerPort => seen.view.conn.local.port().into(),
            Self::Asn => seen.view.place(fuel)?.asn.into(),
        };
        Ok(Some(number))
    }
}

/// A yes-or-no value of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Truth {
    Https,
    /// The client's certificate is signed by one of the zone's authorities.
    Certified,
    EuropeanUnion,
    /// There is an element.
    Any(Array),
}

impl Truth {
    pub(crate) fn read(&self, seen: Seen<'_>, fuel: &mut Fuel) -> Result<bool, Spent> {
        Ok(match self {
            Self::Https => seen.view.https,
            Self::Certified => {
                let tls = seen.view.conn.tls.as_ref();
                tls.is_some_and(|tls| tls.client_verified)
            }
            Self::EuropeanUnion => {
                fuel.spend(30)?;
                seen.view.place(fuel)?.is_in_european_union()
            }
            Self::Any(array) => array.is_any(seen, fuel)?,
        })
    }
}

/// An address of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) whose: Whose,
    /// Bits that are kept of an IPv4 address, and of an IPv6 address.
    pub(crate) kept: (u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Client,
    /// The address of ours that the client reached.
    Server,
}

impl Address {
    pub(crate) const fn of(whose: Whose) -> Self {
        Self {
            whose,
            kept: (32, 128),
        }
    }

    /// The network of so many bits.
    pub(crate) fn cut(self, v4: u8, v6: u8) -> Self {
        Self {
            kept: (self.kept.0.min(v4), self.kept.1.min(v6)),
            ..self
        }
    }

    pub(crate) fn read(self, seen: Seen<'_>) -> IpAddr {
        let address = match self.whose {
            Whose::Client => seen.view.client,
            Whose::Server => seen.view.conn.local.ip().to_canonical(),
        };
        let (v4, v6) = self.kept;
        match address {
            IpAddr::V4(ip) if v4 < 32 => {
                let mask = !u32::MAX.checked_shr(v4.into()).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) if v6 < 128 => {
                let mask = !u128::MAX.checked_shr(v6.into()).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
            whole => whole,
        }
    }
}
