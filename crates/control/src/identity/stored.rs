//! Keys and groups as the store has them.

use std::sync::Arc;

use freehold_store::{groups, keys};
use serde::{Deserialize, Serialize};

use crate::identity::{Group, Key, KeyHash, Routes};
use crate::{Error, Limits};

/// [`Limits`] as JSON. A field may be added, never renamed.
#[derive(Serialize, Deserialize)]
struct StoredLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
}

fn limits_to_json(limits: Limits) -> Arc<str> {
    let Limits { requests_per_minute, tokens_per_minute, concurrency } = limits;
    let stored = StoredLimits { requests_per_minute, tokens_per_minute, concurrency };
    // Three numbers always serialise.
    serde_json::to_string(&stored).unwrap_or_default().into()
}

fn limits_from_json(json: &str) -> Result<Limits, serde_json::Error> {
    let StoredLimits { requests_per_minute, tokens_per_minute, concurrency } =
        serde_json::from_str(json)?;
    Ok(Limits { requests_per_minute, tokens_per_minute, concurrency })
}

pub(crate) fn key_to_row(key: &Key) -> keys::Key {
    let routes = key.routes.patterns().map(|patterns| {
        // A list of text always serialises.
        serde_json::to_string(patterns).unwrap_or_default().into()
    });
    keys::Key {
        tenant: key.tenant.clone(),
        id: key.id,
        group: key.group.clone(),
        name: key.name.clone(),
        hash: Arc::from(key.hash.0.as_slice()),
        prefix: key.shown.as_str().into(),
        admin: key.admin,
        routes,
        limits: limits_to_json(key.limits),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    }
}

pub(crate) fn key_from_row(row: &keys::Key) -> Result<Key, Error> {
    let damaged = |why: String| Error::Damaged { what: format!("key `{}`", row.id), why };
    let hash = <[u8; 32]>::try_from(&*row.hash)
        .map_err(|_| damaged(format!("its hash has {} bytes", row.hash.len())))?;
    let routes = match row.routes.as_deref() {
        None => Routes::ALL,
        Some(json) => {
            let patterns: Vec<String> =
                serde_json::from_str(json).map_err(|error| damaged(error.to_string()))?;
            Routes::only(&patterns).map_err(|error| damaged(error.to_string()))?
        }
    };
    Ok(Key {
        id: row.id,
        tenant: row.tenant.clone(),
        group: row.group.clone(),
        name: row.name.clone(),
        hash: KeyHash(hash),
        shown: row.prefix.to_string(),
        admin: row.admin,
        routes,
        limits: limits_from_json(&row.limits).map_err(|error| damaged(error.to_string()))?,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    })
}

pub(crate) fn group_to_row(group: &Group, created_at: jiff::Timestamp) -> groups::Group {
    groups::Group {
        tenant: group.tenant.clone(),
        name: group.id.clone(),
        parent: group.parent.clone(),
        limits: limits_to_json(group.limits),
        created_at,
    }
}

pub(crate) fn group_from_row(row: &groups::Group) -> Result<Group, Error> {
    let limits = limits_from_json(&row.limits).map_err(|error| Error::Damaged {
        what: format!("group `{}` of `{}`", row.name, row.tenant),
        why: error.to_string(),
    })?;
    Ok(Group {
        tenant: row.tenant.clone(),
        id: row.name.clone(),
        parent: row.parent.clone(),
        limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_keep_and_tell_none_from_zero() {
        let limits = Limits { requests_per_minute: Some(0), ..Limits::default() };
        let json = limits_to_json(limits);
        assert_eq!(&*json, r#"{"requests_per_minute":0}"#);
        assert_eq!(limits_from_json(&json).unwrap(), limits);
        assert_eq!(limits_from_json("{}").unwrap(), Limits::default());
        assert!(limits_from_json(r#"{"concurrency":-1}"#).is_err());
    }
}
