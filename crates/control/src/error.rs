//! What can go wrong in managing keys, groups and budgets.

use std::sync::Arc;

use freehold_types::{BudgetId, Code, DbError, ErrorKind, GroupId, KeyId, TenantId};

use crate::TreeError;

/// A management operation that did not happen, or a start that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not take it.
    #[error("the store did not take the change")]
    Store(#[from] DbError),
    /// A group's place in the tree cannot be.
    #[error("{0}")]
    Tree(#[from] TreeError),
    /// No such key.
    #[error("the tenant `{0}` has no key `{1}`")]
    NoKey(TenantId, KeyId),
    /// No such group.
    #[error("the tenant `{0}` has no group `{1}`")]
    NoGroup(TenantId, GroupId),
    /// No such budget.
    #[error("the tenant `{0}` has no budget `{1}`")]
    NoBudget(TenantId, BudgetId),
    /// A group with groups or keys in it cannot go.
    #[error("the group `{0}` still has keys or groups in it; move or revoke them first")]
    GroupInUse(GroupId),
    /// Something given cannot be used.
    #[error("{what} cannot be used: {why}")]
    Invalid {
        /// `the bootstrap key`, `the budget's amount`...
        what: &'static str,
        /// Why, and what would be right.
        why: String,
    },
    /// The master key is not the one that the store was used with.
    #[error(
        "the keys in the store are sealed with the master key {stored}, and this node has {given}: \
         give it that one; all nodes over one store have the same"
    )]
    MasterKeyWrong {
        /// The name of the one that is asked for.
        stored: Arc<str>,
        /// The name of the one that is here.
        given: Arc<str>,
    },
    /// What is stored cannot be right; an operator must look.
    #[error("the stored {what} cannot be read: {why}")]
    Damaged {
        /// What it is of.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            other => other.code().kind(),
        }
    }

    /// A stable word for clients.
    pub fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::StoreFailed,
            Self::Tree(TreeError::Missing(..)) | Self::NoGroup(..) => Code::GroupNotFound,
            Self::Tree(TreeError::Cycle(_)) => Code::GroupCycle,
            Self::Tree(TreeError::TooDeep(_)) => Code::GroupTooDeep,
            Self::NoKey(..) => Code::KeyNotFound,
            Self::NoBudget(..) => Code::BudgetNotFound,
            Self::GroupInUse(_) => Code::GroupInUse,
            Self::Invalid { .. } => Code::ValueInvalid,
            Self::MasterKeyWrong { .. } => Code::MasterKeyWrong,
            Self::Damaged { .. } => Code::StoreDamaged,
        }
    }
}
