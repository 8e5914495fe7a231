//! How Freehold shows a tool's server who it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_gateway::options::{At, SecretRef, Secrets};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

/// A credential and how it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthOptions {
    /// The scheme. Default: `bearer`.
    #[serde(default)]
    pub scheme: Scheme,
    /// The header's or query parameter's name, for those schemes.
    #[serde(default)]
    pub name: Option<String>,
    /// The name to sign in with, for `basic`.
    #[serde(default)]
    pub user: Option<String>,
    /// The credential.
    pub key: SecretRef,
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// A header of its own.
    Header,
    /// `authorization: Basic`, with a user.
    Basic,
    /// A query parameter.
    Query,
}

impl AuthOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        let named = matches!(self.scheme, Scheme::Header | Scheme::Query);
        match &self.name {
            None if named => at.add("auth.name", "the scheme needs the name to send the key under"),
            Some(_) if !named => at.add("auth.name", "the scheme has no name of its own"),
            Some(name)
                if self.scheme == Scheme::Header
                    && HeaderName::try_from(name.as_str()).is_err() =>
            {
                at.add("auth.name", format!("`{name}` cannot be the name of a header"));
            }
            _ => {}
        }
        if (self.scheme == Scheme::Basic) != self.user.is_some() {
            at.add("auth.user", "the scheme `basic` has a user, and no other has");
        }
    }

    /// Adds the credential to the headers; a query parameter is returned.
    /// Nothing is added where the credential could not be read.
    pub fn apply(&self, secrets: &Secrets, headers: &mut HeaderMap) -> Option<(String, String)> {
        let key = secrets.get(&self.key)?.reveal();
        let (name, text) = match self.scheme {
            Scheme::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
            Scheme::Basic => {
                let user = self.user.as_deref().unwrap_or_default();
                (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{user}:{key}"))))
            }
            Scheme::Header => (HeaderName::try_from(self.name.as_deref()?).ok()?, key.to_owned()),
            Scheme::Query => return Some((self.name.clone()?, key.to_owned())),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
        None
    }
}

/// Checks headers that stand in the configuration.
pub(super) fn check_headers(at: &mut At<'_>, headers: &BTreeMap<String, String>) {
    for (name, value) in headers {
        let good = HeaderName::try_from(name.as_str()).is_ok_and(|name| name != AUTHORIZATION)
            && HeaderValue::try_from(value.as_str()).is_ok();
        if !good {
            at.add(
                "headers",
                format!("`{name}` cannot be sent as a header; a credential belongs into `auth`"),
            );
        }
    }
}
