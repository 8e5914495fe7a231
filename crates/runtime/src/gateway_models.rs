//! Models by way of the gateway: each attempt is an exchange of the key that
//! pays for the session.

use std::sync::Arc;
use std::time::Duration;

use freehold_control::{Control, Principal};
use freehold_gateway::{Asking, Gateway, Saying};
use freehold_llm::model::{ApiError, Item, ItemBody, Request};
use freehold_types::{BoxFuture, Code, Env, ErrorKind, KeyId};

use crate::models::{ModelAsk, ModelStream, Models};

/// How long an attempt waits in all for a limit that will have room again.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The gateway as a session's door to models.
#[derive(Clone)]
pub struct GatewayModels {
    gateway: Arc<Gateway>,
    control: Arc<Control>,
    env: Arc<dyn Env>,
}

impl GatewayModels {
    /// Over a gateway and the control that it asks.
    pub fn new(gateway: Arc<Gateway>, control: Arc<Control>, env: Arc<dyn Env>) -> Self {
        Self { gateway, control, env }
    }

    async fn exchange(self, ask: ModelAsk) -> Result<ModelStream, Box<ApiError>> {
        let mut request = Arc::clone(&ask.request);
        let mut waited = Duration::ZERO;
        loop {
            let error = match self.once(&ask, &request).await {
                Ok(saying) => return Ok(Box::pin(saying)),
                Err(error) => error,
            };
            if let Some(wait) = room_after(&error, waited) {
                waited += wait;
                self.env.sleep(wait).await;
            } else if is_refused_by_provider(&error) && thinks_sealed(&request) {
                // Who issued a seal takes it back, and other accounts of the
                // same provider do not. Better to think anew than not to go on.
                tracing::info!(
                    target: "freehold::session",
                    session = %ask.session,
                    asked = %ask.asked,
                    error = %error.message,
                    "refused with earlier thinking; asking without it"
                );
                request = Arc::new(without_thinking(&request));
            } else {
                return Err(error);
            }
        }
    }

    /// One exchange. Who pays is looked up each time: the key may be revoked
    /// while a session waits.
    async fn once(&self, ask: &ModelAsk, request: &Arc<Request>) -> Result<Saying, Box<ApiError>> {
        let asking = Asking {
            request: Arc::clone(request),
            principal: self.payer(ask).await?,
            request_id: format!("{}.{}", ask.session, ask.asked).into(),
            trace: None,
        };
        self.gateway.ask(asking).await
    }

    async fn payer(&self, ask: &ModelAsk) -> Result<Arc<Principal>, Box<ApiError>> {
        let key = ask.payer.as_str().parse::<KeyId>().map_err(|error| {
            let message = format!("what pays for the session is no key's id: {error}");
            Box::new(ApiError::new(Code::KeyUnknown, message))
        })?;
        let mut found = self.control.principal(&ask.tenant, key);
        if found.as_ref().is_err_and(|refusal| refusal.code == Code::KeyUnknown) {
            // Another node may have made it a moment ago.
            if let Err(error) = self.control.confirm().await {
                tracing::warn!(
                    target: "freehold::session",
                    session = %ask.session,
                    %error,
                    "the store cannot say whether it has the key that pays"
                );
                let message = "the store cannot be asked for the key that pays";
                return Err(Box::new(ApiError::new(Code::StoreFailed, message)));
            }
            found = self.control.principal(&ask.tenant, key);
        }
        found.map_err(|refusal| freehold_gateway::refuse::refusal(&refusal))
    }
}

impl Models for GatewayModels {
    fn ask(&self, ask: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>> {
        Box::pin(self.clone().exchange(ask))
    }
}

/// How long to wait until a limit has room; `None` if that is not what is
/// wrong, or takes too long.
fn room_after(error: &ApiError, waited: Duration) -> Option<Duration> {
    let wait = Duration::from_millis(error.retry_after_ms?);
    (error.kind == ErrorKind::OverLimit && waited + wait <= WAIT_MAX).then_some(wait)
}

/// Whether a provider, and not Freehold, finds the request wrong.
fn is_refused_by_provider(error: &ApiError) -> bool {
    let provider = error.native.is_some() || error.native_type.is_some();
    error.kind == ErrorKind::Invalid && provider
}

fn is_sealed(item: &Item) -> bool {
    matches!(&item.body, ItemBody::Reasoning(thought) if thought.seal.is_some())
}

fn thinks_sealed(request: &Request) -> bool {
    request.items.iter().any(is_sealed)
}

/// The request less all earlier thinking.
fn without_thinking(request: &Request) -> Request {
    let mut request = request.clone();
    let mut joins = true;
    request.items.retain_mut(|item| {
        if matches!(item.body, ItemBody::Reasoning(_)) {
            // What was joined to it begins the message instead.
            joins &= item.joined;
            return false;
        }
        item.joined &= std::mem::replace(&mut joins, true);
        true
    });
    request
}

#[cfg(test)]
mod tests {
    use freehold_llm::model::{Dialect, Reasoning, Role, Seal};

    use super::*;

    #[test]
    fn thinking_is_left_out_and_messages_stay_whole() {
        let seal =
            Seal { dialect: Dialect::Responses, hides: true, data: "s".into(), item_id: None };
        let thought = || {
            Item::new(ItemBody::Reasoning(Reasoning {
                seal: Some(seal.clone()),
                ..Reasoning::default()
            }))
        };
        let joined = |item: Item| Item { joined: true, ..item };
        let text = |text: &str| Item::text(Role::Assistant, text);
        let mut request = Request::new(Dialect::Responses, "m");
        request.items = vec![
            Item::text(Role::User, "a"),
            thought(),
            joined(thought()),
            joined(text("b")),
            joined(thought()),
            joined(text("c")),
        ];
        assert!(thinks_sealed(&request));
        let without = without_thinking(&request);
        assert_eq!(without.items, [Item::text(Role::User, "a"), text("b"), joined(text("c"))]);
    }

    #[test]
    fn only_limits_are_waited_for_and_not_for_long() {
        let mut error = ApiError::new(Code::LimitRequests, "wait");
        assert_eq!(room_after(&error, Duration::ZERO), None);
        error.retry_after_ms = Some(40_000);
        assert_eq!(room_after(&error, Duration::ZERO), Some(Duration::from_secs(40)));
        assert_eq!(room_after(&error, Duration::from_secs(30)), None);
        error.kind = ErrorKind::Unavailable;
        assert_eq!(room_after(&error, Duration::ZERO), None);
    }
}
