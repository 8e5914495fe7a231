//! What clients call the tools that Freehold performs.
//!
//! A model knows a tool of a server by a name that holds the server's label;
//! clients see label and tool apart.

use std::collections::BTreeSet;

use freehold_llm::model::ToolBody;
use freehold_runtime::content::Settings;
use freehold_runtime::tools::{Listed, ToolSpec};
use serde_json::{Value, json};

use super::follow::Known;
use super::ids;

/// The label of tools of no server.
const OWN: &str = "freehold";

/// Between the parts of a name that a model is shown.
const BETWEEN: &str = "__";
const SERVER: &str = "mcp__";

/// The labels of some settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Vec<String>);

impl Labels {
    pub(super) fn of(settings: &Settings) -> Self {
        let labels = settings.tools.iter().map(|spec| match spec {
            ToolSpec::Configured(name) => name.as_str().to_owned(),
            ToolSpec::Mcp(server) => server.label.as_str().to_owned(),
        });
        Self(labels.collect())
    }

    /// The item of what a server lists.
    pub(super) fn listed(&self, listed: &Listed, stem: &str) -> Value {
        let tools: Vec<Value> = listed.tools.iter().map(tool).collect();
        let mut item = json!({
            "id": format!("mcpl_{stem}"),
            "type": "mcp_list_tools",
            "server_label": self.own(listed.label.as_str()),
            "tools": tools,
        });
        if let Some(error) = &listed.error {
            item["error"] = error.as_str().into();
        }
        item
    }

    /// The item of a call that begins.
    pub(super) fn call(&self, known: &Known, stem: &str) -> Value {
        let (label, tool) = self.split(&known.tool);
        json!({
            "id": format!("mcp_{stem}"),
            "type": "mcp_call",
            "status": "in_progress",
            "approval_request_id": known.approval.map(ids::of_approval),
            "arguments": known.arguments,
            "error": null,
            "name": tool,
            "output": null,
            "server_label": label,
        })
    }

    /// The item of a question.
    pub(super) fn question(&self, known: &Known, id: &str) -> Value {
        let (label, tool) = self.split(&known.tool);
        json!({
            "id": id,
            "type": "mcp_approval_request",
            "arguments": known.arguments,
            "name": tool,
            "server_label": label,
        })
    }

    /// Label and tool. A label that does not fit into a name stands there
    /// shortened; the client hears its own.
    fn split<'a>(&'a self, name: &'a str) -> (&'a str, &'a str) {
        let of_server = name.strip_prefix(SERVER).unwrap_or(name);
        let Some((label, tool)) = of_server.split_once(BETWEEN) else { return (OWN, name) };
        (self.own(label), tool)
    }

    /// The label as the client wrote it.
    fn own<'a>(&'a self, label: &'a str) -> &'a str {
        let own = self.0.iter().find(|own| *own == label).or_else(|| {
            let start = label.get(..label.len().saturating_sub(9)).unwrap_or_default();
            self.0.iter().find(|own| !start.is_empty() && own.starts_with(start))
        });
        own.map_or(label, String::as_str)
    }
}

/// What servers listed, as an event has it.
pub(super) fn lists(content: Option<Value>) -> Vec<Listed> {
    content.and_then(|content| serde_json::from_value(content).ok()).unwrap_or_default()
}

/// A tool as clients of this surface know it.
fn tool(described: &Value) -> Value {
    let field = |name: &str| described.get(name).cloned().unwrap_or_default();
    json!({
        "name": field("name"),
        "description": field("description"),
        "input_schema": field("inputSchema"),
        "annotations": field("annotations"),
    })
}

/// The tools that the client performs.
#[derive(Clone, Debug, Default)]
pub(super) struct Client(BTreeSet<String>);

impl Client {
    pub(super) fn of(settings: &Settings) -> Self {
        let names = settings.request.tools.iter().filter_map(|tool| match &tool.body {
            ToolBody::Function { name, .. } | ToolBody::Custom { name, .. } => Some(name.clone()),
            ToolBody::Native { .. } => None,
        });
        Self(names.collect())
    }

    pub(super) fn performs(&self, tool: &str) -> bool {
        self.0.contains(tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_label_and_tool() {
        let labels = Labels(vec!["github".into(), "a label that is far too long".into()]);
        for (name, found) in [
            ("mcp__github__create_issue", ("github", "create_issue")),
            ("mcp__github__a__b", ("github", "a__b")),
            ("crm__getCustomer", ("crm", "getCustomer")),
            ("wait", ("freehold", "wait")),
            ("mcp__a label that i-0a1b2c3d__t", ("a label that is far too long", "t")),
        ] {
            assert_eq!(labels.split(name), found);
        }
    }
}
