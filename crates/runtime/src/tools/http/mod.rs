//! Tools that are operations of an API, imported from its OpenAPI description.

mod answer;
mod document;
mod operation;
mod request;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use freehold_gateway::options::{At, Secrets, nearest};
use freehold_types::{Target, Timeouts, Transport, WireBody, WireRequest};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use self::answer::Answer;
use self::document::Document;
use self::operation::Operation;
use super::options::{RuleOptions, ToolOptions};
use super::{Performing, name, offer, rules};
use crate::decide::{Ended, Found};
use crate::event::Content;

pub(super) use self::request::form;

/// The header for idempotency keys, where nothing else is said.
const KEY_HEADER: &str = "idempotency-key";

/// The selected operations of an API, and how it is reached.
#[derive(Debug)]
pub(super) struct Api {
    name: String,
    base: String,
    headers: HeaderMap,
    /// A credential that goes into the query.
    query: Option<(String, String)>,
    key_header: Option<HeaderName>,
    response_bytes_max: usize,
    operations: Vec<(Operation, RuleOptions)>,
}

impl Api {
    /// Reads a configured API; what is wrong with it is added to `at`.
    pub(super) fn new(
        api: &str,
        options: &ToolOptions,
        secrets: &Secrets,
        at: &mut At<'_>,
    ) -> Option<Self> {
        let document = match Document::parse(options.document.as_deref()?) {
            Ok(document) => document,
            Err(message) => {
                at.add("openapi", message);
                return None;
            }
        };
        let base = options.url.as_deref().or_else(|| document.server());
        let base = base.filter(|base| base.starts_with("http://") || base.starts_with("https://"));
        let Some(base) = base else {
            at.add("url", "the description names no server with a whole address: write `url`");
            return None;
        };
        let key_header = match options.key_header.as_deref() {
            Some("") => None,
            Some(header) => HeaderName::try_from(header).ok(),
            None => Some(HeaderName::from_static(KEY_HEADER)),
        };
        let operations = select(&document, options, key_header.as_ref(), at);
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            // Both were checked.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                headers.insert(name, value);
            }
        }
        let query = options.auth.as_ref().and_then(|auth| auth.apply(secrets, &mut headers));
        Some(Self {
            name: api.to_owned(),
            base: base.trim_end_matches('/').to_owned(),
            headers,
            query,
            key_header,
            response_bytes_max: options.response_bytes_max(),
            operations,
        })
    }

    /// Adds its tools to what is on offer.
    pub(super) fn offer(self: &Arc<Self>, offers: &mut offer::Offers) {
        for (index, (operation, options)) in self.operations.iter().enumerate() {
            let called = name::of_operation(&self.name, &operation.id);
            let description = Some(operation.description.as_str()).filter(|text| !text.is_empty());
            let body = offer::function(called.as_str(), description, operation.schema.clone());
            let about = json!({
                "base": self.base, "method": operation.method.as_str(), "path": operation.path,
                "key_header": self.key_header.as_ref().map(HeaderName::as_str),
            });
            let version = rules::version(&json!({ "tool": body, "about": about }));
            let rules = rules::of_worker(version, operation.hints, options, &about);
            let target = offer::Target::Http(Arc::clone(self), index);
            offers.add(called, offer::Offer::new(body, rules, target, options));
        }
    }

    /// Calls an operation.
    pub(super) async fn call(
        &self,
        transport: &dyn Transport,
        index: usize,
        call: &Performing,
    ) -> Ended {
        let Some((operation, options)) = self.operations.get(index) else {
            return Ended::Failed(Content::text("there is no such operation any more"));
        };
        let mut arguments = super::builtin::fields(&call.arguments);
        let key = call.call.to_string();
        if let Some(field) = &options.key_argument {
            arguments.insert(field.clone(), Value::from(key.as_str()));
        }
        let request = match self.request(operation, &arguments, call.timeout_ms) {
            Ok(request) => request,
            Err(message) => return Ended::Failed(Content::text(message)),
        };
        let request = keyed(request, self.key_header.as_ref(), &key);
        let read_only = operation.hints.read_only;
        match self.exchange(transport, request).await {
            Exchanged::Answered(answer) => answer::ended(&answer),
            Exchanged::Unsent(error) => answer::unsent(&error),
            // Reading changes nothing, so that it is known that nothing did.
            Exchanged::Broken(message) if read_only => {
                Ended::Failed(Content::text(format!("the answer broke off: {message}")))
            }
            Exchanged::Broken(_) => Ended::Lost,
        }
    }

    /// Asks what became of a call.
    pub(super) async fn query(
        &self,
        transport: &dyn Transport,
        index: usize,
        call: &Performing,
    ) -> Found {
        let Some((operation, options)) = self.operations.get(index) else { return Found::Unclear };
        let Some(query) = &options.query else { return Found::Unclear };
        let key = call.call.to_string();
        let request = match (&query.tool, &query.argument, &query.header) {
            (Some(tool), Some(argument), _) => {
                let asked = self.operations.iter().find(|(operation, _)| operation.id == *tool);
                let Some((operation, _)) = asked else { return Found::Unclear };
                let arguments = Map::from_iter([(argument.clone(), Value::from(key))]);
                self.request(operation, &arguments, call.timeout_ms)
            }
            (_, _, Some(header)) => {
                let arguments = super::builtin::fields(&call.arguments);
                let header = HeaderName::try_from(header.as_str()).ok();
                self.request(operation, &arguments, call.timeout_ms).map(|mut request| {
                    request.method = Method::GET;
                    request.body = WireBody::default();
                    request.headers.remove(CONTENT_TYPE);
                    keyed(request, header.as_ref(), &key)
                })
            }
            _ => return Found::Unclear,
        };
        let Ok(request) = request else { return Found::Unclear };
        match self.exchange(transport, request).await {
            Exchanged::Answered(answer) => answer::found(&answer),
            Exchanged::Unsent(_) | Exchanged::Broken(_) => Found::Unclear,
        }
    }

    fn request(
        &self,
        operation: &Operation,
        arguments: &Map<String, Value>,
        timeout_ms: u64,
    ) -> Result<WireRequest, String> {
        let prepared = request::prepare(operation, &self.base, arguments, self.query.as_ref())?;
        let mut headers = prepared.headers;
        // The owner's headers stand over what arguments say.
        headers.extend(self.headers.clone());
        headers
            .insert(ACCEPT, HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.5"));
        let body = prepared.body.map(|(kind, bytes)| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            WireBody::from(bytes)
        });
        let phase = Duration::from_millis(timeout_ms.max(1));
        Ok(WireRequest {
            method: operation.method.clone(),
            uri: prepared.uri,
            headers,
            body: body.unwrap_or_default(),
            timeouts: Timeouts { connect: phase, headers: phase, first_byte: phase, idle: phase },
            target: Target::Configured,
            pool: None,
        })
    }

    async fn exchange(&self, transport: &dyn Transport, request: WireRequest) -> Exchanged {
        let response = match transport.send(request).await {
            Ok(response) => response,
            Err(error) => return Exchanged::Unsent(error),
        };
        let media_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or("").trim();
        let mut answer = Answer {
            status: response.status,
            media_type: media_type.to_ascii_lowercase(),
            bytes: Vec::new(),
            cut: false,
        };
        let mut body = response.body;
        while let Some(frame) = body.frame().await {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => return Exchanged::Broken(error.to_string()),
            };
            let room = self.response_bytes_max.saturating_sub(answer.bytes.len());
            answer.bytes.extend(data.iter().take(room));
            if data.len() > room {
                answer.cut = true;
                break;
            }
        }
        Exchanged::Answered(answer)
    }
}

