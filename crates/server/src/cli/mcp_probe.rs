//! `freehold mcp-probe`: looks at an MCP server as a session would.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::Guard;
use freehold_runtime::tools::options::{Elicitation, Kind, Revision, ToolOptions};
use freehold_runtime::tools::{OAuthClient, Probe};
use freehold_server::env::RealEnv;
use freehold_server::out;
use freehold_types::Secret;
use serde::Deserialize;

/// Connect to an MCP server, list its tools and call each once.
///
/// Arguments are made up from each tool's schema: do not call the tools of a
/// server that does something with them. Ends with status 0 if the server could
/// be spoken to. It is what the client side of the MCP conformance suite calls.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold mcp-probe https://mcp.example.com/mcp
  freehold mcp-probe --list http://127.0.0.1:3001/mcp    calls nothing")]
pub(super) struct McpProbe {
    /// The server's address.
    url: String,
    /// List the tools and call none.
    #[arg(long)]
    list: bool,
    /// Which revisions to speak: auto, sessions (with initialize) or stateless (2026-07-28).
    #[arg(long, default_value = "auto", value_parser = revision)]
    revision: Revision,
    /// Who Freehold is to the server's authorization server: JSON with client_id and client_secret.
    #[arg(long, value_name = "JSON", env = "MCP_CONFORMANCE_CONTEXT", hide_env_values = true)]
    client: Option<String>,
    /// The address of a document about this client, which some authorization servers take as its id.
    #[arg(long, value_name = "URL")]
    client_document: Option<String>,
}

/// What the suite gives, as far as it is used.
#[derive(Deserialize)]
struct Given {
    client_id: Option<String>,
    client_secret: Option<String>,
}

fn revision(word: &str) -> Result<Revision, String> {
    match word {
        "auto" => Ok(Revision::Auto),
        "sessions" => Ok(Revision::Sessions),
        "stateless" => Ok(Revision::Stateless),
        _ => Err("write auto, sessions or stateless".to_owned()),
    }
}

impl McpProbe {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = match &self.client {
            None => None,
            Some(json) => {
                let given: Given =
                    serde_json::from_str(json).context("the client is no JSON object")?;
                let secret = given.client_secret.map(Secret::new);
                given.client_id.map(|id| OAuthClient { id, secret })
            }
        };
        let mut options = ToolOptions::new(Kind::Mcp);
        options.url = Some(self.url);
        options.revision = self.revision;
        options.elicitation = Elicitation::Defaults;
        let probe = Probe {
            transport: Arc::new(HttpTransport::new(1, Guard::default())),
            env: Arc::new(RealEnv::new()),
            version: env!("CARGO_PKG_VERSION"),
            options,
            client,
            document: self.client_document,
            call: !self.list,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(probe.run()).map_err(|why| anyhow!(why))?;
        out::line(format!("It speaks MCP {} and has {} tools.", found.revision, found.tools.len()));
        for (tool, called) in found.tools {
            match called {
                None => out::line(format!("{tool:?}")),
                Some(Ok(said)) => out::line(format!("{tool:?}: ok: {}", short(&said))),
                Some(Err(said)) => out::line(format!("{tool:?}: failed: {}", short(&said))),
            }
        }
        if let Some(why) = found.left_out {
            out::note(format!("left out: {}", short(&why)));
        }
        Ok(())
    }
}

/// What a server says, on one line of a terminal.
fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
