//! A model name that clients ask for, and the policy that picks among
//! deployments.

use std::collections::BTreeMap;

use freehold_llm::Dialect;
use freehold_llm::catalogue::Capability;
use serde::Deserialize;

use super::problem::At;
use super::{Pattern, PriceOptions, ProviderOptions, nearest, word};

/// A `[routes.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteOptions {
    /// The short form of a route with one deployment: `"PROVIDER/MODEL"`.
    pub to: Option<String>,
    /// Who may answer.
    pub deployments: Vec<DeploymentOptions>,
    /// How one of them is picked. Default: `ordered`.
    pub strategy: Strategy,
    /// The output limit of a request that has none; it is reserved, and sent
    /// to the provider. Default: the deployment's largest output.
    pub default_max_tokens: Option<u64>,
    /// Whether requests that begin alike go to one deployment. Default: `off`.
    pub affinity: Affinity,
    /// After how many milliseconds without a first byte a second deployment
    /// is asked as well; the slower is cancelled. Default: never.
    pub hedge_after_ms: Option<u64>,
    /// How often a failed attempt is made again.
    pub retries: RetryOptions,
    /// Whether a request that would lose something on its way to another
    /// dialect is refused. Default: false.
    pub strict: bool,
    /// What moves a request on to the next deployment. Default: everything.
    pub fallback_on: Option<Vec<FallbackOn>>,
}

/// One model at one provider.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentOptions {
    /// Its name under `[providers]`.
    pub provider: String,
    /// The name the provider knows; a `*` stands for what the route's `*`
    /// matched.
    pub model: String,
    /// Its share under the strategy `weighted`; 0 takes it out. Default: 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// The dialect to speak to it. Default: the caller's, where the provider
    /// has it, else the provider's best.
    #[serde(default, deserialize_with = "word::dialect")]
    pub dialect: Option<Dialect>,
    /// Tokens of input and output together, in place of the catalogue's.
    #[serde(default)]
    pub context: Option<u64>,
    /// Tokens of output, in place of the catalogue's.
    #[serde(default)]
    pub max_output: Option<u64>,
    /// Where it runs.
    #[serde(default)]
    pub region: Option<String>,
    /// What it costs, in place of the price sheet's.
    #[serde(default)]
    pub price: Option<PriceOptions>,
    /// What it can do, in place of the catalogue's list.
    #[serde(default)]
    pub capabilities: Option<Vec<Capability>>,
}

fn one() -> u32 {
    1
}

/// How a deployment is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The first one that works, in the order they are written.
    #[default]
    Ordered,
    /// By chance, in the proportion of their weights.
    Weighted,
    /// The faster of two random ones, by their recent latency and load.
    Latency,
    /// The one that is cheapest for this request.
    Price,
}

/// Whether requests that begin alike go to one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// They do not.
    #[default]
    Off,
    /// They do while it is well, so that its prompt cache is warm.
    PromptCache,
}

/// How often a failed attempt is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryOptions {
    /// Further attempts after the first, over all deployments. Default: 2.
    pub max: u32,
    /// Retries the route may make in percent of its requests, so that they do
    /// not add to an overload. Default: 20.
    pub budget_percent: u32,
    /// The longest first wait in milliseconds; it doubles with each retry and
    /// a random part of it is waited. Default: 200.
    pub base_ms: u64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { max: 2, budget_percent: 20, base_ms: 200 }
    }
}

/// A failure that may move a request on to the next deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackOn {
    /// No connection came about, or it broke before an answer began.
    Connect,
    /// No answer in time.
    Timeout,
    /// 429.
    RateLimit,
    /// 5xx.
    ServerError,
    /// 401, 402 or 403: the credential does not serve.
    Credential,
    /// An answer that could not be read.
    BadAnswer,
}

impl FallbackOn {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Timeout,
        Self::RateLimit,
        Self::ServerError,
        Self::Credential,
        Self::BadAnswer,
    ];
}

