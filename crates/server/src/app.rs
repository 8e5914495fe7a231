//! What a running server is made of, shared by everyone who serves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freehold_control::vault::{CellKey, Keyring};
use freehold_control::{
    AdmissionSettings, Control, Durability, Limits, Settings, Unpriced, UsageSettings, UsageWriter,
    WhenStoreDown,
};
use freehold_gateway::engine::Engine;
use freehold_gateway::options::Options;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::{Guard, Network};
use freehold_gateway::{Gateway, Parts, Resolved, resolve};
use freehold_runtime::archive::Archive;
use freehold_runtime::bundle::Cell;
use freehold_runtime::event::Name;
use freehold_runtime::gateway_models::GatewayModels;
use freehold_runtime::sessions::{Parts as SessionParts, Sessions};
use freehold_runtime::tools::{Parts as ToolParts, Secrets, Toolbox};
use freehold_store::membership::Membership;
use freehold_store::{Store, StoreOptions, blob_store, timelines};
use freehold_types::{Blobs, Env, TenantId, Transport};

use crate::config::watch::Watcher;
use crate::config::{self, Config, Live, Otherwise};
use crate::http::body::{BodyBudget, BodyLimits};
use crate::http::drain::Drain;
use crate::http::lag::Lag;
use crate::http::tls::Certificates;
use crate::ops::Responses;
use crate::serve::{Error, Start};
use crate::telemetry::Telemetry;
use crate::together;
use crate::{admin_key, master_key};

/// The parts of a running server.
pub struct App {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// The configuration in force.
    pub config: Live<Config>,
    /// Reads it again.
    pub watcher: Arc<Watcher>,
    /// Keys, groups, budgets and the books.
    pub control: Arc<Control>,
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Where content lies that is too large for the store.
    pub blobs: Arc<dyn Blobs>,
    /// Seals what is the tenants'.
    pub keyring: Arc<Keyring>,
    /// What this cell signs with.
    pub cell_key: Arc<CellKey>,
    /// The nodes that use it, this one among them; `None` if it is this one's
    /// alone.
    pub members: Option<Arc<Membership>>,
    /// Asks providers.
    pub gateway: Arc<Gateway>,
    /// Credentials that clients gave for sessions.
    pub secrets: Arc<dyn Secrets>,
    /// Asks other nodes.
    pub transport: Arc<HttpTransport>,
    /// The memory that request bodies take.
    pub bodies: BodyBudget,
    /// Agents' sessions.
    pub sessions: Arc<Sessions>,
    /// Ends it all.
    pub drain: Drain,
    /// How far each worker is behind.
    pub lags: Vec<Arc<Lag>>,
    /// Answers, counted.
    pub responses: Responses,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Where it is reached.
    pub url: String,
    /// When it started, on the monotonic clock.
    pub started: Duration,
}

/// A server's parts, and what has to be run for them.
pub(crate) struct Opened {
    pub(crate) app: Arc<App>,
    pub(crate) writer: UsageWriter,
}

/// Where a server is.
pub(crate) struct Place<'a> {
    pub(crate) data: &'a Path,
    pub(crate) workers: usize,
    pub(crate) tls: Option<Arc<Certificates>>,
    pub(crate) url: String,
}

