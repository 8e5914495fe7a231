//! Complete answers, in both directions.

use serde_json::{Map, Value, json};

use super::message_decode::Conversation;
use super::part::Scope;
use super::{ME, annotation, message_encode, stop, usage};
use crate::codec::{AnswerContext, Losses};
use crate::format::error_object;
use crate::format::json::{self, Fields};
use crate::model::{Answer, Choice, Extra, Item, ItemBody, Logprob, PartBody, Usage};
use crate::{DecodeError, IdSource};

/// A provider's answer, or its error under status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer, DecodeError> {
    let value = json::parse("answer", body)?;
    let is_answer = value.get("choices").is_some_and(Value::is_array)
        && value.get("error").is_none_or(Value::is_null);
    if !is_answer && let Some(error) = error_object::find(ME, None, value.clone()) {
        return Err(DecodeError::Api(Box::new(error)));
    }
    let mut fields = Fields::new(value, "")?;
    if fields.peek("choices").is_none_or(Value::is_null) {
        return Err(DecodeError::shape("choices", "is required"));
    }
    fields.take("object");
    let id = fields.string("id")?.unwrap_or_default();
    let mut choices = Vec::new();
    for (n, choice) in (0..).zip(fields.array("choices")?) {
        choices.push(decode_choice(choice, &id, n)?);
    }
    Ok(Answer {
        origin: ME,
        model: fields.string("model")?.unwrap_or_default(),
        created: created(&mut fields),
        choices,
        usage: take_usage(&mut fields),
        service_tier: tier(&mut fields),
        id,
        extra: Extra::new(ME, fields.rest()),
    })
}

/// Seconds; some servers write them with a fraction.
pub(super) fn created(fields: &mut Fields) -> Option<i64> {
    let number = fields.take_some("created")?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates; seconds since 1970")]
    number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
}

/// The lane, where it is a word.
pub(super) fn tier(fields: &mut Fields) -> Option<String> {
    fields.peek("service_tier").filter(|v| v.is_string())?;
    fields.take("service_tier")?.as_str().map(str::to_owned)
}

/// The usage in its place, or where Groq's streams have it.
pub(super) fn take_usage(fields: &mut Fields) -> Option<Usage> {
    if let Some(usage) = fields.take_some("usage").and_then(usage::decode) {
        return Some(usage);
    }
    usage::decode(fields.peek("x_groq")?.get("usage")?.clone())
}

fn decode_choice(value: Value, id: &str, n: u32) -> Result<Choice, DecodeError> {
    let mut fields = Fields::new(value, format!("choices[{n}]"))?;
    fields.take("index");
    let mut items = match fields.take_some("message") {
        Some(message) => {
            let mut inner = Fields::new(message, fields.at("message"))?;
            inner.take("role");
            Conversation::of_answer(id, n).assistant(inner)?
        }
        // Azure leaves the message out where its filter took it.
        None => Vec::new(),
    };
    if let Some(logprobs) = fields.peek("logprobs").and_then(content_logprobs)
        && let Some(place) = logprobs_place(&mut items)
    {
        *place = Some(logprobs);
        fields.take("logprobs");
    }
    let has_calls = items.iter().any(|item| matches!(item.body, ItemBody::ToolCall(_)));
    // A complete answer has ended, whatever a server leaves out.
    let word = fields.string("finish_reason")?;
    let mut ended = stop::decode(word.unwrap_or_default(), has_calls);
    // vLLM and SGLang name the stop string that was met.
    let met = ["stop_reason", "matched_stop"].iter().find_map(|key| fields.peek(key)?.as_str());
    ended.sequence = met.map(str::to_owned);
    Ok(Choice { items, stop: Some(ended), extra: Extra::new(ME, fields.rest()) })
}

/// The probabilities, if the hub has a place for all that is said.
pub(super) fn content_logprobs(value: &Value) -> Option<Vec<Logprob>> {
    let map = value.as_object()?;
    let others_empty = map.iter().all(|(key, value)| key == "content" || value.is_null());
    others_empty.then(|| annotation::decode_logprobs(map.get("content")?)).flatten()
}