impl RouteOptions {
    /// A route with one deployment and everything else at its default.
    pub(super) fn to_one(provider: &str, model: &str) -> Self {
        Self { deployments: vec![DeploymentOptions::new(provider, model)], ..Self::default() }
    }

    /// The same route with its short form written out.
    pub(super) fn written_out(&self) -> Self {
        let mut route = self.clone();
        if let Some((provider, model)) =
            route.to.take().as_deref().and_then(|to| to.split_once('/'))
        {
            route.deployments.push(DeploymentOptions::new(provider, model));
        }
        route
    }

    /// Whether this failure moves a request on.
    pub fn falls_back_on(&self, failure: FallbackOn) -> bool {
        self.fallback_on.as_ref().is_none_or(|list| list.contains(&failure))
    }

    pub(super) fn validate(
        &self,
        name: &str,
        providers: &BTreeMap<String, ProviderOptions>,
        at: &mut At<'_>,
    ) {
        let pattern = Pattern::parse(name);
        if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
            at.add("", "a route's name has 1 to 256 printable characters");
        }
        if pattern.is_none() {
            at.add("", "a route's name may hold one `*`");
        }
        let wild = pattern.is_some_and(|pattern| pattern.is_wild());
        match (&self.to, self.deployments.is_empty()) {
            (None, true) => {
                at.add("", "it leads nowhere: set `to = \"PROVIDER/MODEL\"` or `deployments`");
            }
            (Some(_), false) => at.add("to", "set either `to` or `deployments`, not both"),
            (Some(to), true) if !to.contains('/') => {
                at.add("to", format!("`{to}` is not of the form PROVIDER/MODEL"));
            }
            _ => {}
        }
        for (n, deployment) in self.written_out().deployments.iter().enumerate() {
            let place =
                if self.to.is_some() { "to".to_owned() } else { format!("deployments.{n}") };
            deployment.validate(wild, providers, &place, at);
        }
        if self.strategy == Strategy::Weighted
            && !self.deployments.is_empty()
            && self.deployments.iter().all(|deployment| deployment.weight == 0)
        {
            at.add("deployments", "every weight is 0, so no deployment could be picked");
        }
        if self.hedge_after_ms == Some(0) || self.default_max_tokens == Some(0) {
            at.add("", "hedge_after_ms and default_max_tokens must be at least 1: leave them out to turn them off");
        }
        if self.retries.max > 10 || self.retries.budget_percent > 100 {
            at.add(
                "retries",
                "`max` goes up to 10 and `budget_percent` up to 100: more would add to an overload",
            );
        }
    }
}

impl DeploymentOptions {
    fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            weight: 1,
            dialect: None,
            context: None,
            max_output: None,
            region: None,
            price: None,
            capabilities: None,
        }
    }

    fn validate(
        &self,
        wild: bool,
        providers: &BTreeMap<String, ProviderOptions>,
        place: &str,
        at: &mut At<'_>,
    ) {
        let Self { provider, model, .. } = self;
        match providers.get(provider) {
            None => {
                let hint = nearest(provider, providers.keys().map(String::as_str))
                    .map(|near| format!(": did you mean `{near}`?"))
                    .unwrap_or_default();
                at.add(place, format!("no provider is named `{provider}`{hint}"));
            }
            Some(ProviderOptions { dialects: Some(spoken), .. })
                if self.dialect.is_some_and(|dialect| !spoken.contains(&dialect)) =>
            {
                at.add(place, format!("`{provider}` does not list that dialect"));
            }
            Some(_) => {}
        }
        if model.is_empty() {
            at.add(place, "the model's name is empty");
        }
        match model.matches('*').count() {
            0 => {}
            1 if wild => {}
            1 => at.add(place, "the model holds a `*`, but the route's name has none to fill it"),
            _ => at.add(place, "the model may hold one `*`"),
        }
        if self.context == Some(0) || self.max_output == Some(0) {
            at.add(place, "`context` and `max_output` must be at least 1");
        }
    }
}
