//! Looks at an MCP server from outside: connects, lists, calls. What
//! `freehold mcp-probe` does, and what the conformance suite drives.

use std::sync::Arc;

use freehold_types::{Env, Target, Transport};
use http::Uri;
use rmcp::model::CallToolRequestParams;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::link::Link;
use super::list::List;
use super::oauth::{Client, OAuth};
use super::server::Server;
use super::wire::{Bearer, Wire};
use crate::decide::Ended;
use crate::event::Content;
use crate::tools::options::{Kind, ToolOptions};

/// What a probe works with.
pub struct Probe {
    /// Other machines.
    pub transport: Arc<dyn Transport>,
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// Freehold's version, which the server is told.
    pub version: &'static str,
    /// How the server is spoken to; `url` is its address.
    pub options: ToolOptions,
    /// Who we are to its authorization server, if that is known.
    pub client: Option<Client>,
    /// The address of a document about us.
    pub document: Option<String>,
    /// Whether its tools are called, each once with made-up arguments.
    pub call: bool,
}

/// What a probe found.
#[derive(Debug)]
pub struct Found {
    /// The revision that is spoken.
    pub revision: String,
    /// Each tool, and how a call of it ended.
    pub tools: Vec<(String, Option<Result<String, String>>)>,
    /// What was left out of the list.
    pub left_out: Option<String>,
}

impl Probe {
    /// Probes the server.
    pub async fn run(self) -> Result<Found, String> {
        let secrets = freehold_gateway::options::Secrets::default();
        debug_assert_eq!(self.options.kind, Kind::Mcp);
        let server = Server::configured("probe", &self.options, &secrets);
        let server = server.ok_or("the server has no address")?;
        let url: Uri = server.url.parse().map_err(|_| "the address is no URL".to_owned())?;
        let bearer = Bearer::default();
        let mut oauth = OAuth {
            transport: Arc::clone(&self.transport),
            env: Arc::clone(&self.env),
            target: Target::Configured,
            url,
            client: self.client.clone(),
            registered: None,
            document: self.document.clone(),
            attempts: 0,
            scopes: Vec::new(),
            bearer: Arc::clone(&bearer),
        };
        let wire = Wire {
            transport: Arc::clone(&self.transport),
            target: server.target,
            headers: server.headers.clone(),
            bearer,
            response_bytes_max: server.response_bytes_max,
        };
        let link = loop {
            match Link::start(&server, wire.clone(), &*self.env, self.version).await {
                Ok(link) => break link,
                Err(fault) => answer(&mut oauth, fault).await?,
            }
        };
        let list = loop {
            match List::read(&link, &server).await {
                Ok(list) => break list,
                Err(fault) => answer(&mut oauth, fault).await?,
            }
        };
        let mut tools = Vec::new();
        for tool in &list.tools {
            let called = if self.call {
                let schema = tool.described.get("inputSchema").cloned().unwrap_or_default();
                Some(call(&link, &mut oauth, &tool.name, &schema).await?)
            } else {
                None
            };
            tools.push((tool.name.clone(), called));
        }
        let revision = link.revision();
        link.close().await;
        Ok(Found { revision, tools, left_out: list.left_out })
    }
}

/// Gets another token if that is what was wrong.
async fn answer(oauth: &mut OAuth, fault: Fault) -> Result<(), String> {
    match fault {
        Fault::Unauthorized(challenge) => oauth.authorize(&challenge).await,
        other => Err(other.message()),
    }
}

async fn call(
    link: &Link,
    oauth: &mut OAuth,
    tool: &str,
    schema: &Value,
) -> Result<Result<String, String>, String> {
    loop {
        let params = CallToolRequestParams::new(tool.to_owned());
        let params = params.with_arguments(made_up(schema));
        let text = |content: Content| match content {
            Content::Inline(Value::String(text)) => text,
            Content::Inline(other) => other.to_string(),
            Content::Blob { bytes, .. } => format!("{bytes} bytes"),
        };
        match link.call(params).await {
            Ok((result, notes)) => {
                return Ok(match super::result::ended(&result, &notes) {
                    Ended::Ok(content) => Ok(text(content)),
                    Ended::Failed(content) => Err(text(content)),
                    Ended::Lost => Err("lost".to_owned()),
                });
            }
            Err(Fault::Unauthorized(challenge)) => oauth.authorize(&challenge).await?,
            Err(fault) => return Ok(Err(fault.message())),
        }
    }
}

/// Arguments that a schema allows, made up from its required fields.
fn made_up(schema: &Value) -> Map<String, Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    let value = |name: &str| {
        let field = schema.get("properties").and_then(|fields| fields.get(name));
        let said = |key: &str| field.and_then(|field| field.get(key));
        if let Some(value) = said("default").or_else(|| said("enum").and_then(|all| all.get(0))) {
            return value.clone();
        }
        match said("type").and_then(Value::as_str) {
            Some("integer" | "number") => Value::from(5),
            Some("boolean") => Value::from(true),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => Value::Object(Map::new()),
            _ => Value::from("probe"),
        }
    };
    required.map(|name| (name.to_owned(), value(name))).collect()
}
