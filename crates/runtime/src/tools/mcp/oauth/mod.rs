//! OAuth as MCP has it: a server's challenge leads to its authorization
//! server, that to a token.
//!
//! The authorization endpoint is asked without a person: what redirects at
//! once is followed to its code, what wants somebody to sign in is an error
//! that says so. Servers of the configuration are given their tokens by it
//! (`auth`); this is what `freehold mcp-probe` does where there is none.

mod discover;
mod grant;
mod token;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freehold_types::{Env, Secret, Target, Transport};
use http::Uri;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(super) use self::grant::Grant;

use self::discover::{Issuer, Resource};
use super::challenge;
use super::wire::Bearer;
use crate::tools::http::form;

/// How often a server may want another token before it is let be.
const ATTEMPTS_MAX: u32 = 3;

/// Where codes are sent; nobody listens there, since the redirect is read.
const REDIRECT: &str = "http://127.0.0.1:8485/callback";

/// Who we are to an authorization server.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id of us.
    pub id: String,
    /// What proves it.
    pub secret: Option<Secret>,
}

/// Gets tokens for one MCP server.
pub(super) struct OAuth {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) env: Arc<dyn Env>,
    /// For all addresses that the server names.
    pub(super) target: Target,
    /// The MCP server.
    pub(super) url: Uri,
    /// Known before, whoever issues the tokens; else we register.
    pub(super) client: Option<Client>,
    /// Whom we registered with, and as whom: it holds for nobody else.
    pub(super) registered: Option<(String, Client)>,
    /// The address of a document about us, which some servers take as an id.
    pub(super) document: Option<String>,
    pub(super) attempts: u32,
    /// All that was ever asked for.
    pub(super) scopes: Vec<String>,
    pub(super) bearer: Bearer,
}

impl OAuth {
    /// Answers a challenge: a token that the wire sends from now on.
    pub(super) async fn authorize(&mut self, said: &str) -> Result<(), String> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            return Err("the server wants one token after the other".to_owned());
        }
        let resource = self.resource(said).await?;
        let issuer = self.issuer(&resource).await?;
        let scope = self.scope(said, &resource, &issuer);
        let client = self.client(&issuer).await?;
        let known = issuer.list("grant_types_supported");
        let alone = known.as_ref().is_some_and(|grants| {
            let has = |wanted: &str| grants.iter().any(|grant| grant == wanted);
            has("client_credentials") && !has("authorization_code")
        });
        let mut fields = vec![("resource", resource.id.clone())];
        if alone {
            fields.push(("grant_type", "client_credentials".to_owned()));
            fields.extend(scope.map(|scope| ("scope", scope)));
        } else {
            let (code, verifier) = self.code(&issuer, &client, &resource, scope.as_deref()).await?;
            fields.push(("grant_type", "authorization_code".to_owned()));
            fields.push(("code", code));
            fields.push(("redirect_uri", REDIRECT.to_owned()));
            fields.push(("code_verifier", verifier));
        }
        let token = self.token(&issuer, &client, fields).await?;
        self.bearer.store(Some(Arc::new(token.access)));
        Ok(())
    }

    /// What is asked for: the challenge's word, else the resource's; with it
    /// what was asked for before, and a way to go on when the token is old
    /// where the issuer has one.
    fn scope(&mut self, said: &str, resource: &Resource, issuer: &Issuer) -> Option<String> {
        let wanted = challenge::parameter(said, "scope")
            .map(|scope| scope.split(' ').map(str::to_owned).collect())
            .or_else(|| resource.scopes.clone())
            .unwrap_or_default();
        let offline = issuer.list("scopes_supported").unwrap_or_default();
        let offline = offline.into_iter().filter(|scope| scope == "offline_access");
        let offline: Vec<String> = if wanted.is_empty() { Vec::new() } else { offline.collect() };
        for scope in wanted.into_iter().chain(offline) {
            if !scope.is_empty() && !self.scopes.contains(&scope) && self.scopes.len() < 64 {
                self.scopes.push(scope);
            }
        }
        (!self.scopes.is_empty()).then(|| self.scopes.join(" "))
    }

    /// A code from the authorization endpoint, and what proves that it is ours.
    async fn code(
        &self,
        issuer: &Issuer,
        client: &Client,
        resource: &Resource,
        scope: Option<&str>,
    ) -> Result<(String, String), String> {
        // Without metadata nothing is known, and S256 is what all have.
        if let Some(methods) = issuer.list("code_challenge_methods_supported") {
            if !methods.iter().any(|method| method == "S256") {
                return Err("the authorization server does not know PKCE with S256".to_owned());
            }
        } else if issuer.is_described() {
            return Err("the authorization server does not say that it knows PKCE".to_owned());
        }
        let (verifier, state) = (self.random(), self.random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("state", &state),
            ("resource", &resource.id),
        ];
        fields.extend(scope.map(|scope| ("scope", scope)));
        let endpoint = issuer.endpoint("authorization_endpoint", "/authorize")?;
        let between = if endpoint.contains('?') { '&' } else { '?' };
        let to = self.redirect(&format!("{endpoint}{between}{}", form(fields))).await?;
        let query = to.split_once('?').map_or("", |(_, query)| query);
        let find = |name: &str| {
            query.split('&').find_map(|pair| {
                pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v.to_owned())
            })
        };
        if find("state").as_deref() != Some(state.as_str()) {
            return Err("the redirect does not belong to the question".to_owned());
        }
        // Who answers says who it is (RFC 9207), letter by letter.
        match find("iss").map(|iss| token::unescaped(&iss)) {
            Some(iss) if iss != issuer.id => {
                return Err(format!("the redirect came from another authorization server: {iss}"));
            }
            None if issuer.is("authorization_response_iss_parameter_supported") => {
                return Err("the redirect does not say who sent it".to_owned());
            }
            _ => {}
        }
        match find("code") {
            Some(code) => Ok((token::unescaped(&code), verifier)),
            None => Err(format!(
                "the authorization server said: {}",
                find("error").unwrap_or_else(|| "nothing".to_owned())
            )),
        }
    }

    /// 256 random bits as text.
    fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.env.fill_random(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Who we are: what is configured, an address, or what we register as.
    async fn client(&mut self, issuer: &Issuer) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        if let Some((_, client)) = self.registered.as_ref().filter(|(with, _)| *with == issuer.id) {
            return Ok(client.clone());
        }
        if issuer.is("client_id_metadata_document_supported")
            && let Some(document) = &self.document
        {
            return Ok(Client { id: document.clone(), secret: None });
        }
        let endpoint = issuer.endpoint("registration_endpoint", "/register").map_err(|_| {
            "the authorization server registers nobody, and no client id is configured".to_owned()
        })?;
        let methods = issuer.list("token_endpoint_auth_methods_supported").unwrap_or_default();
        let method = ["none", "client_secret_basic", "client_secret_post"]
            .into_iter()
            .find(|known| methods.iter().any(|method| method == known));
        let answer = self
            .post_json(
                &endpoint,
                &json!({
                    "client_name": "Freehold",
                    "redirect_uris": [REDIRECT],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    // It has the machine's own address to be redirected to.
                    "application_type": "native",
                    "token_endpoint_auth_method": method.unwrap_or("client_secret_basic"),
                }),
            )
            .await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = text("client_id").ok_or("the authorization server gave no client id")?;
        let client = Client { id, secret: text("client_secret").map(Secret::new) };
        self.registered = Some((issuer.id.clone(), client.clone()));
        Ok(client)
    }
}
