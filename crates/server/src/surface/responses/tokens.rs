//! `POST /v1/responses/input_tokens`: how long a request would be.
//!
//! An estimate: what a provider counts, only its tokenizer knows. What a
//! session holds already is counted as its model last saw it.

use axum::body::Body;
use freehold_llm::Dialect;
use freehold_llm::estimate::input_tokens;
use freehold_llm::format::codec;
use freehold_runtime::sessions::Error;
use freehold_types::SessionId;
use http::Response;
use serde_json::{Value, json};

use super::ask::{self, refused};
use super::ids::{ConversationId, ResponseId};
use super::{Asking, Failure, json as whole};

pub(super) async fn count(asking: &Asking) -> Result<Response<Body>, Failure> {
    let body = with_model(&asking.body)?;
    let request = codec(Dialect::Responses).decode_request(&body).map_err(refused)?;
    let text = |name: &str| {
        let value = request.extra.get(Dialect::Responses, name);
        let value = value.map(|value| value.get("id").unwrap_or(value));
        value.and_then(Value::as_str)
    };
    let session = match (text("previous_response_id"), text("conversation")) {
        (Some(id), _) => {
            let found: ResponseId = id.parse().map_err(|_| ask::no_previous(id))?;
            Some((found.session, ask::no_previous(id)))
        }
        (None, Some(id)) => {
            let missing = || Failure::not_found("Conversation", id);
            let found: ConversationId = id.parse().map_err(|_| missing())?;
            Some((found.0, missing()))
        }
        (None, None) => None,
    };
    let kept = match session {
        Some((session, missing)) => kept(asking, session, missing).await?,
        None => 0,
    };
    let tokens = input_tokens(&request).saturating_add(kept);
    Ok(whole(&json!({"object": "response.input_tokens", "input_tokens": tokens})))
}

/// A count needs no model, and the codec wants one.
fn with_model(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Failure::new(freehold_types::Code::InvalidJson, format!("the body is no JSON: {error}"))
    })?;
    let Value::Object(mut object) = value else {
        return Err(Failure::invalid("body", "expected an object"));
    };
    if object.get("model").is_none_or(Value::is_null) {
        object.insert("model".into(), "any".into());
    }
    Ok(Value::Object(object).to_string().into_bytes())
}

async fn kept(asking: &Asking, session: SessionId, missing: Failure) -> Result<u64, Failure> {
    let reading = asking.reading(session);
    match reading.sessions.view(&reading.tenant, session).await {
        Ok(view) => Ok(view.state.context.tokens),
        Err(Error::NotFound) => Err(missing),
        Err(error) => Err(error.into()),
    }
}
