//! From a challenge to the protected resource, from it to who issues tokens
//! (RFC 9728, RFC 8414, OpenID Connect Discovery).

use http::Uri;
use serde_json::{Value, json};

use super::OAuth;
use crate::tools::mcp::challenge;

/// What the MCP server says of itself.
pub(super) struct Resource {
    /// What tokens are for.
    pub(super) id: String,
    pub(super) scopes: Option<Vec<String>>,
    issuer: String,
    /// Whether the issuer is named, or guessed to be the server itself.
    named: bool,
}

/// Who issues tokens.
pub(super) struct Issuer {
    /// What it calls itself.
    pub(super) id: String,
    base: String,
    metadata: Option<Value>,
}

impl Issuer {
    /// One of which the owner says where its tokens are.
    pub(super) fn at(token_url: &str) -> Self {
        let metadata = json!({ "token_endpoint": token_url });
        Self { id: token_url.to_owned(), base: String::new(), metadata: Some(metadata) }
    }

    /// A list of its metadata; `None` if it says nothing.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        strings(self.metadata.as_ref()?.get(name)?)
    }

    /// Whether it says yes to something.
    pub(super) fn is(&self, name: &str) -> bool {
        self.metadata.as_ref().and_then(|m| m.get(name)?.as_bool()).unwrap_or(false)
    }

    /// Whether it says anything.
    pub(super) fn is_described(&self) -> bool {
        self.metadata.is_some()
    }

    /// One of its endpoints; the usual one where it has no metadata at all, as
    /// in the revision of March 2025.
    pub(super) fn endpoint(&self, name: &str, usual: &str) -> Result<String, String> {
        match &self.metadata {
            None => Ok(format!("{}{usual}", self.base)),
            Some(metadata) => metadata
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("the authorization server has no {name}")),
        }
    }
}

impl OAuth {
    /// The resource that the challenge or the usual places describe; without
    /// any, the server issues its tokens itself.
    pub(super) async fn resource(&self, said: &str) -> Result<Resource, String> {
        let origin = origin(&self.url)?;
        let known = "/.well-known/oauth-protected-resource";
        let path = self.url.path().trim_end_matches('/');
        let places = match challenge::parameter(said, "resource_metadata") {
            Some(place) => vec![place],
            None => vec![format!("{origin}{known}{path}"), format!("{origin}{known}")],
        };
        for place in places {
            let Some(metadata) = self.get_json(&place).await? else { continue };
            let id = metadata.get("resource").and_then(Value::as_str).unwrap_or_default();
            if !covers(id, &self.url) {
                return Err(format!("the description of the resource is of another: {id}"));
            }
            let issuers = metadata.get("authorization_servers").and_then(strings);
            let issuer = issuers.and_then(|issuers| issuers.into_iter().next());
            let (named, issuer) = (issuer.is_some(), issuer.unwrap_or(origin));
            let scopes = metadata.get("scopes_supported").and_then(strings);
            return Ok(Resource { id: id.to_owned(), scopes, issuer, named });
        }
        Ok(Resource { id: self.url.to_string(), scopes: None, issuer: origin, named: false })
    }

    /// The issuer of a resource's tokens, and what it says of itself.
    pub(super) async fn issuer(&self, resource: &Resource) -> Result<Issuer, String> {
        let uri: Uri = resource.issuer.parse().map_err(|_| "the issuer is no URL".to_owned())?;
        let base = origin(&uri)?;
        let path = uri.path().trim_end_matches('/');
        let [oauth, openid] =
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
        let mut places = vec![format!("{base}{oauth}{path}"), format!("{base}{openid}{path}")];
        if !path.is_empty() {
            places.push(format!("{base}{path}{openid}"));
        }
        for place in places {
            let Some(metadata) = self.get_json(&place).await? else { continue };
            let named = metadata.get("issuer").and_then(Value::as_str).unwrap_or_default();
            let same = named.trim_end_matches('/') == resource.issuer.trim_end_matches('/');
            // A guess goes as far as the host.
            let near = || named.parse().is_ok_and(|uri| origin(&uri).is_ok_and(|o| o == base));
            if !same && (resource.named || !near()) {
                return Err(format!("the authorization server calls itself another: {named}"));
            }
            return Ok(Issuer { id: named.to_owned(), base, metadata: Some(metadata) });
        }
        Ok(Issuer { id: resource.issuer.clone(), base, metadata: None })
    }
}

/// `https://host:port` of a URL.
fn origin(uri: &Uri) -> Result<String, String> {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => Ok(format!("{scheme}://{authority}")),
        _ => Err(format!("{uri} is no whole URL")),
    }
}

/// Whether a token for a resource is one for a URL: the same host, and the
/// same path or one above it.
fn covers(resource: &str, url: &Uri) -> bool {
    let Ok(resource) = resource.parse::<Uri>() else { return false };
    let above = resource.path().trim_end_matches('/');
    let below = url.path().strip_prefix(above);
    resource.scheme() == url.scheme()
        && resource.authority() == url.authority()
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter().take(256);
    Some(items.filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_one_resource_is_not_one_for_another() {
        let url: Uri = "https://a.example/mcp/x".parse().expect("a URL");
        for (resource, covered) in [
            ("https://a.example/mcp/x", true),
            ("https://a.example/mcp", true),
            ("https://a.example/", true),
            ("https://a.example", true),
            ("https://a.example/mc", false),
            ("https://evil.example/mcp/x", false),
            ("http://a.example/mcp/x", false),
            ("", false),
        ] {
            assert_eq!(covers(resource, &url), covered, "{resource}");
        }
    }
}
