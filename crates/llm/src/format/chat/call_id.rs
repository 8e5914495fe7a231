//! Ids that join calls and results, where a server is particular about them.

use super::part::Scope;
use crate::codec::Quirk;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The id as the target takes it. Mistral wants nine letters or digits; a
/// call that another provider made gets such an id by a hash, the same for
/// call and result.
pub(super) fn encode(id: &str, scope: &Scope<'_>) -> String {
    let fits = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !scope.has(Quirk::NineCharCallIds) || fits {
        return id.to_owned();
    }
    let mut hash = fnv(id.as_bytes());
    let mut short = String::with_capacity(9);
    for _ in 0..9 {
        let digit = usize::try_from(hash % 36).unwrap_or_default();
        short.push(char::from(DIGITS[digit]));
        hash /= 36;
    }
    short
}

/// An id for a streamed call that came without one: by the answer's id and
/// the call's number in it, so that ids of one conversation differ.
pub(super) fn invent(answer_id: &str, choice: u32, n: usize) -> String {
    let hash = fnv(format!("{answer_id}/{choice}/{n}").as_bytes());
    format!("call_{hash:016x}")
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Losses, RequestTarget};

    #[test]
    fn a_long_id_gets_nine_characters_for_the_particular() {
        let target =
            RequestTarget { model: "m", quirks: &[Quirk::NineCharCallIds], default_max_tokens: 1 };
        let scope = Scope { target: Some(&target), is_ours: false, losses: &mut Losses::default() };
        let short = encode("toolu_0123456789", &scope);
        assert_eq!(short.len(), 9);
        assert_eq!(short, encode("toolu_0123456789", &scope));
        assert_ne!(short, encode("toolu_0123456788", &scope));
        assert_eq!(encode("abcDEF123", &scope), "abcDEF123");
    }

    #[test]
    fn invented_ids_differ() {
        assert_ne!(invent("a", 0, 0), invent("a", 0, 1));
        assert_ne!(invent("a", 0, 0), invent("b", 0, 0));
    }
}
