//! Tools of Freehold's own.

mod ask;
mod read;
mod search;
mod wait;

use serde_json::{Map, Value};

use super::Performed;
use super::rules::Hints;
use crate::decide::Ended;
use crate::event::Content;

pub(super) use read::read;
pub(super) use search::search;
pub(super) use wait::until;

/// The tool that pages results which were too large.
pub const READ_RESULT: &str = "read_result";

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builtin {
    /// Waits for seconds or months, without anybody's work.
    WaitUntil,
    /// Asks a person, who answers when they like.
    AskHuman,
    /// Looks through the session's own whole journal.
    SessionSearch,
    /// Pages a result that was too large to be shown.
    ReadResult,
}

impl Builtin {
    const ALL: [Self; 4] = [Self::WaitUntil, Self::AskHuman, Self::SessionSearch, Self::ReadResult];

    /// What models and the configuration call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WaitUntil => "wait_until",
            Self::AskHuman => "ask_human",
            Self::SessionSearch => "session_search",
            Self::ReadResult => READ_RESULT,
        }
    }

    /// The one of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }

    /// All names, for a message.
    pub(super) fn known() -> String {
        let names: Vec<_> = Self::ALL.iter().map(|builtin| builtin.name()).collect();
        format!("there are {}", names.join(", "))
    }

    /// What a model is told of it.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::WaitUntil => wait::DESCRIPTION,
            Self::AskHuman => ask::DESCRIPTION,
            Self::SessionSearch => search::DESCRIPTION,
            Self::ReadResult => read::DESCRIPTION,
        }
    }

    /// The schema of its arguments.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::WaitUntil => wait::schema(),
            Self::AskHuman => ask::schema(),
            Self::SessionSearch => search::schema(),
            Self::ReadResult => read::schema(),
        }
    }

    /// All of them may be performed again without harm.
    pub(super) const HINTS: Hints = Hints { read_only: true, idempotent: true, destructive: false };
}

/// An error that the model reads, and can do better.
pub(super) fn failed(message: impl Into<String>) -> Performed {
    Performed::Ended(Ended::Failed(Content::text(message)))
}

pub(super) fn ok(text: impl Into<String>) -> Performed {
    Performed::Ended(Ended::Ok(Content::text(text)))
}

/// The fields of arguments; none if they are no object.
pub(super) fn fields(arguments: &str) -> Map<String, Value> {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
