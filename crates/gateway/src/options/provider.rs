//! A service that hosts models, as an operator configures it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use freehold_llm::{Dialect, Quirk};
use freehold_types::{TenantId, Timeouts};
use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;

use super::problem::At;
use super::{Kind, SecretRef, nearest, word};

/// A `[providers.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderOptions {
    /// A row of the catalogue: which host, paths, dialects, auth scheme and
    /// quirks it has. Where unset, the provider's own name.
    pub kind: Option<String>,
    /// The address up to and including the version, in place of the kind's:
    /// `https://models.example.com/v1`.
    pub base_url: Option<String>,
    /// The credential. A provider without one is called without one.
    pub key: Option<SecretRef>,
    /// How the credential is sent, in place of the kind's way.
    pub auth: Option<AuthOptions>,
    /// The `api-version` that is sent, where the kind has one.
    pub api_version: Option<String>,
    /// Sent with each request. Credentials belong into `key`.
    pub headers: BTreeMap<String, String>,
    /// The proxy that requests go through.
    pub proxy: Option<ProxyOptions>,
    /// A PEM file of certificate authorities to trust beside the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Which HTTP to speak. Default: `auto`.
    pub http: HttpVersion,
    /// How long each phase may take.
    pub timeouts: TimeoutOptions,
    /// What it does oddly, in place of the kind's list.
    pub quirks: Option<Vec<Quirk>>,
    /// The dialects it speaks, best first, in place of the kind's list.
    #[serde(deserialize_with = "word::dialects")]
    pub dialects: Option<Vec<Dialect>>,
    /// Where its models run, for deployments that do not say so themselves.
    pub region: Option<String>,
    /// Requests at one time; more of them go elsewhere or wait for nobody.
    /// Default: no limit.
    pub in_flight_max: Option<u32>,
    /// The tenants whose keys reach what the provider keeps for its account
    /// (files, batches, uploads, fine-tuning jobs, vector stores): it does not
    /// tell one tenant's from another's. Default: `main` alone.
    pub objects_for: Option<Vec<String>>,
    /// For the kind `local`: the engine in this process.
    pub engine: EngineOptions,
}

/// How a credential is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthOptions {
    /// The scheme.
    pub scheme: AuthScheme,
    /// The header's or query parameter's name; for those schemes only.
    #[serde(default)]
    pub name: Option<String>,
}

/// A way to send a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthScheme {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of its own: `NAME: KEY`.
    Header,
    /// A query parameter: `?NAME=KEY`.
    Query,
    /// None is sent.
    None,
}

/// A proxy on the way to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyOptions {
    /// `http://HOST:PORT`; https requests tunnel through it.
    pub url: String,
    /// The name to sign in with.
    #[serde(default)]
    pub user: Option<String>,
    /// The password to sign in with.
    #[serde(default)]
    pub password: Option<SecretRef>,
}

/// Which HTTP to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum HttpVersion {
    /// What TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "1")]
    One,
    /// HTTP/2, also without TLS.
    #[serde(rename = "2")]
    Two,
}

/// How long each phase may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutOptions {
    /// To open a connection, TLS included. Default: 5,000.
    pub connect_ms: u64,
    /// From the request's last byte to the head of the answer, which many
    /// providers send only with the whole answer. Default: 600,000.
    pub headers_ms: u64,
    /// From the head to the first byte. Default: 120,000.
    pub first_byte_ms: u64,
    /// Between two reads of the body. Default: 120,000.
    pub idle_ms: u64,
}

impl Default for TimeoutOptions {
    fn default() -> Self {
        Self { connect_ms: 5_000, headers_ms: 600_000, first_byte_ms: 120_000, idle_ms: 120_000 }
    }
}

impl TimeoutOptions {
    /// Longer than this is a slip of the hand.
    const MAX_MS: u64 = 3_600_000;

    /// As the transport wants them.
    pub fn timeouts(self) -> Timeouts {
        Timeouts {
            connect: Duration::from_millis(self.connect_ms),
            headers: Duration::from_millis(self.headers_ms),
            first_byte: Duration::from_millis(self.first_byte_ms),
            idle: Duration::from_millis(self.idle_ms),
        }
    }
}

/// The engine that runs models in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineOptions {
    /// Where weights are kept. Default: `$FREEHOLD_MODELS`, else `freehold`
    /// in the user's cache folder.
    pub models_dir: Option<PathBuf>,
    /// The model that the name `default` means. Default: the only or first
    /// one that was fetched.
    pub model: Option<String>,
    /// Requests that may wait. Default: 16.
    pub queue_max: Option<usize>,
}

/// Headers that carry credentials, or that the transport writes itself.
const RESERVED_HEADERS: [(&str, &str); 10] = [
    ("authorization", "a credential belongs into `key`"),
    ("proxy-authorization", "a credential belongs into `proxy`"),
    ("x-api-key", "a credential belongs into `key`"),
    ("api-key", "a credential belongs into `key`"),
    ("x-goog-api-key", "a credential belongs into `key`"),
    ("cookie", "a credential belongs into `key`"),
    ("host", "it is made from `base_url`"),
    ("content-length", "it is made from the body"),
    ("connection", "it belongs to one hop"),
    ("transfer-encoding", "it belongs to one hop"),
];

