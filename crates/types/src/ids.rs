//! Ids: a prefix that tells what it is, and a UUIDv7 that sorts by time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::Env;

/// Text that is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind: it should be `{prefix}` and 32 lower-case hex digits")]
pub struct IdError {
    /// What an id of this kind begins with.
    pub prefix: &'static str,
}

/// Hex digits of an id.
const DIGITS: usize = 32;

/// Declares id types. Each is 16 bytes in memory; as text it is its prefix and
/// 32 hex digits, which sort as the ids do.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text of such an id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, from the door's time and randomness.
            pub fn new(env: &dyn Env) -> Self {
                let mut random = [0; 10];
                env.fill_random(&mut random);
                Self::from_parts(env.now(), &random)
            }

            /// An id of a time and of chance that came in as values, for
            /// those who may not ask for them.
            pub fn from_parts(at: Timestamp, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(millis(at), random).into_uuid())
            }

            /// Its text, to be shared.
            pub fn shared(&self) -> Arc<str> {
                const LENGTH: usize = $prefix.len() + DIGITS;
                let mut text = [0; LENGTH];
                let (prefix, digits) = text.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                self.0.as_simple().encode_lower(digits);
                // ASCII, as its parts are.
                std::str::from_utf8(&text).unwrap_or_default().into()
            }

            /// As a table keeps it.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// Text that parts ids by age: those made in an earlier
            /// millisecond sort before it, all others after.
            pub fn floor(at: Timestamp) -> String {
                format!(concat!($prefix, "{:012x}"), millis(at))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; DIGITS];
                f.write_str($prefix)?;
                f.write_str(self.0.as_simple().encode_lower(&mut digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A virtual key.
    KeyId = "key_";
    /// One client request with its attempts and its answer.
    ExchangeId = "exch_";
    /// A budget.
    BudgetId = "bud_";
    /// The durable state of one agent's work.
    SessionId = "sess_";
    /// One life of one process that serves: a node that starts again is
    /// another one, so that its leases of before are not taken for its own.
    NodeId = "node_";
    /// One run of the agent loop in a session.
    TurnId = "turn_";
    /// One write to a journal, by which a lost acknowledgement is looked up.
    UnitId = "unit_";
    /// One call of a tool; what its idempotency key is made of.
    CallId = "call_";
    /// One question that somebody is asked to decide.
    ApprovalId = "appr_";
    /// One timer of a session.
    TimerId = "timer_";
}

/// A clock before 1970 is wrong anyway; ids then sort by chance.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// One id has one text: upper case, hyphens and braces are refused.
fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let error = IdError { prefix };
    let digits = text.strip_prefix(prefix).ok_or(error)?;
    let plain =
        digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !plain {
        return Err(error);
    }
    Uuid::try_parse(digits).map_err(|_| error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::BoxFuture;

    struct At(i64, u8);

    impl Env for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0).unwrap()
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
        fn fill_random(&self, out: &mut [u8]) {
            out.fill(self.1);
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn text_sorts_by_time() {
        let early = KeyId::new(&At(1_700_000_000_000, 0xff));
        let late = KeyId::new(&At(1_700_000_000_001, 0x00));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string(), "key_018bcfe568007fffbfffffffffffffff");
        assert_eq!(*early.shared(), *early.to_string());
    }

    #[test]
    fn the_floor_parts_ids_by_age() {
        let at = At(1_700_000_000_001, 0);
        let floor = KeyId::floor(at.now());
        assert!(KeyId::new(&At(1_700_000_000_000, 0xff)).to_string() < floor);
        assert!(KeyId::new(&at).to_string() > floor);
        assert!(KeyId::new(&At(1_700_000_000_002, 0)).to_string() > floor);
    }

    #[test]
    fn only_its_own_text_is_an_id() {
        let id = ExchangeId::new(&At(1, 7));
        assert_eq!(id.to_string().parse(), Ok(id));
        let hex = "018bcfe568007fffbfffffffffffffff";
        for text in [
            String::new(),
            hex.into(),
            format!("key_{hex}"),
            format!("exch_{}", hex.to_uppercase()),
            format!("exch_{hex}0"),
            "exch_018bcfe5-6800-7fff-bfff-ffffffffffff".into(),
        ] {
            assert_eq!(text.parse::<ExchangeId>(), Err(IdError { prefix: "exch_" }), "{text}");
        }
    }

    #[test]
    fn a_clock_before_1970_still_makes_ids() {
        assert_ne!(KeyId::new(&At(-1, 1)), KeyId::new(&At(-1, 2)));
    }
}
