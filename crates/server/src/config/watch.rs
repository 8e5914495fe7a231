//! Reads the configuration again when it changes or a signal asks for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_types::Env;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Config, Error, Live, Source};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// How the last reading went; shown by `/readyz` and the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When the configuration in force was taken.
    pub loaded: Option<Timestamp>,
    /// What is wrong with the file that would have replaced it.
    pub error: Option<String>,
    /// Readings that put a new configuration in force, and that did not.
    pub counts: (u64, u64),
}

/// Takes a configuration that was read into force, or says why it cannot.
pub type Apply = Box<dyn Fn(&Config, &Config) -> Result<(), String> + Send + Sync>;

/// Keeps one configuration in force.
pub struct Watcher {
    source: Source,
    live: Live<Config>,
    apply: Apply,
    env: Arc<dyn Env>,
    state: Mutex<State>,
    asked: Notify,
}

impl Watcher {
    /// Watches `source`, whose last reading is in `live`. `apply` hands a new
    /// one to whoever keeps parts of it; if it fails, nothing changes.
    pub fn new(source: Source, live: Live<Config>, apply: Apply, env: Arc<dyn Env>) -> Arc<Self> {
        let state = Mutex::new(State { loaded: Some(env.now()), ..State::default() });
        Arc::new(Self { source, live, apply, env, state, asked: Notify::new() })
    }

    /// How the last reading went.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a reading now, changed or not.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Looks once a second, and whenever asked. Runs until dropped.
    pub async fn run(&self) {
        let mut seen = self.fingerprint();
        loop {
            let asked = tokio::select! {
                () = self.asked.notified() => true,
                () = self.env.sleep(POLL) => false,
            };
            let found = self.fingerprint();
            if asked || found != seen {
                // Before the reading: what changes during it is seen next time.
                seen = found;
                self.reload();
            }
        }
    }

    /// Reads once. The last good configuration stays in force if it fails.
    pub fn reload(&self) {
        let read = self.source.load().and_then(|config| {
            let before = self.live.get();
            (self.apply)(&config, &before)
                .map_err(|wrong| Error::whole(self.source.file().map(PathBuf::from), wrong))?;
            Ok((config, before))
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok((config, before)) => {
                for warning in &config.warnings {
                    tracing::warn!(warning, "configuration");
                }
                let restart = config.needs_restart(&before);
                if !restart.is_empty() {
                    tracing::warn!(keys = restart.join(", "), "takes effect after a restart");
                }
                self.live.set(config);
                state.loaded = Some(self.env.now());
                state.error = None;
                state.counts.0 += 1;
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                let error = error.to_string();
                tracing::error!(error, "configuration not reloaded, the last good one stays");
                state.error = Some(error);
                state.counts.1 += 1;
            }
        }
    }

    /// What tells one state of the files from another: their contents. A
    /// modification time alone can stay the same over two quick writes.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let own = self.source.file().map(PathBuf::from).into_iter();
        for path in own.chain(self.live.load().files()) {
            std::fs::read(path).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}
