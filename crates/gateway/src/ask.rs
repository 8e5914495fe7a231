//! An exchange in this process: a request of the hub's, and events of the hub.

use freehold_llm::model::Event;
use freehold_types::Money;

/// What an exchange in this process brings.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and none is kept")]
pub enum Said {
    /// An event of the answer.
    Event(Event),
    /// What the exchange cost so far as the books have it, attempts that gave
    /// no answer included; the last counts. Comes before the answer's end.
    Cost(Money),
}

impl From<Event> for Said {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}
