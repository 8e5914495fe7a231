//! What a request asks for, beside what any request to a model has.

use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Item, ItemBody};
use freehold_llm::{DecodeError, Dialect};
use freehold_runtime::content::Settings;
use freehold_runtime::event::{Limits, Name};
use freehold_types::{Code, Secret};
use serde_json::Value;

use super::begun::Begun;
use super::ids::{ConversationId, ResponseId};
use super::{Failure, summary, tools};

/// The most items of a request.
const ITEMS_MAX: usize = 10_000;

/// A request whose answer is kept.
#[derive(Debug)]
pub(super) struct Asked {
    /// How the turn is run.
    pub(super) settings: Settings,
    /// What is said.
    pub(super) items: Vec<Item>,
    /// Headers for servers of tools, by name.
    pub(super) secrets: Vec<(Name, Secret)>,
    /// What the response keeps of the request; not yet what it answers.
    pub(super) begun: Begun,
    /// Where it goes on.
    pub(super) from: From,
    /// Answer as a stream.
    pub(super) stream: bool,
}

/// Where a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Nowhere: it begins something.
    Nothing,
    /// After a response.
    Response(ResponseId),
    /// In a conversation.
    Conversation(ConversationId),
}

/// Reads a request. `payer` is the id of the key.
pub(super) fn read(body: &[u8], payer: Name) -> Result<Asked, Failure> {
    let mut request = codec(Dialect::Responses).decode_request(body).map_err(refused)?;
    let mut begun = Begun::default();
    let mut field = |name: &str| {
        let fields = &mut request.extra.fields;
        fields.shift_remove(name).filter(|value| !value.is_null())
    };
    if field("prompt").is_some() {
        let message = "prompt: templates are not kept here; send `instructions` and `input`";
        return Err(Failure::of_field(Code::UnsupportedFeature, "prompt", message));
    }
    begun.background = match field("background") {
        None => false,
        Some(Value::Bool(background)) => background,
        Some(_) => return Err(Failure::invalid("background", "background: expected a boolean")),
    };
    begun.truncation = text(field("truncation"), "truncation")?;
    if begun.truncation.as_ref().is_some_and(|word| word != "auto" && word != "disabled") {
        return Err(Failure::invalid("truncation", "truncation: `auto` or `disabled`"));
    }
    begun.max_tool_calls = match field("max_tool_calls") {
        None => None,
        Some(value) => Some(value.as_u64().filter(|most| *most > 0).ok_or_else(|| {
            Failure::invalid("max_tool_calls", "max_tool_calls: expected a whole number from 1")
        })?),
    };
    let (previous, conversation) = (field("previous_response_id"), field("conversation"));
    // Of a provider that keeps state; here the whole conversation is sent.
    for name in ["context_management", "stream_options"] {
        field(name);
    }
    let from = from(previous, conversation, &mut begun)?;
    begun.seals = request.reasoning.as_ref().is_some_and(|reasoning| reasoning.want_seal);
    request.extra.spelling.shift_remove("input");
    let taken = tools::take(&mut request.tools)?;
    begun.tools = taken.shown;
    request.store = None;
    let stream = std::mem::take(&mut request.stream);
    let items = said(std::mem::take(&mut request.items))?;
    if from == From::Nothing && items.is_empty() {
        return Err(Failure::invalid("input", "input: is required where nothing is continued"));
    }
    let limits = Limits::default();
    let calls_max = begun.max_tool_calls;
    let may_truncate = begun.truncation.as_deref() == Some("auto");
    let settings = Settings { payer, request, tools: taken.specs, calls_max, may_truncate, limits };
    Ok(Asked { settings, items, secrets: taken.secrets, begun, from, stream })
}

fn from(
    previous: Option<Value>,
    conversation: Option<Value>,
    begun: &mut Begun,
) -> Result<From, Failure> {
    if previous.is_some() && conversation.is_some() {
        let message = "previous_response_id and conversation exclude each other";
        return Err(Failure::invalid("previous_response_id", message));
    }
    if let Some(id) = text(previous, "previous_response_id")? {
        let found = id.parse().map_err(|_| no_previous(&id))?;
        begun.previous = Some(id);
        return Ok(From::Response(found));
    }
    let id = match conversation {
        Some(Value::Object(mut object)) => text(object.shift_remove("id"), "conversation.id")?,
        other => text(other, "conversation")?,
    };
    let Some(id) = id else { return Ok(From::Nothing) };
    let found = id.parse().map_err(|_| Failure::not_found("Conversation", &id))?;
    begun.conversation = Some(id);
    Ok(From::Conversation(found))
}

