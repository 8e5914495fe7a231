//! How an exchange went.

use std::sync::Arc;

use freehold_types::{Money, Rounding};

/// What an exchange used and what became of it, all attempts together.
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
    /// What they used.
    pub tokens: Tokens,
    /// What that costs; `None` without a price.
    pub cost: Option<Money>,
    /// What rounding did to the cost.
    pub rounding: Rounding,
    /// Whether the tokens were counted here, not said by the provider.
    pub estimated: bool,
}

/// Token counts; those beside `input` and `output` are parts of them.
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

impl Tokens {
    /// Input and output together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
