//! Tokens of the API: what they are, what they may do, and which are good now.
//!
//! A token is `sw_` and 256 random bits, told once to whoever made it. The log keeps its SHA-256 alone. Not here: how a token is
//! made and revoked ([`control`](crate::control)), where it is asked for ([`api`](crate::api)).

use std::fmt;
use std::sync::{Arc, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use seawall_control::store::{Body, Entry};
use seawall_control::version::{Chain, Hash};

/// As many tokens stand at once, at most: who asks is compared with each of them.
pub const MOST: usize = 1_000;
/// The first token's name, and the file in the data folder that keeps it.
pub const FIRST: &str = "admin";
pub const FIRST_FILE: &str = "admin.token";
/// What every token begins with, so that people and scanners of secrets know one when they see it.
const PREFIX: &str = "sw_";
/// Characters of a token.
const LENGTH: usize = PREFIX.len() + 64;

/// A kind of scope.
pub struct ScopeDef {
    /// How it is written.
    pub name: &'static str,
    /// What it allows.
    pub what: &'static str,
}

/// All scopes: help, reference and checks are made of this table.
pub const SCOPES: &[ScopeDef] = &[
    ScopeDef {
        name: "*",
        what: "Everything that follows, and what later versions add.",
    },
    ScopeDef {
        name: "read",
        what: "Look at everything: zones, documents, versions, rollouts, locations, the log. No answer holds a secret.",
    },
    ScopeDef {
        name: "write:ZONE",
        what: "Change this one zone: a new document, rollback, deletion, restoration, pin. It does not allow to look.",
    },
    ScopeDef {
        name: "write:*",
        what: "The same for every zone, also for those that are not there yet.",
    },
    ScopeDef {
        name: "platform",
        what: "Change what all zones share: `[edge]` and `[lists]`.",
    },
    ScopeDef {
        name: "files",
        what: "With `write` or `platform`: name files, folders, sockets and commands of the edge's machine that the newest document does not name already.",
    },
    ScopeDef {
        name: "rollouts",
        what: "Approve and abort rollouts.",
    },
    ScopeDef {
        name: "kills",
        what: "Switch stages off in an emergency, for a while, and on again.",
    },
    ScopeDef {
        name: "purge",
        what: "Purge what edges keep of responses, of every zone.",
    },
    ScopeDef {
        name: "locations",
        what: "Let locations join and leave, lead traffic away from them and back.",
    },
    ScopeDef {
        name: "tokens",
        what: "List, make and revoke tokens; those that it makes may do nothing that it may not do itself.",
    },
];

/// What a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Change one zone; none is every zone.
    Write(Option<String>),
    /// One of the other words of the table.
    Word(&'static str),
}

impl Scope {
    /// Reads one.
    ///
    /// # Errors
    /// What is no scope, with those that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("write:") {
            _ if text == "*" => return Ok(Self::All),
            Some("*") => return Ok(Self::Write(None)),
            Some(zone) if !zone.is_empty() && !zone.contains('*') => {
                return Ok(Self::Write(Some(zone.to_owned())));
            }
            _ => {}
        }
        let known = SCOPES.iter().find(|scope| scope.name == text);
        let known = known.filter(|scope| !scope.name.starts_with("write:"));
        known.map(|scope| Self::Word(scope.name)).ok_or_else(|| {
            let names: Vec<&str> = SCOPES.iter().map(|scope| scope.name).collect();
            format!("{text:?} is no scope: there are {}", names.join(", "))
        })
    }

    /// Whether it allows what another one does.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (Self::Write(None), Self::Write(_)) => true,
            (this, other) => this == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => to.write_str("*"),
            Self::Write(None) => to.write_str("write:*"),
            Self::Write(Some(zone)) => write!(to, "write:{zone}"),
            Self::Word(word) => to.write_str(word),
        }
    }
}

/// A token that stands.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its name: in the log its holder is `token:NAME`.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Seconds since 1970 from which on it is good no more.
    pub expires: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// By whom.
    pub by: String,
    hash: Hash,
}

impl Token {
    /// The token that an entry made; none for others, and for those that let a location join.
    pub fn of(entry: &Entry) -> Option<Self> {
        let Body::TokenMade {
            name,
            hash,
            scopes,
            location: None,
            expires,
        } = &entry.body
        else {
            return None;
        };
        // A scope of a later version, that is unknown here, allows nothing here.
        let scopes = scopes.iter().filter_map(|scope| Scope::parse(scope).ok());
        Some(Self {
            name: name.clone(),
            scopes: scopes.collect(),
            expires: *expires,
            made: entry.at,
            by: entry.who.clone(),
            hash: *hash,
        })
    }

    /// Whether it allows this.
    pub fn may(&self, scope: &Scope) -> bool {
        self.scopes.iter().any(|held| held.covers(scope))
    }

    /// Whether it may change this chain.
    pub fn may_change(&self, chain: &Chain) -> bool {
        self.may(&of_chain(chain))
    }

    /// Who it is in the log.
    pub fn who(&self) -> String {
        format!("token:{}", self.name)
    }
}

