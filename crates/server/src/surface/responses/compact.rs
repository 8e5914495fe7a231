//! `POST /v1/responses/compact`: a conversation in fewer words. The user's
//! messages stay as they are, a model sums up the rest.
//!
//! Nothing is kept of it: the client sends what it gets as the next input. The
//! session of a `previous_response_id` stays as it is.

use axum::body::Body;
use bytes::Bytes;
use freehold_gateway::call::{Call, Endpoint, ReplyBody};
use freehold_llm::Dialect;
use freehold_runtime::sessions::Error;
use freehold_types::{Code, Offset, SessionId};
use http::Response;
use serde_json::{Map, Value, json};

use super::ids::ResponseId;
use super::items::{Lister, Order};
use super::{Asking, Failure, ask, create, ids, json as whole, retrieve, summary};

/// The most items that are summed up at once.
const ITEMS_MAX: usize = 10_000;

const ORDER: &str = "You compress a conversation so that it can go on without its past. Write what \
    whoever continues it must know: the task and its state, decisions and their reasons, facts, \
    names, numbers, ids and file names exactly as they were given, what was tried and failed, what \
    is still open. Leave out what no longer matters. The user's own messages are kept beside your \
    summary. Answer with the summary alone.";

pub(super) async fn compact(asking: &Asking) -> Result<Response<Body>, Failure> {
    let body: Value = serde_json::from_slice(&asking.body).map_err(|error| {
        Failure::new(Code::InvalidJson, format!("the body is no JSON: {error}"))
    })?;
    let model = body.get("model").and_then(Value::as_str).ok_or_else(|| {
        Failure::of_field(Code::MissingModel, "model", "model: a compaction is done by a model")
    })?;
    create::may_call(asking, model)?;
    let mut items = past(asking, &body).await?;
    items.extend(input(&body)?);
    if items.is_empty() {
        return Err(Failure::invalid("input", "input: there is nothing to compact"));
    }
    let answer = match summed_up(asking, model, &body, &items).await? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(refusal),
    };
    let text = text_of(&answer);
    let stem = ids::stem(SessionId::new(&*asking.state.env), Offset::START);
    let mut output = users(&items, &stem);
    output.push(json!({
        "id": format!("cmp_{stem}"), "type": "compaction", "encrypted_content": summary::carry(&text),
    }));
    Ok(whole(&json!({
        "id": format!("resp_{stem}"),
        "object": "response.compaction",
        "created_at": asking.state.env.now().as_second(),
        "output": output,
        "usage": answer.get("usage").cloned().unwrap_or_default(),
    })))
}

/// What came before, if the request names it.
async fn past(asking: &Asking, body: &Value) -> Result<Vec<Value>, Failure> {
    let Some(id) = body.get("previous_response_id").and_then(Value::as_str) else {
        return Ok(Vec::new());
    };
    let place: ResponseId = id.parse().map_err(|_| ask::no_previous(id))?;
    let reading = match retrieve::of_undeleted(asking, place).await {
        Ok(reading) => reading,
        Err(Failure::Api(_)) => return Err(ask::no_previous(id)),
        Err(elsewhere) => return Err(elsewhere),
    };
    let view = match reading.sessions.view(&reading.tenant, place.session).await {
        Ok(view) => view,
        Err(Error::NotFound) => return Err(ask::no_previous(id)),
        Err(error) => return Err(error.into()),
    };
    let lister = Lister { reading: &reading, seals: false };
    let head = Offset(view.row.head);
    let entries = lister.list(head, Order::Asc, None, ITEMS_MAX).await?;
    Ok(entries.into_iter().map(|entry| entry.value).collect())
}

fn input(body: &Value) -> Result<Vec<Value>, Failure> {
    match body.get("input") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![json!({"role": "user", "content": text})]),
        Some(Value::Array(items)) if items.len() <= ITEMS_MAX => Ok(items.clone()),
        Some(_) => Err(Failure::invalid("input", "input: expected a string or a list of items")),
    }
}

