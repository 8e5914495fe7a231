//! How Freehold shows a tool's server who it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_gateway::options::{At, SecretRef, Secrets};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
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
    /// The credential; for `oauth` the client's secret, if it has one.
    #[serde(default)]
    pub key: Option<SecretRef>,
    /// Where `oauth` gets its tokens: the token endpoint of the authorization
    /// server. Secrets go there and nowhere else, whatever the tools' server
    /// says.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Who we are there.
    #[serde(default)]
    pub client: Option<String>,
    /// A refresh token that somebody signed in for. Without it the client asks
    /// in its own name (`client_credentials`).
    #[serde(default)]
    pub refresh: Option<SecretRef>,
    /// What is asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
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
    /// `authorization: Bearer` with tokens of an authorization server (OAuth
    /// 2.1), gotten anew when they are old. For MCP servers.
    Oauth,
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
        self.validate_oauth(at);
        if (self.scheme == Scheme::Basic) != self.user.is_some() {
            at.add("auth.user", "the scheme `basic` has a user, and no other has");
        }
    }

    fn validate_oauth(&self, at: &mut At<'_>) {
        let oauth = self.scheme == Scheme::Oauth;
        if !oauth && self.key.is_none() {
            at.add("auth.key", "say where the key is: `key = { env = \"NAME\" }`");
        }
        if oauth && self.key.is_none() && self.refresh.is_none() {
            at.add("auth.key", "`oauth` needs the client's secret, a refresh token, or both");
        }
        for (key, set) in
            [("auth.token_url", self.token_url.is_some()), ("auth.client", self.client.is_some())]
        {
            if oauth != set {
                at.add(key, "the scheme `oauth` has it, and no other has");
            }
        }
        for (key, set) in
            [("auth.refresh", self.refresh.is_some()), ("auth.scopes", !self.scopes.is_empty())]
        {
            if set && !oauth {
                at.add(key, "only the scheme `oauth` has it");
            }
        }
        if let Some(url) = &self.token_url {
            check_url(at, "auth.token_url", url);
        }
    }

    /// The secrets that it refers to.
    pub fn secret_refs(&self) -> impl Iterator<Item = &SecretRef> {
        self.key.iter().chain(&self.refresh)
    }

    /// The same, to be written anew.
    pub fn secret_refs_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        self.key.iter_mut().chain(&mut self.refresh)
    }

    /// Adds the credential to the headers; a query parameter is returned.
    /// Nothing is added where the credential could not be read.
    pub fn apply(&self, secrets: &Secrets, headers: &mut HeaderMap) -> Option<(String, String)> {
        let key = secrets.get(self.key.as_ref()?)?.reveal();
        let (name, text) = match self.scheme {
            Scheme::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
            Scheme::Basic => {
                let user = self.user.as_deref().unwrap_or_default();
                (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{user}:{key}"))))
            }
            Scheme::Header => (HeaderName::try_from(self.name.as_deref()?).ok()?, key.to_owned()),
            Scheme::Query => return Some((self.name.clone()?, key.to_owned())),
            // Its tokens come and go.
            Scheme::Oauth => return None,
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
        None
    }
}

/// Checks an address.
pub(super) fn check_url(at: &mut At<'_>, key: &str, url: &str) {
    let good = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if !good {
        at.add(key, "it must be http://HOST/PATH or https://HOST/PATH, without a user in it");
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
