//! What is kept of an exchange.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use freehold_types::{ExchangeId, GroupId, KeyId, Money, Rounding, TenantId};
use jiff::Timestamp;

use crate::lost::Lost;

/// An exchange as it is known when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, unique in the tenant.
    pub id: ExchangeId,
    /// The key's group.
    pub group: Option<GroupId>,
    /// The key that it came with.
    pub key: KeyId,
    /// The model name that the client asked for.
    pub route: Arc<str>,
    /// The client's dialect, or the endpoint that passes through.
    pub dialect: Arc<str>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// When it began.
    pub opened_at: Timestamp,
    /// What was reserved for it.
    pub reserved: Money,
}

/// How an exchange went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When it ended.
    pub closed_at: Timestamp,
    /// Who answered; `None` if nobody was asked.
    pub provider: Option<Arc<str>>,
    /// The deployment that answered.
    pub deployment: Option<Arc<str>>,
    /// The model that answered, by the provider's name for it.
    pub model: Option<Arc<str>>,
    /// The HTTP status that the client got.
    pub status: u16,
    /// The kind of error that it ended with.
    pub error: Option<Arc<str>>,
    /// The attempts that it took.
    pub attempts: u32,
    /// What the answer used.
    pub tokens: Tokens,
    /// What all of it costs, lost attempts included.
    pub cost: Money,
    /// What rounding did to the cost.
    pub rounding: Rounding,
    /// Whether the tokens were counted by us, not said by the provider.
    pub estimated: bool,
    /// Whether there is no price for the answer, so that it costs nothing.
    pub unpriced: bool,
    /// Attempts that gave no answer and may be billed all the same.
    pub lost: Vec<Lost>,
}

impl Closed {
    /// What the answer alone costs.
    pub(crate) fn answer_cost(&self) -> Money {
        self.lost.iter().fold(self.cost, |cost, lost| cost.saturating_sub(lost.cost))
    }
}

/// Token counts; those below `input` and `output` are parts of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input.
    pub input: u64,
    /// Input read from a prompt cache.
    pub cache_read: u64,
    /// Input written to a prompt cache.
    pub cache_write: u64,
    /// Of the written, what is kept for long.
    pub cache_write_long: u64,
    /// All output.
    pub output: u64,
    /// Output that was reasoning.
    pub reasoning: u64,
}

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It began, and nobody said yet how it ended.
    Open,
    /// It ended, and what it cost is known.
    Closed,
    /// The process went down with it; it was settled at its reservation.
    Interrupted,
}

/// Text that names no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a state: use open, closed or interrupted")]
pub struct StateError;

impl State {
    /// Its word in the database and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        [Self::Open, Self::Closed, Self::Interrupted]
            .into_iter()
            .find(|state| state.word() == text)
            .ok_or(StateError)
    }
}

/// An exchange as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Where it stands.
    pub state: State,
    /// How it began.
    pub opened: Opened,
    /// How it went, unless it is open.
    pub closed: Option<Closed>,
}
