//! From the configuration as written to the plan that the hot path reads.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use freehold_control::prices::Sheet;
use freehold_llm::catalogue::{self, ProviderRow};
use freehold_types::{Secret, TenantId};
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::health::BreakerRule;
use crate::money::Prices;
use crate::options::{
    AuthScheme, DeploymentOptions, LOCAL, Options, Pattern, ProviderOptions, RouteOptions, Secrets,
};
use crate::plan::{
    Auth, Deployment, DeploymentCell, Paths, Plan, Provider, ProviderCell, Route, RouteCell, Uris,
};
use crate::retry::RetryRule;
use crate::transport::PoolSettings;

/// A configuration that cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Error {
    /// The table and key.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A configuration ready to be put in force.
#[derive(Debug)]
pub struct Resolved {
    /// For [`crate::Gateway::follow`].
    pub plan: Plan,
    /// For [`crate::transport::HttpTransport::configure`].
    pub pools: HashMap<Arc<str>, PoolSettings>,
    /// What was left out and why (a provider whose key could not be read): for
    /// the log and readiness.
    pub warnings: Vec<String>,
}

/// Resolves a configuration. State of routes, providers and deployments that
/// go on from `before` is kept: breakers, latencies, counters.
pub fn resolve(
    options: &Options,
    secrets: &Secrets,
    sheet: &Sheet,
    version: &str,
    before: Option<&Plan>,
) -> Result<Resolved, Error> {
    let cells = Cells::of(before);
    let mut pools = HashMap::new();
    let mut warnings = Vec::new();
    let mut providers = BTreeMap::new();
    for (name, written) in options.effective_providers() {
        let name: Arc<str> = name.into();
        let place = format!("providers.{name}");
        let Some(row) = catalogue::provider(written.kind(&name)) else {
            return Err(Error {
                place,
                message: format!("the kind {} is not in the catalogue", written.kind(&name)),
            });
        };
        let provider = provider(&name, &written, row, secrets, version, &cells, &mut warnings)
            .map_err(|message| Error { place: place.clone(), message })?;
        let pool = pool(&written, secrets).map_err(|message| Error { place, message })?;
        pools.insert(Arc::clone(&name), pool);
        providers.insert(name, Arc::new(provider));
    }
    let rule = breaker(options);
    let mut routes = Vec::new();
    for (name, written) in options.effective_routes() {
        routes.push(Arc::new(route(name, &written, &providers, (rule, sheet), &cells)?));
    }
    Ok(Resolved { plan: Plan::new(routes, providers), pools, warnings })
}

fn breaker(options: &Options) -> BreakerRule {
    let written = options.gateway.breaker;
    BreakerRule {
        consecutive: written.failures,
        open: Duration::from_millis(written.open_ms),
        open_most: Duration::from_millis(written.open_max_ms),
        ..BreakerRule::default()
    }
}

