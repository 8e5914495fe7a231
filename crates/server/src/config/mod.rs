//! One `freehold.toml`: typed, checked, and read again when it changes.
//!
//! A file per table. `Source::load` reads, parses and validates; [`Source`] knows
//! where from; [`watch`] does it again. Nothing else in the workspace reads a
//! configuration file or the environment.

mod blobs;
mod cell;
mod error;
mod limits;
mod live;
mod locate;
mod prices;
mod secrets;
mod server;
mod sessions;
mod source;
mod store;
mod telemetry;
mod usage;
pub mod watch;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use freehold_control::prices::Sheet;
use freehold_gateway::options::{
    GatewayOptions, Kind, Options, Problems, ProviderOptions, RouteOptions, SecretRef, Secrets,
};
use freehold_runtime::tools::options::{AuthOptions, ClientToolOptions, ToolOptions};
use freehold_runtime::tools::{Config as ToolConfig, Plan as ToolPlan};
use serde::Deserialize;

pub use blobs::BlobsOptions;
pub use cell::{CellOptions, PeerOptions};
pub use error::{Error, Fault};
pub use limits::{LimitOptions, RateOptions};
pub use live::Live;
pub use prices::PriceSheetOptions;
pub use server::{ServerOptions, TlsOptions};
pub use sessions::SessionOptions;
pub use source::{Overrides, Source};
pub use store::StoreOptions;
pub use telemetry::{LogFormat, LogLevel, LogOptions, OtlpOptions, TelemetryOptions};
pub use usage::{BudgetOptions, Durability, Otherwise, UsageOptions};

/// A configuration that can be used.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[server]`.
    pub server: ServerOptions,
    /// `[store]`.
    pub store: StoreOptions,
    /// `[cell]`.
    pub cell: CellOptions,
    /// `[sessions]`.
    pub sessions: SessionOptions,
    /// `[tools]` and `[client_tools]`.
    pub tools: ToolConfig,
    /// `[blobs]`.
    pub blobs: BlobsOptions,
    /// `[limits]`.
    pub limits: LimitOptions,
    /// `[usage]`.
    pub usage: UsageOptions,
    /// `[budgets]`.
    pub budgets: BudgetOptions,
    /// `[telemetry]`.
    pub telemetry: TelemetryOptions,
    /// `[prices]`.
    pub prices: PriceSheetOptions,
    /// `[providers]`, `[routes]` and `[gateway]`.
    pub gateway: Options,
    /// The prices in force: those built in, under the overlay.
    pub sheet: Sheet,
    /// What the references in it lead to.
    pub secrets: Secrets,
    /// What does not keep it from being used: credentials that are missing.
    pub warnings: Vec<String>,
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    server: ServerOptions,
    store: StoreOptions,
    cell: CellOptions,
    sessions: SessionOptions,
    tools: BTreeMap<String, ToolOptions>,
    client_tools: ClientToolOptions,
    blobs: BlobsOptions,
    limits: LimitOptions,
    usage: UsageOptions,
    budgets: BudgetOptions,
    telemetry: TelemetryOptions,
    prices: PriceSheetOptions,
    gateway: GatewayOptions,
    providers: BTreeMap<String, ProviderOptions>,
    routes: BTreeMap<String, RouteOptions>,
}

