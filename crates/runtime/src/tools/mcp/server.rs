//! An MCP server, configured or named by a client.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_gateway::options::Secrets as ConfigSecrets;
use freehold_types::{Secret, Target};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::oauth::Grant;
use crate::event::Hash;
use crate::tools::options::{
    ApprovalOptions, ClientToolOptions, Elicitation, Revision, RuleOptions, ToolOptions,
};
use crate::tools::{AskFor, McpServer};

/// A server and the rules of its tools.
#[derive(Clone, Debug)]
pub(in crate::tools) struct Server {
    /// What it is called.
    pub(in crate::tools) label: String,
    pub(in crate::tools) url: String,
    pub(in crate::tools) target: Target,
    pub(in crate::tools) headers: HeaderMap,
    /// How its tokens are gotten, where they are.
    pub(super) grant: Option<Arc<Grant>>,
    pub(in crate::tools) response_bytes_max: usize,
    pub(in crate::tools) revision: Revision,
    pub(in crate::tools) elicitation: Elicitation,
    pub(in crate::tools) only: Option<Vec<String>>,
    rules: RuleOptions,
    own_rules: BTreeMap<String, RuleOptions>,
    /// Which calls the client wants to be asked about.
    asks: AskFor,
}

/// Headers of a client's that go to its server.
const HEADERS_MAX: usize = 32;

impl Server {
    /// One of the configuration.
    pub(in crate::tools) fn configured(
        label: &str,
        options: &ToolOptions,
        secrets: &ConfigSecrets,
    ) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            // Both were checked.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                headers.insert(name, value);
            }
        }
        let mut url = options.url.clone()?;
        if let Some(auth) = &options.auth
            && let Some((name, key)) = auth.apply(secrets, &mut headers)
        {
            let between = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{between}{name}={key}");
        }
        let grant = options.auth.as_ref().and_then(|auth| Grant::configured(auth, &url, secrets));
        Some(Self {
            label: label.to_owned(),
            url,
            target: Target::Configured,
            headers,
            grant: grant.map(Arc::new),
            response_bytes_max: options.response_bytes_max(),
            revision: options.revision,
            elicitation: options.elicitation,
            only: options.only.clone(),
            rules: options.rules.clone(),
            own_rules: options.tools.clone(),
            asks: AskFor::Never,
        })
    }

    /// One that a client named, with the headers that it gave: an object of
    /// names and values.
    pub(in crate::tools) fn of_client(
        named: &McpServer,
        headers: Option<&Secret>,
        options: &ClientToolOptions,
    ) -> Self {
        Self {
            label: named.label.as_str().to_owned(),
            url: named.url.clone(),
            target: Target::Untrusted,
            headers: headers.map(|secret| client_headers(secret.reveal())).unwrap_or_default(),
            grant: None,
            response_bytes_max: 4 << 20,
            revision: Revision::Auto,
            elicitation: Elicitation::Decline,
            only: named.allowed.clone(),
            rules: RuleOptions {
                timeout_ms: Some(options.timeout_ms),
                result_bytes_max: Some(options.result_bytes_max),
                approval: Some(ApprovalOptions::Ask {
                    by: crate::event::Deciders::Anyone,
                    hours: options.approval_hours,
                }),
                ..RuleOptions::default()
            },
            own_rules: BTreeMap::new(),
            asks: named.approval.clone(),
        }
    }

    /// Whether a tool of it may be called at all.
    pub(in crate::tools) fn allows(&self, tool: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == tool))
    }

    /// The rules of one of its tools.
    pub(in crate::tools) fn rules_of(&self, tool: &str) -> RuleOptions {
        let own = self.own_rules.get(tool);
        let rules = own.map_or_else(|| self.rules.clone(), |own| own.or(&self.rules));
        if self.target == Target::Configured {
            return rules;
        }
        let named = |names: &[String]| names.iter().any(|name| name == tool);
        let asks = match &self.asks {
            AskFor::Always => true,
            AskFor::Never => false,
            AskFor::Only(names) => named(names),
            AskFor::AllBut(names) => !named(names),
        };
        let approval = if asks { rules.approval } else { Some(ApprovalOptions::Never) };
        RuleOptions { approval, ..rules }
    }

    /// What tells it from others: its address and what is sent to it. A hash,
    /// since credentials are part of it.
    pub(in crate::tools) fn identity(&self) -> Hash {
        let mut text = format!("{:?}\n{}\n{:?}\n", self.target, self.url, self.revision);
        for (name, value) in &self.headers {
            text.push_str(name.as_str());
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
            text.push('\n');
        }
        let own = Hash::of(text.as_bytes());
        match &self.grant {
            Some(grant) => Hash::of_all(&[own, grant.identity()]),
            None => own,
        }
    }

    /// Its address without what may be a credential.
    pub(in crate::tools) fn shown_url(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or_default()
    }
}

/// Headers that the protocol or the transport writes.
const RESERVED: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "accept",
    "connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
];

fn client_headers(json: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let fields = serde_json::from_str::<BTreeMap<String, Value>>(json).unwrap_or_default();
    for (name, value) in fields.into_iter().take(HEADERS_MAX) {
        let Ok(name) = HeaderName::try_from(name) else { continue };
        let taken = RESERVED.contains(&name.as_str())
            || name.as_str().starts_with("mcp-")
            || name == "last-event-id";
        if let (false, Some(Ok(mut value))) = (taken, value.as_str().map(HeaderValue::try_from)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Name;

    fn named(approval: AskFor) -> Server {
        let named = McpServer {
            label: Name::cut("a"),
            url: "https://a.example/mcp?key=secret".into(),
            secret: None,
            allowed: Some(vec!["one".into(), "two".into()]),
            approval,
        };
        let headers =
            Secret::new(r#"{"authorization":"Bearer t","host":"x","mcp-session-id":"y"}"#);
        Server::of_client(&named, Some(&headers), &ClientToolOptions::default())
    }

    #[test]
    fn a_client_says_which_calls_it_is_asked_about() {
        let asks = |approval: AskFor| {
            let server = named(approval);
            ["one", "two"].map(|tool| {
                server.rules_of(tool).approval.is_some_and(|approval| approval.rule().is_some())
            })
        };
        assert_eq!(asks(AskFor::Always), [true, true]);
        assert_eq!(asks(AskFor::Never), [false, false]);
        assert_eq!(asks(AskFor::Only(vec!["one".into()])), [true, false]);
        assert_eq!(asks(AskFor::AllBut(vec!["one".into()])), [false, true]);
        assert!(named(AskFor::Never).allows("one") && !named(AskFor::Never).allows("three"));
    }

    #[test]
    fn credentials_are_sent_and_not_shown() {
        let server = named(AskFor::Never);
        assert_eq!(server.headers.len(), 1);
        assert!(server.headers["authorization"].is_sensitive());
        assert_eq!(server.shown_url(), "https://a.example/mcp");
        assert!(!format!("{:?}", server.headers).contains("Bearer"));
    }
}