/// The answer of the model that sums up; or its refusal, as it is.
async fn summed_up(
    asking: &Asking,
    model: &str,
    body: &Value,
    items: &[Value],
) -> Result<Result<Value, Response<Body>>, Failure> {
    let said: Vec<Value> = items.iter().filter_map(as_text).collect();
    let mut request = Map::new();
    request.insert("model".into(), model.into());
    request.insert("instructions".into(), ORDER.into());
    request.insert("store".into(), false.into());
    let mut input = Vec::new();
    if let Some(orders) = body.get("instructions").and_then(Value::as_str) {
        let text = format!("The standing orders of the conversation were:\n{orders}");
        input.push(json!({"role": "user", "content": text}));
    }
    input.extend(said);
    input.push(json!({"role": "user", "content": "Now write the summary."}));
    request.insert("input".into(), input.into());
    let call = Call {
        endpoint: Endpoint::Model(Dialect::Responses),
        headers: asking.head.headers.clone(),
        body: Bytes::from(Value::Object(request).to_string()),
        principal: asking.principal.clone(),
        request_id: asking.request_id.clone(),
        strict: false,
        trace: None,
    };
    let reply = asking.state.gateway.exchange(call).await;
    let ReplyBody::Full(bytes) = reply.body else {
        return Err(Failure::new(Code::UpstreamGarbage, "the summary came as a stream"));
    };
    if !reply.status.is_success() {
        let mut refusal = Response::new(Body::from(bytes));
        *refusal.status_mut() = reply.status;
        *refusal.headers_mut() = reply.headers;
        return Ok(Err(refusal));
    }
    serde_json::from_slice(&bytes)
        .map(Ok)
        .map_err(|_| Failure::new(Code::UpstreamGarbage, "the summary cannot be read"))
}

/// An item as a model that has none of the conversation's tools can read it.
fn as_text(item: &Value) -> Option<Value> {
    let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
    match kind {
        "message" => {
            let role = item.get("role").and_then(Value::as_str).unwrap_or("user");
            Some(json!({"role": role, "content": item.get("content")?}))
        }
        "reasoning" | "item_reference" => None,
        "compaction" => {
            let carried = item.get("encrypted_content").and_then(Value::as_str)?;
            let text = format!("Summary of what was before:\n{}", summary::read(carried)?);
            Some(json!({"role": "user", "content": text}))
        }
        _ => Some(json!({"role": "user", "content": format!("[{kind}] {item}")})),
    }
}

fn text_of(answer: &Value) -> String {
    let output = answer.get("output").and_then(Value::as_array);
    let content = output.into_iter().flatten().filter_map(|item| item.get("content")?.as_array());
    content.flatten().filter_map(|part| part.get("text")?.as_str()).collect()
}

/// The user's messages, in the shape of answers.
fn users(items: &[Value], stem: &str) -> Vec<Value> {
    let said = items.iter().filter(|item| {
        item.get("role").and_then(Value::as_str) == Some("user")
            && item.get("type").is_none_or(|kind| kind == "message")
    });
    let each = said.enumerate().map(|(n, item)| {
        let content = match item.get("content") {
            Some(Value::String(text)) => json!([{"type": "input_text", "text": text}]),
            Some(other) => other.clone(),
            None => json!([]),
        };
        json!({
            "id": format!("msg_{stem}{n:04x}"), "type": "message", "status": "completed",
            "role": "user", "content": content,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_words_stay_and_calls_become_words() {
        let items = [
            json!({"role": "user", "content": "hi"}),
            json!({"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}),
            json!({"type": "reasoning", "summary": []}),
            json!({"type": "message", "role": "assistant", "content": []}),
        ];
        let kept = users(&items, "0a");
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0]["content"][0], json!({"type": "input_text", "text": "hi"}));
        let said: Vec<_> = items.iter().filter_map(as_text).collect();
        assert_eq!(said.len(), 3);
        assert!(said[1]["content"].as_str().unwrap().starts_with("[function_call]"));
    }
}
