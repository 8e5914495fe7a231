//! The key that a cell signs with what other cells are to believe: bundles of
//! sessions, and refusals of such.
//!
//! It is derived from the key of the tenant `main`, so it lies nowhere by
//! itself, all nodes of the cell have it, and a new master key leaves it as it
//! is. Ed25519.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_types::TenantId;
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::{KeyBytes, Keyring};
use crate::Error;

/// What the text of a public key begins with.
const PREFIX: &str = "ed25519:";

/// A cell's key to sign with. It does not print.
pub struct CellKey {
    pair: Ed25519KeyPair,
    public: CellPublicKey,
}

/// What others know a cell by. As text `ed25519:` and base64 of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellPublicKey([u8; 32]);

/// A signature of a cell's. As text base64 of 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CellSignature([u8; 64]);

/// Text that is no public key of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cell's public key: it is `ed25519:` and base64, as `freehold cell show` prints it")]
pub struct CellPublicKeyError;

/// Text that is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signature: it should be base64 of 64 bytes")]
pub struct CellSignatureError;

impl CellKey {
    /// The key that is derived from this seed.
    #[expect(clippy::expect_used, reason = "Ed25519 takes any 32 bytes, and that many there are")]
    pub fn from_seed(seed: &KeyBytes) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.reveal()).expect("a seed of 32 bytes");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public: CellPublicKey(public) }
    }

    /// What others know it by.
    pub fn public(&self) -> CellPublicKey {
        self.public
    }

    /// Signs `content`; `purpose` keeps it from being taken for anything else.
    pub fn sign(&self, purpose: &'static str, content: &[u8]) -> CellSignature {
        let signature = self.pair.sign(&message(purpose, content));
        let mut bytes = [0; 64];
        bytes.copy_from_slice(signature.as_ref());
        CellSignature(bytes)
    }
}

impl CellPublicKey {
    /// Whether the owner of this key signed `content` for this purpose.
    pub fn verifies(
        &self,
        purpose: &'static str,
        content: &[u8],
        signature: &CellSignature,
    ) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(&message(purpose, content), &signature.0).is_ok()
    }

    /// What a cell is called that was given no name.
    pub fn usual_name(&self) -> String {
        let hash = Sha256::digest(self.0);
        let digits = hash.iter().take(4).map(|byte| format!("{byte:02x}"));
        std::iter::once("cell-".to_owned()).chain(digits).collect()
    }
}

/// Of the hash: content may be long, and Ed25519 reads it twice.
fn message(purpose: &str, content: &[u8]) -> Vec<u8> {
    let hash = Sha256::digest(content);
    [b"freehold ", purpose.as_bytes(), &b"\0"[..], &hash[..]].concat()
}

impl Keyring {
    /// The key that this cell signs with: the same on all its nodes.
    pub async fn cell_key(&self) -> Result<CellKey, Error> {
        let main = self.key(&TenantId::main()).await?;
        let from = hmac::Key::new(hmac::HMAC_SHA256, main.bytes().reveal());
        let seed = hmac::sign(&from, b"freehold cell signature 1");
        let seed = KeyBytes::take(seed.as_ref().to_vec()).ok_or_else(|| Error::Damaged {
            what: "the cell's key".into(),
            why: "its seed is not 32 bytes".into(),
        })?;
        Ok(CellKey::from_seed(&seed))
    }
}

impl fmt::Debug for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellKey({})", self.public)
    }
}

impl fmt::Display for CellPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for CellPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CellPublicKey {
    type Err = CellPublicKeyError;

    fn from_str(text: &str) -> Result<Self, CellPublicKeyError> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(CellPublicKeyError)
    }
}

impl fmt::Display for CellSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for CellSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CellSignature {
    type Err = CellSignatureError;

    fn from_str(text: &str) -> Result<Self, CellSignatureError> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(CellSignatureError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestEnv;

    #[test]
    fn a_signature_holds_for_its_key_purpose_and_content_only() {
        let env = TestEnv::default();
        let key = CellKey::from_seed(&KeyBytes::random(&env));
        let other = CellKey::from_seed(&KeyBytes::random(&env));
        let signed = key.sign("bundle", b"content");
        assert!(key.public().verifies("bundle", b"content", &signed));
        assert!(!key.public().verifies("refusal", b"content", &signed));
        assert!(!key.public().verifies("bundle", b"contents", &signed));
        assert!(!other.public().verifies("bundle", b"content", &signed));
        for at in 0..64 {
            let mut changed = signed;
            changed.0[at] ^= 1;
            assert!(!key.public().verifies("bundle", b"content", &changed), "byte {at}");
        }
    }

    #[test]
    fn text_is_read_back_and_nothing_else() {
        let key = CellKey::from_seed(&KeyBytes::random(&TestEnv::default()));
        let (public, signed) = (key.public(), key.sign("bundle", b"x"));
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(signed.to_string().parse(), Ok(signed));
        let text = public.to_string();
        for bad in ["", "ed25519:", text.trim_start_matches(PREFIX), &format!("{text}AA")] {
            assert_eq!(bad.parse::<CellPublicKey>(), Err(CellPublicKeyError), "{bad}");
        }
        assert!(format!("{key:?}").contains(&text), "it shows what is public, and no more");
        assert_eq!(public.usual_name().len(), "cell-".len() + 8);
    }
}
