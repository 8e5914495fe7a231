//! The configuration as the hot path reads it: resolved, immutable, shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use freehold_control::{Adaptive, AdaptiveSettings};
use freehold_llm::{Dialect, Quirk};
use freehold_types::{TenantId, Timeouts};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::health::{BreakerRule, Health};
use crate::metrics::{DeploymentMetrics, RouteMetrics};
use crate::money::Prices;
use crate::options::{Affinity, Capability, FallbackOn, Pattern, Strategy};
use crate::retry::{Fault, RetryBudget, RetryRule};

/// How a credential goes on the wire, ready to be written.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A header with its value, marked sensitive.
    Header(HeaderName, HeaderValue),
    /// A query parameter and its value, percent-encoded.
    Query(String, freehold_types::Secret),
    /// None.
    None,
}

impl Auth {
    /// The credential itself, as it stands in what goes out; `None` if there
    /// is none, or none that could be told from other text.
    pub(crate) fn secret(&self) -> Option<&[u8]> {
        let secret = match self {
            Self::Header(_, value) => {
                // After the scheme, if there is one.
                value.as_bytes().rsplit(|b| *b == b' ').next()?
            }
            Self::Query(_, value) => value.reveal().as_bytes(),
            Self::None => return None,
        };
        (secret.len() >= SECRET_BYTES_MIN).then_some(secret)
    }
}

/// Shorter ones are in any text.
const SECRET_BYTES_MIN: usize = 8;

/// Where a provider's endpoints are. In paths, `{model}` stands for the
/// deployment's model name, percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Per dialect, below the base address.
    pub dialects: BTreeMap<Dialect, String>,
    /// Anthropic-shaped token counting.
    pub count_tokens: Option<String>,
    /// Legacy completions.
    pub completions: Option<String>,
    /// Embeddings.
    pub embeddings: Option<String>,
    /// Query to add to every request (`api-version=...`), without `?`.
    pub query: Option<String>,
}

/// A provider, resolved.
#[derive(Debug)]
pub struct Provider {
    /// Its configured name; also the name of its connection pool.
    pub name: Arc<str>,
    /// Address up to and including the version, without a slash at its end.
    pub base: String,
    /// Endpoints.
    pub paths: Paths,
    /// Prefixes of further endpoints that are passed through.
    pub other: Vec<String>,
    /// The tenants that reach what it keeps for its account.
    pub objects_for: Vec<TenantId>,
    /// Credential.
    pub auth: Auth,
    /// The headers of each request, its credential among them.
    pub headers: HeaderMap,
    /// What it does oddly.
    pub quirks: Vec<Quirk>,
    /// What it speaks, best first.
    pub dialects: Vec<Dialect>,
    /// Limits per phase.
    pub timeouts: Timeouts,
    /// Runs in this process.
    pub local: bool,
    /// The word under which the price sheet has it.
    pub priced_as: Arc<str>,
    /// State that outlives a reload.
    pub cell: Arc<ProviderCell>,
}

/// State of a provider that outlives a reload.
#[derive(Debug, Default)]
pub struct ProviderCell {
    /// Until when its credential is taken for bad, in ms of the monotonic
    /// clock.
    credential_down_until: AtomicU64,
}

/// How long a refused credential is left alone. An operator who mends it
/// reloads, which starts a new cell where the key changed.
const CREDENTIAL_REST: Duration = Duration::from_secs(60);

impl ProviderCell {
    /// The provider refused the credential.
    pub fn credential_refused(&self, now: Duration) {
        self.credential_down_until.store(ms(now + CREDENTIAL_REST), Ordering::Relaxed);
    }

