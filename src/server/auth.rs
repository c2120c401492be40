//! Bearer keys. Only their SHA-256 is kept, so that no log, error or dump can hold one, and
//! comparing digests takes the same time whatever was sent.

use std::fmt;

use sha2::{Digest, Sha256};

use super::error::ApiError;

/// The keys that open the server; none means that it is open to all.
#[derive(Clone, Default)]
pub struct Keys {
    digests: Vec<[u8; 32]>,
}

impl Keys {
    /// Keys, one a line, blanks around them and empty lines ignored.
    pub fn of_lines(text: &str) -> Keys {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Keys {
            digests: lines.map(digest).collect(),
        }
    }

    /// Adds the keys of another list.
    pub fn and(mut self, other: Keys) -> Keys {
        self.digests.extend(other.digests);
        self
    }

    /// Whether nobody needs a key.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Fails with 401 unless the `Authorization` header holds one of the keys.
    pub fn check(&self, authorization: Option<&[u8]>) -> Result<(), ApiError> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let unauthorized = |code, detail| Err(ApiError::new(401, code, detail));
        let Some(header) = authorization else {
            return unauthorized(
                "AUTH_MISSING_API_KEY",
                "Authentication required. Provide the API key of this server via the Authorization header: 'Authorization: Bearer <api-key>'.",
            );
        };
        let Some(key) = bearer(header) else {
            return unauthorized(
                "AUTH_INVALID_FORMAT",
                "Invalid authorization format. Use 'Authorization: Bearer <api-key>'.",
            );
        };
        let sent = digest(key);
        // Every key is compared to its end, whichever it is.
        let found = self
            .digests
            .iter()
            .fold(false, |found, key| found | is_same(key, &sent));
        match found {
            true => Ok(()),
            false => unauthorized("AUTH_INVALID_API_KEY", "Invalid API key."),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.digests.len())
    }
}

fn digest(key: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(differing) == 0
}

/// The key of `Bearer KEY`; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(6)?;
    let key = rest.trim_ascii();
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first() == Some(&b' ');
    (is_bearer && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_keys_opens_and_nothing_else_does() {
        let keys = Keys::of_lines("  first\n\nsecond \r\n").and(Keys::of_lines("third"));
        for good in ["Bearer first", "bearer second", "BEARER  third "] {
            assert_eq!(keys.check(Some(good.as_bytes())), Ok(()), "{good}");
        }
        for (bad, code) in [
            (None, "AUTH_MISSING_API_KEY"),
            (Some(""), "AUTH_INVALID_FORMAT"),
            (Some("first"), "AUTH_INVALID_FORMAT"),
            (Some("Basic first"), "AUTH_INVALID_FORMAT"),
            (Some("Bearer"), "AUTH_INVALID_FORMAT"),
            (Some("Bearer "), "AUTH_INVALID_FORMAT"),
            (Some("Bearerfirst"), "AUTH_INVALID_FORMAT"),
            (Some("Bearer firs"), "AUTH_INVALID_API_KEY"),
            (Some("Bearer first\nsecond"), "AUTH_INVALID_API_KEY"),
        ] {
            let error = keys.check(bad.map(str::as_bytes)).unwrap_err();
            assert_eq!((error.status, error.code), (401, code), "{bad:?}");
        }
    }

    #[test]
    fn without_keys_the_server_is_open() {
        assert_eq!(Keys::default().check(None), Ok(()));
        assert_eq!(Keys::of_lines(" \n").check(Some(b"Basic x")), Ok(()));
    }

    #[test]
    fn a_key_is_in_no_debug_text_and_in_no_error() {
        let keys = Keys::of_lines("secret-one");
        assert_eq!(format!("{keys:?}"), "1 keys");
        let error = keys.check(Some(b"Bearer secret-two")).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
