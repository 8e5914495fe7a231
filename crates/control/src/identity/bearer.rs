//! What a client presents, and the only form in which it is kept.

use std::fmt;

use freehold_types::{Env, Secret};
use sha2::{Digest, Sha256};

/// What a new key begins with.
const PREFIX: &str = "fh-";
/// Random bytes in a new key.
const ENTROPY: usize = 32;
/// Base 62 digits for [`ENTROPY`] bytes: 62⁴³ > 2²⁵⁶.
const DIGITS: usize = 43;
/// Digits of a key that may be shown to tell keys apart; the rest keeps more
/// than 220 of its 256 bits.
const SHOWN_DIGITS: usize = 6;
/// The longest key that is looked at.
const LEN_MAX: usize = 512;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The SHA-256 of a bearer key. Keys have full entropy, so a slow or salted
/// hash would add nothing; and comparing hashes tells nothing about keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of what was presented. `None` if no key looks like that.
    pub(crate) fn of(presented: &str) -> Option<Self> {
        (!presented.is_empty() && presented.len() <= LEN_MAX)
            .then(|| Self(Sha256::digest(presented.as_bytes()).into()))
    }
}

/// Not a secret, but no use in a log either.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "KeyHash({a:02x}{b:02x}..)")
    }
}

/// A key that does not exist yet: `fh-` and 43 base 62 digits.
pub(crate) fn generate(env: &dyn Env) -> Secret {
    let mut random = [0; ENTROPY];
    env.fill_random(&mut random);
    let mut text = String::with_capacity(PREFIX.len() + DIGITS);
    text.push_str(PREFIX);
    text.extend(base62(random).map(char::from));
    random.fill(0);
    Secret::new(text)
}

/// The start of a key, to tell it from others. A short key shows nothing.
pub(crate) fn shown(key: &Secret) -> String {
    let key = key.reveal();
    let visible = PREFIX.len() + SHOWN_DIGITS;
    match key.get(..visible) {
        Some(start) if key.len() >= visible + 16 => format!("{start}…"),
        _ => "…".to_owned(),
    }
}

/// A big-endian number in base 62, most significant digit first.
fn base62(mut number: [u8; ENTROPY]) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u16;
        for byte in &mut number {
            let dividend = rest << 8 | u16::from(*byte);
            // Below 256, since the rest is below 62.
            *byte = u8::try_from(dividend / 62).unwrap_or(u8::MAX);
            rest = dividend % 62;
        }
        *digit = ALPHABET[usize::from(rest)];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestEnv;

    #[test]
    fn base_62_is_positional() {
        let text = |number| String::from_utf8(base62(number).to_vec()).unwrap();
        let mut number = [0; ENTROPY];
        assert_eq!(text(number), "0".repeat(DIGITS));
        number[ENTROPY - 1] = 61;
        assert!(text(number).ends_with("00z"));
        number[ENTROPY - 1] = 62;
        assert!(text(number).ends_with("010"));
        number[ENTROPY - 2] = 1; // 256 + 62 = 5 * 62 + 8
        assert!(text(number).ends_with("058"));
        // 2²⁵⁶ - 1, computed elsewhere.
        assert_eq!(text([0xff; ENTROPY]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }

    #[test]
    fn keys_differ_and_only_their_start_is_shown() {
        let env = TestEnv::default();
        let (a, b) = (generate(&env), generate(&env));
        assert_ne!(a, b);
        assert_eq!(a.reveal().len(), PREFIX.len() + DIGITS);
        assert!(a.reveal().starts_with(&*shown(&a).replace('…', "")));
        assert_eq!(shown(&a).chars().count(), 10);
        assert_eq!(shown(&Secret::new("short-key")), "…");
        assert_eq!(shown(&Secret::new("abключ-очень-длинный-ключ")), "…");
    }

    #[test]
    fn what_cannot_be_a_key_is_not_hashed() {
        assert!(KeyHash::of("").is_none());
        assert!(KeyHash::of(&"x".repeat(LEN_MAX + 1)).is_none());
        let hash = KeyHash::of("abc").unwrap();
        assert_eq!(hash.0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(format!("{hash:?}"), "KeyHash(ba78..)");
    }
}
