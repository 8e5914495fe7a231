//! Sealing: AES-256-GCM under a random nonce, with the place where it lies as
//! associated data, so that nothing that was sealed can be put elsewhere.
//!
//! A form byte, 12 bytes of nonce, as many bytes as were sealed, 16 of tag. A
//! nonce is random, so one key may seal some 2³² times: more events than a
//! session has, and more keys than a tenant.

use std::fmt;

use freehold_types::Env;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// AES-256-GCM; the first byte of all that is sealed.
const FORM: u8 = 1;
const HEAD: usize = 1 + NONCE_LEN;
const TAG: usize = 16;

/// How many bytes sealing adds.
pub const OVERHEAD: usize = HEAD + TAG;

/// The bytes of a key. They do not print, and are overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBytes(Box<[u8; Self::LEN]>);

impl KeyBytes {
    /// How many there are.
    pub const LEN: usize = 32;

    /// A new key.
    pub fn random(env: &dyn Env) -> Self {
        let mut bytes = Box::new([0; Self::LEN]);
        env.fill_random(&mut bytes[..]);
        Self(bytes)
    }

    /// The key of these bytes, if it is as many as it should be. They are
    /// overwritten in any case.
    pub fn take(mut bytes: Vec<u8>) -> Option<Self> {
        let key = <[u8; Self::LEN]>::try_from(&bytes[..]).ok().map(|key| Self(Box::new(key)));
        bytes.fill(0);
        std::hint::black_box(&bytes);
        key
    }

    /// The bytes themselves; the name makes each use easy to find.
    pub fn reveal(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the stores above from being removed as dead.
        std::hint::black_box(&self.0);
    }
}

/// What was sealed cannot be opened: it was changed, it is another place's, or
/// the key is another. Which of them cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be opened: it was changed, it is of another place, or sealed with another key")]
pub struct Unsealable;

/// A key, ready to seal.
pub struct SealKey {
    key: LessSafeKey,
    bytes: KeyBytes,
}

impl SealKey {
    /// Of these bytes.
    #[expect(clippy::expect_used, reason = "AES-256 takes any 32 bytes, and that many there are")]
    pub fn new(bytes: KeyBytes) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes.reveal()).expect("a key of 32 bytes");
        Self { key: LessSafeKey::new(key), bytes }
    }

    /// A new one.
    pub fn random(env: &dyn Env) -> Self {
        Self::new(KeyBytes::random(env))
    }

    /// What it was made of, to be sealed with another.
    pub fn bytes(&self) -> &KeyBytes {
        &self.bytes
    }

    /// Seals `plain` for this place.
    #[expect(clippy::expect_used, reason = "it fails for 64 GiB only, and content is bounded")]
    pub fn seal(&self, env: &dyn Env, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        env.fill_random(&mut nonce);
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.push(FORM);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let content = sealed.get_mut(HEAD..).unwrap_or_default();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(place), content)
            .expect("content of less than 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (head, content) = sealed.split_first_chunk::<HEAD>().ok_or(Unsealable)?;
        let [FORM, nonce @ ..] = *head else { return Err(Unsealable) };
        let mut plain = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(place), &mut plain);
        let len = opened.map_err(|_| Unsealable)?.len();
        plain.truncate(len);
        Ok(plain)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestEnv;

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let env = TestEnv::default();
        let key = SealKey::random(&env);
        for plain in [&b""[..], b"x", &vec![7; 70_000]] {
            let sealed = key.seal(&env, b"here", plain);
            assert_eq!(sealed.len(), plain.len() + OVERHEAD);
            assert_eq!(key.open(b"here", &sealed).unwrap(), plain);
            assert_eq!(key.open(b"there", &sealed), Err(Unsealable));
            assert_eq!(SealKey::random(&env).open(b"here", &sealed), Err(Unsealable));
        }
    }

    #[test]
    fn a_changed_or_cut_byte_is_noticed_anywhere() {
        let env = TestEnv::default();
        let key = SealKey::random(&env);
        let sealed = key.seal(&env, b"", b"content");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(b"", &changed), Err(Unsealable), "byte {at}");
            assert_eq!(key.open(b"", &sealed[..at]), Err(Unsealable), "cut at {at}");
        }
    }

    #[test]
    fn the_same_is_never_sealed_alike_and_keeps_nothing_readable() {
        let env = TestEnv::default();
        let key = SealKey::random(&env);
        let (one, two) = (key.seal(&env, b"", b"secret"), key.seal(&env, b"", b"secret"));
        assert_ne!(one[HEAD..], two[HEAD..]);
        assert!(!one.windows(6).any(|part| part == b"secret"));
        assert_eq!(format!("{key:?} {:?}", key.bytes()), "SealKey(..) KeyBytes(..)");
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        assert!(KeyBytes::take(vec![1; 31]).is_none());
        assert_eq!(KeyBytes::take(vec![1; 32]).unwrap().reveal(), &[1; 32]);
    }
}
