//! Events of approvals: durable questions to people.

use freehold_types::{ApprovalId, CallId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hash, Name, Note};

/// What an approval is about. It holds for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Of the canonical arguments.
    pub args: Hash,
    /// Of the tool's name and version.
    pub tool: Hash,
    /// Of the rules in force for the tool.
    pub rules: Hash,
}

/// Somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAsked {
    /// The approval.
    pub approval: ApprovalId,
    /// The call.
    pub call: CallId,
    /// What is asked of it.
    pub question: Question,
    /// What a yes would hold for.
    pub binding: Binding,
    /// Who may decide.
    pub deciders: Deciders,
    /// When a decision comes too late.
    pub expires: Timestamp,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// May the call start?
    Start,
    /// Nobody knows whether the call ran. May it run again?
    Repeat,
}

/// Who may decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Deciders {
    /// Whoever may write to the session.
    Anyone,
    /// Whoever has the role.
    Role(Name),
    /// This principal.
    Principal(Name),
}

/// Who decides, as authentication has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The principal.
    pub principal: Name,
    /// Its roles.
    pub roles: Vec<Name>,
}

impl Deciders {
    /// Whether it is theirs to decide.
    pub fn include(&self, who: &Decider) -> bool {
        match self {
            Self::Anyone => true,
            Self::Role(role) => who.roles.contains(role),
            Self::Principal(principal) => who.principal == *principal,
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// Somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecided {
    /// The approval.
    pub approval: ApprovalId,
    /// What was decided.
    pub verdict: Verdict,
    /// By whom.
    pub by: Name,
    /// Why, in their words.
    pub note: Note,
}

/// An approval no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalLapsed {
    /// The approval.
    pub approval: ApprovalId,
    /// Why.
    pub reason: LapseReason,
}

/// Why an approval no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LapseReason {
    /// Nobody decided in time.
    Expired,
    /// The turn is stopped.
    Cancelled,
    /// The tool or its rules changed after it was asked; it is asked anew.
    Changed,
    /// The session was restored from a backup. It may have been decided in what
    /// was lost, so it is asked whether the call may run, possibly again.
    Restored,
}