/// Opens the store and everything over it.
pub(crate) async fn open(
    start: Start,
    config: Config,
    telemetry: Telemetry,
    place: Place<'_>,
) -> Result<Opened, Error> {
    let Place { data, workers, tls, url } = place;
    let Start { source, env, engine, .. } = start;
    let options: StoreOptions = config.store.resolve(data, &config.secrets);
    let store = Arc::new(Store::open(&options, Arc::clone(&env)).await?);
    let (keyring, cell_key) = keys(&store, &env, data).await?;
    let members =
        together::join(&store, &env, &config.sessions, &url).await.map_err(Error::Join)?;
    let settings = together::settings(members.as_deref(), settings(&config));
    let (control, writer) = books(&store, &env, settings, &config, data).await?;
    let transport = Arc::new(HttpTransport::new(workers, guard(&config.gateway)));
    let gateway = gateway(&env, &transport, engine, &control, &config)?;
    let blobs = config.blobs.resolve(data, &config.secrets);
    let blobs = blob_store::open(&blobs, &(Arc::clone(&transport) as _))?;
    let archive = Archive {
        env: Arc::clone(&env),
        db: Arc::clone(&store) as _,
        blobs: Arc::clone(&blobs),
        keys: Arc::clone(&keyring) as _,
    };
    let models = GatewayModels::new(Arc::clone(&gateway), Arc::clone(&control), Arc::clone(&env));
    let timeline = timelines::current(&*store).await.map_err(Error::Timeline)?;
    let joined = Joined { members: members.clone(), timeline };
    let (sessions, toolbox) =
        sessions(archive.clone(), models, joined, Arc::clone(&transport) as _, &config)?;
    let drain = Drain::new(config.server.connections_max);
    let lags = (0..workers).map(|_| Arc::new(Lag::new(Arc::clone(&env)))).collect();
    let config = Live::new(config);
    let follow = Follow {
        control: Arc::clone(&control),
        gateway: Arc::clone(&gateway),
        transport: Arc::clone(&transport),
        tls,
        telemetry: telemetry.clone(),
        toolbox,
    };
    let apply = Box::new(move |config: &Config, before: &Config| follow.apply(config, before));
    let watcher = Watcher::new(source, config.clone(), apply, Arc::clone(&env));
    let app = App {
        started: env.monotonic(),
        env,
        config,
        watcher,
        control,
        store,
        blobs,
        members,
        keyring,
        cell_key,
        sessions,
        lags,
        gateway,
        secrets: Arc::new(archive),
        transport,
        bodies: BodyBudget::default(),
        drain,
        responses: Responses::default(),
        telemetry,
        url,
    };
    Ok(Opened { app: Arc::new(app), writer })
}

/// What seals what is the tenants', and what this cell signs with.
async fn keys(
    store: &Arc<Store>,
    env: &Arc<dyn Env>,
    data: &Path,
) -> Result<(Arc<Keyring>, Arc<CellKey>), Error> {
    let keyring = master_key::open(Arc::clone(store) as _, Arc::clone(env), data).await?;
    let cell_key = keyring.cell_key().await?;
    Ok((Arc::new(keyring), Arc::new(cell_key)))
}

/// What asks providers as they are configured. The configuration has told of
/// credentials that are missing already.
fn gateway(
    env: &Arc<dyn Env>,
    transport: &Arc<HttpTransport>,
    engine: Option<Arc<dyn Engine>>,
    control: &Arc<Control>,
    config: &Config,
) -> Result<Arc<Gateway>, Error> {
    let Resolved { plan, pools, .. } =
        resolve(&config.gateway, &config.secrets, &config.sheet, VERSION, None)?;
    transport.configure(pools);
    let parts = Parts {
        env: Arc::clone(env),
        transport: Arc::clone(transport) as _,
        engine,
        control: Arc::clone(control),
        fetch: config.gateway.gateway.fetch.clone(),
    };
    Ok(Gateway::new(parts, plan))
}

impl App {
    /// This cell, and whom it trusts as of now.
    pub fn cell(&self) -> Cell {
        let config = self.config.load();
        let name = config.cell.name();
        let name = name.unwrap_or_else(|| Name::cut(&self.cell_key.public().usual_name()));
        Cell { name, key: Arc::clone(&self.cell_key), trust: config.cell.peers() }
    }
}

/// Keys, groups, budgets and the books, with what a crash left open settled.
async fn books(
    store: &Arc<Store>,
    env: &Arc<dyn Env>,
    settings: Settings,
    config: &Config,
    data: &Path,
) -> Result<(Arc<Control>, UsageWriter), Error> {
    let started = Control::open(Arc::clone(store) as _, Arc::clone(env), settings).await?;
    let control = Arc::new(started.control);
    for exchange in &started.interrupted {
        tracing::warn!(exchange = %exchange.id, "a crash interrupted it; settled as reserved");
    }
    set_tenants(&control, config, None);
    first_admin_key(&control, data).await?;
    Ok((control, started.writer))
}

/// What a node finds in the store.
struct Joined {
    members: Option<Arc<Membership>>,
    timeline: u64,
}

