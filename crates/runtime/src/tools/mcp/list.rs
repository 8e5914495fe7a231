//! A server's tools, read page by page and bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use freehold_llm::model::ToolBody;
use rmcp::model::{PaginatedRequestParams, Tool};
use serde_json::{Value, json};

use super::fault::Fault;
use super::link::Link;
use super::server::Server;
use crate::event::Name;
use crate::tools::offer::{TOOLS_MAX, function};
use crate::tools::rules::{self, Hints};
use crate::tools::{bound, name};

/// The most pages of one list.
const PAGES_MAX: usize = 64;

/// How long a list is good where the server does not say.
const FRESH: Duration = Duration::from_secs(300);

/// Within these, the server's word counts.
const FRESH_MIN: Duration = Duration::from_secs(5);
const FRESH_MAX: Duration = Duration::from_secs(3_600);

/// What a server lists.
#[derive(Debug)]
pub(in crate::tools) struct List {
    pub(super) tools: Vec<ListedTool>,
    /// What was left out, and why.
    pub(super) left_out: Option<String>,
    /// How long it is good.
    pub(super) fresh: Duration,
}

/// One tool of a list.
#[derive(Debug)]
pub(super) struct ListedTool {
    /// What the server calls it.
    pub(super) name: String,
    /// What the model calls it.
    pub(super) called: Name,
    pub(super) body: ToolBody,
    pub(super) version: Name,
    pub(super) hints: Hints,
    /// As surfaces show it.
    pub(super) described: Value,
}

impl List {
    /// Reads the list of a server.
    pub(super) async fn read(link: &Link, server: &Server) -> Result<Self, Fault> {
        let mut list = Self { tools: Vec::new(), left_out: None, fresh: FRESH };
        let (mut cursor, mut seen) = (None, BTreeSet::new());
        for _ in 0..PAGES_MAX {
            let params = PaginatedRequestParams::default().with_cursor(cursor.clone());
            let page = link.service().list_tools(Some(params)).await;
            let page = page.map_err(|error| Fault::of_request(&error))?;
            if let Some(ms) = page.ttl_ms {
                list.fresh = list.fresh.min(Duration::from_millis(ms).clamp(FRESH_MIN, FRESH_MAX));
            }
            for tool in &page.tools {
                list.add(tool, server);
            }
            cursor = page.next_cursor.filter(|cursor| seen.insert(cursor.clone()));
            if cursor.is_none() || list.tools.len() >= TOOLS_MAX {
                return Ok(list);
            }
        }
        list.left_out = Some(format!("its list has more than {PAGES_MAX} pages"));
        Ok(list)
    }

    fn add(&mut self, tool: &Tool, server: &Server) {
        if !server.allows(&tool.name) {
            return;
        }
        if self.tools.len() >= TOOLS_MAX {
            self.left_out = Some(format!("it has more than {TOOLS_MAX} tools"));
            return;
        }
        if self.tools.iter().any(|known| known.name == tool.name) {
            return;
        }
        match ListedTool::new(tool, server) {
            Ok(listed) => self.tools.push(listed),
            Err(why) => {
                let name = bound::description(&tool.name);
                self.left_out = Some(format!("its tool `{name}` is left out: {why}"));
            }
        }
    }
}

impl ListedTool {
    fn new(tool: &Tool, server: &Server) -> Result<Self, String> {
        let schema = bound::schema(&tool.input_schema)?;
        let called = name::of_mcp(&server.label, &tool.name);
        let said = tool.description.as_deref().or(tool.title.as_deref());
        let description = said.map(bound::description);
        let annotations = tool.annotations.clone().unwrap_or_default();
        let hints = Hints {
            read_only: annotations.read_only_hint == Some(true),
            idempotent: annotations.idempotent_hint == Some(true),
            // Its absence says nothing, whatever the specification has as default.
            destructive: annotations.destructive_hint == Some(true),
        };
        let hints = match server.target {
            freehold_types::Target::Configured => hints,
            freehold_types::Target::Untrusted => hints.of_stranger(),
        };
        let shown_name: String = bound::description(&tool.name).chars().take(256).collect();
        Ok(Self {
            name: tool.name.to_string(),
            body: function(called.as_str(), description.as_deref(), schema.clone()),
            called,
            version: rules::version(&json!({ "tool": tool, "url": server.shown_url() })),
            hints,
            described: json!({
                "name": shown_name, "description": description, "inputSchema": schema,
                "annotations": annotations,
            }),
        })
    }
}
