//! Passwords and what users get for them.

use super::limiter::Limiter;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use orrery_core::trust::{Secret, Trust, User};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a login lasts (DC/OS: 5 days).
const LOGIN_LIFETIME: Duration = Duration::from_secs(5 * 24 * 3600);
/// Passwords being checked at once: each takes 19 MiB and some hundredths of a second.
const CHECKS_MAX: usize = 4;
/// Longest password, bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;

/// What a token says. `uid` and `exp` are as DC/OS has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    uid: String,
    exp: u64,
    /// Which password it was got for, so that a change of the password ends it.
    password: String,
}

/// Why a login was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Nobody of that name, or another password.
    #[error("the user name or the password is wrong")]
    Credentials,
    /// Too many attempts.
    #[error("too many failed logins; try again in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// There is no key to sign with.
    #[error("logins do not work yet; try again in a moment")]
    NotReady,
}

/// Checks passwords and tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limiter: Limiter,
    checks: Semaphore,
}

impl Default for Logins {
    fn default() -> Self {
        Self(Arc::new(Inner { limiter: Limiter::default(), checks: Semaphore::new(CHECKS_MAX) }))
    }
}

/// An argon2id string of a password, with a salt of its own. Takes some hundredths of a second.
pub(crate) fn hash_password(password: &str) -> Result<Secret, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| Secret::new(hash.to_string()))
        .map_err(|error| error.to_string())
}

fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Nobody's password; checked for users that do not exist, so that time does not tell who does.
fn nobody() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_password("").map(|hash| hash.reveal().to_owned()).unwrap_or_default())
}

/// Names a password hash without telling it.
fn mark(user: &User) -> String {
    orrery_link::token::digest(user.password.reveal())[..16].to_owned()
}

impl Logins {
    /// A token for whoever knows the password.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn log_in(&self, trust: &Trust, uid: &str, password: &str, from: IpAddr, now: u64) -> Result<String, LoginError> {
        let key = trust.signing_key.as_ref().ok_or(LoginError::NotReady)?;
        self.0.limiter.attempt(uid, from).map_err(LoginError::TooMany)?;
        let user = trust.users.get(uid).cloned();
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(LoginError::Credentials);
        }
        let _permit = self.0.checks.acquire().await.map_err(|_| LoginError::NotReady)?;
        let (password, stored) = (password.to_owned(), user.as_ref().map(|user| user.password.clone()));
        let matches = tokio::task::spawn_blocking(move || {
            let matches = verify_password(&password, stored.as_ref().map_or_else(|| nobody(), Secret::reveal));
            matches && stored.is_some()
        });
        let (Ok(true), Some(user)) = (matches.await, user) else { return Err(LoginError::Credentials) };
        self.0.limiter.succeeded(uid, from);
        let claims = Claims { uid: uid.to_owned(), exp: now + LOGIN_LIFETIME.as_secs(), password: mark(&user) };
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::ES256) };
        let private = EncodingKey::from_ec_pem(key.private.reveal().as_bytes()).map_err(|_| LoginError::NotReady)?;
        jsonwebtoken::encode(&header, &claims, &private).map_err(|_| LoginError::NotReady)
    }

    /// Whose token it is; `None` when it does not count: another key, expired, user gone, password
    /// changed.
    pub fn user_of(&self, trust: &Trust, token: &str) -> Option<String> {
        let key = trust.signing_key.as_ref()?;
        let public = DecodingKey::from_ec_pem(key.public.as_bytes()).ok()?;
        let claims = jsonwebtoken::decode::<Claims>(token, &public, &Validation::new(Algorithm::ES256)).ok()?.claims;
        let user = trust.users.get(claims.uid.as_str())?;
        (mark(user) == claims.password).then_some(claims.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::trust::SigningKey;
    use orrery_link::authority::Key;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn trust() -> Trust {
        let key = Key::generate().unwrap();
        let user = |uid: &str, password: &str| User {
            uid: uid.into(),
            description: String::new(),
            password: hash_password(password).unwrap(),
        };
        Trust {
            signing_key: Some(Arc::new(SigningKey {
                id: "1".into(),
                public: key.public_pem(),
                private: Secret::new(key.to_pem()),
            })),
            users: [("a", "right"), ("b", "")]
                .into_iter()
                .map(|(uid, password)| (Arc::from(uid), Arc::new(user(uid, password))))
                .collect(),
            ..Trust::default()
        }
    }

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    #[tokio::test]
    async fn a_token_is_for_whoever_knows_the_password() {
        let (trust, logins) = (trust(), Logins::default());
        for (uid, password) in [("a", "wrong"), ("a", ""), ("c", "right"), ("c", ""), ("", "")] {
            assert_eq!(logins.log_in(&trust, uid, password, HERE, now()).await, Err(LoginError::Credentials), "{uid}");
        }
        let token = logins.log_in(&trust, "a", "right", HERE, now()).await.unwrap();
        assert_eq!(logins.user_of(&trust, &token).as_deref(), Some("a"));
        let old = logins.log_in(&trust, "a", "right", HERE, now() - 6 * 24 * 3600).await.unwrap();
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let claims = Claims { uid: "a".into(), exp: now() + 60, password: mark(&trust.users["a"]) };
        // The public key used as if it were a shared secret: the classical confusion.
        let public = trust.signing_key.as_ref().unwrap().public.clone();
        let confused = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        for bad in ["", "x", "a.b.c", &token[..token.len() - 4], &old, &confused, &unsigned] {
            assert_eq!(logins.user_of(&trust, bad), None, "{bad}");
        }
        assert_eq!(logins.user_of(&self::trust(), &token), None, "another cluster's token");
    }

    #[tokio::test]
    async fn a_token_ends_with_its_user_and_password() {
        let (mut trust, logins) = (trust(), Logins::default());
        let token = logins.log_in(&trust, "a", "right", HERE, now()).await.unwrap();
        let before = trust.clone();
        let changed = User { password: hash_password("new").unwrap(), ..(*trust.users["a"]).clone() };
        trust.users.insert("a".into(), Arc::new(changed));
        assert_eq!(logins.user_of(&trust, &token), None);
        trust = before;
        trust.users.remove("a");
        assert_eq!(logins.user_of(&trust, &token), None);
    }
}