/// What allows to change a chain.
pub fn of_chain(chain: &Chain) -> Scope {
    match chain.zone() {
        Some(zone) => Scope::Write(Some(zone.to_owned())),
        None => Scope::Word("platform"),
    }
}

/// Whether a token may have this name: it stands in the log and on command lines.
pub fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(known)
}

/// Makes one: its text, and the hash that is kept.
///
/// # Errors
/// When the system has no randomness.
pub fn make() -> anyhow::Result<(String, Hash)> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
    let text = format!("{PREFIX}{}", Hash::from_bytes(&bytes).unwrap_or(Hash::NONE));
    let hash = Hash::of(text.as_bytes());
    Ok((text, hash))
}

/// The tokens that stand: control writes, the API looks.
#[derive(Default)]
pub struct Tokens {
    standing: RwLock<Arc<Vec<Arc<Token>>>>,
}

impl Tokens {
    /// These stand from now on.
    pub fn set(&self, tokens: Vec<Token>) {
        if let Ok(mut standing) = self.standing.write() {
            *standing = Arc::new(tokens.into_iter().map(Arc::new).collect());
        }
    }

    /// Whether a token that was found stands still, and is good now (in seconds since 1970).
    pub fn stands(&self, token: &Token, now: u64) -> bool {
        let standing = self.standing.read();
        let same = |known: &Arc<Token>| known.name == token.name && known.hash == token.hash;
        standing.is_ok_and(|standing| standing.iter().any(same))
            && token.expires.is_none_or(|until| now < until)
    }

    /// The token with this text, if it is good now (in seconds since 1970). It takes as long whether there is one or not: every
    /// one is compared, each in constant time, by its hash.
    pub fn find(&self, text: &[u8], now: u64) -> Option<Arc<Token>> {
        let standing = self.standing.read().ok()?.clone();
        // What is longer is none; hashing it must not take longer for that.
        let hash = Hash::of(text.get(..LENGTH).unwrap_or(text));
        let mut found = None;
        for token in standing.iter() {
            if verify_slices_are_equal(token.hash.bytes(), hash.bytes()).is_ok() {
                found = Some(token.clone());
            }
        }
        let is_good = |token: &Arc<Token>| token.expires.is_none_or(|until| now < until);
        found.filter(|token| text.len() == LENGTH && is_good(token))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn token(name: &str, scopes: &[&str], expires: Option<u64>) -> (String, Token) {
        let (text, hash) = make().unwrap();
        let scopes = scopes.iter().map(|scope| Scope::parse(scope).unwrap());
        let token = Token {
            name: name.into(),
            scopes: scopes.collect(),
            expires,
            made: 0,
            by: String::new(),
            hash,
        };
        (text, token)
    }

    #[test]
    fn a_token_is_found_by_its_text_alone_and_until_it_expires() {
        let (text, first) = token("a", &["read"], Some(100));
        let (other, second) = token("b", &["*"], None);
        let tokens = Tokens::default();
        assert!(tokens.find(text.as_bytes(), 0).is_none());
        tokens.set(vec![first, second]);
        let name = |text: &str, now| tokens.find(text.as_bytes(), now).map(|it| it.name.clone());
        assert_eq!(name(&text, 99).as_deref(), Some("a"));
        assert_eq!(name(&text, 100), None);
        assert_eq!(name(&other, 1 << 40).as_deref(), Some("b"));
        for wrong in [
            String::new(),
            "sw_".into(),
            format!("{text}0"),
            text.to_uppercase(),
        ] {
            assert_eq!(name(&wrong, 0), None, "{wrong}");
        }
        tokens.set(Vec::new());
        assert_eq!(name(&other, 0), None);
    }

    #[test]
    fn the_help_of_the_command_lists_all_scopes() {
        let mut command = crate::cli::Cli::command();
        let command = command.find_subcommand_mut("token").unwrap();
        let help = command.render_long_help().to_string();
        let (_, listed) = help.split_once("Scopes: ").unwrap();
        let listed: Vec<&str> = listed.split([' ', ',', '.', '\n']).collect();
        for def in SCOPES {
            assert!(listed.contains(&def.name), "{}: {help}", def.name);
        }
    }

    #[test]
    fn a_scope_covers_what_it_says_and_no_more() {
        let zone = |name: &str| Chain::Zone(name.into());
        let (_, one) = token("one", &["write:a.test"], None);
        assert!(one.may_change(&zone("a.test")) && !one.may_change(&zone("b.test")));
        assert!(!one.may_change(&Chain::Platform) && !one.may(&Scope::Word("read")));
        assert!(!one.may(&Scope::Write(None)) && !one.may(&Scope::All));
        let (_, all) = token("all", &["write:*"], None);
        assert!(all.may_change(&zone("b.test")) && !all.may_change(&Chain::Platform));
        let (_, admin) = token("admin", &["*"], None);
        for def in SCOPES {
            let scope = Scope::parse(def.name);
            let scope = scope.unwrap_or_else(|_| panic!("{} is in the table", def.name));
            assert_eq!(scope.to_string(), def.name);
            assert!(admin.may(&scope), "{}", def.name);
        }
        for wrong in ["", "write:", "write:*.test", "write", "READ", "root"] {
            assert!(Scope::parse(wrong).is_err(), "{wrong}");
        }
    }
}
