//! Rows to test with.

use std::sync::Arc;

use freehold_store::exchanges::{Closed, Opened, Tokens};
use freehold_store::keys::Key;
use freehold_store::lost::Lost;
use freehold_types::{ExchangeId, KeyName, Money, Rounding, TenantId};
use jiff::Timestamp;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// An id with a number in its low digits, so that ids sort by it.
pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, n: u32) -> T {
    format!("{prefix}01890000000070008000{n:012x}").parse().unwrap()
}

pub(crate) fn key(tenant: &TenantId, n: u32) -> Key {
    Key {
        tenant: tenant.clone(),
        id: id("key_", n),
        group: None,
        name: KeyName::new("a key").unwrap(),
        hash: Arc::from(n.to_be_bytes()),
        prefix: "fh_abc".into(),
        admin: false,
        routes: Some(r#"["fast"]"#.into()),
        limits: "{}".into(),
        created_at: at(0),
        expires_at: Some(at(100)),
        revoked_at: None,
    }
}

pub(crate) fn opened(tenant: &TenantId, n: u32) -> Opened {
    Opened {
        tenant: tenant.clone(),
        id: id::<ExchangeId>("exch_", n),
        group: None,
        key: id("key_", 1),
        route: "fast".into(),
        dialect: "chat".into(),
        stream: true,
        opened_at: at(i64::from(n)),
        reserved: money("0.25"),
    }
}

pub(crate) fn closed(cost: &str) -> Closed {
    Closed {
        closed_at: at(1000),
        provider: Some("upstream".into()),
        deployment: Some("upstream/m".into()),
        model: Some("m-1".into()),
        status: 200,
        error: None,
        attempts: 1,
        tokens: Tokens {
            input: 100,
            cache_read: 40,
            cache_write: 30,
            cache_write_long: 20,
            output: 50,
            reasoning: 10,
        },
        cost: money(cost),
        rounding: Rounding(-12),
        estimated: false,
        unpriced: false,
        lost: Vec::new(),
    }
}

pub(crate) fn lost(cost: &str) -> Lost {
    Lost {
        provider: "slow".into(),
        deployment: "slow/m".into(),
        model: "m-0".into(),
        input_tokens: 70,
        output_tokens: 3,
        cost: money(cost),
        unpriced: false,
    }
}
