//! `[telemetry]`: logs and traces.

use std::collections::BTreeMap;

use freehold_gateway::options::{At, SecretRef};
use serde::Deserialize;

/// The `[telemetry]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryOptions {
    /// Where the process says what it does.
    pub logs: LogOptions,
    /// Traces by the GenAI conventions; off where unset.
    pub otlp: Option<OtlpOptions>,
}

/// The `[telemetry.logs]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// Default: `text` on a terminal, else `json`.
    pub format: Option<LogFormat>,
    /// Default: `info`.
    pub level: LogLevel,
    /// Whether each exchange gets a line. Default: true.
    pub exchanges: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: None, level: LogLevel::default(), exchanges: true }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object in a line.
    Json,
    /// For people.
    Text,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may fail next.
    Warn,
    /// What was done.
    #[default]
    Info,
    /// How it was done.
    Debug,
    /// Everything.
    Trace,
}

/// The `[telemetry.otlp]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpOptions {
    /// The collector's address, without `/v1/traces`: `http://localhost:4318`.
    pub endpoint: String,
    /// Headers of each export, each kept elsewhere: a collector's headers are
    /// credentials as a rule.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretRef>,
    /// The share of exchanges that is traced, 0 to 100. Default: 100.
    #[serde(default = "all")]
    pub sample_percent: u8,
}

fn all() -> u8 {
    100
}

impl TelemetryOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        let Some(otlp) = &self.otlp else { return };
        let uri: Option<http::Uri> = otlp.endpoint.parse().ok();
        let good = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        });
        if !good {
            at.add(
                "otlp.endpoint",
                "it must be the collector's address, such as http://localhost:4318",
            );
        }
        if otlp.sample_percent > 100 {
            at.add("otlp.sample_percent", "it goes from 0 to 100");
        }
        for name in otlp.headers.keys() {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                at.add("otlp.headers", format!("`{name}` cannot be the name of a header"));
            }
        }
    }
}
