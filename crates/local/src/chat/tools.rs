//! The tools of a request, and what the model may do with them.

use freehold_llm::model::{ApiError, Request, ToolBody, ToolChoice};
use serde_json::{Value, json};

use crate::error;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: String,
    description: Option<String>,
    /// A JSON schema of its input, always of an object.
    pub(crate) schema: Value,
}

impl Tool {
    /// In the shape that chat templates expect.
    pub(crate) fn json(&self) -> Value {
        let mut function = json!({ "name": self.name });
        if let Some(description) = &self.description {
            function["description"] = json!(description);
        }
        function["parameters"] = self.schema.clone();
        json!({ "type": "function", "function": function })
    }
}

/// What the model may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Never,
    May,
    Must,
}

/// The tools of a request.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    offered: Vec<Tool>,
    choice: Choice,
    parallel: bool,
}

/// More make the prompt longer than a small model can read.
const TOOLS_MAX: usize = 128;

impl Tools {
    /// Reads and checks the request's tools.
    pub(crate) fn of(request: &Request) -> Result<Self, Box<ApiError>> {
        if request.tools.len() > TOOLS_MAX {
            return Err(error::invalid(
                "tools",
                format!("{} tools; the local model takes {TOOLS_MAX}", request.tools.len()),
            ));
        }
        let mut tools = Vec::with_capacity(request.tools.len());
        for tool in &request.tools {
            tools.push(read(&tool.body)?);
        }
        let mut parallel = request.parallel_tool_calls.unwrap_or(true);
        let choice = match &request.tool_choice {
            None | Some(ToolChoice::Auto) => Choice::May,
            Some(ToolChoice::None) => Choice::Never,
            Some(ToolChoice::Required) => Choice::Must,
            Some(ToolChoice::Tool(name)) => {
                tools.retain(|tool| tool.name == *name);
                if tools.is_empty() {
                    return Err(error::invalid(
                        "tool_choice",
                        format!("tool_choice names {name:?}, and no tool has that name"),
                    ));
                }
                parallel = false;
                Choice::Must
            }
            Some(ToolChoice::Native { dialect, .. }) => {
                return Err(error::invalid(
                    "tool_choice",
                    format!(
                        "this tool_choice of the {} dialect is not known to the local model: \
                         use auto, none, required or a tool's name",
                        dialect.word()
                    ),
                ));
            }
        };
        if choice == Choice::Must && tools.is_empty() {
            return Err(error::invalid(
                "tool_choice",
                "tool_choice demands a tool, and none is given",
            ));
        }
        let choice = if tools.is_empty() { Choice::Never } else { choice };
        Ok(Self { offered: tools, choice, parallel })
    }

    /// The tools.
    pub(crate) fn offered(&self) -> &[Tool] {
        &self.offered
    }

    /// Whether a call may come.
    pub(crate) fn may_call(&self) -> bool {
        self.choice != Choice::Never
    }

    /// Whether a call must come.
    pub(crate) fn must_call(&self) -> bool {
        self.choice == Choice::Must
    }

    /// Whether several calls may come.
    pub(crate) fn parallel(&self) -> bool {
        self.parallel
    }
}

fn read(body: &ToolBody) -> Result<Tool, Box<ApiError>> {
    match body {
        ToolBody::Function { name, description, schema, .. } => {
            if name.is_empty() || name.len() > 256 {
                return Err(error::invalid("tools", "a tool's name has 1 to 256 bytes"));
            }
            Ok(Tool {
                name: name.clone(),
                description: description.clone(),
                schema: schema.clone().map_or_else(no_input, of_object),
            })
        }
        ToolBody::Custom { name, .. } => Err(error::invalid(
            "tools",
            format!("the local model takes function tools only, and {name:?} takes free text"),
        )),
        ToolBody::Native { json, dialect } => Err(error::invalid(
            "tools",
            format!(
                "the local model takes function tools only, and {:?} is a tool of the {} \
                 dialect's provider",
                json.get("type").and_then(Value::as_str).unwrap_or("one"),
                dialect.word()
            ),
        )),
    }
}

fn no_input() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// Inputs are objects, whether the schema says so or not.
fn of_object(schema: Value) -> Value {
    match schema {
        Value::Object(mut fields) => {
            if fields.is_empty() {
                return no_input();
            }
            fields.entry("type").or_insert_with(|| json!("object"));
            Value::Object(fields)
        }
        // `true` allows anything; anything else is refused by the grammar.
        Value::Bool(true) => json!({ "type": "object" }),
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use freehold_llm::Dialect;
    use freehold_llm::model::Extra;
    use freehold_llm::model::Tool as Offered;

    use super::*;

    pub(crate) fn function(name: &str, schema: Value) -> Offered {
        Offered {
            body: ToolBody::Function {
                name: name.into(),
                description: Some(format!("does {name}")),
                schema: Some(schema),
                strict: None,
            },
            cache: None,
            extra: Extra::default(),
        }
    }

    fn request(choice: Option<ToolChoice>, names: &[&str]) -> Request {
        let mut request = Request::new(Dialect::Chat, "m");
        request.tools = names.iter().map(|n| function(n, json!({}))).collect();
        request.tool_choice = choice;
        request
    }

    #[test]
    fn a_named_choice_leaves_one_tool_and_one_call() {
        let tools = Tools::of(&request(Some(ToolChoice::Tool("b".into())), &["a", "b"])).unwrap();
        assert_eq!(tools.offered().len(), 1);
        assert!(tools.must_call() && !tools.parallel());
    }

    #[test]
    fn impossible_choices_are_refused() {
        assert!(Tools::of(&request(Some(ToolChoice::Tool("c".into())), &["a"])).is_err());
        assert!(Tools::of(&request(Some(ToolChoice::Required), &[])).is_err());
        let none = Tools::of(&request(Some(ToolChoice::None), &["a"])).unwrap();
        assert!(!none.may_call());
    }

    #[test]
    fn tools_that_are_no_functions_are_named() {
        let mut request = request(None, &[]);
        let json = json!({ "type": "web_search" });
        request.tools = vec![Offered {
            body: ToolBody::Native { dialect: Dialect::Responses, json },
            cache: None,
            extra: Extra::default(),
        }];
        let error = Tools::of(&request).unwrap_err();
        assert!(error.message.contains("web_search"), "{}", error.message);
    }
}