    /// The provider took the credential.
    pub fn credential_taken(&self) {
        if self.credential_down_until.load(Ordering::Relaxed) != 0 {
            self.credential_down_until.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the credential is taken for bad.
    pub fn credential_is_down(&self, now: Duration) -> bool {
        ms(now) < self.credential_down_until.load(Ordering::Relaxed)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One model at one provider, resolved.
#[derive(Debug)]
pub struct Deployment {
    /// Where.
    pub provider: Arc<Provider>,
    /// The name there; may hold a `*` for what the route's star stood for.
    pub model: Arc<str>,
    /// `PROVIDER/MODEL`.
    pub name: Arc<str>,
    /// The dialect that is set for it.
    pub dialect: Option<Dialect>,
    /// Its share.
    pub weight: u32,
    /// Tokens of input and output together, if known.
    pub context: Option<u64>,
    /// Tokens of output, if known.
    pub max_output: Option<u64>,
    /// What it can do; `None` if not known, which excludes nothing.
    pub capabilities: Option<Vec<Capability>>,
    /// What it does oddly, the provider's quirks included.
    pub quirks: Vec<Quirk>,
    /// What it costs.
    pub prices: Prices,
    /// State that outlives a reload.
    pub cell: Arc<DeploymentCell>,
    /// Where its dialects are, as far as they have been asked for.
    pub uris: Uris,
    /// The name as a header shows it.
    pub label: HeaderValue,
}

/// The addresses of a deployment's dialects, each put together and parsed once.
#[derive(Debug, Default)]
pub struct Uris([OnceLock<Uri>; 3]);

impl Uris {
    /// The address for a dialect, as `make` gave it the first time.
    pub fn get<E>(
        &self,
        dialect: Dialect,
        make: impl FnOnce() -> Result<Uri, E>,
    ) -> Result<Uri, E> {
        let [chat, responses, messages] = &self.0;
        let known = match dialect {
            Dialect::Chat => chat,
            Dialect::Responses => responses,
            Dialect::Messages => messages,
        };
        match known.get() {
            Some(uri) => Ok(uri.clone()),
            None => {
                let made = make()?;
                Ok(known.get_or_init(|| made).clone())
            }
        }
    }
}

impl Deployment {
    /// The dialect in which a request of dialect `asked` goes to it: the one
    /// that is set, else the caller's if spoken there, else the best there.
    pub fn speaks(&self, asked: Dialect) -> Dialect {
        let spoken = &self.provider.dialects;
        match self.dialect {
            Some(set) => set,
            None if self.provider.local || spoken.contains(&asked) => asked,
            None => spoken.first().copied().unwrap_or(asked),
        }
    }

    /// Whether it is not known to lack `capability`.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.as_ref().is_none_or(|list| list.contains(&capability))
    }
}

/// State of a deployment that outlives a reload.
#[derive(Debug)]
pub struct DeploymentCell {
    health: Arc<Mutex<Health>>,
    /// Attempts under way, of all routes.
    pub in_flight: Arc<AtomicU32>,
    /// How many requests it bears, learnt from its answers.
    pub bears: Arc<Adaptive>,
    /// Counters, of one route.
    pub metrics: DeploymentMetrics,
}

impl DeploymentCell {
    /// Nothing is known of it yet.
    pub fn new(rule: BreakerRule) -> Self {
        Self {
            health: Arc::new(Mutex::new(Health::new(rule))),
            in_flight: Arc::default(),
            bears: Arc::new(Adaptive::new(AdaptiveSettings::default())),
            metrics: DeploymentMetrics::default(),
        }
    }

    /// The state of the same deployment in another route: what is known of it
    /// is shared, what is counted is not.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            health: Arc::clone(&self.health),
            in_flight: Arc::clone(&self.in_flight),
            bears: Arc::clone(&self.bears),
            metrics: DeploymentMetrics::default(),
        }
    }

    /// Its health; held for arithmetic only.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A route, resolved.
#[derive(Debug)]
pub struct Route {
    /// The configured name.
    pub name: Arc<str>,
    /// The name, parsed.
    pub pattern: Pattern,
    /// Who may answer.
    pub deployments: Vec<Arc<Deployment>>,
    /// How one is picked.
    pub strategy: Strategy,
    /// The output limit of a request that has none.
    pub default_max_tokens: Option<u64>,
    /// Stickiness.
    pub affinity: Affinity,
    /// When a second deployment is asked as well.
    pub hedge_after: Option<Duration>,
    /// How often and how soon to try again.
    pub retry: RetryRule,
    /// Refuse what would lose something.
    pub strict: bool,
    /// What moves a request on; `None` is everything.
    pub fallback_on: Option<Vec<FallbackOn>>,
    /// State that outlives a reload.
    pub cell: Arc<RouteCell>,
}

/// State of a route that outlives a reload.
#[derive(Debug, Default)]
pub struct RouteCell {
    /// Keeps retries a bounded share.
    pub retries: Mutex<RetryBudget>,
    /// Counters.
    pub metrics: RouteMetrics,
}

impl Route {
    /// Whether a fault moves a request on to the next deployment.
    pub fn falls_back_on(&self, fault: Fault) -> bool {
        let word = match fault {
            Fault::Client => return false,
            Fault::TooLong | Fault::Unfit | Fault::Missing | Fault::Full => return true,
            Fault::Credential => FallbackOn::Credential,
            Fault::RateLimited => FallbackOn::RateLimit,
            Fault::Server => FallbackOn::ServerError,
            Fault::Timeout => FallbackOn::Timeout,
            Fault::Connection => FallbackOn::Connect,
            Fault::Garbage => FallbackOn::BadAnswer,
        };
        self.fallback_on.as_ref().is_none_or(|list| list.contains(&word))
    }

    /// Takes the price of one retry from the route's budget.
    pub fn may_retry(&self) -> bool {
        self.cell.retries.lock().unwrap_or_else(PoisonError::into_inner).withdraw()
    }

    /// Counts a first attempt.
    pub fn first_attempt(&self) {
        let mut budget = self.cell.retries.lock().unwrap_or_else(PoisonError::into_inner);
        budget.deposit(&self.retry);
    }
}

/// The longest name of a model that a pattern takes.
const MODEL_BYTES_MAX: usize = 256;

/// The whole configuration, resolved.
#[derive(Debug, Default)]
pub struct Plan {
    exact: HashMap<Arc<str>, Arc<Route>>,
    /// Those with a star, the most specific first.
    wild: Vec<Arc<Route>>,
    /// By name.
    pub providers: BTreeMap<Arc<str>, Arc<Provider>>,
}

impl Plan {
    /// A plan of these routes and providers.
    pub fn new(routes: Vec<Arc<Route>>, providers: BTreeMap<Arc<str>, Arc<Provider>>) -> Self {
        let (mut wild, exact): (Vec<_>, Vec<_>) =
            routes.into_iter().partition(|route| route.pattern.is_wild());
        wild.sort_by_key(|route| std::cmp::Reverse(route.pattern.weight()));
        let exact = exact.into_iter().map(|route| (Arc::clone(&route.name), route)).collect();
        Self { exact, wild, providers }
    }

    /// The route that answers for a model name, and what its star stands for.
    pub fn route<'m>(&self, model: &'m str) -> Option<(&Arc<Route>, &'m str)> {
        if let Some(route) = self.exact.get(model) {
            return Some((route, ""));
        }
        // A star takes anything, and what it takes is logged, booked and sent.
        if model.len() > MODEL_BYTES_MAX || model.chars().any(char::is_control) {
            return None;
        }
        self.wild.iter().find_map(|route| Some((route, route.pattern.matches(model)?)))
    }

    /// All routes, exact ones first, each kind by name or specificity.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let mut exact: Vec<_> = self.exact.values().collect();
        exact.sort_by(|a, b| a.name.cmp(&b.name));
        exact.into_iter().chain(&self.wild)
    }
}
