//! One exchange with a model: admit, route, attempt, fail over, settle.
//!
//! The data plane. What picks an upstream or counts an attempt is here; what
//! an answer looks like is `llm`'s, who may ask and what it costs is
//! `control`'s. Decisions ([`route`], [`health`], [`retry`]) are plain
//! functions over values; IO sits in [`transport`] and in the bodies that
//! relay an answer.
//!
//! An exchange, by its files: `call` (what comes in), `exchange` (the order
//! of things), `fallback` (whom to ask next), `wire` (the request for one
//! deployment), `attempt` (one call), `answer` (what came back of it), `relay`
//! (a stream on its way back), `book` (what is settled at the end). `pass` is
//! the same for what passes as bytes, `ask` and `say` for who asks in this
//! process.

mod answer;
mod ask;
mod attempt;
mod book;
pub mod call;
mod eligible;
mod embed;
pub mod engine;
mod exchange;
mod fallback;
mod fetch;
pub mod health;
pub mod metrics;
pub mod money;
pub mod options;
mod other;
mod paper;
mod pass;
pub mod plan;
pub mod refuse;
mod relay;
mod reply_headers;
mod resolve;
pub mod retry;
pub mod route;
mod say;
pub mod trace;
pub mod transport;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use freehold_control::Control;
use freehold_llm::model::ApiError;
use freehold_types::{Code, Env, Transport};

use crate::call::{Call, Endpoint, Reply};
use crate::engine::Engine;
use crate::options::FetchOptions;
use crate::plan::Plan;

pub use ask::{Asking, Said};
pub use relay::Relay;
pub use resolve::{Error, Resolved, resolve};
pub use say::Saying;

/// The doors and rooms that a gateway works with.
pub struct Parts {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// Other machines.
    pub transport: Arc<dyn Transport>,
    /// The model in this process, if it is built in.
    pub engine: Option<Arc<dyn Engine>>,
    /// Who may do what, at what price.
    pub control: Arc<Control>,
    /// Limits on untrusted URLs.
    pub fetch: FetchOptions,
}

/// The gateway. Cheap to share; a new configuration is put in force by
/// [`Gateway::follow`], and exchanges under way finish by the old one.
pub struct Gateway {
    env: Arc<dyn Env>,
    transport: Arc<dyn Transport>,
    engine: Option<Arc<dyn Engine>>,
    control: Arc<Control>,
    fetch: FetchOptions,
    plan: ArcSwap<Plan>,
    /// Feeds the routing's draws: seeded once, then mixed, as a draw needs no
    /// secrecy and each exchange takes several.
    chance: AtomicU64,
    me: Weak<Self>,
}

impl Gateway {
    /// A gateway with a first plan.
    pub fn new(parts: Parts, plan: Plan) -> Arc<Self> {
        let mut seed = [0; 8];
        parts.env.fill_random(&mut seed);
        Arc::new_cyclic(|me| Self {
            env: parts.env,
            transport: parts.transport,
            engine: parts.engine,
            control: parts.control,
            fetch: parts.fetch,
            plan: ArcSwap::from_pointee(plan),
            chance: AtomicU64::new(u64::from_le_bytes(seed)),
            me: me.clone(),
        })
    }

    /// Puts a new plan in force.
    pub fn follow(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }

    /// The plan in force.
    pub fn plan(&self) -> Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// The model in this process.
    pub fn engine(&self) -> Option<&Arc<dyn Engine>> {
        self.engine.as_ref()
    }

    /// Answers a client's request. Never fails: an error is a reply in the
    /// caller's dialect. Dropping the future, or the reply's body, cancels the
    /// upstream and settles the exchange.
    pub async fn exchange(&self, mut call: Call) -> Reply {
        let dialect = call.endpoint.dialect();
        let answered = match &call.endpoint {
            Endpoint::Model(_) => {
                let body = std::mem::take(&mut call.body);
                self.model(&call, body).await
            }
            Endpoint::CountTokens | Endpoint::Embeddings | Endpoint::Completions => {
                Box::pin(self.pass(&call)).await
            }
            Endpoint::Other { .. } => Box::pin(self.other(&call)).await,
        };
        match answered {
            Ok(reply) => reply,
            Err(error) => refuse::reply(dialect, &error, &call.request_id),
        }
    }

    fn chance(&self) -> u64 {
        // SplitMix64's sequence; `route` mixes what it draws.
        self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }

    /// Itself, shared: bodies that outlive the call hold it.
    fn shared(&self) -> Result<Arc<Self>, Box<ApiError>> {
        self.me
            .upgrade()
            .ok_or_else(|| Box::new(ApiError::new(Code::Stopping, "the server is stopping")))
    }
}
