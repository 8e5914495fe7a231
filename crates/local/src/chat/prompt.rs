//! A request as the text that the model was trained to continue.

use freehold_llm::model::{
    ApiError, Item, ItemBody, Message, OutputFormat, Part, PartBody, Request, Role, Source,
    ToolCall, ToolCallKind,
};
use serde_json::{Value, json};

use super::gguf::Gguf;
use super::template::{Context, Template, python_json};
use super::tokenizer::PromptTokenizer;
use super::tools::{Tool, Tools};
use super::vocab::Vocab;
use crate::error;

/// Marks where the model goes on, if the conversation ends with its own
/// words. A noncharacter, like [`super::tokenizer::BREAK`].
const GO_ON: char = '\u{FDD1}';

/// Turns requests into tokens.
pub(crate) struct Prompter {
    /// The vocabulary.
    pub(crate) vocab: Vocab,
    tokenizer: PromptTokenizer,
    template: Template,
}

impl Prompter {
    /// Reads vocabulary, tokenizer and template.
    pub(crate) fn new(gguf: &Gguf) -> Result<Self, Box<ApiError>> {
        let vocab = Vocab::read(gguf)?;
        let tokenizer = PromptTokenizer::new(gguf, &vocab)?;
        let template =
            Template::new(gguf.text("tokenizer.chat_template")).map_err(|e| gguf.unsupported(e))?;
        Ok(Self { vocab, tokenizer, template })
    }

    /// The tokens of a request's prompt.
    pub(crate) fn tokens(&self, request: &Request, now: i64) -> Result<Vec<u32>, Box<ApiError>> {
        let tools = Tools::of(request)?;
        let text = self.text(request, &tools, now)?;
        self.tokenizer.encode(&text)
    }

    /// The prompt itself.
    pub(crate) fn text(
        &self,
        request: &Request,
        tools: &Tools,
        now: i64,
    ) -> Result<String, Box<ApiError>> {
        let native = self.template.takes_tools();
        let mut conversation = Conversation::read(request, native)?;
        let offered = if tools.may_call() { tools.offered() } else { &[] };
        if !native && !offered.is_empty() {
            conversation.add_system(&tool_instruction(offered)?);
        }
        if let Some(text) = format_instruction(request.format.as_ref())? {
            conversation.add_system(&text);
        }
        conversation.each_text(&|text| self.tokenizer.defuse(text));
        let offered = if native { offered } else { &[] };
        match self.render(&conversation, offered, now) {
            Ok(text) => Ok(text),
            // Some templates take no system message, or no two turns of one
            // side in a row.
            Err(first) => {
                self.render(&conversation.without_system(), offered, now).map_err(|_| first)
            }
        }
    }

    fn render(
        &self,
        conversation: &Conversation,
        tools: &[Tool],
        now: i64,
    ) -> Result<String, Box<ApiError>> {
        let mut messages: Vec<Value> = conversation.turns.iter().map(Turn::json).collect();
        let go_on = conversation
            .turns
            .last()
            .is_some_and(|turn| turn.role == "assistant" && turn.calls.is_empty());
        if go_on
            && let Some(Value::String(text)) =
                messages.last_mut().and_then(|m| m.get_mut("content"))
        {
            text.push(GO_ON);
        }
        let tools: Vec<Value> = tools.iter().map(Tool::json).collect();
        let mut text = self.template.render(&Context {
            messages: &messages,
            tools: &tools,
            add_generation_prompt: !go_on,
            bos: self.vocab.name(self.vocab.bos),
            eos: self.vocab.name(Some(self.vocab.eos)),
            now,
        })?;
        if let Some(at) = text.find(GO_ON) {
            text.truncate(at);
        }
        Ok(text)
    }
}

/// One turn as templates know it.
#[derive(Clone, Debug, PartialEq)]
struct Turn {
    role: &'static str,
    content: String,
    calls: Vec<Value>,
    name: Option<String>,
}

impl Turn {
    fn new(role: &'static str, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), calls: Vec::new(), name: None }
    }

    fn json(&self) -> Value {
        let mut turn = json!({ "role": self.role, "content": self.content });
        if !self.calls.is_empty() {
            turn["tool_calls"] = Value::Array(self.calls.clone());
        }
        if let Some(name) = &self.name {
            turn["name"] = json!(name);
        }
        turn
    }