fn provider(
    name: &Arc<str>,
    written: &ProviderOptions,
    row: &ProviderRow,
    secrets: &Secrets,
    version: &str,
    cells: &Cells,
    warnings: &mut Vec<String>,
) -> Result<Provider, String> {
    let local = written.kind(name) == LOCAL;
    let base = written.base_url.as_deref().or(row.base_url.as_deref()).unwrap_or_default();
    let key = match &written.key {
        None => None,
        Some(at) => {
            let key = secrets.get(at);
            if key.is_none() {
                warnings.push(format!("providers.{name}.key: the {at} cannot be read"));
            }
            key
        }
    };
    let auth = auth(written, row, key)?;
    let mut headers = HeaderMap::new();
    let agent = HeaderValue::from_str(&format!("freehold/{version}"));
    headers.insert(USER_AGENT, agent.map_err(|e| e.to_string())?);
    let fixed = row.headers.iter().chain(&written.headers);
    for (name, value) in fixed {
        let name: HeaderName =
            name.parse().map_err(|_| format!("headers.{name} is not a header's name"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("headers.{name} has a value that no header can have"))?;
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Auth::Header(name, value) = &auth {
        headers.insert(name, value.clone());
    }
    let api_version = written.api_version.as_deref().or(row.api_version.as_deref());
    let paths = paths(row, api_version);
    let dialects = written.dialects.clone().unwrap_or_else(|| row.spoken());
    let objects_for = match &written.objects_for {
        None => vec![TenantId::main()],
        Some(tenants) => tenants
            .iter()
            .map(|tenant| {
                TenantId::new(tenant.as_str()).map_err(|e| format!("objects_for: {tenant}: {e}"))
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(Provider {
        name: Arc::clone(name),
        base: base.trim_end_matches('/').to_owned(),
        paths,
        other: row.other.clone(),
        objects_for,
        auth,
        headers,
        quirks: written.quirks.clone().unwrap_or_else(|| row.quirks.clone()),
        dialects,
        timeouts: written.timeouts.timeouts(),
        local,
        priced_as: row.prices.as_deref().unwrap_or(name).into(),
        cell: cells.provider(name),
    })
}

fn paths(row: &ProviderRow, api_version: Option<&str>) -> Paths {
    use freehold_llm::Dialect;
    let mut dialects = BTreeMap::new();
    for (dialect, path) in [
        (Dialect::Chat, &row.paths.chat),
        (Dialect::Responses, &row.paths.responses),
        (Dialect::Messages, &row.paths.messages),
    ] {
        if let Some(path) = path {
            dialects.insert(dialect, path.clone());
        }
    }
    let query = row.paths.query.as_ref();
    Paths {
        dialects,
        count_tokens: row.paths.count_tokens.clone(),
        completions: row.paths.completions.clone(),
        embeddings: row.paths.embeddings.clone(),
        query: query.map(|q| q.replace("{api_version}", api_version.unwrap_or_default())),
    }
}

fn auth(
    written: &ProviderOptions,
    row: &ProviderRow,
    key: Option<&Secret>,
) -> Result<Auth, String> {
    let Some(key) = key else { return Ok(Auth::None) };
    let key_value = |text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| "the key has a character that no header can have".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let (scheme, name) = match &written.auth {
        Some(auth) => (auth.scheme, auth.name.as_deref()),
        None => {
            let scheme = match row.auth.scheme.as_str() {
                "header" => AuthScheme::Header,
                "query" => AuthScheme::Query,
                "none" => AuthScheme::None,
                _ => AuthScheme::Bearer,
            };
            (scheme, row.auth.name.as_deref())
        }
    };
    let named = || name.ok_or_else(|| "auth.name is needed for this scheme".to_owned());
    Ok(match scheme {
        AuthScheme::Bearer => {
            Auth::Header(AUTHORIZATION, key_value(&format!("Bearer {}", key.reveal()))?)
        }
        AuthScheme::Header => {
            let name =
                named()?.parse().map_err(|_| "auth.name is not a header's name".to_owned())?;
            Auth::Header(name, key_value(key.reveal())?)
        }
        AuthScheme::Query => {
            let mut encoded = String::new();
            crate::wire::percent_encode(key.reveal(), &mut encoded);
            Auth::Query(named()?.to_owned(), Secret::new(encoded))
        }
        AuthScheme::None => Auth::None,
    })
}

fn pool(written: &ProviderOptions, secrets: &Secrets) -> Result<PoolSettings, String> {
    let proxy = match &written.proxy {
        None => None,
        Some(proxy) => Some(proxy_url(proxy, secrets)?),
    };
    Ok(PoolSettings {
        proxy,
        ca_file: written.ca_file.clone(),
        http: written.http,
        connect: Some(written.timeouts.timeouts().connect),
    })
}

fn proxy_url(proxy: &crate::options::ProxyOptions, secrets: &Secrets) -> Result<Secret, String> {
    let Some(user) = &proxy.user else { return Ok(Secret::new(proxy.url.clone())) };
    let password = match &proxy.password {
        None => "",
        Some(at) => secrets
            .get(at)
            .ok_or_else(|| format!("proxy.password: the {at} cannot be read"))?
            .reveal(),
    };
    let rest = proxy.url.strip_prefix("http://").unwrap_or(&proxy.url);
    let mut url = String::from("http://");
    crate::wire::percent_encode(user, &mut url);
    url.push(':');
    crate::wire::percent_encode(password, &mut url);
    url.push('@');
    url.push_str(rest);
    Ok(Secret::new(url))
}

fn route(
    name: String,
    written: &RouteOptions,
    providers: &BTreeMap<Arc<str>, Arc<Provider>>,
    (rule, sheet): (BreakerRule, &Sheet),
    cells: &Cells,
) -> Result<Route, Error> {
    let place = format!("routes.{name}");
    let error = |message: String| Error { place: place.clone(), message };
    let pattern =
        Pattern::parse(&name).ok_or_else(|| error("a route's name may hold one `*`".to_owned()))?;
    let mut deployments = Vec::new();
    for written in &written.deployments {
        let provider = providers
            .get(written.provider.as_str())
            .ok_or_else(|| error(format!("no provider is named {}", written.provider)))?;
        deployments.push(Arc::new(deployment(&name, written, provider, (rule, sheet), cells)));
    }
    let name: Arc<str> = name.into();
    let retry = RetryRule {
        most: written.retries.max,
        budget_percent: written.retries.budget_percent,
        base: Duration::from_millis(written.retries.base_ms),
        ..RetryRule::default()
    };
    Ok(Route {
        pattern,
        deployments,
        strategy: written.strategy,
        default_max_tokens: written.default_max_tokens,
        affinity: written.affinity,
        hedge_after: written.hedge_after_ms.map(Duration::from_millis),
        retry,
        strict: written.strict,
        fallback_on: written.fallback_on.clone(),
        cell: cells.route(&name),
        name,
    })
}

fn deployment(
    route: &str,
    written: &DeploymentOptions,
    provider: &Arc<Provider>,
    (rule, sheet): (BreakerRule, &Sheet),
    cells: &Cells,
) -> Deployment {
    let label = format!("{}/{}", provider.name, written.model);
    // A pattern's models are known only when they are asked for.
    let profile = if written.model.contains('*') { None } else { catalogue::model(&written.model) };
    let mut quirks = provider.quirks.clone();
    quirks.extend(profile.iter().flat_map(|row| &row.quirks));
    let printable = label.replace(|c: char| !c.is_ascii_graphic(), "?");
    Deployment {
        provider: Arc::clone(provider),
        model: written.model.as_str().into(),
        name: label.as_str().into(),
        dialect: written.dialect,
        weight: written.weight,
        context: written.context.or(profile.and_then(|row| row.context)),
        max_output: written.max_output.or(profile.and_then(|row| row.max_output)),
        capabilities: written
            .capabilities
            .clone()
            .or_else(|| profile.and_then(|row| row.capabilities.clone())),
        quirks,
        prices: Prices::new(written.price.as_ref(), sheet, &provider.priced_as, &written.model),
        cell: cells.deployment(route, &label, rule),
        uris: Uris::default(),
        label: HeaderValue::from_str(&printable)
            .unwrap_or_else(|_| HeaderValue::from_static("unnamed")),
    }
}

/// A route's name, and its view of a deployment.
type CellOfRoute = (Arc<str>, Arc<DeploymentCell>);

/// The state of a plan, by name.
#[derive(Default)]
struct Cells {
    providers: HashMap<Arc<str>, Arc<ProviderCell>>,
    routes: HashMap<Arc<str>, Arc<RouteCell>>,
    /// By deployment, with the route that counts by it. Filled as they are
    /// asked for: routes to one deployment share what is known of it.
    deployments: RefCell<HashMap<String, Vec<CellOfRoute>>>,
}

impl Cells {
    fn of(plan: Option<&Plan>) -> Self {
        let mut cells = Self::default();
        let mut deployments = HashMap::<_, Vec<_>>::new();
        for route in plan.into_iter().flat_map(Plan::routes) {
            cells.routes.insert(Arc::clone(&route.name), Arc::clone(&route.cell));
            for d in &route.deployments {
                let label = format!("{}/{}", d.provider.name, d.model);
                let known = deployments.entry(label).or_default();
                known.push((Arc::clone(&route.name), Arc::clone(&d.cell)));
            }
        }
        cells.deployments = RefCell::new(deployments);
        for (name, provider) in plan.into_iter().flat_map(|plan| &plan.providers) {
            cells.providers.insert(Arc::clone(name), Arc::clone(&provider.cell));
        }
        cells
    }

    /// A provider's state; a refused credential is tried again after a reload.
    fn provider(&self, name: &Arc<str>) -> Arc<ProviderCell> {
        let cell = self.providers.get(name).cloned().unwrap_or_default();
        cell.credential_taken();
        cell
    }

    fn route(&self, name: &Arc<str>) -> Arc<RouteCell> {
        self.routes.get(name).cloned().unwrap_or_default()
    }

    fn deployment(&self, route: &str, label: &str, rule: BreakerRule) -> Arc<DeploymentCell> {
        let mut deployments = self.deployments.borrow_mut();
        let known = deployments.entry(label.to_owned()).or_default();
        let own = known.iter().find(|(by, _)| **by == *route).map(|(_, cell)| Arc::clone(cell));
        let cell = own.unwrap_or_else(|| {
            let other = known.first().map(|(_, cell)| cell.beside());
            let cell = Arc::new(other.unwrap_or_else(|| DeploymentCell::new(rule)));
            known.push((route.into(), Arc::clone(&cell)));
            cell
        });
        cell.health().follow(rule);
        cell
    }
}
