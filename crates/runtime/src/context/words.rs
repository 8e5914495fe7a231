//! What Freehold itself says to a model.

use crate::event::{ErrorReason, Name, UnknownReason};

/// Asks for the summary that stands for the conversation before it.
pub(super) const SUMMARISE: &str = "\
Stop here and write a summary of this conversation. It will stand in its place: whoever goes on, \
most likely you, sees the summary and not the conversation. Do not go on with the task and call \
no tools; answer with the summary only.

Keep, in this order and as briefly as it can be said without loss:
1. What was asked for, in the user's own terms, with every wish, limit and preference that still \
holds.
2. What was decided, and why, where the reason matters later.
3. What was done and what came of it, calls of tools included: what changed in the world, what \
failed, and what is in doubt.
4. Facts that were found: names, numbers, dates, amounts, identifiers, addresses, file paths, \
commands, and wording that must stay exact. Copy them letter by letter.
5. What is open: tasks that are left, the next step, questions that nobody has answered, promises.

Leave out greetings, repetitions and what later turns made void. Invent nothing; where something \
is not certain, say so. Write in the language of the conversation.";

/// Stands before a summary.
pub(super) const SUMMARY: &str = "\
[Summary of the conversation so far. It stands for messages that are no longer shown; go on from \
it.]";

/// Stands where a conversation would begin in the middle.
pub(super) const LEFT_OUT: &str = "[What was said before is left out.]";

/// Stands where nobody said anything to answer to.
pub(super) const GO_ON: &str = "Go on.";

/// The result of a call that has none yet.
pub(super) const NOT_ENDED: &str =
    "[This call has not ended yet. Its result will come later; do not call it again for that.]";

/// The result of a call whose result is not in the context.
pub(super) const NOT_KEPT: &str = "[The result of this call is no longer shown.]";

/// Stands before a result whose call is not in the context.
pub(super) const KEPT_RESULT: &str = "[The result of an earlier call of a tool:]";

/// A signal from outside.
pub(super) fn signal(name: &Name, content: &str) -> String {
    match content {
        "null" => format!("[Signal `{name}`]"),
        content => format!("[Signal `{name}`]\n{content}"),
    }
}

/// A restore: what it cannot undo.
pub(super) const RESTORED: &str = "\
[This conversation was restored from a backup. Whatever was said and done after this point and \
before the restore is lost here, and not undone in the world: calls of tools may have run of which \
nothing is shown. Before you change anything outside, find out how things stand.]";

/// A rewind that left effects in the world.
pub(super) fn rewound(effects: u32) -> String {
    let calls = if effects == 1 { "1 call" } else { &format!("{effects} calls") };
    format!(
        "[The conversation was taken back to this point. What was taken back had started {calls} \
         of tools. That is not undone: what those calls changed stays changed.]"
    )
}

/// The result of a call that never started.
pub(super) fn refused(reason: &ErrorReason) -> &'static str {
    match reason {
        ErrorReason::NoSuchTool => "Not called: there is no tool of this name.",
        ErrorReason::BadArguments => {
            "Not called: the arguments are no valid JSON. Write them again, whole."
        }
        ErrorReason::Forbidden => "Not called: the rules here forbid it.",
        ErrorReason::TooMany => {
            "Not called: one answer called more tools than it may. Call it again if it is still \
             needed."
        }
        ErrorReason::CallLimit => {
            "Not called: as many tools were called as may be for this answer. Go on without."
        }
        ErrorReason::Denied => {
            "Not called: it was put to somebody to approve, who denied it. Do not try it again \
             unless you are told to."
        }
        ErrorReason::ApprovalExpired => "Not called: nobody approved it in time.",
        ErrorReason::Cancelled => "Not called: the turn was stopped before.",
    }
}

/// The result of a call that was denied, with the reason if one was given.
pub(super) fn denied(why: &str) -> String {
    let said = refused(&ErrorReason::Denied);
    match why.trim() {
        "" => said.to_owned(),
        why => format!("{said}\nThe reason that was given: {why}"),
    }
}

/// The result of a call of which nobody knows whether it ran.
pub(super) fn unknown(reason: UnknownReason) -> String {
    let why = match reason {
        UnknownReason::Lost => "the connection to it was lost",
        UnknownReason::Timeout => "it did not answer in time",
        UnknownReason::Attempts => "it was tried as often as it may be",
        UnknownReason::QueryFailed => "the tool itself could not say",
        UnknownReason::NotRepeated => "it was not to be repeated",
        UnknownReason::Cancelled => "the turn was stopped while it ran",
        UnknownReason::Forked => "it runs on in the session that this one was forked from",
        UnknownReason::Imported => "it runs on in the session that this one is a copy of",
        UnknownReason::Restored => {
            "the records of it may have been lost when a backup was restored"
        }
    };
    format!(
        "Outcome unknown: {why}. The call may or may not have run, and its effect may or may not \
         be there. Do not repeat it blindly: first find out what happened, or ask."
    )
}
