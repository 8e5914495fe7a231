//! One `[tools.NAME]` table: an MCP server, an API, or a built-in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use freehold_gateway::options::{At, SecretRef};
use serde::Deserialize;

use super::auth::{check_headers, check_url};
use super::{AuthOptions, Retry, RuleOptions, Scheme};
use crate::event::Name;
use crate::tools::builtin::Builtin;

/// A `[tools.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolOptions {
    /// What it is.
    pub kind: Kind,
    /// Where the MCP server is; in place of the document's server for an API.
    #[serde(default)]
    pub url: Option<String>,
    /// The file with the API's description: OpenAPI 3, as JSON.
    #[serde(default)]
    pub openapi: Option<PathBuf>,
    /// The description itself, in place of a file.
    #[serde(default)]
    pub document: Option<String>,
    /// The only tools that may be called: names of an MCP server's tools,
    /// operation ids or `METHOD /path` of an API. An API's must be named; an
    /// MCP server's are all by default.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// The credential.
    #[serde(default)]
    pub auth: Option<AuthOptions>,
    /// Sent with each request. Credentials belong into `auth`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The header that an API takes idempotency keys in; empty for none.
    /// Default: `Idempotency-Key`.
    #[serde(default)]
    pub key_header: Option<String>,
    /// The largest answer that is read, in bytes. Default: 4 MiB.
    #[serde(default)]
    pub response_bytes_max: Option<usize>,
    /// Which revisions of MCP are spoken. Default: `auto`.
    #[serde(default)]
    pub revision: Revision,
    /// What an MCP server hears that asks the user something in the middle of
    /// a call. Default: `decline`.
    #[serde(default)]
    pub elicitation: Elicitation,
    /// The rules of all its tools.
    #[serde(default)]
    pub rules: RuleOptions,
    /// The rules of single tools, by what the server calls them.
    #[serde(default)]
    pub tools: BTreeMap<String, RuleOptions>,
}

/// What a source of tools is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An MCP server over streamable HTTP.
    Mcp,
    /// Operations of an API.
    Http,
    /// A tool of Freehold's own, by its name; all but the rules is fixed.
    Builtin,
}

/// Which revisions of MCP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// The newest if the server knows it, else one with `initialize`.
    #[default]
    Auto,
    /// Those with `initialize`: up to 2025-11-25.
    Sessions,
    /// Those without sessions: 2026-07-28.
    Stateless,
}

/// What a server hears that asks the user something in the middle of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elicitation {
    /// No; the model is told what was asked, and may ask a person and call
    /// again.
    #[default]
    Decline,
    /// What the form has as defaults, in the owner's name.
    Defaults,
}

/// The largest answer that is read by default.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

impl ToolOptions {
    /// Nothing but the kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            url: None,
            openapi: None,
            document: None,
            only: None,
            auth: None,
            headers: BTreeMap::new(),
            key_header: None,
            response_bytes_max: None,
            revision: Revision::default(),
            elicitation: Elicitation::default(),
            rules: RuleOptions::default(),
            tools: BTreeMap::new(),
        }
    }

    /// The largest answer that is read.
    pub fn response_bytes_max(&self) -> usize {
        self.response_bytes_max.unwrap_or(RESPONSE_BYTES_MAX)
    }

    /// The secret that it refers to.
    pub fn secret_refs(&self) -> impl Iterator<Item = &SecretRef> {
        self.auth.iter().flat_map(AuthOptions::secret_refs)
    }

    /// The rules of one tool: its own, then the source's.
    pub fn rules_of(&self, tool: &str) -> RuleOptions {
        self.tools.get(tool).map_or_else(|| self.rules.clone(), |own| own.or(&self.rules))
    }

    /// Adds what is wrong with it.
    pub fn validate(&self, name: &str, at: &mut At<'_>) {
        if Name::new(name).is_err() || name.is_empty() || name.len() > 48 {
            at.add("", "a name of tools has at most 48 bytes and no control characters");
        }
        match self.kind {
            Kind::Mcp => self.validate_mcp(at),
            Kind::Http => self.validate_http(at),
            Kind::Builtin if Builtin::from_name(name).is_none() => {
                at.add("kind", format!("there is no built-in tool `{name}`: {}", Builtin::known()));
            }
            Kind::Builtin => {}
        }
        self.fits_kind(at);
        check_headers(at, &self.headers);
        if let Some(auth) = &self.auth {
            auth.validate(at);
            if auth.scheme == Scheme::Oauth && self.kind == Kind::Http {
                at.add("auth.scheme", "`oauth` is for MCP servers");
            }
        }
        if let Some(bytes) = self.response_bytes_max
            && !(1_024..=64 << 20).contains(&bytes)
        {
            at.add("response_bytes_max", "it must be between 1024 and 67108864");
        }
        self.rules.validate(at);
        let query_alone =
            |rules: &RuleOptions| rules.retry == Some(Retry::QueryByKey) && rules.query.is_none();
        for (tool, rules) in &self.tools {
            // What the source says counts here as well.
            if query_alone(rules) && self.rules.query.is_some() {
                continue;
            }
            let mut found = freehold_gateway::options::Problems::default();
            rules.validate(&mut found.at(&[]));
            for problem in found.iter() {
                at.add(
                    &format!("tools.{}", problem.path.join(".")),
                    format!("{tool}: {}", problem.message),
                );
            }
        }
    }

    fn validate_mcp(&self, at: &mut At<'_>) {
        match &self.url {
            None => at.add("url", "an MCP server has an address"),
            Some(url) => check_url(at, "url", url),
        }
    }

    fn validate_http(&self, at: &mut At<'_>) {
        if self.openapi.is_none() == self.document.is_none() {
            at.add("openapi", "an API has one description: write `openapi` or `document`");
        }
        if self.only.as_ref().is_none_or(Vec::is_empty) {
            at.add("only", "name the operations that may be called: `only = [\"getOrder\"]`");
        }
        if let Some(url) = &self.url {
            check_url(at, "url", url);
        }
        if let Some(header) = &self.key_header
            && !header.is_empty()
            && http::HeaderName::try_from(header.as_str()).is_err()
        {
            at.add("key_header", format!("`{header}` cannot be the name of a header"));
        }
    }

    /// A key that the kind does not know is a mistake, as an unknown one is.
    fn fits_kind(&self, at: &mut At<'_>) {
        let (mcp, http) = (self.kind == Kind::Mcp, self.kind == Kind::Http);
        for (key, set, knows) in [
            ("url", self.url.is_some(), mcp || http),
            ("openapi", self.openapi.is_some(), http),
            ("document", self.document.is_some(), http),
            ("only", self.only.is_some(), mcp || http),
            ("auth", self.auth.is_some(), mcp || http),
            ("headers", !self.headers.is_empty(), mcp || http),
            ("key_header", self.key_header.is_some(), http),
            ("response_bytes_max", self.response_bytes_max.is_some(), mcp || http),
            ("revision", self.revision != Revision::Auto, mcp),
            ("elicitation", self.elicitation != Elicitation::Decline, mcp),
            ("tools", !self.tools.is_empty(), mcp || http),
        ] {
            if set && !knows {
                at.add(key, "tools of this kind do not have it");
            }
        }
    }
}
