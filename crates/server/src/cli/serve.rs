//! `freehold serve`: serves until a signal to stop.

use std::sync::Arc;

use clap::Args;
use freehold_server::config::Config;
use freehold_server::env::RealEnv;
use freehold_server::out;
use freehold_server::serve::{Server, Start};
use freehold_server::telemetry::Telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServerArgs;

/// Serve requests until a signal to stop.
///
/// Without arguments it listens on 127.0.0.1:8484, keeps its data in the
/// user's data folder, and answers for the model `local` with the weights that
/// were fetched. The first admin key is written to admin.key in the data
/// folder, or taken from FREEHOLD_BOOTSTRAP_KEY.
///
/// SIGTERM and SIGINT let requests finish first, a second one does not; SIGHUP
/// reads the configuration again, which also happens when the file changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold serve
  freehold serve --config freehold.toml --listen 0.0.0.0:8484 --data /var/lib/freehold
  freehold serve --tls-dev
  freehold serve --tls-cert cert.pem --tls-key key.pem")]
pub(super) struct Serve {
    #[command(flatten)]
    server: ServerArgs,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (source, tls_dev) = self.server.source();
        let config = source.load()?;
        let telemetry = Telemetry::start(&config);
        let env = Arc::new(RealEnv::new());
        let start = Start { source, tls_dev, env, engine: engine(&config) };
        let served = super::block_on(serve(start, config, telemetry.clone()))?;
        telemetry.stop();
        served
    }
}

async fn serve(start: Start, config: Config, telemetry: Telemetry) -> anyhow::Result<()> {
    for warning in &config.warnings {
        tracing::warn!(warning, "configuration");
    }
    // Before anything is open: from here on a signal ends it in order.
    let mut signals = Signals::new()?;
    let server = Server::start(start, config, telemetry).await?;
    let app = Arc::clone(server.app());
    out::line(server.ready_line());
    let hurry = Arc::new(tokio::sync::Notify::new());
    let hurried = Arc::clone(&hurry);
    let watching = tokio::spawn(async move {
        signals.until_stop(|| app.watcher.ask()).await;
        app.drain.begin();
        signals.until_stop(|| {}).await;
        hurry.notify_one();
    });
    server.run(hurried.notified()).await;
    watching.abort();
    Ok(())
}

/// The signals that a server heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop; calls `reload` for each other one.
    async fn until_stop(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(),
            }
        }
    }
}

/// The model in this process, if it is built in.
#[cfg(feature = "local")]
fn engine(config: &Config) -> Option<Arc<dyn freehold_gateway::engine::Engine>> {
    use freehold_gateway::options::LOCAL;
    use freehold_local::weights::Folder;
    use freehold_server::local_engine::{self, LocalEngine};

    let providers = config.gateway.effective_providers();
    let options = providers
        .iter()
        .find(|(name, provider)| provider.kind(name) == LOCAL)
        .map(|(_, provider)| provider.engine.clone())
        .unwrap_or_default();
    let folder = match &options.models_dir {
        Some(path) => Folder::new(path),
        // Without a folder there are no weights; the server serves all else.
        None => local_engine::folder().ok()?,
    };
    Some(Arc::new(LocalEngine::new(folder, &options)))
}

#[cfg(not(feature = "local"))]
fn engine(_: &Config) -> Option<Arc<dyn freehold_gateway::engine::Engine>> {
    None
}
