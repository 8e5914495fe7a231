//! Waiting for a record to be durable, where that is asked for.

use crate::Refusal;

/// A record on its way into the store.
#[derive(Debug)]
#[must_use = "with `durability = \"sync\"` the exchange waits for it"]
pub struct Flush(());

impl Flush {
    /// Nobody waits for it.
    pub(crate) fn none() -> Self {
        Self(())
    }

    /// Resolves when the record is durable; at once, unless the operator asked
    /// for records to be durable before the exchange goes on.
    #[expect(clippy::unused_async, reason = "the writer comes next")]
    pub async fn done(self) -> Result<(), Refusal> {
        Ok(())
    }
}
