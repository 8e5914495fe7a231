//! Approvals: asked, decided once, void after their time.

use freehold_types::{ApprovalId, CallId};

use super::book::Book;
use super::{ApprovalDecision, ApprovalRule, Refused, doubt, tool};
use crate::event::{
    ApprovalAsked, ApprovalDecided, ApprovalLapsed, ErrorReason, LapseReason, Outcome, Question,
    Source, UnknownReason, Verdict,
};
use crate::state::Approval;

/// Asks whether a call may start.
pub(super) fn ask_to_start(book: &mut Book<'_>, call: CallId) -> Result<(), Refused> {
    ask(book, call, Question::Start)
}

/// Asks whether a call of which nobody knows may run again.
pub(super) fn ask_to_repeat(book: &mut Book<'_>, call: CallId) -> Result<(), Refused> {
    ask(book, call, Question::Repeat)
}

fn ask(book: &mut Book<'_>, id: CallId, question: Question) -> Result<(), Refused> {
    let Some(call) = book.state.call(id) else { return Ok(()) };
    let rules = book.given.rules;
    let of_tool = rules.tools.get(&call.tool).and_then(|tool| tool.approval.as_ref());
    let ApprovalRule { deciders, expires_ms } = of_tool.unwrap_or(&rules.doubt).clone();
    let Some(binding) = tool::binding(book, call) else {
        // The tool is gone: there is nothing to ask for.
        return refuse(book, id, question, ErrorReason::NoSuchTool);
    };
    let approval = book.mint(ApprovalId::from_parts);
    let expires = book.after(expires_ms);
    book.record(ApprovalAsked { approval, call: id, question, binding, deciders, expires })?;
    Ok(())
}

/// Somebody decides. The same decision again changes nothing; another one is
/// refused.
pub(super) fn decided(book: &mut Book<'_>, decision: &ApprovalDecision) -> Result<(), Refused> {
    let id = decision.approval;
    let Some(approval) = book.state.approval(id).cloned() else {
        let before = book.state.decided.iter().find(|decided| decided.id == id);
        return match before.map(|decided| decided.verdict) {
            None => Err(Refused::NotWaiting("the approval")),
            Some(None) => Err(Refused::Lapsed),
            Some(Some(verdict)) if verdict == decision.verdict => Ok(()),
            Some(Some(verdict)) => Err(Refused::AlreadyDecided(verdict)),
        };
    };
    let call = book.state.call(approval.call).cloned();
    let Some(call) = call else { return Err(Refused::NotWaiting("the approval")) };
    if !approval.deciders.include(&decision.by) {
        return Err(Refused::NotYours);
    }
    if decision.args.is_some_and(|shown| shown != call.args) {
        return Err(Refused::ChangedArguments);
    }
    if book.given.now >= approval.expires {
        return Err(Refused::Lapsed);
    }
    let yes = decision.verdict == Verdict::Approve;
    if yes && tool::bound(book, &call) != Some(call.bound) {
        // Tool or rules are not those that were shown: asked anew.
        lapse(book, id, LapseReason::Changed)?;
        return ask(book, call.id, approval.question);
    }
    let (verdict, by) = (decision.verdict, decision.by.principal.clone());
    let note = decision.note.clone();
    book.brought(Source::User, ApprovalDecided { approval: id, verdict, by, note })?;
    match (approval.question, yes) {
        // `advance` starts it.
        (Question::Start, true) => Ok(()),
        (Question::Repeat, true) => doubt::repeat(book, &call),
        (question, false) => refuse(book, call.id, question, ErrorReason::Denied),
    }
}

/// An approval for which nobody decided in time.
pub(super) fn expire(book: &mut Book<'_>, approval: &Approval) -> Result<(), Refused> {
    lapse(book, approval.id, LapseReason::Expired)?;
    refuse(book, approval.call, approval.question, ErrorReason::ApprovalExpired)
}

pub(super) fn lapse(
    book: &mut Book<'_>,
    approval: ApprovalId,
    reason: LapseReason,
) -> Result<(), Refused> {
    book.record(ApprovalLapsed { approval, reason })?;
    Ok(())
}

/// The answer is no: what never started is refused, what may have run stays
/// unknown.
fn refuse(
    book: &mut Book<'_>,
    call: CallId,
    question: Question,
    reason: ErrorReason,
) -> Result<(), Refused> {
    let outcome = match question {
        Question::Start => Outcome::Refused(reason),
        Question::Repeat => Outcome::Unknown(UnknownReason::NotRepeated),
    };
    tool::settle(book, call, outcome).map(|_| ())
}
