//! What was used, and the books about it.

mod flush;
mod settlement;

pub use flush::Flush;
pub use settlement::{Settlement, Tokens};