/// Begins to work on sessions; and the tools that they call.
fn sessions(
    archive: Archive,
    models: GatewayModels,
    joined: Joined,
    transport: Arc<dyn Transport>,
    config: &Config,
) -> Result<(Arc<Sessions>, Toolbox), Error> {
    let parts = ToolParts {
        env: Arc::clone(&archive.env),
        transport,
        records: Arc::new(archive.clone()),
        secrets: Arc::new(archive.clone()),
        version: VERSION,
    };
    let toolbox = Toolbox::new(parts, config.tool_plan().map_err(Error::Tools)?);
    let (models, tools) = (Arc::new(models), Arc::new(toolbox.clone()));
    let Joined { members, timeline } = joined;
    let parts = SessionParts { archive, members, timeline, models, tools };
    Ok((Sessions::start(parts, config.sessions.options()), toolbox))
}

/// What providers are told that we are.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who takes up a new configuration.
struct Follow {
    control: Arc<Control>,
    gateway: Arc<Gateway>,
    transport: Arc<HttpTransport>,
    tls: Option<Arc<Certificates>>,
    telemetry: Telemetry,
    toolbox: Toolbox,
}

impl Follow {
    /// Everything that can fail comes first, so that nothing is half done.
    fn apply(&self, config: &Config, before: &Config) -> Result<(), String> {
        let plan = self.gateway.plan();
        let resolved =
            resolve(&config.gateway, &config.secrets, &config.sheet, VERSION, Some(&**plan))
                .map_err(|error| error.to_string())?;
        if let (Some(tls), Some(options)) = (&self.tls, &config.server.tls) {
            tls.reload(options).map_err(|error| error.to_string())?;
        }
        let tools = config.tool_plan()?;
        self.toolbox.follow(tools);
        self.transport.configure(resolved.pools);
        self.gateway.follow(resolved.plan);
        let Settings { admission, usage, .. } = settings(config);
        self.control.admission().set(admission);
        self.control.set_usage(usage);
        set_tenants(&self.control, config, Some(before));
        if let Some(logs) = &self.telemetry.logs {
            logs.set(config.telemetry.logs);
        }
        Ok(())
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        admission: AdmissionSettings {
            max_in_flight: config.limits.in_flight_max,
            unpriced: match config.budgets.unpriced {
                Otherwise::Serve => Unpriced::Serve,
                Otherwise::Refuse => Unpriced::Refuse,
            },
        },
        usage: UsageSettings {
            durability: match config.usage.durability {
                config::Durability::Async => Durability::Async,
                config::Durability::Sync => Durability::Sync,
            },
            when_store_down: match config.usage.store_down {
                Otherwise::Serve => WhenStoreDown::Serve,
                Otherwise::Refuse => WhenStoreDown::Refuse,
            },
            gather: Duration::from_millis(config.usage.flush_ms),
            keep: config.usage.retention(),
            ..UsageSettings::default()
        },
        ..Settings::default()
    }
}

/// Puts the tenants' limits in force, and lifts those that are gone.
fn set_tenants(control: &Control, config: &Config, before: Option<&Config>) {
    let gone = before.iter().flat_map(|before| before.limits.tenants.keys());
    for tenant in gone.chain(config.limits.tenants.keys()) {
        let rates = config.limits.tenants.get(tenant).copied().unwrap_or_default();
        let limits = Limits {
            requests_per_minute: rates.requests_per_minute,
            tokens_per_minute: rates.tokens_per_minute,
            concurrency: rates.concurrency,
        };
        // The configuration's names were checked.
        if let Ok(tenant) = TenantId::new(tenant.as_str()) {
            control.set_tenant_limits(&tenant, limits);
        }
    }
}

/// Sees to it that there is a key to begin with, and that its file holds it.
async fn first_admin_key(control: &Control, data: &Path) -> Result<(), Error> {
    let given = admin_key::given();
    let made = control.ensure_admin_key(given.clone()).await?;
    match given.or(made.map(|issued| issued.secret)) {
        Some(key) => Ok(admin_key::write(data, &key)?),
        None => Ok(()),
    }
}

/// What the operator lets untrusted addresses lead to.
fn guard(options: &Options) -> Guard {
    let fetch = &options.gateway.fetch;
    Guard {
        // They were read once already, when the configuration was checked.
        allow: fetch.allow.iter().filter_map(|text| Network::parse(text)).collect(),
        allow_http: fetch.allow_http,
    }
}

impl crate::surface::Limits for Live<Config> {
    fn body(&self) -> BodyLimits {
        self.load().server.body_limits()
    }
}
