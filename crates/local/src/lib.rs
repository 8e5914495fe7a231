//! In-process inference and embeddings for small open models.
//!
//! An [`Engine`] answers the hub's requests with the hub's events: there is
//! no JSON between us and ourselves, no HTTP, and no async runtime beyond a
//! channel. Each engine owns one thread and a bounded queue; the numbers are
//! crunched by candle, whose threads are as many as the physical cores
//! (`CANDLE_NUM_THREADS` in the process's environment sets another number).
//!
//! To add an architecture: its norms, biases and rotation in `chat/config.rs`
//! and `chat/decoder.rs`. To add a packaged model: a row in `weights`.

mod chat;
mod embed;
mod error;
mod queue;
pub mod weights;

pub use chat::{Engine, Events, Options};

pub use embed::{Embedder, Embeddings};
