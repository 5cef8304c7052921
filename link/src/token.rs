//! Join tokens: `orrery1.<id>.<secret>.<fingerprint of the authority's public key>`.

use crate::fingerprint::Fingerprint;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq as _;

const VERSION: &str = "orrery1";
/// Bytes of a token's secret; 256 bits cannot be guessed, so that a plain digest protects it.
const SECRET_BYTES: usize = 32;
/// Bytes of a token's id.
const ID_BYTES: usize = 8;
/// Longest text that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A secret that lets one machine join, and tells it which authority to trust.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    secret: [u8; SECRET_BYTES],
    authority: Fingerprint,
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else altogether.
    #[error("this is no join token; a token begins with \"orrery1.\" and is printed by `orrery token create`")]
    Foreign,
    /// Cut off or changed on the way.
    #[error("the join token is damaged: copy it whole, as `orrery token create` printed it")]
    Damaged,
}

impl Token {
    /// A new token for the cluster of `authority`.
    pub fn generate(authority: Fingerprint) -> Self {
        let mut random = rand::rng();
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        random.fill_bytes(&mut id);
        random.fill_bytes(&mut secret);
        Self { id: crate::identity::hexadecimal(&id), secret, authority }
    }

    /// Names the token; no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The authority that the joining machine trusts.
    pub const fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// The secret as it is sent to a controller.
    pub fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.secret)
    }

    /// What the cluster keeps of the secret.
    pub fn digest(&self) -> String {
        digest(&self.secret())
    }
}

/// What the cluster keeps of a secret, lower-case hexadecimal.
pub fn digest(secret: &str) -> String {
    crate::identity::hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Whether `secret` is the one of `digest`; takes the same time whatever differs.
pub fn verify(secret: &str, expected: &str) -> bool {
    digest(secret).as_bytes().ct_eq(expected.as_bytes()).into()
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}.{}.{}", self.id, self.secret(), self.authority)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('.')).ok_or(TokenError::Foreign)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError::Damaged);
        }
        let mut parts = rest.split('.');
        let (Some(id), Some(secret), Some(authority), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError::Damaged);
        };
        let secret = URL_SAFE_NO_PAD.decode(secret).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(TokenError::Damaged)?;
        let authority = authority.parse().map_err(|_| TokenError::Damaged)?;
        if id.len() != ID_BYTES * 2 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TokenError::Damaged);
        }
        Ok(Self { id: id.to_owned(), secret, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_paper() {
        let token = Token::generate(Fingerprint::of(b"key"));
        let text = token.to_string();
        let again: Token = format!(" {text}\n").parse().unwrap();
        assert_eq!(again, token);
        assert_eq!(again.digest(), token.digest());
        assert!(verify(&token.secret(), &token.digest()));
        assert!(!verify(&Token::generate(Fingerprint::of(b"key")).secret(), &token.digest()));
        assert!(!verify("", &token.digest()) && !verify(&token.secret(), ""));
        assert!(!format!("{token:?}").contains(&token.secret()), "debug output tells the secret");
    }

    #[test]
    fn every_other_text_is_refused() {
        let text = Token::generate(Fingerprint::of(b"key")).to_string();
        for other in ["", "orrery", "orrery2.a.b.c", "eyJhbGciOi.x.y", "Orrery1."] {
            assert_eq!(other.parse::<Token>(), Err(TokenError::Foreign), "{other}");
        }
        for length in "orrery1.".len()..text.len() {
            assert_eq!(text[..length].parse::<Token>(), Err(TokenError::Damaged), "{length}");
        }
        for other in
            [format!("{text}0"), format!("{text}.x"), text.replacen("orrery1.", "orrery1.zz", 1), text.replace('.', "..")]
        {
            assert_eq!(other.parse::<Token>(), Err(TokenError::Damaged), "{other}");
        }
        assert_eq!(format!("orrery1.{}", "a".repeat(10_000)).parse::<Token>(), Err(TokenError::Damaged));
    }
}
