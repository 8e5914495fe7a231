//! Where a configuration comes from: a file, then variables and flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use freehold_gateway::options::Kind;

use super::{Config, Error, LogFormat, LogLevel, TlsOptions, parse};

/// A file of more than this is not a configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What flags and `FREEHOLD_*` variables say instead of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `server.listen`.
    pub listen: Option<SocketAddr>,
    /// In place of `server.data`.
    pub data: Option<PathBuf>,
    /// In place of `server.tls`.
    pub tls: Option<TlsOptions>,
    /// In place of `telemetry.logs.level`.
    pub log_level: Option<LogLevel>,
    /// In place of `telemetry.logs.format`.
    pub log_format: Option<LogFormat>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    file: Option<PathBuf>,
    overrides: Overrides,
    kinds: &'static [Kind<'static>],
}

impl Source {
    /// `file`, else `freehold.toml` in this folder if there is one, else
    /// nothing but defaults; then `overrides`. `kinds` are the provider kinds
    /// that the catalogue knows.
    pub fn new(
        file: Option<PathBuf>,
        overrides: Overrides,
        kinds: &'static [Kind<'static>],
    ) -> Self {
        let usual = || Some(PathBuf::from("freehold.toml")).filter(|path| path.exists());
        Self { file: file.or_else(usual), overrides, kinds }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads and checks it.
    pub fn load(&self) -> Result<Config, Error> {
        let text = self.read()?;
        let folder = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let environment = |name: &str| std::env::var(name).ok();
        let mut config = parse(&text, folder, self.kinds, &environment)
            .map_err(|faults| Error { file: self.file.clone(), faults })?;
        self.overrides.clone().apply(&mut config);
        Ok(config)
    }

    fn read(&self) -> Result<String, Error> {
        let Some(file) = &self.file else { return Ok(String::new()) };
        let fail = |message: String| Error::whole(self.file.clone(), message);
        let bytes = std::fs::metadata(file).map_err(|error| fail(error.to_string()))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(fail(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))
    }
}

impl Overrides {
    fn apply(self, config: &mut Config) {
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if self.data.is_some() {
            config.server.data = self.data;
        }
        if self.tls.is_some() {
            config.server.tls = self.tls;
        }
        if let Some(level) = self.log_level {
            config.telemetry.logs.level = level;
        }
        if self.log_format.is_some() {
            config.telemetry.logs.format = self.log_format;
        }
    }
}
