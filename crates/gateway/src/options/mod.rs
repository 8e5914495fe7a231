//! What an operator configures about providers and routes.
//!
//! These are the `[providers]`, `[routes]` and `[gateway]` tables of
//! `freehold.toml` as they are written. Reading files and the environment is
//! `server`'s business: a secret here is only a [`SecretRef`].

mod fetch;
mod nearest;
mod pattern;
mod price;
mod problem;
mod provider;
mod route;
mod secret;
mod word;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use fetch::FetchOptions;
pub use freehold_llm::catalogue::Capability;
pub use nearest::nearest;
pub use pattern::Pattern;
pub use price::{PerMillion, PriceOptions};
pub use problem::{At, Problem, Problems};
pub use provider::{
    AuthOptions, AuthScheme, EngineOptions, HttpVersion, ProviderOptions, ProxyOptions,
    TimeoutOptions,
};
pub use route::{Affinity, DeploymentOptions, FallbackOn, RetryOptions, RouteOptions, Strategy};
pub use secret::{SecretRef, Secrets};

/// The provider, and its kind, that runs models inside this process.
pub const LOCAL: &str = "local";

/// The model name by which the local provider means "the one you have".
pub const LOCAL_DEFAULT_MODEL: &str = "default";

/// All that the gateway is configured with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// By name, which is what deployments refer to.
    pub providers: BTreeMap<String, ProviderOptions>,
    /// By the model name that clients ask for; may hold one `*`.
    pub routes: BTreeMap<String, RouteOptions>,
    /// What holds for all of them.
    pub gateway: GatewayOptions,
}

/// The `[gateway]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayOptions {
    /// Whether every provider is reachable as `PROVIDER/MODEL`, and the local
    /// one as `local`, without a route of their own. Default: true.
    pub routes_implicit: bool,
    /// When a failing deployment is left alone.
    pub breaker: BreakerOptions,
    /// Addresses that clients and models may name.
    pub fetch: FetchOptions,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            routes_implicit: true,
            breaker: BreakerOptions::default(),
            fetch: FetchOptions::default(),
        }
    }
}

/// The `[gateway.breaker]` table. Where no other deployment is left to ask, an
/// open breaker holds a request back only while all fail, and lets one a second
/// through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerOptions {
    /// Failures in a row that open it. Default: 5.
    pub failures: u32,
    /// How long it stays open before one probe may pass, in milliseconds;
    /// doubled with each failed probe, up to `open_max_ms`. Default: 5,000.
    pub open_ms: u64,
    /// Default: 60,000.
    pub open_max_ms: u64,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 5, open_ms: 5_000, open_max_ms: 60_000 }
    }
}

/// What validation has to know of a provider kind: a row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    /// The word for `kind`.
    pub name: &'a str,
    /// Whether the catalogue knows its address; else `base_url` must be given.
    pub has_address: bool,
}

impl Options {
    /// Everything that is wrong with it, given the kinds the catalogue knows.
    pub fn validate(&self, kinds: &[Kind<'_>]) -> Problems {
        let mut problems = Problems::default();
        for (name, provider) in &self.providers {
            provider.validate(name, kinds, &mut problems.at(&["providers", name]));
        }
        let providers = self.effective_providers();
        for (name, route) in &self.routes {
            route.validate(name, &providers, &mut problems.at(&["routes", name]));
        }
        let mut at = problems.at(&["gateway"]);
        if self.gateway.breaker.failures == 0 {
            at.add("breaker.failures", "must be at least 1: a breaker that opens at no failure never lets a request through");
        }
        if self.gateway.breaker.open_ms == 0
            || self.gateway.breaker.open_ms > self.gateway.breaker.open_max_ms
        {
            at.add("breaker.open_ms", "must be at least 1 and no more than open_max_ms");
        }
        self.gateway.fetch.validate(&mut at);
        problems
    }

    /// The configured providers, and the local one, which needs no
    /// configuration.
    pub fn effective_providers(&self) -> BTreeMap<String, ProviderOptions> {
        let mut providers = self.providers.clone();
        providers.entry(LOCAL.to_owned()).or_insert_with(|| ProviderOptions {
            kind: Some(LOCAL.to_owned()),
            ..ProviderOptions::default()
        });
        providers
    }

    /// The configured routes with `to` written out as their one deployment,
    /// and unless turned off the implied ones: `local`, and `PROVIDER/*` for
    /// each provider. A configured name wins over an implied one.
    pub fn effective_routes(&self) -> BTreeMap<String, RouteOptions> {
        let mut routes = BTreeMap::new();
        if self.gateway.routes_implicit {
            routes.insert(LOCAL.to_owned(), RouteOptions::to_one(LOCAL, LOCAL_DEFAULT_MODEL));
            for provider in self.effective_providers().into_keys() {
                routes.insert(format!("{provider}/*"), RouteOptions::to_one(&provider, "*"));
            }
        }
        routes.extend(self.routes.iter().map(|(name, route)| (name.clone(), route.written_out())));
        routes
    }

    /// Each secret that is referred to, once, with the provider that needs it.
    pub fn secret_refs(&self) -> BTreeMap<&SecretRef, &str> {
        let mut refs = BTreeMap::new();
        for (name, provider) in &self.providers {
            let password = provider.proxy.as_ref().and_then(|p| p.password.as_ref());
            for secret in provider.key.iter().chain(password) {
                refs.entry(secret).or_insert(name.as_str());
            }
        }
        refs
    }
}

#[cfg(test)]
mod tests;
