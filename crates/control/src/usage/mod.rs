//! What was used, and the books about it.
//!
//! An exchange never waits for the store: its records go into a bounded queue
//! ([`books::Books`]), from which one writer puts them into the store in
//! batches. Each begun exchange holds a place in the queue until its end is
//! durable, so there is always room for the end of what was let begin.

mod batch;
mod books;
mod recovery;
mod retention;
mod settlement;
mod writer;

pub(crate) use batch::{Ending, How, Post};
pub(crate) use books::{Books, Place};
pub use books::{Durability, Flush, UsageCounts, UsageSettings, WhenStoreDown};
pub use freehold_store::exchanges::Tokens;
pub use freehold_store::lost::Lost;
pub(crate) use recovery::{PAGE as RECOVERY_PAGE, interrupt, recover};
pub use settlement::Settlement;
pub use writer::UsageWriter;

#[cfg(test)]
mod tests;
