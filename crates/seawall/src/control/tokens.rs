//! Tokens of the API: made, listed, revoked, and the first one.

use std::io::IsTerminal;

use seawall_control::store::{Body, StoreError};
use seawall_control::version::Hash;

use super::Control;
use super::asks::{Answer, NewToken, NotMade, TokenMade, TokenTold};
use super::engine::unix;
use super::make::By;
use crate::say::{complain, say};
use crate::token::{self, Scope, Token};

/// Tokens, or entries of the log, that are asked for at once.
const ROWS: usize = 1_000;

impl Control {
    /// All tokens that stand, also those that are good no more.
    fn standing_tokens(&mut self) -> Result<Vec<Token>, StoreError> {
        let mut tokens = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let store = self.engine.store();
            let entries = store.standing("token", after.as_deref(), ROWS)?;
            let full = entries.len() == ROWS;
            tokens.extend(entries.iter().filter_map(Token::of));
            match entries.last().map(|entry| &entry.body) {
                Some(Body::TokenMade { name, .. }) if full => after = Some(name.clone()),
                _ => return Ok(tokens),
            }
        }
    }

    /// The API is told who may ask.
    pub(super) fn tell_tokens(&mut self) {
        match self.standing_tokens() {
            Ok(tokens) => self.tokens.set(tokens),
            Err(error) => complain(format_args!("tokens are as they were: {error}")),
        }
    }

    pub(super) fn tokens_told(&mut self) -> Result<Vec<TokenTold>, StoreError> {
        Ok(self
            .standing_tokens()?
            .iter()
            .map(TokenTold::from)
            .collect())
    }

    pub(super) fn make_token(
        &mut self,
        new: &NewToken,
        maker: Option<&Token>,
        by: &By<'_>,
    ) -> Result<Answer, NotMade> {
        if !token::is_name(&new.name) {
            return Err(NotMade::Refused(format!(
                "{:?} is no name for a token: 1 to 64 of letters, digits, `.`, `-`, `_`",
                new.name
            )));
        }
        if new.scopes.is_empty() {
            return Err(NotMade::Refused(
                "a token without a scope may do nothing: name one".into(),
            ));
        }
        let scopes = new.scopes.iter().map(|scope| Scope::parse(scope));
        let scopes: Vec<Scope> = scopes
            .collect::<Result<_, String>>()
            .map_err(NotMade::Refused)?;
        let more = scopes
            .iter()
            .find(|scope| maker.is_some_and(|maker| !maker.may(scope)));
        if let Some(scope) = more {
            return Err(NotMade::Forbidden(format!(
                "a token makes others that may do what it may do itself, and it has no scope `{scope}`"
            )));
        }
        if self.engine.store().stands("token", &new.name)?.is_some() {
            return Err(NotMade::Refused(format!(
                "there is a token {}: revoke it, or choose another name",
                new.name
            )));
        }
        if self.standing_tokens()?.len() >= token::MOST {
            return Err(NotMade::Refused(format!(
                "{} tokens stand, which is as many as there may be: revoke some",
                token::MOST
            )));
        }
        // Who has no more time itself gives none.
        let asked = new.seconds.map(|seconds| unix().saturating_add(seconds));
        let own = maker.and_then(|maker| maker.expires);
        let expires = match (asked, own) {
            (Some(asked), Some(own)) => Some(asked.min(own)),
            (asked, own) => asked.or(own),
        };
        let (text, hash) = token::make().map_err(|error| NotMade::Refused(error.to_string()))?;
        self.keep_token(&new.name, hash, &scopes, expires, by)?;
        Ok(Answer::Token(TokenMade {
            token: text,
            name: new.name.clone(),
            scopes: new.scopes.clone(),
            expires,
        }))
    }

    fn keep_token(
        &mut self,
        name: &str,
        hash: Hash,
        scopes: &[Scope],
        expires: Option<u64>,
        by: &By<'_>,
    ) -> Result<(), NotMade> {
        let body = Body::TokenMade {
            name: name.to_owned(),
            hash,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            location: None,
            expires,
        };
        self.write(body, by)?;
        self.tell_tokens();
        Ok(())
    }

    pub(super) fn revoke_token(&mut self, name: &str, by: &By<'_>) -> Result<Answer, NotMade> {
        let standing = self.engine.store().stands("token", name)?;
        if standing.as_ref().and_then(Token::of).is_none() {
            return Err(NotMade::Unknown(format!("there is no token {name}")));
        }
        let name = name.to_owned();
        let done = self.write(Body::TokenRevoked { name }, by)?;
        self.tell_tokens();
        Ok(done)
    }

    /// Makes the first token, where there never was one. It is kept in a file that its owner alone reads.
    pub(super) fn first_token(&mut self) {
        if let Err(error) = self.try_first_token() {
            complain(format_args!("there is no first token: {error}"));
        }
        self.tell_tokens();
    }

    fn try_first_token(&mut self) -> Result<(), NotMade> {
        if self.data.path(token::FIRST_FILE).exists() || self.ever_had_a_token()? {
            return Ok(());
        }
        let refused = |error: anyhow::Error| NotMade::Refused(error.to_string());
        let (text, hash) = token::make().map_err(refused)?;
        let by = By::new("control", "the first start");
        // First the file: a token that is in the log and nowhere else would be of no use.
        let kept = self
            .data
            .keep(token::FIRST_FILE, format!("{text}\n").as_bytes(), 0o600);
        if !kept {
            return Err(NotMade::Refused("its file cannot be written".into()));
        }
        if let Err(error) = self.keep_token(token::FIRST, hash, &[Scope::All], None, &by) {
            let _ = std::fs::remove_file(self.data.path(token::FIRST_FILE));
            return Err(error);
        }
        if std::io::stdout().is_terminal() {
            say(format_args!("  token      {text}"));
        }
        Ok(())
    }

    /// Whether the log tells of a token of the API, revoked ones included. Linear in the log; asked only where the file of the first
    /// one is missing.
    fn ever_had_a_token(&mut self) -> Result<bool, StoreError> {
        let mut from = 1;
        loop {
            let entries = self.engine.store().log(from, ROWS)?;
            let Some(last) = entries.last() else {
                return Ok(false);
            };
            from = last.seq + 1;
            if entries.iter().any(|entry| Token::of(entry).is_some()) {
                return Ok(true);
            }
        }
    }
}
