//! Complete answers.

use serde_json::{Map, Value, json};

use super::block_encode::{Writer, answer_reasoning, block};
use super::{OURS, block_decode, citation, error, stop, usage};
use crate::codec::{AnswerContext, DecodeError, Losses};
use crate::format::json::{self, Fields};
use crate::model::{Annotation, Answer, Choice, Extra, Item, ItemBody, Part, PartBody, Role};

pub(super) fn decode(body: &[u8]) -> Result<Answer, DecodeError> {
    let value = json::parse("answer", body)?;
    if error::is_error(&value) {
        return Err(DecodeError::Api(Box::new(error::of_value(200, value))));
    }
    let mut fields = Fields::new(value, "")?;
    fields.take("type");
    fields.take("role");
    let content = fields.array("content")?;
    let items = if content.is_empty() {
        Vec::new()
    } else {
        block_decode::content(Role::Assistant, content.into(), "content")?
    };
    let stop = stop::decode(fields.string("stop_reason")?, fields.string("stop_sequence")?);
    let (usage, service_tier) = match fields.take_some("usage") {
        Some(value) => usage::decode(value, "usage").map(|(u, tier)| (Some(u), tier))?,
        None => (None, None),
    };
    if items.is_empty() && stop.is_none() && usage.is_none() {
        return Err(DecodeError::shape("content", "is required"));
    }
    Ok(Answer {
        origin: OURS,
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created: None,
        choices: vec![Choice { items, stop, extra: Extra::default() }],
        usage,
        service_tier,
        extra: Extra::new(OURS, fields.rest()),
    })
}

pub(super) fn encode(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let own = answer.origin == OURS;
    let choice = answer.choices.first();
    let items = choice.map(|c| c.items.as_slice()).unwrap_or_default();
    let content: Vec<Value> = items.iter().flat_map(|item| blocks(item, own)).collect();
    let (reason, sequence) = stop::encode(choice.and_then(|c| c.stop.as_ref()));
    let mut ids = context.ids;
    let id = if answer.id.is_empty() { ids.next("msg_") } else { answer.id.clone() };
    let mut object = Map::new();
    object.insert("id".into(), id.into());
    object.insert("type".into(), "message".into());
    object.insert("role".into(), "assistant".into());
    object.insert("model".into(), context.model.into());
    object.insert("content".into(), content.into());
    object.insert("stop_reason".into(), reason);
    object.insert("stop_sequence".into(), sequence);
    let usage = usage::encode(answer.usage.as_ref(), answer.service_tier.as_deref());
    object.insert("usage".into(), usage.into());
    answer.extra.write(OURS, &mut object, "", &mut Losses::default());
    json::to_vec(&object.into())
}

/// The blocks of one item of an answer.
fn blocks(item: &Item, own: bool) -> Vec<Value> {
    let mut unsaid = Losses::default();
    match &item.body {
        ItemBody::Message(message) => {
            message.parts.iter().filter_map(|part| self::part(part, own)).collect()
        }
        ItemBody::Reasoning(reasoning) => answer_reasoning(reasoning).into_iter().collect(),
        // Call ids go to the client as they are: it sends them back.
        ItemBody::ToolCall(call) => {
            vec![Writer { own: true, losses: &mut unsaid }.tool_use(call, item)]
        }
        ItemBody::Native { dialect: OURS, json, .. } => vec![json.clone()],
        ItemBody::ToolResult(_) | ItemBody::Native { .. } => Vec::new(),
    }
}

fn part(part: &Part, own: bool) -> Option<Value> {
    match &part.body {
        PartBody::Text { text, annotations, .. } => {
            (own || !text.is_empty()).then(|| text_block(text, annotations, part))
        }
        PartBody::Refusal(text) => (!text.is_empty()).then(|| text_block(text, &[], part)),
        PartBody::Native { dialect: OURS, json } => Some(json.clone()),
        // The other kinds are no answer in this dialect, unless they came in it.
        _ if own => Writer { own, losses: &mut Losses::default() }
            .part(part, super::block_encode::Place::Assistant),
        _ => None,
    }
}

fn text_block(text: &str, annotations: &[Annotation], part: &Part) -> Value {
    let mut object = block("text");
    object.insert("text".into(), text.into());
    let citations: Vec<Value> =
        annotations.iter().filter_map(|a| citation::encode(a, text)).collect();
    if !citations.is_empty() {
        object.insert("citations".into(), json!(citations));
    }
    part.extra.write(OURS, &mut object, "", &mut Losses::default());
    super::plain::restore(&part.extra, block_decode::EMPTY, &mut object);
    object.into()
}