fn logprobs_place(items: &mut [Item]) -> Option<&mut Option<Vec<Logprob>>> {
    items.iter_mut().find_map(|item| match &mut item.body {
        ItemBody::Message(message) => {
            message.parts.iter_mut().find_map(|part| match &mut part.body {
                PartBody::Text { logprobs, .. } => Some(logprobs),
                _ => None,
            })
        }
        _ => None,
    })
}

/// An answer for a client that speaks Chat.
pub(super) fn encode(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let mut ids = context.ids;
    let choices: Vec<Value> = (0..)
        .zip(&answer.choices)
        .map(|(n, choice): (u32, _)| encode_choice(n, choice, answer.origin == ME, context))
        .collect();
    let mut body = Map::new();
    body.insert("id".into(), answer_id(answer.origin == ME, &answer.id, &mut ids).into());
    body.insert("object".into(), "chat.completion".into());
    body.insert("created".into(), answer.created.unwrap_or(context.created).into());
    body.insert("model".into(), context.model.into());
    body.insert("choices".into(), choices.into());
    if let Some(usage) = &answer.usage {
        body.insert("usage".into(), usage::encode(usage));
    }
    if let Some(tier) = answer.service_tier.as_deref().and_then(tier_out) {
        body.insert("service_tier".into(), tier.into());
    }
    // Nobody hears of an answer's losses: what is foreign is left out.
    answer.extra.write(ME, &mut body, "", &mut Losses::default());
    json::to_vec(&Value::Object(body))
}

/// The upstream's id if it is one of Chat's, else a new one.
pub(super) fn answer_id(is_ours: bool, id: &str, ids: &mut IdSource) -> String {
    if is_ours && !id.is_empty() { id.to_owned() } else { ids.next("chatcmpl-") }
}

/// Whether the client speaks with the deprecated functions.
pub(super) fn is_legacy(context: &AnswerContext<'_>) -> bool {
    context.request.extra.spelt(ME, "functions").is_some()
}

fn encode_choice(n: u32, choice: &Choice, is_ours: bool, context: &AnswerContext<'_>) -> Value {
    let mut losses = Losses::default();
    let mut scope = Scope { target: None, is_ours, losses: &mut losses };
    let mut message = message_encode::assistant(&choice.items, &mut scope).unwrap_or_default();
    // A stream learns of a message's own fields last, and so of the choice.
    if let Some(Value::Object(late)) = choice.extra.get(ME, "message") {
        message.extend(late.clone());
    }
    let legacy_call = is_legacy(context) && as_function_call(&mut message);
    let probabilities: Vec<Logprob> = choice.items.iter().flat_map(logprobs_of).cloned().collect();
    let refused = stop::refused(&choice.items);
    let finish = choice.stop.as_ref().map(|s| stop::encode(s, refused, legacy_call));
    let finish = finish.filter(|word| !word.is_empty());
    let mut object = Map::new();
    object.insert("index".into(), n.into());
    object.insert("message".into(), message.into());
    if !probabilities.is_empty() {
        let content = annotation::encode_logprobs(&probabilities);
        object.insert("logprobs".into(), json!({"content": content}));
    }
    object.insert("finish_reason".into(), finish.into());
    choice.extra.write(ME, &mut object, "choices", scope.losses);
    object.entry("logprobs").or_insert(Value::Null);
    Value::Object(object)
}

fn logprobs_of(item: &Item) -> &[Logprob] {
    let ItemBody::Message(message) = &item.body else { return &[] };
    message
        .parts
        .iter()
        .find_map(|part| match &part.body {
            PartBody::Text { logprobs, .. } => logprobs.as_deref(),
            _ => None,
        })
        .unwrap_or_default()
}

/// Turns the only call into the deprecated form.
fn as_function_call(message: &mut Map<String, Value>) -> bool {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else {
        return message.contains_key("function_call");
    };
    let [call] = calls.as_mut_slice() else { return false };
    let function = call.get_mut("function").map(Value::take).unwrap_or_default();
    message.shift_remove("tool_calls");
    message.insert("function_call".into(), function);
    true
}

/// An answer's lane in this dialect's words: Anthropic's `standard` is the
/// default, its `batch` has no word here.
pub(super) fn tier_out(tier: &str) -> Option<&str> {
    match tier {
        "standard" => Some("default"),
        "batch" => None,
        _ => Some(tier),
    }
}
