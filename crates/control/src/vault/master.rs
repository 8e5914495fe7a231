//! The master key: where all other keys lead to. Where it is kept is the
//! server's affair.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use freehold_types::{Env, Secret};
use ring::hmac;
use sha2::{Digest as _, Sha256};

use super::{KeyBytes, SealKey};

/// The key that seals the tenants' keys.
pub struct MasterKey {
    key: SealKey,
    id: Box<str>,
}

/// Text that is no master key. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the master key is not 32 bytes as 64 hex digits or as base64; `openssl rand -hex 32` makes one"
)]
pub struct MasterKeyError;

impl MasterKey {
    /// A new one.
    pub fn random(env: &dyn Env) -> Self {
        Self::new(KeyBytes::random(env))
    }

    fn new(bytes: KeyBytes) -> Self {
        let hash = Sha256::new_with_prefix("freehold master key\0").chain_update(bytes.reveal());
        let id = hex(&hash.finalize()[..8]).into();
        Self { key: SealKey::new(bytes), id }
    }

    /// Reads 64 hex digits, or base64 of 32 bytes.
    pub fn parse(text: &Secret) -> Result<Self, MasterKeyError> {
        let text = text.reveal().trim();
        let bytes = unhex(text)
            .or_else(|| STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok());
        bytes.and_then(KeyBytes::take).map(Self::new).ok_or(MasterKeyError)
    }

    /// As a file keeps it: 64 hex digits.
    pub fn reveal(&self) -> Secret {
        Secret::new(hex(self.key.bytes().reveal()))
    }

    /// What it is called in the store and in messages; it tells nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs something that only those who have the key may have written.
    pub fn sign(&self, content: &[u8]) -> [u8; 32] {
        let purpose = hmac::Key::new(hmac::HMAC_SHA256, self.key.bytes().reveal());
        // A key of its own, so that sealing and signing share none.
        let key = hmac::sign(&purpose, b"freehold signature");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), content);
        let mut signature = [0; 32];
        signature.copy_from_slice(tag.as_ref());
        signature
    }

    pub(super) fn key(&self) -> &SealKey {
        &self.key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if pairs.len() != KeyBytes::LEN || !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestEnv;

    #[test]
    fn it_is_read_as_hex_and_as_base64() {
        let env = TestEnv::default();
        let key = MasterKey::random(&env);
        let text = key.reveal();
        assert_eq!(text.reveal().len(), 64);
        let upper = Secret::new(format!(" {}\n", text.reveal().to_uppercase()));
        let base64 = Secret::new(STANDARD.encode(key.key.bytes().reveal()));
        for form in [&text, &upper, &base64] {
            assert_eq!(MasterKey::parse(form).unwrap().id(), key.id());
        }
        assert_ne!(MasterKey::random(&env).id(), key.id());
    }

    #[test]
    fn what_is_none_is_refused_and_nothing_prints() {
        let short = "ab".repeat(31);
        for text in ["", "password", &short, &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(MasterKey::parse(&Secret::new(text)).is_err(), "{text}");
        }
        let key = MasterKey::parse(&Secret::new("ab".repeat(32))).unwrap();
        assert_eq!(format!("{key:?}"), format!("MasterKey({})", key.id()));
        assert!(!key.id().contains("abab"));
    }
}
