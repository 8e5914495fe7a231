//! The rules in force, as values: what the owner configured.

use std::collections::BTreeMap;

use crate::event::{Deciders, Hash, Limits, Name, Place, RetryRule};

/// The rules in force for a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What a turn may use.
    pub turn_limits: Limits,
    /// How many attempts in a row may fail before a turn does; crashes count,
    /// so that an answer that kills its worker is not asked for without end.
    pub failures_max: u32,
    /// The wait before the second attempt; doubled for each further one.
    pub backoff_ms: u64,
    /// The longest such wait.
    pub backoff_max_ms: u64,
    /// How long nothing may happen in a turn that waits for nobody.
    pub stuck_ms: u64,
    /// How long attempts and calls that were told to stop may take to.
    pub grace_ms: u64,
    /// The context is compacted when it has so many tokens.
    pub compact_at_tokens: Option<u64>,
    /// Who decides about calls in doubt, where the tool has no approval rule.
    pub doubt: ApprovalRule,
    /// How many calls a worker may start for one answer of ours.
    pub calls_max: Option<u64>,
    /// Calls of one answer of a model are started one after the other.
    pub one_by_one: bool,
    /// The tools, by name.
    pub tools: BTreeMap<Name, ToolRules>,
}

/// The rules for one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRules {
    /// The tool's version.
    pub version: Name,
    /// Of all that these rules are made of.
    pub hash: Hash,
    /// Who performs it.
    pub place: Place,
    /// Whether it may be called at all.
    pub forbidden: bool,
    /// Whether somebody is asked before each call.
    pub approval: Option<ApprovalRule>,
    /// What becomes of a call in doubt.
    pub retry: RetryRule,
    /// How often it is started without asking anybody, at most.
    pub attempts_max: u32,
    /// How long a start may take.
    pub timeout_ms: u64,
}

/// Whom to ask, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRule {
    /// Who may decide.
    pub deciders: Deciders,
    /// How long they have.
    pub expires_ms: u64,
}
