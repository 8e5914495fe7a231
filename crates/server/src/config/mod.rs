//! One `freehold.toml`: typed, checked, and read again when it changes.
//!
//! A file per table. `Source::load` reads, parses and validates; [`Source`] knows
//! where from; [`watch`] does it again. Nothing else in the workspace reads a
//! configuration file or the environment.

mod blobs;
mod error;
mod limits;
mod live;
mod locate;
mod prices;
mod secrets;
mod server;
mod source;
mod store;
mod telemetry;
mod usage;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use freehold_control::prices::Sheet;
use freehold_gateway::options::{
    GatewayOptions, Kind, Options, Problems, ProviderOptions, RouteOptions, SecretRef, Secrets,
};
use serde::Deserialize;

pub use blobs::BlobsOptions;
pub use error::{Error, Fault};
pub use limits::{LimitOptions, RateOptions};
pub use live::Live;
pub use prices::PriceSheetOptions;
pub use server::{ServerOptions, TlsOptions};
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
        for secret in
            providers.chain(otlp).chain(&mut self.store.password).chain(&mut self.blobs.secret)
        {
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
        secrets.chain(self.prices.overlay.clone()).chain(tls).collect()
    }

    /// Each reference, with the words for who needs it.
    fn secret_refs(&self) -> impl Iterator<Item = (&SecretRef, String)> {
        let providers = self.gateway.secret_refs().into_iter();
        let otlp = self.telemetry.otlp.iter().flat_map(|otlp| otlp.headers.values());
        providers
            .map(|(at, name)| (at, format!("provider `{name}`")))
            .chain(otlp.map(|at| (at, "telemetry.otlp".to_owned())))
            .chain(self.store.password.iter().map(|at| (at, "store".to_owned())))
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

#[cfg(test)]
mod tests;
