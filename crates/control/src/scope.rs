//! Whom a limit or a budget is for.

use std::fmt;

use freehold_types::{GroupId, KeyId, TenantId};

/// One place where limits and budgets apply. An exchange is subject to those
/// of its key, of the key's group and all groups above it, and of its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All keys of a tenant.
    Tenant(TenantId),
    /// All keys of a group and of the groups below it.
    Group(TenantId, GroupId),
    /// One key.
    Key(TenantId, KeyId),
}

impl Scope {
    /// The tenant that it is in.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Tenant(tenant) | Self::Group(tenant, _) | Self::Key(tenant, _) => tenant,
        }
    }
}

/// As in a sentence: `the group `research``.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
            Self::Group(_, group) => write!(f, "the group `{group}`"),
            Self::Key(_, key) => write!(f, "the key `{key}`"),
        }
    }
}
