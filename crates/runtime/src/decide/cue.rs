//! What can happen to a session.

use freehold_types::{ApprovalId, CallId, Offset, SessionId, TimerId, TurnId};
use jiff::Timestamp;

use crate::event::{
    AbortReason, Busy, Content, Decider, Hash, Limits, Listing, Name, Note, Origin, Repeat, Scope,
    Span, Text, TimerPurpose, Usage, Verdict,
};

/// A happening.
#[derive(Clone, Debug, PartialEq)]
pub enum Cue {
    /// The session is to exist. On the empty state only.
    Create {
        /// The agent that works in it, with its version.
        agent: Name,
        /// Where it comes from.
        origin: Origin,
        /// What it may use.
        limits: Limits,
    },
    /// An input came.
    Input {
        /// Its items.
        content: Content,
        /// What becomes of it if a turn runs.
        busy: Busy,
        /// Of the client's idempotency key and request.
        key: Option<Hash>,
        /// Whether the content brings settings.
        settings: bool,
    },
    /// A signal came.
    Signal {
        /// Which.
        name: Name,
        /// What came with it.
        content: Content,
    },
    /// An attempt found what servers of tools list, before it asked the model.
    Listed {
        /// The attempt.
        asked: Offset,
        /// What all of them list, in short.
        listings: Vec<Listing>,
        /// What those list that are new.
        content: Content,
    },
    /// Some of an answer came.
    Chunk {
        /// The attempt.
        asked: Offset,
        /// Its events: what came while the last commit ran.
        content: Content,
    },
    /// An answer is complete.
    Answered {
        /// The attempt.
        asked: Offset,
        /// The answer.
        answer: Offered,
    },
    /// An attempt ended without an answer; also the end of a stopped one.
    ModelFailed {
        /// The attempt.
        asked: Offset,
        /// Why.
        reason: AbortReason,
        /// What failed, for people.
        message: Note,
        /// What it used nevertheless.
        usage: Usage,
    },
    /// A tool that the worker called ended.
    ToolEnded {
        /// The call.
        call: CallId,
        /// The start.
        attempt: u32,
        /// How.
        ended: Ended,
    },
    /// A tool was asked by key what became of a call.
    Queried {
        /// The call.
        call: CallId,
        /// The start that is in doubt.
        attempt: u32,
        /// What it said.
        found: Found,
    },
    /// The client, or a person, answers calls: all of them or none.
    ClientAnswers {
        /// The answers.
        answers: Vec<ClientAnswer>,
    },
    /// Somebody decides an approval.
    Decide(Decision),
    /// A timer is to be set.
    SetTimer {
        /// When it fires first.
        due: Timestamp,
        /// And when again.
        repeat: Repeat,
        /// What it does.
        purpose: TimerPurpose,
    },
    /// A timer is not to fire.
    CancelTimer {
        /// Which.
        timer: TimerId,
    },
    /// The time of the wake-up has come, or any other time: whatever is due
    /// is done.
    Due,
    /// The turn is to stop.
    Cancel {
        /// Which; `None` for the one that runs.
        turn: Option<TurnId>,
    },
    /// Limits are set anew.
    RaiseBudget {
        /// Whose.
        scope: Scope,
        /// All of them.
        limits: Limits,
    },
    /// The context is to be compacted.
    Compact,
    /// An event of the context is to survive compactions.
    Pin {
        /// Which.
        at: Offset,
    },
    /// It need not any more.
    Unpin {
        /// Which.
        at: Offset,
    },
    /// Another session begins with this one's events.
    Fork {
        /// The other.
        child: SessionId,
        /// The last event that they share.
        at: Offset,
    },
    /// The state is the parent's at the fork; this is the child's first cue.
    ForkedFrom {
        /// The parent.
        parent: SessionId,
    },
    /// The model is to forget what came after an event.
    Rewind {
        /// The last event that counts: the end of a turn.
        to: Offset,
        /// The context there, by a fold of the journal up to it.
        context: Vec<Span>,
    },
    /// The session moves to another cell.
    Seal {
        /// Which.
        cell: Name,
        /// Of the bundle.
        bundle: Hash,
        /// The last event that the bundle has before the seal.
        at: Offset,
    },
    /// It does not.
    Unseal {
        /// Of the cell's refusal.
        refusal: Hash,
    },
    /// It was sealed for this cell, and is here now.
    Arrived {
        /// The cell that it comes from.
        from: Name,
        /// Of the bundle.
        bundle: Hash,
    },
    /// The state is that of another cell's session; this is the first cue of
    /// the copy.
    Imported {
        /// The cell that signed the copy.
        from: Name,
        /// The session there.
        session: SessionId,
        /// Of the bundle.
        bundle: Hash,
    },
    /// A worker begins with the session: whoever had it is gone.
    TakenOver,
}

/// A complete answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// The model that answered.
    pub model: Name,
    /// Its items.
    pub content: Content,
    /// What it used.
    pub usage: Usage,
    /// The tools that it calls, in order.
    pub calls: Vec<Wanted>,
    /// The provider paused and goes on when asked again.
    pub more: bool,
}

/// A call of a tool that an answer asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The provider's id of it.
    pub model_call: Text<128>,
    /// The tool's name; what is too long for a name names no tool.
    pub tool: Name,
    /// Of the canonical arguments; of the text as it is if that is no JSON.
    pub args: Hash,
    /// Whether the arguments are JSON.
    pub readable: bool,
}

impl Wanted {
    /// What a call in an answer asks for.
    pub fn of(call: &freehold_llm::model::ToolCall) -> Self {
        let canonical = match call.kind {
            freehold_llm::model::ToolCallKind::Function => {
                crate::canonical::canonical(&call.input).ok()
            }
            freehold_llm::model::ToolCallKind::Custom => Some(call.input.clone()),
        };
        Self {
            model_call: Text::cut(&call.call_id),
            tool: Name::cut(&call.name),
            args: Hash::of(canonical.as_deref().unwrap_or(&call.input).as_bytes()),
            readable: canonical.is_some(),
        }
    }
}

/// How a call that the worker performed ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With a result.
    Ok(Content),
    /// With an error of the tool's own: it is known what happened.
    Failed(Content),
    /// Nobody knows: the connection broke, the answer cannot be read.
    Lost,
}

/// What a tool said about a call by its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It ran, and this is its result.
    Ok(Content),
    /// It ran, and this is its error.
    Failed(Content),
    /// It never ran.
    Nothing,
    /// The tool cannot say.
    Unclear,
}

/// An answer to a call that a client or a person performs.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientAnswer {
    /// The call.
    pub call: CallId,
    /// The result.
    pub content: Content,
    /// Whether it is an error.
    pub is_error: bool,
}

/// A decision about an approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The approval.
    pub approval: ApprovalId,
    /// What.
    pub verdict: Verdict,
    /// Who.
    pub by: Decider,
    /// Of the canonical arguments that they were shown, if they say.
    pub args: Option<Hash>,
    /// Why, in their words.
    pub note: Note,
}
