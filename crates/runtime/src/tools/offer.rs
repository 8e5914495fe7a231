//! One tool on offer, and all of them together.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_llm::model::{Extra, Tool, ToolBody};
use serde_json::Value;

use super::builtin::Builtin;
use super::http::Api;
use super::mcp::Server;
use super::options::RuleOptions;
use super::{Listed, Toolset, bound, rules};
use crate::decide::ToolRules;
use crate::event::{Name, Place};

/// The most tools of one set. More than any provider takes.
pub(super) const TOOLS_MAX: usize = 1_024;

/// A tool that may be called.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// As the model is shown it.
    pub(super) tool: Tool,
    pub(super) rules: ToolRules,
    pub(super) target: Target,
    /// The most of a result that the model is shown, in bytes.
    pub(super) result_bytes_max: usize,
}

/// Who performs a tool.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Somebody else than this process.
    Elsewhere,
    /// Freehold itself.
    Builtin(Builtin),
    /// An operation of an API, by its index.
    Http(Arc<Api>, usize),
    /// A tool of an MCP server, by the server's name for it.
    Mcp(Arc<Server>, String),
}

impl Offer {
    /// A tool as it is offered.
    pub(super) fn new(
        body: ToolBody,
        rules: ToolRules,
        target: Target,
        options: &RuleOptions,
    ) -> Self {
        let tool = Tool { body, cache: None, extra: Extra::default() };
        Self { tool, rules, target, result_bytes_max: options.result_bytes_max() }
    }
}

/// All tools of some settings.
#[derive(Debug, Default)]
pub(super) struct Offers {
    by_name: BTreeMap<Name, Offer>,
    /// As they are shown: the client's as it sent them, then Freehold's.
    order: Vec<Shown>,
    listed: Vec<Listed>,
}

#[derive(Debug)]
enum Shown {
    /// A tool with rules.
    Ours(Name),
    /// One that the provider runs.
    Theirs(Box<Tool>),
}

impl Offers {
    /// Adds the client's own tool: the turn waits for the client when it is
    /// called. One that a provider runs is passed on.
    pub(super) fn add_client(&mut self, tool: &Tool) {
        let (ToolBody::Function { name, .. } | ToolBody::Custom { name, .. }) = &tool.body else {
            self.order.push(Shown::Theirs(Box::new(tool.clone())));
            return;
        };
        let options = RuleOptions::default();
        let rules =
            rules::of_waiting(rules::version(&tool.body), Place::Client, &options, &"client");
        // What is no name cannot be called; the provider says so.
        let Ok(name) = Name::new(name) else {
            self.order.push(Shown::Theirs(Box::new(tool.clone())));
            return;
        };
        let offer = Offer::new(tool.body.clone(), rules, Target::Elsewhere, &options);
        self.add(name, Offer { tool: tool.clone(), ..offer });
    }

    /// Adds a tool of Freehold's own.
    pub(super) fn add_builtin(&mut self, builtin: Builtin, options: &RuleOptions) {
        let body = function(builtin.name(), Some(builtin.description()), builtin.schema());
        let version = rules::version(&body);
        let (rules, target) = match builtin {
            Builtin::AskHuman => {
                let rules = rules::of_waiting(version, Place::Human, options, &"builtin");
                (rules, Target::Elsewhere)
            }
            _ => {
                let rules = rules::of_worker(version, Builtin::HINTS, options, &"builtin");
                (rules, Target::Builtin(builtin))
            }
        };
        self.add(Name::cut(builtin.name()), Offer::new(body, rules, target, options));
    }

    /// Adds a tool; false if there is one of that name, or are too many. The
    /// first stands: the client's come first, and nobody takes their place.
    pub(super) fn add(&mut self, name: Name, offer: Offer) -> bool {
        if self.by_name.len() >= TOOLS_MAX || self.by_name.contains_key(&name) {
            return false;
        }
        self.order.push(Shown::Ours(name.clone()));
        self.by_name.insert(name, offer);
        true
    }

    /// Says what a source has, or why it has nothing.
    pub(super) fn tell(&mut self, label: Name, tools: Vec<Value>, error: Option<String>) {
        let error = error.map(|error| bound::description(&error));
        self.listed.push(Listed { label, tools, error });
    }

    /// Whether some of them are performed by Freehold, so that a result may be
    /// too large and wait to be paged.
    pub(super) fn may_overflow(&self) -> bool {
        self.by_name.values().any(|offer| offer.rules.place == Place::Worker)
    }

    /// The tool of a name.
    pub(super) fn take(mut self, name: &Name) -> Option<Offer> {
        self.by_name.remove(name)
    }

    /// As `decide` and models want them. A tool that is forbidden keeps its
    /// rules, so that a call of it is refused as that, and is not shown.
    pub(super) fn into_set(self) -> Toolset {
        let shown = self.order.into_iter().filter_map(|shown| match shown {
            Shown::Theirs(tool) => Some(*tool),
            Shown::Ours(name) => {
                let offer = self.by_name.get(&name)?;
                (!offer.rules.forbidden).then(|| offer.tool.clone())
            }
        });
        Toolset {
            offered: shown.collect(),
            rules: self.by_name.iter().map(|(name, o)| (name.clone(), o.rules.clone())).collect(),
            listed: self.listed,
        }
    }
}

/// A function as models are shown it.
pub(super) fn function(name: &str, description: Option<&str>, schema: Value) -> ToolBody {
    ToolBody::Function {
        name: name.to_owned(),
        description: description.map(bound::description),
        schema: Some(schema),
        strict: None,
    }
}