/// Nothing has the id, or not for this caller.
pub(super) fn no_previous(id: &str) -> Failure {
    let shown: String = id.chars().take(100).collect();
    Failure::of_field(
        Code::PreviousResponseNotFound,
        "previous_response_id",
        format!("Previous response with id '{shown}' not found."),
    )
}

fn text(value: Option<Value>, field: &str) -> Result<Option<String>, Failure> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Failure::invalid(field, format!("{field}: expected a string"))),
    }
}

/// The items as a session keeps them: summaries of ours are read, and nothing
/// of a client's own numbering stays.
pub(crate) fn said(items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    if items.len() > ITEMS_MAX {
        return Err(Failure::invalid("input", format!("input: more than {ITEMS_MAX} items")));
    }
    let each = items.into_iter().map(|item| match &item.body {
        ItemBody::Native { json, .. } => summary::expand(json).unwrap_or(item),
        _ => item,
    });
    Ok(each.collect())
}

/// A body that cannot be read, in the client's dialect.
pub(crate) fn refused(error: DecodeError) -> Failure {
    match error {
        DecodeError::Json { .. } => Failure::new(Code::InvalidJson, error.to_string()),
        DecodeError::Shape { path, message } if path == "model" => {
            Failure::of_field(Code::MissingModel, "model", format!("model: {message}"))
        }
        DecodeError::Shape { path, message } => {
            Failure::invalid(&path, format!("{path}: {message}"))
        }
        DecodeError::Api(error) => Failure::Api(error),
        other => Failure::from(Box::new(ApiError::new(Code::InvalidRequest, other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(more: &Value) -> Result<Asked, Failure> {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(body.to_string().as_bytes(), Name::new("key_1").unwrap())
    }

    fn code(asked: Result<Asked, Failure>) -> String {
        match asked {
            Err(Failure::Api(error)) => error.code.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_about_state_does_not_go_to_a_provider() {
        let digits = "0190163d81167a0ebf1f2a5b3c4d5e6f";
        let asked = ask(&json!({
            "store": true, "background": true, "stream": true, "max_tool_calls": 3,
            "truncation": "auto", "previous_response_id": format!("resp_{digits}0000000000000002"),
            "context_management": [{"type": "compaction"}], "metadata": {"a": "b"},
        }))
        .unwrap();
        assert_eq!((asked.settings.request.store, asked.stream), (None, true));
        assert!(asked.settings.request.extra.is_empty(), "{:?}", asked.settings.request.extra);
        assert!(!asked.settings.request.stream && asked.settings.request.items.is_empty());
        assert!(asked.begun.background);
        assert_eq!(asked.begun.max_tool_calls, Some(3));
        assert!(matches!(asked.from, From::Response(_)));
        assert_eq!(asked.items.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert_eq!(code(ask(&json!({"prompt": {"id": "p"}}))), "unsupported_feature");
        assert_eq!(
            code(ask(&json!({"previous_response_id": "resp_x"}))),
            "previous_response_not_found"
        );
        assert_eq!(code(ask(&json!({"conversation": "conv_x"}))), "session.not_found");
        let both = json!({"conversation": "conv_x", "previous_response_id": "resp_x"});
        assert_eq!(code(ask(&both)), "invalid_request");
        assert_eq!(code(ask(&json!({"background": 1}))), "invalid_request");
        assert_eq!(code(ask(&json!({"input": []}))), "invalid_request");
    }

    #[test]
    fn a_conversation_is_named_by_its_id_or_an_object_with_it() {
        let id = "conv_0190163d81167a0ebf1f2a5b3c4d5e6f";
        for form in [json!(id), json!({ "id": id })] {
            let asked = ask(&json!({ "conversation": form })).unwrap();
            assert_eq!(asked.begun.conversation.as_deref(), Some(id));
        }
    }
}
