//! The door to models: what the gateway does for a session.

use std::pin::Pin;
use std::sync::Arc;

pub use freehold_gateway::Said;
use freehold_llm::model::{ApiError, Request};
use freehold_types::{BoxFuture, Offset, SessionId, TenantId};
use futures_util::Stream;

use crate::event::Name;

/// The events of one answer as they come, and its cost before the last of them.
/// Dropping it cancels the exchange.
pub type ModelStream = Pin<Box<dyn Stream<Item = Said> + Send>>;

/// One attempt of a session to have a model answer.
#[derive(Clone, Debug)]
pub struct ModelAsk {
    /// Whose session it is.
    pub tenant: TenantId,
    /// The id of the key that pays.
    pub payer: Name,
    /// The session.
    pub session: SessionId,
    /// The attempt: the event that asked. With the session it names the
    /// exchange in logs and books.
    pub asked: Offset,
    /// What is asked, context and all. `stream` is set.
    pub request: Arc<Request>,
}

/// Has models answer. An exchange like any other: routes, limits and budgets
/// of the payer hold, and it is settled whether it ends or is dropped.
pub trait Models: Send + Sync + 'static {
    /// Asks. The stream ends with `End` or `Error`; a stream that ends without
    /// either broke off.
    fn ask(&self, ask: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>>;
}
