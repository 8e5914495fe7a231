//! How an exchange went.

use std::sync::Arc;

use freehold_store::exchanges::{Closed, Tokens};
use freehold_store::lost::Lost;
use freehold_types::{Money, Rounding};
use jiff::Timestamp;

/// What an exchange used and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Who answered; `None` if nobody was asked.
    pub provider: Option<Arc<str>>,
    /// The deployment that answered.
    pub deployment: Option<Arc<str>>,
    /// The model that answered, by the provider's name for it.
    pub model: Option<Arc<str>>,
    /// The HTTP status that the client got.
    pub status: u16,
    /// The kind of error that it ended with: an
    /// [`ErrorKind::word`](freehold_types::ErrorKind::word), or `cancelled`.
    pub error: Option<Arc<str>>,
    /// How many attempts were sent.
    pub attempts: u32,
    /// What the answer used.
    pub tokens: Tokens,
    /// What that costs; `None` without a price.
    pub cost: Option<Money>,
    /// What rounding did to the cost.
    pub rounding: Rounding,
    /// Whether the tokens were counted here, not said by the provider.
    pub estimated: bool,
    /// Attempts that gave no answer and may be billed all the same.
    pub lost: Vec<Lost>,
}

impl Settlement {
    /// What answer and lost attempts cost together.
    pub(crate) fn total_cost(&self) -> Money {
        let answer = self.cost.unwrap_or(Money::ZERO);
        self.lost.iter().fold(answer, |cost, lost| cost.saturating_add(lost.cost))
    }

    /// Input and output tokens together, as limits count them: of the answer
    /// alone, since lost attempts are not the client's doing.
    pub(crate) fn total_tokens(&self) -> u64 {
        self.tokens.input.saturating_add(self.tokens.output)
    }

    /// An exchange that was given up before anything was sent.
    pub(crate) fn abandoned() -> Self {
        Self { error: Some("cancelled".into()), cost: Some(Money::ZERO), ..Self::default() }
    }

    pub(crate) fn into_closed(self, closed_at: Timestamp) -> Closed {
        Closed {
            cost: self.total_cost(),
            unpriced: self.cost.is_none(),
            estimated: self.estimated || !self.lost.is_empty(),
            closed_at,
            provider: self.provider,
            deployment: self.deployment,
            model: self.model,
            status: self.status,
            error: self.error,
            attempts: self.attempts,
            tokens: self.tokens,
            rounding: self.rounding,
            lost: self.lost,
        }
    }
}
