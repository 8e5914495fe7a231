//! Events: the immutable records of a session's journal.

mod approval;
mod budget;
mod codec;
mod content;
mod envelope;
mod fact;
mod hash;
mod input;
mod labels;
mod model;
mod session;
mod text;
mod timer;
mod tool;
mod turn;
mod upcast;
mod usage;

pub use approval::{
    ApprovalAsked, ApprovalDecided, ApprovalLapsed, Binding, Decider, Deciders, LapseReason,
    Question, Verdict,
};
pub use budget::{BudgetPaused, BudgetRaised, LimitKind, Limits, Scope};
pub use codec::{BODY_BYTES_MAX, BODY_DEPTH_MAX, DecodeError, EncodeError, VERSION};
pub use content::{Content, INLINE_BYTES_MAX};
pub use envelope::{Actor, Event, Request, Source};
pub use fact::{Fact, KINDS};
pub use hash::Hash;
pub use input::{Busy, InputAccepted, InputTaken, SignalReceived};
pub use labels::Labels;
pub use model::{
    AbortReason, Compacted, Listing, ModelAborted, ModelAnswered, ModelAsked, ModelDelta, Purpose,
    ToolsListed,
};
pub use session::{
    Arrived, Forked, ForkedFrom, Imported, Origin, Pinned, Restored, Rewound, Sealed,
    SessionCreated, Span, Unpinned, Unsealed,
};
pub use text::{Name, Note, Text, TextError};
pub use timer::{Repeat, TimerCancelled, TimerFired, TimerPurpose, TimerSet};
pub use tool::{
    Allowed, Doubt, ErrorReason, Outcome, Place, Resolve, RetryRule, ToolDoubted, ToolIntended,
    ToolObserved, ToolOutcome, ToolStarted, UnknownReason,
};
pub use turn::{
    CancelAsked, CancelReason, EndReason, Faulted, TurnEnded, TurnStarted, TurnWaiting, WaitOn,
};
pub use usage::Usage;
