//! Tools: what a model may call, by which rules, and who performs it.

mod bound;
mod builtin;
mod http;
mod mcp;
pub mod name;
mod offer;
pub mod options;
mod overflow;
mod plan;
mod records;
mod rules;
mod secrets;
#[cfg(test)]
mod tests;
mod toolbox;

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_llm::model::Tool;
use freehold_types::{BoxFuture, CallId, SessionId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::content::Settings;
use crate::decide::{Ended, Found, ToolRules};
use crate::event::{Name, Note};

pub use builtin::{Builtin, READ_RESULT};
pub use mcp::{OAuthClient, Probe, Probed};
pub use plan::{Config, Plan};
pub use records::Records;
pub use secrets::Secrets;
pub use toolbox::{Parts, Toolbox};

/// A tool, or a source of tools, that Freehold performs itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolSpec {
    /// All tools of this name in the configuration: an MCP server, an API, or
    /// a built-in.
    Configured(Name),
    /// An MCP server that the client named.
    Mcp(McpServer),
}

/// An MCP server that the client named: an untrusted address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// What the client calls it.
    pub label: Name,
    /// Where it is.
    pub url: String,
    /// The sealed secret of the session that holds its headers; never the
    /// headers themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Name>,
    /// The only tools of it that may be called; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// Whether the client is asked before each call.
    pub approval: AskFor,
}

/// Which calls somebody is asked about first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskFor {
    /// All.
    Always,
    /// None.
    Never,
    /// Only these tools'.
    Only(Vec<String>),
    /// All but these tools'.
    AllBut(Vec<String>),
}

/// What a turn's settings come to: made anew before each asking of a model,
/// from lists that are cached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toolset {
    /// What the model is shown.
    pub offered: Vec<Tool>,
    /// The rules of each, by the name that the model calls it by.
    pub rules: BTreeMap<Name, ToolRules>,
    /// The servers whose tools were listed, for surfaces that show it.
    pub listed: Vec<Listed>,
}

/// The tools of a server, as it listed them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// What the server is called.
    pub label: Name,
    /// Each tool as the server describes it.
    pub tools: Vec<serde_json::Value>,
    /// Why it could not be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One start of a call, or a question about one.
#[derive(Clone, Debug)]
pub struct Performing {
    /// Whose session it is.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// The call; its text is the idempotency key.
    pub call: CallId,
    /// The start.
    pub attempt: u32,
    /// The tool, by the name that the model called it by.
    pub tool: Name,
    /// The canonical text of the arguments, of which the journal has the hash.
    pub arguments: Arc<str>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
}

/// How a start ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Performed {
    /// At once.
    Ended(Ended),
    /// It waits, without anybody's work, until this time.
    Until(Timestamp),
}

/// Performs tools. Dropping a future cancels it as far as the other side lets
/// itself be cancelled.
pub trait Tools: Send + Sync + 'static {
    /// What settings come to. A server that cannot be listed is told in
    /// `listed`; an error is for what no later try would mend.
    fn resolve(
        &self,
        tenant: TenantId,
        session: SessionId,
        settings: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>>;

    /// Calls a tool.
    fn call(&self, performing: Performing) -> BoxFuture<'static, Performed>;

    /// Asks a tool by key what became of a call.
    fn query(&self, performing: Performing) -> BoxFuture<'static, Found>;
}