    fn append(&mut self, text: &str) {
        if !self.content.is_empty() && !text.is_empty() {
            self.content.push_str("\n\n");
        }
        self.content.push_str(text);
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Conversation {
    turns: Vec<Turn>,
}

impl Conversation {
    /// Reads a request. With `native`, calls and their results keep their own
    /// shape for the template; else they are written out as text.
    fn read(request: &Request, native: bool) -> Result<Self, Box<ApiError>> {
        let mut it = Self::default();
        let instructions = text_of(&request.instructions, "instructions")?;
        if !instructions.is_empty() {
            it.turns.push(Turn::new("system", instructions));
        }
        for (at, item) in request.items.iter().enumerate() {
            it.item(item, at, native, &request.items)?;
        }
        if it.turns.iter().all(|turn| turn.role == "system") {
            return Err(error::invalid("messages", "there is no message to answer"));
        }
        Ok(it)
    }

    fn item(
        &mut self,
        item: &Item,
        at: usize,
        native: bool,
        all: &[Item],
    ) -> Result<(), Box<ApiError>> {
        let place = format!("item {at}");
        match &item.body {
            ItemBody::Message(message) => self.message(message, &place)?,
            // Thinking is not shown to a model that does not think.
            ItemBody::Reasoning(_) => {}
            ItemBody::ToolCall(call) => self.call(call, native)?,
            ItemBody::ToolResult(result) => {
                let text = text_of(&result.output, &place)?;
                if native {
                    let mut turn = Turn::new("tool", text);
                    turn.name = name_of(&result.call_id, all);
                    self.turns.push(turn);
                } else {
                    self.push("user", &format!("<tool_response>\n{text}\n</tool_response>"));
                }
            }
            ItemBody::Native { dialect, json, .. } => {
                return Err(error::invalid(
                    "messages",
                    format!(
                        "{place} is a {} of the {} dialect, which the local model does not know",
                        json.get("type").and_then(Value::as_str).unwrap_or("native item"),
                        dialect.word()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, place: &str) -> Result<(), Box<ApiError>> {
        let text = text_of(&message.parts, place)?;
        match message.role {
            Role::System | Role::Developer => match self.turns.last_mut() {
                Some(last) if last.role == "system" => last.append(&text),
                _ => self.turns.push(Turn::new("system", text)),
            },
            Role::User => self.push("user", &text),
            Role::Assistant => self.push("assistant", &text),
        }
        Ok(())
    }

    /// Adds to the last turn if it is of the same side, else a turn.
    fn push(&mut self, role: &'static str, text: &str) {
        match self.turns.last_mut() {
            Some(last) if last.role == role && last.calls.is_empty() => last.append(text),
            _ => self.turns.push(Turn::new(role, text)),
        }
    }

    fn call(&mut self, call: &ToolCall, native: bool) -> Result<(), Box<ApiError>> {
        // What a model wrote may be no JSON; as a string it still shows.
        let arguments = match call.kind {
            ToolCallKind::Function => serde_json::from_str(&call.input)
                .unwrap_or_else(|_| Value::String(call.input.clone())),
            ToolCallKind::Custom => Value::String(call.input.clone()),
        };
        if !native {
            let body = python_json(&json!({ "name": call.name, "arguments": arguments }))
                .map_err(error::internal)?;
            self.push("assistant", &format!("<tool_call>\n{body}\n</tool_call>"));
            return Ok(());
        }
        let call = json!({
            "type": "function",
            "id": call.call_id,
            "function": { "name": call.name, "arguments": arguments },
        });
        match self.turns.last_mut() {
            Some(last) if last.role == "assistant" => last.calls.push(call),
            _ => {
                let mut turn = Turn::new("assistant", "");
                turn.calls.push(call);
                self.turns.push(turn);
            }
        }
        Ok(())
    }

    fn add_system(&mut self, text: &str) {
        match self.turns.first_mut() {
            Some(first) if first.role == "system" => first.append(text),
            _ => self.turns.insert(0, Turn::new("system", text)),
        }
    }

    fn each_text(&mut self, change: &dyn Fn(&str) -> String) {
        for turn in &mut self.turns {
            turn.content = change(&turn.content).replace(GO_ON, "");
            for call in &mut turn.calls {
                change_strings(call, change);
            }
        }
    }

    /// The same with what the system says in front of the user's first words.
    fn without_system(&self) -> Self {
        let mut it = Self::default();
        let mut system = String::new();
        for turn in &self.turns {
            if turn.role == "system" {
                if !system.is_empty() {
                    system.push_str("\n\n");
                }
                system.push_str(&turn.content);
                continue;
            }
            match it.turns.last_mut() {
                Some(last) if last.role == turn.role && last.calls.is_empty() => {
                    last.append(&turn.content);
                    last.calls.extend(turn.calls.iter().cloned());
                }
                _ => it.turns.push(turn.clone()),
            }
        }
        match it.turns.first_mut() {
            Some(first) if first.role == "user" => {
                first.content = format!("{system}\n\n{}", first.content);
            }
            _ => it.turns.insert(0, Turn::new("user", system)),
        }
        it
    }
}

/// Depth is bounded by the parser that made the value.
fn change_strings(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| change_strings(item, change)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|item| change_strings(item, change));
        }
        _ => {}
    }
}

fn name_of(call_id: &str, items: &[Item]) -> Option<String> {
    items.iter().find_map(|item| match &item.body {
        ItemBody::ToolCall(call) if call.call_id == call_id => Some(call.name.clone()),
        _ => None,
    })
}

fn text_of(parts: &[Part], place: &str) -> Result<String, Box<ApiError>> {
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        let kind = match &part.body {
            PartBody::Text { text, .. } | PartBody::Refusal(text) => {
                if !out.is_empty() {
                    out.push('\n');
                }
                out.push_str(text);
                continue;
            }
            PartBody::File { source: Source::Text(text), name } => {
                if !out.is_empty() {
                    out.push('\n');
                }
                if let Some(name) = name {
                    out.push_str(name);
                    out.push_str(":\n");
                }
                out.push_str(text);
                continue;
            }
            PartBody::Image { .. } => "an image",
            PartBody::File { .. } => "a file",
            PartBody::Audio(_) => "sound",
            PartBody::Native { json, .. } => {
                json.get("type").and_then(Value::as_str).unwrap_or("of a kind it does not know")
            }
        };
        return Err(error::invalid(
            "messages",
            format!("the local model takes text only, and part {at} of {place} is {kind}"),
        ));
    }
    Ok(out)
}

fn tool_instruction(tools: &[Tool]) -> Result<String, Box<ApiError>> {
    let mut list = String::new();
    for tool in tools {
        list.push_str(&python_json(&tool.json()).map_err(error::internal)?);
        list.push('\n');
    }
    Ok(format!(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
         You are provided with function signatures within <tools></tools> XML tags:\n\
         <tools>\n{list}</tools>\n\n\
         For each function call, return a json object with function name and arguments within \
         <tool_call></tool_call> XML tags:\n\
         <tool_call>\n{{\"name\": <function-name>, \"arguments\": <args-json-object>}}\n\
         </tool_call>"
    ))
}

fn format_instruction(format: Option<&OutputFormat>) -> Result<Option<String>, Box<ApiError>> {
    Ok(match format {
        None | Some(OutputFormat::Text) => None,
        Some(OutputFormat::JsonObject) => Some("Answer with a JSON object only.".to_owned()),
        Some(OutputFormat::JsonSchema { schema, description, .. }) => {
            let schema = python_json(schema).map_err(error::internal)?;
            let what = description.as_deref().unwrap_or("");
            let gap = if what.is_empty() { "" } else { " " };
            Some(format!("Answer with JSON only, by this schema:{gap}{what}\n{schema}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use freehold_llm::Dialect;
    use freehold_llm::model::{Media, ToolResult};

    use super::*;

    fn request(items: Vec<Item>) -> Request {
        let mut request = Request::new(Dialect::Chat, "m");
        request.items = items;
        request
    }

    fn call() -> Item {
        Item::new(ItemBody::ToolCall(ToolCall {
            call_id: "c1".into(),
            name: "add".into(),
            input: "{\"a\":1}".into(),
            kind: ToolCallKind::Function,
            cache: None,
        }))
    }

    fn result() -> Item {
        Item::new(ItemBody::ToolResult(ToolResult {
            call_id: "c1".into(),
            output: vec![Part::text("2")],
            is_error: None,
            kind: ToolCallKind::Function,
            cache: None,
        }))
    }

    #[test]
    fn calls_and_results_are_written_out_where_the_template_knows_none() {
        let request = request(vec![Item::text(Role::User, "1+1?"), call(), result()]);
        let turns = Conversation::read(&request, false).unwrap().turns;
        assert_eq!(turns[1].role, "assistant");
        assert_eq!(
            turns[1].content,
            "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"
        );
        assert_eq!(turns[2].content, "<tool_response>\n2\n</tool_response>");
    }

    #[test]
    fn calls_and_results_keep_their_shape_where_it_does() {
        let request = request(vec![Item::text(Role::User, "1+1?"), call(), result()]);
        let turns = Conversation::read(&request, true).unwrap().turns;
        assert_eq!(turns[1].json()["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
        assert_eq!(turns[2].json(), json!({"role": "tool", "content": "2", "name": "add"}));
    }

    #[test]
    fn system_texts_join_and_can_move_to_the_user() {
        let mut request = request(vec![
            Item::text(Role::Developer, "be kind"),
            Item::text(Role::User, "a"),
            Item::text(Role::User, "b"),
        ]);
        request.instructions = vec![Part::text("be brief")];
        let conversation = Conversation::read(&request, false).unwrap();
        assert_eq!(conversation.turns[0].content, "be brief\n\nbe kind");
        assert_eq!(conversation.turns[1].content, "a\n\nb");
        let moved = conversation.without_system();
        assert_eq!(moved.turns, [Turn::new("user", "be brief\n\nbe kind\n\na\n\nb")]);
    }

    #[test]
    fn what_is_not_text_is_named() {
        let image = Part::new(PartBody::Image {
            source: Source::Inline(Media { media_type: "image/png".into(), data: "AA==".into() }),
            detail: None,
        });
        let message = Message { role: Role::User, parts: vec![Part::text("look"), image] };
        let request = request(vec![Item::new(ItemBody::Message(message))]);
        let error = Conversation::read(&request, false).unwrap_err();
        assert!(error.message.ends_with("part 1 of item 0 is an image"), "{}", error.message);
    }

    #[test]
    fn an_empty_conversation_is_refused() {
        assert!(Conversation::read(&request(Vec::new()), false).is_err());
    }
}
