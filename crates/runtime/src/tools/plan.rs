//! What the owner configured, made ready: read once, used by every call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_gateway::options::{Problems, Secrets};

use super::builtin::Builtin;
use super::http::Api;
use super::mcp::Server;
use super::options::{ClientToolOptions, Kind, RuleOptions, ToolOptions};

/// What the owner says of tools.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[tools]`, by name; an API's description stands in `document`.
    pub tools: BTreeMap<String, ToolOptions>,
    /// `[client_tools]`.
    pub client: ClientToolOptions,
    /// What the references lead to.
    pub secrets: Secrets,
}

/// The sources of tools.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) client: ClientToolOptions,
}

/// Where tools come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Freehold itself.
    Builtin(Builtin, RuleOptions),
    /// An API.
    Http(Arc<Api>),
    /// An MCP server.
    Mcp(Arc<Server>),
}

impl Plan {
    /// Makes the configuration ready, or says all that is wrong with it.
    pub fn new(config: &Config) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut sources = BTreeMap::new();
        for (name, options) in &config.tools {
            let mut at = problems.at(&["tools", name]);
            options.validate(name, &mut at);
            let source = match options.kind {
                Kind::Builtin => Builtin::from_name(name)
                    .map(|builtin| Source::Builtin(builtin, options.rules.clone())),
                Kind::Http => Api::new(name, options, &config.secrets, &mut at)
                    .map(|api| Source::Http(Arc::new(api))),
                Kind::Mcp => Server::configured(name, options, &config.secrets)
                    .map(|server| Source::Mcp(Arc::new(server))),
            };
            sources.extend(source.map(|source| (name.clone(), source)));
        }
        config.client.validate(&mut problems.at(&["client_tools"]));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { sources, client: config.client.clone() })
    }

    /// The source of a name. Built-ins need no configuration.
    pub(super) fn source(&self, name: &str) -> Option<Cow<'_, Source>> {
        match self.sources.get(name) {
            Some(source) => Some(Cow::Borrowed(source)),
            None => Builtin::from_name(name)
                .map(|builtin| Cow::Owned(Source::Builtin(builtin, RuleOptions::default()))),
        }
    }
}
