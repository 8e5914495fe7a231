//! Tokens for a server of the configuration: in the client's own name, or by a
//! refresh token that somebody signed in for.
//!
//! A refresh token that is replaced with each use is kept in memory alone: what
//! the configuration refers to is not written. Such a server wants somebody to
//! sign in again after a restart.

use std::sync::Arc;
use std::time::Duration;

use freehold_gateway::options::Secrets;
use freehold_types::{Env, Secret, Target, Transport};
use http::Uri;
use tokio::sync::Mutex;

use super::discover::Issuer;
use super::{Client, OAuth};
use crate::event::Hash;
use crate::tools::mcp::wire::Bearer;
use crate::tools::options::{AuthOptions, Scheme};

/// A token is gotten anew so long before it is old.
const MARGIN: Duration = Duration::from_secs(30);

/// How a server's tokens are gotten, and the one in force.
#[derive(Debug)]
pub(in crate::tools) struct Grant {
    token_url: String,
    client: Client,
    scopes: Vec<String>,
    /// What tokens are for.
    resource: String,
    /// Sent by all connections to the server.
    bearer: Bearer,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    refresh: Option<Secret>,
    /// Until when the token is good, on the monotonic clock.
    until: Option<Duration>,
}

impl Grant {
    /// As configured; `None` if the scheme is another.
    pub(in crate::tools::mcp) fn configured(
        auth: &AuthOptions,
        url: &str,
        secrets: &Secrets,
    ) -> Option<Self> {
        if auth.scheme != Scheme::Oauth {
            return None;
        }
        let secret = |of: &Option<_>| of.as_ref().and_then(|of| secrets.get(of)).cloned();
        Some(Self {
            token_url: auth.token_url.clone()?,
            client: Client { id: auth.client.clone()?, secret: secret(&auth.key) },
            scopes: auth.scopes.clone(),
            resource: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            bearer: Bearer::default(),
            held: Mutex::new(Held { refresh: secret(&auth.refresh), until: None }),
        })
    }

    /// What connections send.
    pub(in crate::tools::mcp) fn bearer(&self) -> Bearer {
        Arc::clone(&self.bearer)
    }

    /// In whose name, and for what: tells it from others. Not the token.
    pub(in crate::tools::mcp) fn identity(&self) -> Hash {
        let text = format!("{}\n{}\n{:?}", self.token_url, self.client.id, self.scopes);
        let refresh = self.client.secret.as_ref().map_or("", Secret::reveal);
        Hash::of_all(&[Hash::of(text.as_bytes()), Hash::of(refresh.as_bytes())])
    }

    /// The token in force, to be told from the next one.
    pub(in crate::tools::mcp) fn current(&self) -> Option<Arc<Secret>> {
        self.bearer.load_full()
    }

    /// Sees to it that there is a token which is not old.
    pub(in crate::tools::mcp) async fn ready(
        &self,
        transport: &Arc<dyn Transport>,
        env: &Arc<dyn Env>,
    ) -> Result<(), String> {
        let mut held = self.held.lock().await;
        let good = held.until.is_none_or(|until| env.monotonic() + MARGIN < until);
        if self.bearer.load().is_some() && good {
            return Ok(());
        }
        self.get(&mut held, transport, env).await
    }

    /// Another token in place of one that the server refused; of those who
    /// were refused together one asks.
    pub(in crate::tools::mcp) async fn renew(
        &self,
        refused: Option<&Arc<Secret>>,
        transport: &Arc<dyn Transport>,
        env: &Arc<dyn Env>,
    ) -> Result<(), String> {
        let mut held = self.held.lock().await;
        let now = self.bearer.load_full();
        let same = match (&now, refused) {
            (Some(now), Some(refused)) => Arc::ptr_eq(now, refused),
            (now, refused) => now.is_none() && refused.is_none(),
        };
        if same { self.get(&mut held, transport, env).await } else { Ok(()) }
    }

    async fn get(
        &self,
        held: &mut Held,
        transport: &Arc<dyn Transport>,
        env: &Arc<dyn Env>,
    ) -> Result<(), String> {
        let oauth = OAuth {
            transport: Arc::clone(transport),
            env: Arc::clone(env),
            target: Target::Configured,
            url: Uri::default(),
            client: None,
            registered: None,
            document: None,
            attempts: 0,
            scopes: Vec::new(),
            bearer: self.bearer(),
        };
        let mut fields = vec![("resource", self.resource.clone())];
        match &held.refresh {
            Some(refresh) => {
                fields.push(("grant_type", "refresh_token".to_owned()));
                fields.push(("refresh_token", refresh.reveal().to_owned()));
            }
            None => fields.push(("grant_type", "client_credentials".to_owned())),
        }
        if !self.scopes.is_empty() {
            fields.push(("scope", self.scopes.join(" ")));
        }
        let asked_at = env.monotonic();
        let token = oauth.token(&Issuer::at(&self.token_url), &self.client, fields).await;
        let token = token.map_err(|error| format!("no token could be had: {error}"))?;
        if token.refresh.is_some() && held.refresh.is_some() {
            held.refresh = token.refresh;
        }
        // One that is good for less than the margin is used for half its time.
        held.until = token.good_for.map(|good| asked_at + good.max(MARGIN + good / 2));
        self.bearer.store(Some(Arc::new(token.access)));
        Ok(())
    }
}
