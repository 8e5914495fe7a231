//! The door to content that is too large for the database.
//!
//! A blob lies under its tenant, its session and the hash of its plain
//! content; what lies there is that content sealed. It never changes, so to
//! put it twice is the same as once.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::{BoxFuture, ErrorKind, SessionId, TenantId};

/// The most bytes that a blob has, sealed: more than any body that is let in.
pub const BLOB_BYTES_MAX: usize = 256 << 20;

/// Where a blob lies: `TENANT/SESSION/HASH`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BlobName {
    /// Whose it is.
    pub tenant: TenantId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// The SHA-256 of its plain content.
    pub hash: [u8; 32],
}

/// Text that is no blob's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a blob's name: it should be a tenant, a session and 64 hex digits, with slashes")]
pub struct BlobNameError;

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.tenant, self.session)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobName {
    type Err = BlobNameError;

    /// One name has one text.
    fn from_str(text: &str) -> Result<Self, BlobNameError> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(BlobNameError);
        let tenant = part()?.parse().map_err(|_| BlobNameError)?;
        let session = part()?.parse().map_err(|_| BlobNameError)?;
        let hash = unhex(part()?).ok_or(BlobNameError)?;
        Ok(Self { tenant, session, hash })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

/// Which blobs are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobScope {
    /// All of them.
    All,
    /// A tenant's.
    Tenant(TenantId),
    /// A session's.
    Session(TenantId, SessionId),
}

impl BlobScope {
    /// What the names of these begin with; empty, or up to a slash.
    pub fn prefix(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Tenant(tenant) => format!("{tenant}/"),
            Self::Session(tenant, session) => format!("{tenant}/{session}/"),
        }
    }
}

/// A blob that lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub name: BlobName,
    /// How many bytes lie there.
    pub size: u64,
}

/// Why a blob store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("the blob {0} is missing; restore it from a backup")]
    Missing(BlobName),
    /// It is there, and not what was put there.
    #[error("the blob {name} is damaged: {why}; restore it from a backup")]
    Damaged {
        /// Its name.
        name: BlobName,
        /// What is wrong with it.
        why: String,
    },
    /// It has more bytes than a blob may.
    #[error("a blob of {0} bytes, of which there may be {BLOB_BYTES_MAX}")]
    TooLarge(u64),
    /// The store lets us not.
    #[error("the blob store refuses access: {0}")]
    Denied(String),
    /// There is no room; an operator must make some.
    #[error("the blob store is full: {0}")]
    Full(String),
    /// It may work later.
    #[error("the blob store cannot do this now: {0}")]
    Unavailable(String),
}

impl BlobError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing(_) | Self::Damaged { .. } => ErrorKind::Internal,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::Denied(_) | Self::Full(_) | Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }
}

/// Where blobs lie. Faults are injected here in tests.
pub trait Blobs: Send + Sync + 'static {
    /// Puts a blob in its place, durably and as a whole or not at all; again,
    /// if it is there already.
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>>;

    /// Reads a blob; that it is as it was put is for the reader to see, who
    /// can open it.
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>>;

    /// Removes a blob. One that is not there is no error.
    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>>;

    /// The blobs in the scope whose names' text comes after that of `after`,
    /// in that order; `limit` of them, or all if they are fewer. What is there
    /// and is no blob is left out.
    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        after: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_text() {
        let session = "sess_018bcfe568007fffbfffffffffffffff";
        let text = format!("acme/{session}/{}", "0a".repeat(32));
        let name: BlobName = text.parse().unwrap();
        assert_eq!((name.to_string(), name.hash), (text.clone(), [10; 32]));
        let scope = BlobScope::Session(name.tenant.clone(), name.session);
        assert!(text.starts_with(&scope.prefix()));
        for wrong in [
            String::new(),
            format!("{text}0"),
            format!("{text}/"),
            format!("/{text}"),
            text.to_uppercase(),
            format!("../{session}/{}", "0a".repeat(32)),
            format!("acme/{session}/{}", "0A".repeat(32)),
            format!("acme//{}", "0a".repeat(32)),
        ] {
            assert_eq!(wrong.parse::<BlobName>(), Err(BlobNameError), "{wrong}");
        }
    }
}
