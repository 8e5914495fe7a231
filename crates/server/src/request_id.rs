//! The name by which a client, a log and a provider know the same request.

use std::sync::Arc;

use freehold_types::Env;
use http::{HeaderMap, HeaderName};

/// Where it stands, in and out.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones are replaced: they stand in every log line.
const LEN_MAX: usize = 128;

/// The client's, if it can be used, else a new one: `req_` and a UUIDv7.
pub fn of(headers: &HeaderMap, env: &dyn Env) -> Arc<str> {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let usable = given.filter(|id| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        !id.is_empty() && id.len() <= LEN_MAX && id.bytes().all(plain)
    });
    usable.map_or_else(|| new(env), Arc::from)
}

fn new(env: &dyn Env) -> Arc<str> {
    let mut random = [0; 10];
    env.fill_random(&mut random);
    let millis = u64::try_from(env.now().as_millisecond()).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = *b"req_00000000000000000000000000000000";
    id.as_simple().encode_lower(&mut text[4..]);
    // ASCII by construction.
    std::str::from_utf8(&text).unwrap_or("req_").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::RealEnv;

    #[test]
    fn a_plain_id_is_kept_and_anything_else_is_replaced() {
        let env = RealEnv::new();
        let mut headers = HeaderMap::new();
        for (given, kept) in
            [("abc-1.2:3_X", true), ("a b", false), ("a\"b", false), (&*"x".repeat(129), false)]
        {
            headers.insert(HEADER, given.parse().unwrap());
            assert_eq!(&*of(&headers, &env) == given, kept, "{given}");
        }
        let made = of(&HeaderMap::new(), &env);
        assert_eq!((made.len(), made.starts_with("req_01")), (36, true), "{made}");
    }
}
