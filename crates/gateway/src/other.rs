//! A provider's other endpoints (files, batches, audio), passed through as
//! bytes.

use std::sync::Arc;

use freehold_control::Ask;
use freehold_llm::format::codec;
use freehold_llm::model::ApiError;
use freehold_types::{Code, Target, TenantId, WireRequest};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RANGE};

use crate::answer::{ERROR_LIMIT, collect};
use crate::attempt::{Failed, Raw, Trying};
use crate::book::{Book, Opening};
use crate::call::{Call, Endpoint, Reply, ReplyBody};
use crate::metrics::Outcome;
use crate::plan::Provider;
use crate::relay::Relay;
use crate::reply_headers::copy_headers;
use crate::retry::{Fault, retry_after};
use crate::{Gateway, refuse, wire};

fn invalid(code: Code, message: impl Into<String>) -> Box<ApiError> {
    Box::new(ApiError::new(code, message))
}

impl Gateway {
    /// Sends a request and gives its answer back as it is.
    async fn pass_answer(
        &self,
        call: &Call,
        request: WireRequest,
        (mut book, mut trying): (Box<Book>, Trying),
    ) -> Result<Reply, Box<ApiError>> {
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => {
                let failed = Failed::transport(&error);
                trying.failed(self.env.monotonic(), failed.fault, None);
                book.finish(failed.error.status, Outcome::UpstreamError, Some(&failed.error));
                return Err(failed.error);
            }
        };
        let provider = Arc::clone(&trying.deployment().provider);
        let now = self.env.monotonic();
        let status = response.status;
        let mut headers = HeaderMap::new();
        copy_headers(&response.headers, &mut headers);
        // Redirects are the client's to follow.
        if status.is_success() || status.is_redirection() {
            trying.answered(now);
            book.hold(trying);
            let length = response.headers.get(CONTENT_LENGTH).cloned();
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, length);
            }
            let body = ReplyBody::Stream(Box::new(Relay::opaque(book, response.body)));
            return Ok(Reply { status, headers, body });
        }
        let fault = Fault::of_status(status.as_u16(), None);
        trying.failed(now, fault, retry_after(&response.headers, self.env.now()));
        let body = collect(response.body, ERROR_LIMIT).await.unwrap_or_default();
        let outcome =
            if fault == Fault::Client { Outcome::ClientError } else { Outcome::UpstreamError };
        let error = codec(call.endpoint.dialect()).decode_error(status.as_u16(), &body);
        let raw = Raw { status, headers, body };
        let mut failed = Failed { raw: Some(Box::new(raw)), ..Failed::new(fault, error) };
        failed.hide(&provider.auth);
        let error = refuse::upstream(&failed);
        book.finish(error.status, outcome, Some(&error));
        // What is no JSON (a proxy's page) is told in the caller's shape.
        match failed.raw {
            Some(raw) if fault != Fault::Credential && raw.body.trim_ascii().starts_with(b"{") => {
                let Raw { status, headers, body } = *raw;
                Ok(Reply { status, headers, body: ReplyBody::Full(body) })
            }
            _ => Err(Box::new(error)),
        }
    }

    /// An endpoint of a provider's own, under the same keys and limits. The
    /// provider is named by the header `x-freehold-provider`, or is the only
    /// one that offers the endpoint.
    pub(crate) async fn other(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let Endpoint::Other { method, path } = &call.endpoint else {
            return Err(invalid(Code::NotAnEndpoint, "this is no endpoint to pass through"));
        };
        let plan = self.plan();
        let provider = self.provider_for(call, path)?;
        reaches_objects(call.principal.tenant(), &provider, path)?;
        let route_name = format!("{}/*", provider.name);
        let probe = format!("{}/-", provider.name);
        let (route, _) = plan.route(&probe).ok_or_else(|| {
            Box::new(ApiError::new(
                Code::RouteForbidden,
                format!("there is no route {route_name}, which passing through needs"),
            ))
        })?;
        let deployment = route
            .deployments
            .iter()
            .find(|d| d.provider.name == provider.name)
            .or(route.deployments.first())
            .cloned()
            .ok_or_else(|| invalid(Code::NotAnEndpoint, "the route leads nowhere"))?;
        let ask = Ask {
            route: &route.name,
            dialect: call.endpoint.word(),
            stream: false,
            input_tokens_upper: 0,
            output_tokens_upper: 0,
            reserve: None,
        };
        let opening = Opening {
            gateway: self.shared()?,
            route: Arc::clone(route),
            request_id: Arc::clone(&call.request_id),
            principal: Arc::clone(&call.principal),
            endpoint: call.endpoint.word(),
            model: "".into(),
            tier: None,
            stream: false,
            input_estimate: 0,
            trace: call.trace.clone(),
        };
        let mut book = self.open(&call.principal, &ask, opening)?;
        let mut headers = wire::headers(&provider, call, false);
        headers.remove(CONTENT_TYPE);
        for name in [CONTENT_TYPE, ACCEPT, RANGE] {
            if let Some(value) = call.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let uri = match wire::uri(&provider, Some(path), "") {
            Ok(uri) => uri,
            Err(error) => return Err(book.refuse(error)),
        };
        let request = WireRequest {
            method: method.clone(),
            uri,
            headers,
            body: call.body.clone().into(),
            timeouts: provider.timeouts,
            target: Target::Configured,
            pool: Some(Arc::clone(&provider.name)),
        };
        book.begin().await?;
        let trying = match book.attempt(&deployment, "") {
            Ok(trying) => trying,
            Err(failed) => return Err(book.shed(failed)),
        };
        self.pass_answer(call, request, (book, trying)).await
    }

    fn provider_for(&self, call: &Call, path: &str) -> Result<Arc<Provider>, Box<ApiError>> {
        let plan = self.plan();
        let offers = |p: &&Arc<Provider>| p.other.iter().any(|o| is_below(path, o));
        if let Some(named) = call.headers.get("x-freehold-provider") {
            let named = named.to_str().unwrap_or_default();
            let provider = plan.providers.get(named).ok_or_else(|| {
                invalid(Code::ProviderUnknown, "x-freehold-provider names no provider here")
            })?;
            if !offers(&provider) {
                return Err(Box::new(ApiError::new(
                    Code::EndpointNotOffered,
                    format!("the provider {named} does not offer this endpoint"),
                )));
            }
            return Ok(Arc::clone(provider));
        }
        let able: Vec<_> = plan.providers.values().filter(offers).collect();
        match able.as_slice() {
            [only] => Ok(Arc::clone(only)),
            [] => Err(Box::new(ApiError::new(
                Code::EndpointNotOffered,
                "no configured provider offers this endpoint",
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(|p| &*p.name).collect();
                Err(invalid(
                    Code::ProviderAmbiguous,
                    format!(
                        "several providers offer this endpoint: name one of {} in the header \
                         x-freehold-provider",
                        names.join(", ")
                    ),
                ))
            }
        }
    }
}

/// Endpoints that leave nothing at the provider.
const KEEPS_NOTHING: [&str; 3] = ["/audio", "/images", "/moderations"];

/// What a provider keeps belongs to its account, in which it knows no tenants:
/// with the same key, one tenant would list and delete another's files.
fn reaches_objects(
    tenant: &TenantId,
    provider: &Provider,
    path: &str,
) -> Result<(), Box<ApiError>> {
    let kept = !KEEPS_NOTHING.iter().any(|prefix| is_below(path, prefix));
    if kept && !provider.objects_for.contains(tenant) {
        return Err(invalid(
            Code::RouteForbidden,
            format!(
                "what the provider {} keeps is shared by all who reach it: an operator gives the \
                 tenant {tenant} a provider of its own, or names it in objects_for",
                provider.name
            ),
        ));
    }
    Ok(())
}

/// Whether a path is a prefix or below it. A path with `..` in it, encoded or
/// not, is none.
fn is_below(path: &str, prefix: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    // As a server may read it that decodes before it splits, or twice.
    let mut read = path.to_ascii_lowercase();
    for _ in 0..3 {
        read = read.replace("%25", "%").replace("%2e", ".").replace("%2f", "/");
        read = read.replace("%5c", "/").replace('\\', "/");
    }
    if read.split('/').any(|s| matches!(s, "." | "..")) {
        return false;
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_below_a_prefix_pass() {
        assert!(is_below("/files", "/files"));
        assert!(is_below("/files/file-1/content?x=1", "/files"));
        for path in [
            "/filesystem",
            "/files/../admin",
            "/files/%2e%2E/admin",
            "/files/..%2fadmin",
            "/files/x%2F..%2f..%2Fadmin",
            "/files/..%5cadmin",
            "/files/..\\admin",
            "/files/%252e%252e/admin",
            "/files/%25252e%25252e/admin",
            "/x/files",
        ] {
            assert!(!is_below(path, "/files"), "{path}");
        }
    }
}