impl ProviderOptions {
    /// The kind: the one that is set, else the provider's own name.
    pub fn kind<'a>(&'a self, name: &'a str) -> &'a str {
        self.kind.as_deref().unwrap_or(name)
    }

    pub(super) fn validate(&self, name: &str, kinds: &[Kind<'_>], at: &mut At<'_>) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            at.add(
                "",
                "a provider's name has 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`: it stands in model names, metrics and logs",
            );
        }
        self.validate_kind(name, kinds, at);
        self.validate_wire(at);
        self.validate_headers(at);
        for (key, value) in [
            ("connect_ms", self.timeouts.connect_ms),
            ("headers_ms", self.timeouts.headers_ms),
            ("first_byte_ms", self.timeouts.first_byte_ms),
            ("idle_ms", self.timeouts.idle_ms),
        ] {
            if value == 0 || value > TimeoutOptions::MAX_MS {
                at.add(
                    &format!("timeouts.{key}"),
                    format!("{value} is not between 1 and {}", TimeoutOptions::MAX_MS),
                );
            }
        }
        if self.in_flight_max == Some(0) {
            at.add(
                "in_flight_max",
                "0 would never let a request through: leave it out for no limit",
            );
        }
        for tenant in self.objects_for.iter().flatten() {
            if let Err(error) = TenantId::new(tenant.as_str()) {
                at.add("objects_for", format!("{tenant:?}: {error}"));
            }
        }
        if self.engine.queue_max == Some(0) {
            at.add("engine.queue_max", "0 would let nothing wait, and so nothing be answered");
        }
    }

    fn validate_kind(&self, name: &str, kinds: &[Kind<'_>], at: &mut At<'_>) {
        let kind = self.kind(name);
        let key = if self.kind.is_some() { "kind" } else { "" };
        match kinds.iter().find(|known| known.name == kind) {
            Some(known) if !known.has_address && self.base_url.is_none() => {
                at.add("", format!("the kind `{kind}` has no address of its own: set `base_url`"));
            }
            Some(_) => {}
            None => {
                let hint = match nearest(kind, kinds.iter().map(|known| known.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if self.kind.is_none() => {
                        "set `kind`, for example to \"compatible\" with a `base_url`".to_owned()
                    }
                    None => {
                        let known: Vec<&str> = kinds.iter().map(|known| known.name).collect();
                        format!("known are {}", known.join(", "))
                    }
                };
                at.add(key, format!("no provider kind is named `{kind}`: {hint}"));
            }
        }
        if self.engine != EngineOptions::default() && kind != super::LOCAL {
            at.add("engine", "only a provider of the kind `local` runs inside this process");
        }
    }

    fn validate_wire(&self, at: &mut At<'_>) {
        if let Some(url) = &self.base_url
            && let Err(wrong) = check_url(url, &["http", "https"])
        {
            at.add("base_url", wrong);
        }
        if let Some(proxy) = &self.proxy {
            if let Err(wrong) = check_url(&proxy.url, &["http"]) {
                at.add("proxy.url", wrong);
            }
            if proxy.user.is_some() != proxy.password.is_some() {
                at.add("proxy", "`user` and `password` go together");
            }
        }
        if let Some(auth) = &self.auth {
            let named = matches!(auth.scheme, AuthScheme::Header | AuthScheme::Query);
            if named != auth.name.is_some() {
                at.add(
                    "auth",
                    "`name` goes with the schemes `header` and `query`, and only with them",
                );
            }
            if auth.scheme == AuthScheme::None && self.key.is_some() {
                at.add(
                    "auth",
                    "the scheme `none` sends no key, but `key` is set: leave out one of them",
                );
            }
            let name = auth.name.as_deref().unwrap_or("x");
            if HeaderName::try_from(name).is_err() {
                at.add(
                    "auth.name",
                    format!("`{name}` cannot be the name of a header or parameter"),
                );
            }
        }
        if self.dialects.as_ref().is_some_and(Vec::is_empty) {
            at.add("dialects", "the list is empty: leave it out for the kind's own");
        }
    }

    fn validate_headers(&self, at: &mut At<'_>) {
        for (name, value) in &self.headers {
            if HeaderName::try_from(name.as_str()).is_err() {
                at.add("headers", format!("`{name}` cannot be the name of a header"));
            }
            if HeaderValue::try_from(value.as_str()).is_err() {
                at.add("headers", format!("the value of `{name}` cannot be sent in a header"));
            }
            let reserved = RESERVED_HEADERS.iter().find(|(r, _)| name.eq_ignore_ascii_case(r));
            if let Some((reserved, reason)) = reserved {
                at.add("headers", format!("`{reserved}` may not be set here: {reason}"));
            }
        }
    }
}

/// Whether an address can stand in a configuration. The error never repeats
/// the address, which may hold a password.
fn check_url(url: &str, schemes: &[&str]) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|wrong| format!("it is no URL: {wrong}"))?;
    if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
        return Err(format!("it must begin with {}://", schemes.join(":// or ")));
    }
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    if authority.contains('@') {
        return Err("a user and password may not stand in it: write a reference instead".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it has no host".to_owned());
    }
    if uri.query().is_some() {
        return Err("it may not hold a query: paths are appended to it".to_owned());
    }
    Ok(())
}