/// Reads a configuration from `text`. Relative paths in it start at `folder`.
fn parse(
    text: &str,
    folder: &Path,
    kinds: &[Kind<'_>],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Fault>> {
    let written: Written =
        toml::from_str(text).map_err(|error| vec![locate::parse_fault(text, &error)])?;
    let mut config = Config {
        server: written.server,
        store: written.store,
        cell: written.cell,
        sessions: written.sessions,
        tools: ToolConfig {
            tools: written.tools,
            client: written.client_tools,
            secrets: Secrets::default(),
        },
        blobs: written.blobs,
        limits: written.limits,
        usage: written.usage,
        budgets: written.budgets,
        telemetry: written.telemetry,
        prices: written.prices,
        gateway: Options {
            providers: written.providers,
            routes: written.routes,
            gateway: written.gateway,
        },
        sheet: Sheet::default(),
        secrets: Secrets::default(),
        warnings: Vec::new(),
    };
    let problems = config.validate(kinds);
    if !problems.is_empty() {
        return Err(locate::problem_faults(text, problems.iter()));
    }
    config.resolve_paths(folder);
    config.sheet =
        prices::sheet(&config.prices).map_err(|message| vec![Fault { place: None, message }])?;
    let (secrets, missing) = secrets::read(config.secret_refs(), environment);
    config.tools.secrets = secrets.clone();
    config.ready_tools().map_err(|problems| locate::problem_faults(text, problems.iter()))?;
    config.secrets = secrets;
    config.warnings = missing;
    if config.store.url.is_some() && config.blobs.url.is_none() {
        config.warnings.push(
            "blobs lie in this node's data folder, where other nodes over the database do not \
             find them: set blobs.url if there are others"
                .to_owned(),
        );
    }
    Ok(config)
}

impl Config {
    fn validate(&self, kinds: &[Kind<'_>]) -> Problems {
        let mut problems = self.gateway.validate(kinds);
        self.server.validate(&mut problems.at(&["server"]));
        self.store.validate(&mut problems.at(&["store"]));
        self.cell.validate(&mut problems.at(&["cell"]));
        self.sessions.validate(&mut problems.at(&["sessions"]));
        for (name, options) in &self.tools.tools {
            options.validate(name, &mut problems.at(&["tools", name]));
        }
        self.tools.client.validate(&mut problems.at(&["client_tools"]));
        self.blobs.validate(&mut problems.at(&["blobs"]));
        self.limits.validate(&mut problems.at(&["limits"]));
        self.usage.validate(&mut problems.at(&["usage"]));
        self.telemetry.validate(&mut problems.at(&["telemetry"]));
        problems
    }

    /// Makes paths independent of the folder the process was started in.
    fn resolve_paths(&mut self, folder: &Path) {
        let tls = self.server.tls.iter_mut().flat_map(|tls| [&mut tls.cert, &mut tls.key]);
        let providers = self
            .gateway
            .providers
            .values_mut()
            .flat_map(|p| p.ca_file.iter_mut().chain(&mut p.engine.models_dir));
        let own = self.server.data.iter_mut().chain(&mut self.prices.overlay);
        for path in own.chain(tls).chain(providers) {
            *path = folder.join(&*path);
        }
        let providers = self.gateway.providers.values_mut().flat_map(|provider| {
            let password = provider.proxy.as_mut().and_then(|proxy| proxy.password.as_mut());
            provider.key.as_mut().into_iter().chain(password)
        });
        let otlp = self.telemetry.otlp.iter_mut().flat_map(|otlp| otlp.headers.values_mut());
        let mut keys = Vec::new();
        for tool in self.tools.tools.values_mut() {
            if let Some(path) = &mut tool.openapi {
                *path = folder.join(&*path);
            }
            keys.extend(tool.auth.iter_mut().flat_map(AuthOptions::secret_refs_mut));
        }
        let own = self.store.password.iter_mut().chain(&mut self.blobs.secret);
        for secret in providers.chain(otlp).chain(own).chain(keys) {
            if let SecretRef::File(path) = secret {
                *path = folder.join(&*path);
            }
        }
    }

    /// Every file beside the configuration itself that it depends on.
    fn files(&self) -> Vec<PathBuf> {
        let secrets = self.secret_refs().filter_map(|(at, _)| match at {
            SecretRef::File(path) => Some(path.clone()),
            SecretRef::Env(_) => None,
        });
        let tls = self.server.tls.iter().flat_map(|tls| [tls.cert.clone(), tls.key.clone()]);
        let documents = self.tools.tools.values().filter_map(|tool| tool.openapi.clone());
        secrets.chain(self.prices.overlay.clone()).chain(tls).chain(documents).collect()
    }

    /// The tools made ready; each API's description is read from its file.
    pub fn tool_plan(&self) -> Result<ToolPlan, String> {
        self.ready_tools().map_err(|problems| {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            all.join("; ")
        })
    }

    fn ready_tools(&self) -> Result<ToolPlan, Problems> {
        let mut config = self.tools.clone();
        let mut problems = Problems::default();
        for (name, tool) in &mut config.tools {
            if let Some(path) = tool.openapi.take() {
                match read_document(&path) {
                    Ok(text) => tool.document = Some(text),
                    Err(error) => {
                        let why = format!("{}: {error}", path.display());
                        problems.at(&["tools", name]).add("openapi", why);
                    }
                }
            }
        }
        if problems.is_empty() { ToolPlan::new(&config) } else { Err(problems) }
    }

    /// Each reference, with the words for who needs it.
    fn secret_refs(&self) -> impl Iterator<Item = (&SecretRef, String)> {
        let providers = self.gateway.secret_refs().into_iter();
        let otlp = self.telemetry.otlp.iter().flat_map(|otlp| otlp.headers.values());
        let tools = self.tools.tools.iter().flat_map(|(name, tool)| {
            tool.secret_refs().map(move |at| (at, format!("tool `{name}`")))
        });
        providers
            .map(|(at, name)| (at, format!("provider `{name}`")))
            .chain(otlp.map(|at| (at, "telemetry.otlp".to_owned())))
            .chain(self.store.password.iter().map(|at| (at, "store".to_owned())))
            .chain(tools)
            .chain(self.blobs.secret.iter().map(|at| (at, "blobs".to_owned())))
    }

    /// What is different here and only takes effect after a restart.
    pub fn needs_restart(&self, before: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        if self.server.listen != before.server.listen {
            changed.push("server.listen");
        }
        if self.server.data != before.server.data {
            changed.push("server.data");
        }
        if self.server.workers != before.server.workers {
            changed.push("server.workers");
        }
        if self.server.tls.is_some() != before.server.tls.is_some() {
            changed.push("server.tls");
        }
        if self.store != before.store {
            changed.push("store");
        }
        if self.sessions != before.sessions {
            changed.push("sessions");
        }
        if self.blobs != before.blobs {
            changed.push("blobs");
        }
        if self.gateway.gateway.fetch != before.gateway.gateway.fetch {
            changed.push("gateway.fetch");
        }
        if self.telemetry.logs.format != before.telemetry.logs.format {
            changed.push("telemetry.logs.format");
        }
        if self.telemetry.otlp != before.telemetry.otlp {
            changed.push("telemetry.otlp");
        }
        changed
    }
}

/// The largest description of an API.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

fn read_document(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        let words = format!("it is larger than {DOCUMENT_BYTES_MAX} bytes");
        return Err(std::io::Error::other(words));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
