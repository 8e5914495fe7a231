//! Folds events of approvals.

use freehold_types::ApprovalId;

use super::{Fit, push, take};
use crate::event::{ApprovalAsked, ApprovalDecided, ApprovalLapsed, Question, Verdict};
use crate::state::{Approval, CALLS_MAX, DECIDED_MAX, Decided, State, Status};

impl State {
    pub(super) fn approval_asked(&mut self, fact: &ApprovalAsked) -> Fit {
        if self.approval_of(fact.call).is_some() {
            return Err("the call asks already");
        }
        let call = self.call_mut(fact.call)?;
        let fits = match fact.question {
            Question::Start => matches!(call.status, Status::Asks | Status::Ready),
            Question::Repeat => matches!(call.status, Status::Doubted { .. }),
        };
        if !fits {
            return Err("the call does not ask that");
        }
        call.bound = fact.binding.hash();
        if fact.question == Question::Start {
            call.status = Status::Asks;
        }
        let approval = Approval {
            id: fact.approval,
            call: fact.call,
            question: fact.question,
            deciders: fact.deciders.clone(),
            expires: fact.expires,
        };
        push(&mut self.approvals, CALLS_MAX, approval, "more approvals than calls")
    }

    pub(super) fn approval_decided(&mut self, fact: &ApprovalDecided) -> Fit {
        let approval = self.close_approval(fact.approval, Some(fact.verdict))?;
        let approved = fact.verdict == Verdict::Approve;
        if approved && approval.question == Question::Start {
            self.call_mut(approval.call)?.status = Status::Ready;
        }
        Ok(())
    }

    pub(super) fn approval_lapsed(&mut self, fact: &ApprovalLapsed) -> Fit {
        self.close_approval(fact.approval, None).map(|_| ())
    }

    fn close_approval(
        &mut self,
        id: ApprovalId,
        verdict: Option<Verdict>,
    ) -> Result<Approval, &'static str> {
        let approval = take(&mut self.approvals, |approval| approval.id == id)
            .ok_or("the approval does not wait")?;
        if self.decided.len() >= DECIDED_MAX {
            self.decided.remove(0);
        }
        self.decided.push(Decided { id, verdict });
        Ok(approval)
    }
}