/// The request with an idempotency key, where the API takes one.
fn keyed(mut request: WireRequest, header: Option<&HeaderName>, key: &str) -> WireRequest {
    if let (Some(header), Ok(value)) = (header, HeaderValue::try_from(key)) {
        request.headers.insert(header, value);
    }
    request
}

/// What came of an exchange.
enum Exchanged {
    Answered(Answer),
    Unsent(freehold_types::TransportError),
    Broken(String),
}

/// The operations that the configuration names.
fn select(
    document: &Document,
    options: &ToolOptions,
    key_header: Option<&HeaderName>,
    at: &mut At<'_>,
) -> Vec<(Operation, RuleOptions)> {
    let all = document.operations();
    let only = options.only.as_deref().unwrap_or_default();
    let mut selected: Vec<(Operation, RuleOptions)> = Vec::new();
    for id in only {
        let Some(found) = all.get(id) else {
            let near = nearest(id, all.keys().map(String::as_str));
            let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            at.add("only", format!("the description has no operation `{id}`{hint}"));
            continue;
        };
        let header = key_header.map(HeaderName::as_str);
        match Operation::read(document, id, found, header) {
            Ok(operation) => selected.push((operation, options.rules_of(id))),
            Err(message) => at.add("only", format!("`{id}` cannot be offered: {message}")),
        }
    }
    for tool in options.tools.keys().filter(|tool| !only.contains(tool)) {
        at.add("tools", format!("`{tool}` is not among the operations of `only`"));
    }
    let asked = selected.iter().filter_map(|(_, rules)| rules.query.as_ref()?.tool.as_ref());
    for tool in asked.filter(|tool| !only.contains(tool)) {
        at.add("rules.query.tool", format!("`{tool}` is not among the operations of `only`"));
    }
    selected
}
