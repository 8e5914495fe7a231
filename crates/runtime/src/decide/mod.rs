//! What a session does next: a happening and a state give events to commit
//! and, once they are committed, actions to perform.
//!
//! Each rule is in one place: `cue` says what can happen, a file a family
//! records it, `advance` says what follows of the state, and [`owed`] which
//! actions the state owes. Since actions are a function of the state alone,
//! whoever takes a session over owes exactly what its journal says.

mod advance;
mod approval;
mod book;
mod cancel;
mod compact;
mod cue;
mod doubt;
mod input;
mod limits;
mod model;
mod owed;
mod refused;
mod rules;
mod session;
mod stuck;
mod takeover;
mod timer;
mod tool;

use freehold_types::{SessionId, UnitId};
use jiff::Timestamp;

use crate::event::{Event, Labels, Name};
use crate::state::State;

pub use book::OFFERED_MAX;
pub use compact::{Lost, check as check_compaction};
pub use cue::{ClientAnswer, Cue, Decision as ApprovalDecision, Ended, Found, Offered, Wanted};
pub use owed::{Action, Performing, due, owed};
pub use refused::Refused;
pub use rules::{ApprovalRule, Rules, ToolRules};

use book::Book;

/// All that a decision may know besides state and cue.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// The session.
    pub session: SessionId,
    /// The time.
    pub now: Timestamp,
    /// The lease under which it is decided.
    pub epoch: u64,
    /// The timeline that the session is on.
    pub timeline: u64,
    /// The write that the events will come with.
    pub unit: UnitId,
    /// Chance, fresh for each decision; ids are made of it.
    pub seed: [u8; 16],
    /// Who brought the cue; `None` if Freehold itself did.
    pub actor: Option<Name>,
    /// For whom.
    pub on_behalf_of: Option<Name>,
    /// The labels of what the cue brings.
    pub labels: Labels,
    /// The rules in force.
    pub rules: &'a Rules,
}

/// What to do about a cue.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// To be committed, all in one unit.
    pub events: Vec<Event>,
    /// To be performed after the commit, and only then.
    pub actions: Vec<Action>,
    /// When [`Cue::Due`] is to be given, whatever else happens; `None` is
    /// never. Replaces the wake-up before.
    pub wake: Option<Timestamp>,
    /// The state with the events in it.
    pub state: State,
}

/// Decides. Nothing of a refused cue is to be recorded; what the state owes
/// and when it is due are as they were.
pub fn decide(state: &State, cue: Cue, given: &Given<'_>) -> Result<Decision, Refused> {
    session::admits(state, &cue)?;
    let ended = owed::ended_by(state, &cue);
    let takeover = matches!(cue, Cue::TakenOver);
    let mut book = Book::new(state, given);
    record(&mut book, cue)?;
    advance::advance(&mut book)?;
    let (after, events) = book.close();
    let before = if takeover { Vec::new() } else { owed(state) };
    let actions = owed::changed(&before, &owed(&after), ended);
    let wake = due(&after, given.rules);
    Ok(Decision { events, actions, wake, state: after })
}

/// Records the cue itself; what follows of it is `advance`'s.
fn record(book: &mut Book<'_>, cue: Cue) -> Result<(), Refused> {
    match cue {
        Cue::Create { agent, origin, limits } => session::create(book, agent, origin, limits),
        Cue::Input { content, busy, key, settings } => {
            input::input(book, content, busy, key, settings)
        }
        Cue::Signal { name, content } => input::signal(book, name, content),
        Cue::Listed { asked, listings, content } => model::listed(book, asked, listings, content),
        Cue::Chunk { asked, content } => model::chunk(book, asked, content),
        Cue::Answered { asked, answer } => model::answered(book, asked, answer),
        Cue::ModelFailed { asked, reason, message, usage } => {
            model::failed(book, asked, reason, &message, usage)
        }
        Cue::ToolEnded { call, attempt, ended } => tool::ended(book, call, attempt, ended),
        Cue::Queried { call, attempt, found } => doubt::queried(book, call, attempt, found),
        Cue::ClientAnswers { answers } => tool::client_answers(book, answers),
        Cue::Decide(decision) => approval::decided(book, &decision),
        Cue::SetTimer { due, repeat, purpose } => timer::set(book, due, repeat, purpose),
        Cue::CancelTimer { timer } => timer::cancel(book, timer),
        Cue::Due => timer::due(book),
        Cue::Cancel { turn } => cancel::asked(book, turn),
        Cue::RaiseBudget { scope, limits } => limits::raised(book, scope, limits),
        Cue::Compact => compact::asked(book),
        Cue::Pin { at } => session::pin(book, at),
        Cue::Unpin { at } => session::unpin(book, at),
        Cue::Fork { child, at } => session::fork(book, child, at),
        Cue::ForkedFrom { parent } => session::forked_from(book, parent),
        Cue::Rewind { to, context } => session::rewind(book, to, context),
        Cue::Seal { cell, bundle, at } => session::seal(book, cell, bundle, at),
        Cue::Unseal { refusal } => session::unseal(book, refusal),
        Cue::Arrived { from, bundle } => session::arrived(book, from, bundle),
        Cue::Imported { from, session, bundle } => session::imported(book, from, session, bundle),
        Cue::TakenOver => takeover::taken_over(book),
    }
}
