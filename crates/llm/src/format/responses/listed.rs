//! Items of a conversation as a server with state lists them: each with an id
//! and a status, in the strict shape.

use serde_json::{Map, Value, json};

use super::answer_encode::encode_item;
use super::{OURS, cross, request_encode};
use crate::model::{Dialect, Item, ItemBody, Role};
use crate::{IdSource, Losses};

/// Writes an item that stands at a place which `stem` names; `None` for what
/// this dialect cannot say. `origin` is the dialect that it came in; `seals`
/// shows the seals of reasoning.
pub fn list_item(item: &Item, origin: Dialect, stem: &str, seals: bool) -> Option<Value> {
    let mut value = if is_said_by_model(item) {
        said(item, origin)?
    } else {
        request_encode::encode_item(item, origin, &mut Losses::default())?
    };
    let object = value.as_object_mut()?;
    let kind = match object.get("type").and_then(Value::as_str) {
        Some(kind) => kind.to_owned(),
        None => "message".to_owned(),
    };
    if kind != "item_reference" {
        object.insert("id".into(), format!("{}{stem}", prefix(&kind)).into());
    }
    object.insert("type".into(), kind.as_str().into());
    if !seals && kind == "reasoning" {
        object.shift_remove("encrypted_content");
    }
    if matches!(kind.as_str(), "message" | "function_call" | "function_call_output") {
        object.entry("status").or_insert_with(|| "completed".into());
    }
    if kind == "message" {
        spell_out(object);
    }
    Some(value)
}

fn is_said_by_model(item: &Item) -> bool {
    match &item.body {
        ItemBody::Message(message) => message.role == Role::Assistant,
        ItemBody::Reasoning(_) | ItemBody::ToolCall(_) => true,
        ItemBody::ToolResult(_) | ItemBody::Native { .. } => false,
    }
}

fn said(item: &Item, origin: Dialect) -> Option<Value> {
    if origin == OURS {
        return encode_item(item, "completed");
    }
    encode_item(&cross::item(item.clone(), &mut IdSource::new(0))?, "completed")
}

/// Content that was written as one string is a list of one part.
fn spell_out(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get("content") {
        let part = json!([{"type": "input_text", "text": text}]);
        object.insert("content".into(), part);
    }
}

/// What ids of such items begin with.
fn prefix(kind: &str) -> &'static str {
    match kind {
        "message" => "msg_",
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "function_call_output" => "fco_",
        "custom_tool_call" => "ctc_",
        "custom_tool_call_output" => "ctco_",
        "compaction" => "cmp_",
        "mcp_approval_response" => "mcpa_",
        _ => "item_",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Part, ToolCallKind, ToolResult};

    #[test]
    fn an_input_gets_all_that_the_strict_shape_asks_for() {
        let mut item = Item::text(Role::User, "hi");
        item.extra.spell(OURS, "content", "string");
        let shown = list_item(&item, OURS, "0a", false).unwrap();
        let wanted = json!({
            "type": "message", "role": "user", "id": "msg_0a", "status": "completed",
            "content": [{"type": "input_text", "text": "hi"}],
        });
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_result_has_an_id_of_its_own_kind() {
        let item = Item::new(ItemBody::ToolResult(ToolResult {
            call_id: "c".into(),
            output: vec![Part::text("4")],
            is_error: None,
            kind: ToolCallKind::Function,
            cache: None,
        }));
        let shown = list_item(&item, OURS, "0b", false).unwrap();
        assert_eq!((&shown["id"], &shown["status"]), (&json!("fco_0b"), &json!("completed")));
    }
}
