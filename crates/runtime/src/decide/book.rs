//! Records events one by one, and folds each at once, so that every rule sees
//! the state that those before it left.

use freehold_types::{Offset, TurnId};
use jiff::{SignedDuration, Timestamp};

use super::{Given, Refused};
use crate::event::{Actor, Event, Fact, Hash, Labels, Source};
use crate::state::{State, Turn};

/// The most calls that one answer may ask for: more are not even recorded. What
/// follows of them fits into one append of the journal.
pub const OFFERED_MAX: usize = 48;

pub(super) struct Book<'a> {
    pub(super) state: State,
    pub(super) given: &'a Given<'a>,
    events: Vec<Event>,
    minted: u64,
}

impl<'a> Book<'a> {
    pub(super) fn new(state: &State, given: &'a Given<'a>) -> Self {
        Self { state: state.clone(), given, events: Vec::new(), minted: 0 }
    }

    /// Records what follows by the rules.
    pub(super) fn record(&mut self, fact: impl Into<Fact>) -> Result<Offset, Refused> {
        self.push(fact.into(), Actor::Runtime, Source::Runtime, Labels::default())
    }

    /// Records what the cue brought.
    pub(super) fn brought(
        &mut self,
        source: Source,
        fact: impl Into<Fact>,
    ) -> Result<Offset, Refused> {
        let actor = self.given.actor.clone().map_or(Actor::Runtime, Actor::Principal);
        // What a model says is made of all that it saw.
        let labels = match source {
            Source::Model => self.state.labels.union(&self.given.labels),
            _ => self.given.labels.clone(),
        };
        self.push(fact.into(), actor, source, labels)
    }

    fn push(
        &mut self,
        fact: Fact,
        actor: Actor,
        source: Source,
        labels: Labels,
    ) -> Result<Offset, Refused> {
        let event = Event {
            offset: self.state.head.next(),
            at: self.given.now,
            unit: self.given.unit,
            turn: turn_of(&fact, self.state.turn.as_ref()),
            actor,
            on_behalf_of: self.given.on_behalf_of.clone(),
            source,
            labels,
            request: None,
            fact,
        };
        self.state.apply(&event)?;
        let offset = event.offset;
        self.events.push(event);
        Ok(offset)
    }

    /// Fresh chance for one id: the same for the same seed and place.
    pub(super) fn mint<T>(&mut self, id: fn(Timestamp, &[u8; 10]) -> T) -> T {
        let mut bytes = [0; 24];
        let (seed, count) = bytes.split_at_mut(16);
        seed.copy_from_slice(&self.given.seed);
        count.copy_from_slice(&self.minted.to_be_bytes());
        self.minted += 1;
        let hash = Hash::of(&bytes);
        let mut random = [0; 10];
        for (to, from) in random.iter_mut().zip(hash.bytes()) {
            *to = *from;
        }
        id(self.given.now, &random)
    }

    /// So many milliseconds from now; the end of time if there is no such.
    pub(super) fn after(&self, ms: u64) -> Timestamp {
        later(self.given.now, ms)
    }

    pub(super) fn close(self) -> (State, Vec<Event>) {
        (self.state, self.events)
    }
}

/// A time and so many milliseconds; the end of time if there is no such.
pub(super) fn later(at: Timestamp, ms: u64) -> Timestamp {
    let ms = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    at.checked_add(ms).unwrap_or(Timestamp::MAX)
}

/// The turn that an event belongs to: the one that runs, if the event is of
/// its making and not merely of its time.
fn turn_of(fact: &Fact, turn: Option<&Turn>) -> Option<TurnId> {
    match fact {
        Fact::TurnStarted(fact) => Some(fact.turn),
        Fact::SessionCreated(_)
        | Fact::Forked(_)
        | Fact::ForkedFrom(_)
        | Fact::Rewound(_)
        | Fact::Sealed(_)
        | Fact::Unsealed(_)
        | Fact::Arrived(_)
        | Fact::Imported(_)
        | Fact::Restored(_)
        | Fact::Pinned(_)
        | Fact::Unpinned(_)
        | Fact::InputAccepted(_)
        | Fact::SignalReceived(_)
        | Fact::TimerFired(_)
        | Fact::TimerCancelled(_)
        | Fact::BudgetRaised(_) => None,
        Fact::TimerSet(set) => match set.purpose {
            crate::event::TimerPurpose::Input(_) => None,
            crate::event::TimerPurpose::Call(_) => turn.map(|turn| turn.id),
        },
        Fact::InputTaken(_)
        | Fact::TurnWaiting(_)
        | Fact::CancelAsked(_)
        | Fact::TurnEnded(_)
        | Fact::Faulted(_)
        | Fact::ModelAsked(_)
        | Fact::ToolsListed(_)
        | Fact::ModelDelta(_)
        | Fact::ModelAnswered(_)
        | Fact::ModelAborted(_)
        | Fact::Compacted(_)
        | Fact::ToolIntended(_)
        | Fact::ToolStarted(_)
        | Fact::ToolDoubted(_)
        | Fact::ToolOutcome(_)
        | Fact::ToolObserved(_)
        | Fact::ApprovalAsked(_)
        | Fact::ApprovalDecided(_)
        | Fact::ApprovalLapsed(_)
        | Fact::BudgetPaused(_) => turn.map(|turn| turn.id),
    }
}
