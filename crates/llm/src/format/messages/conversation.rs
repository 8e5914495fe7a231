//! Items into `messages`.

use serde_json::{Map, Value};

use super::OURS;
use super::block_encode::{Place, Writer, lone_text};
use crate::model::{Item, ItemBody, Part, Request, Role};

/// One message on the wire.
#[derive(Debug)]
struct Turn {
    role: &'static str,
    results: Vec<Value>,
    blocks: Vec<Value>,
    is_string: bool,
    rest: Map<String, Value>,
}

/// The conversation as `messages`. System messages of other dialects are not
/// in it: their parts are added to `hoisted`.
pub(super) fn encode<'a>(
    request: &'a Request,
    writer: &mut Writer<'_>,
    hoisted: &mut Vec<&'a Part>,
) -> Vec<Value> {
    let mut turns: Vec<Turn> = Vec::new();
    for item in &request.items {
        let role = role(item);
        if !writer.own {
            if let (ItemBody::Message(message), "system") = (&item.body, role) {
                hoisted.extend(&message.parts);
                continue;
            }
            if item.id.is_some() {
                writer.losses.add("item.id");
            }
        }
        let stays = if writer.own { item.joined } else { true };
        let joins = stays && turns.last().is_some_and(|turn| turn.role == role);
        if !joins {
            turns.push(Turn::new(role, item));
        }
        if let Some(turn) = turns.last_mut() {
            turn.add(item, writer);
        }
    }
    turns.retain(|turn| writer.own || !turn.is_empty());
    turns.into_iter().map(Turn::finish).collect()
}

fn role(item: &Item) -> &'static str {
    match &item.body {
        ItemBody::Message(message) => match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System | Role::Developer => "system",
        },
        _ if item.is_from_model() => "assistant",
        _ => "user",
    }
}

impl Turn {
    fn new(role: &'static str, first: &Item) -> Self {
        let is_string = first.extra.spelt(OURS, "content").is_some();
        let rest = first.extra.spelt(OURS, "message").and_then(Value::as_object);
        Self {
            role,
            results: Vec::new(),
            blocks: Vec::new(),
            is_string,
            rest: rest.cloned().unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.blocks.is_empty()
    }

    fn add(&mut self, item: &Item, writer: &mut Writer<'_>) {
        match &item.body {
            ItemBody::Message(message) => {
                let place = match message.role {
                    Role::Assistant => Place::Assistant,
                    Role::User => Place::User,
                    Role::System | Role::Developer => Place::System,
                };
                self.blocks.extend(message.parts.iter().filter_map(|p| writer.part(p, place)));
                if !writer.own {
                    item.extra.write(OURS, &mut Map::new(), "messages", writer.losses);
                }
            }
            ItemBody::Reasoning(reasoning) => self.blocks.extend(writer.reasoning(reasoning, item)),
            ItemBody::ToolCall(call) => self.blocks.push(writer.tool_use(call, item)),
            // The dialect wants results before anything else in the message
            // after the calls; its own clients' order is theirs.
            ItemBody::ToolResult(result) => {
                let block = writer.tool_result(result, item);
                if writer.own { self.blocks.push(block) } else { self.results.push(block) }
            }
            ItemBody::Native { dialect: OURS, json, .. } => self.blocks.push(json.clone()),
            ItemBody::Native { .. } => writer.losses.add("item.native"),
        }
    }

    fn finish(self) -> Value {
        let mut object = Map::new();
        object.insert("role".into(), self.role.into());
        let mut blocks = self.results;
        blocks.extend(self.blocks);
        let text = match blocks.as_slice() {
            [only] if self.is_string => lone_text(only).map(Value::from),
            _ => None,
        };
        object.insert("content".into(), text.unwrap_or_else(|| blocks.into()));
        for (name, value) in self.rest {
            object.entry(name).or_insert(value);
        }
        object.into()
    }
}
