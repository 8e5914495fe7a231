//! The door to a model that runs in this process.

use std::pin::Pin;
use std::sync::Arc;

use freehold_llm::model::{ApiError, Event, Request};
use freehold_types::BoxFuture;
use futures_util::Stream;

/// The events of one answer as they come. Dropping it cancels the work.
pub type EngineStream = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// The model that made them.
    pub model: String,
    /// One a text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub tokens: u64,
}

/// A model in this process: the hub's values in and out, no bytes between us
/// and ourselves.
pub trait Engine: Send + Sync + 'static {
    /// Begins an answer. `created` is in seconds since 1970; `seed` is used
    /// where the request has none.
    fn generate(
        &self,
        request: Arc<Request>,
        model: &str,
        created: i64,
        seed: u64,
    ) -> BoxFuture<'_, Result<EngineStream, Box<ApiError>>>;

    /// The input tokens of a request by the model's own tokenizer.
    fn count_tokens(
        &self,
        request: Arc<Request>,
        model: &str,
    ) -> BoxFuture<'_, Result<u64, Box<ApiError>>>;

    /// Vectors of texts.
    fn embed(
        &self,
        model: &str,
        texts: Vec<String>,
    ) -> BoxFuture<'_, Result<Embedded, Box<ApiError>>>;

    /// The models there are weights for.
    fn models(&self) -> Vec<String>;
}
