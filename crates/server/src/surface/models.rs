//! The list of models, in the shape that the caller's SDK reads.

use freehold_control::Principal;
use freehold_gateway::Gateway;
use freehold_gateway::plan::{Plan, Route};
use freehold_llm::model::ApiError;
use freehold_types::Code;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::is_messages_style;
use super::reply::{self, ReplyBody};

/// When a route came to be is not kept; clients want some date.
const CREATED: i64 = 1_767_225_600;
const CREATED_TEXT: &str = "2026-01-01T00:00:00Z";

/// `GET /v1/models`: the routes that the key may use.
pub(super) fn list(gateway: &Gateway, principal: &Principal, head: &Parts) -> Response<ReplyBody> {
    let plan = gateway.plan();
    let messages = is_messages_style(head);
    let models: Vec<Value> =
        usable(&plan, principal).map(|route| shown(&route.name, route, messages)).collect();
    let list = if messages {
        let first = models.first().and_then(|m| m.get("id")).cloned();
        let last = models.last().and_then(|m| m.get("id")).cloned();
        json!({"data": models, "has_more": false, "first_id": first, "last_id": last})
    } else {
        json!({"object": "list", "data": models})
    };
    reply::json(StatusCode::OK, &list)
}

/// `GET /v1/models/{id}`.
pub(super) fn get(
    gateway: &Gateway,
    principal: &Principal,
    head: &Parts,
    id: &str,
) -> Result<Response<ReplyBody>, Box<ApiError>> {
    let plan = gateway.plan();
    let id = percent_decoded(id);
    let found = plan.route(&id).filter(|(route, _)| principal.may_call(&route.name).is_ok());
    let Some((route, _)) = found else {
        let shown: String = id.chars().take(200).collect();
        let message = format!("no model is named {shown}");
        return Err(Box::new(ApiError::new(Code::ModelNotFound, message)));
    };
    Ok(reply::json(StatusCode::OK, &shown(&id, route, is_messages_style(head))))
}

fn usable<'p>(plan: &'p Plan, principal: &'p Principal) -> impl Iterator<Item = &'p Route> {
    // A pattern is no model's name.
    plan.routes().map(AsRef::as_ref).filter(|route: &&Route| {
        !route.pattern.is_wild() && principal.may_call(&route.name).is_ok()
    })
}

fn shown(id: &str, route: &Route, messages: bool) -> Value {
    if messages {
        return json!({
            "type": "model", "id": id, "display_name": id, "created_at": CREATED_TEXT,
        });
    }
    let owner = route.deployments.first().map_or("freehold", |d| &d.provider.name);
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": owner})
}

/// A path segment as the client meant it; SDKs encode the slash of
/// `provider/model`.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let ahead = bytes.clone();
            let digits: Option<Vec<u32>> =
                ahead.take(2).map(|b| char::from(b).to_digit(16)).collect();
            if let Some([high, low]) = digits.as_deref()
                && let Ok(decoded) = u8::try_from(high * 16 + low)
            {
                out.push(decoded);
                bytes.nth(1);
                continue;
            }
        }
        out.push(byte);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_may_come_encoded() {
        assert_eq!(percent_decoded("openai%2Fgpt-5"), "openai/gpt-5");
        assert_eq!(percent_decoded("a%zz%4"), "a%zz%4");
    }
}
