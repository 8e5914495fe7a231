//! A request as it goes to one deployment.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use freehold_llm::catalogue::Capability;
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Request};
use freehold_llm::scan::{Edit, Piece, Scan, pieces, splice};
use freehold_llm::{Dialect, Losses, Quirk, RequestTarget};
use freehold_types::{Code, Target, WireBody, WireRequest};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::memmem;

use crate::call::Call;
use crate::paper::Paper;
use crate::plan::{Auth, Deployment, Paths, Provider, Route};

/// A model call as it was asked, with what one scan found in it.
pub(crate) struct Asked<'a> {
    /// Without its body, which is the paper's.
    pub(crate) call: &'a Call,
    pub(crate) paper: Paper,
    pub(crate) dialect: Dialect,
    pub(crate) scan: Scan<'static>,
    pub(crate) route: Arc<Route>,
    /// What the route's star stands for.
    pub(crate) star: &'a str,
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
    /// An output limit to send where the client set none.
    pub(crate) add_limit: Option<u64>,
    /// Refuse what would lose something.
    pub(crate) strict: bool,
    /// It came as a value of the hub's, and there are no bytes of it.
    pub(crate) in_process: bool,
    /// Only one deployment can be asked.
    pub(crate) sole: bool,
}

/// How a request went out, and so how its answer comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Same dialect: bytes. `cut_usage` if we asked for a usage chunk that the
    /// client did not.
    Bytes { cut_usage: bool },
    /// Another dialect.
    Cross(Dialect),
}

/// A request ready to be sent.
pub(crate) struct Outgoing {
    pub(crate) wire: WireRequest,
    pub(crate) lane: Lane,
    pub(crate) losses: Losses,
}

/// The output limit that Messages demands where neither client, route nor
/// catalogue has one.
pub(crate) const OUTPUT_LIMIT_UNSET: u64 = 4096;

impl<'a> Asked<'a> {
    pub(crate) fn new(
        call: &'a Call,
        paper: Paper,
        scan: Scan<'static>,
        model: &'a str,
        (route, star): (Arc<Route>, &'a str),
    ) -> Self {
        let stream = scan.stream.as_ref().and_then(|f| f.value).unwrap_or(false);
        let strict = call.strict || route.strict;
        Self {
            call,
            dialect: call.endpoint.dialect(),
            paper,
            scan,
            route,
            star,
            model,
            stream,
            add_limit: None,
            strict,
            in_process: false,
            sole: false,
        }
    }

    /// One that came as a value of the hub's.
    pub(crate) fn in_process(
        call: &'a Call,
        request: &'a Arc<Request>,
        (route, star): (Arc<Route>, &'a str),
    ) -> Self {
        let (paper, scan) = (Paper::in_process(request), Scan::of(request).into_owned());
        let asked = Self::new(call, paper, scan, &request.model, (route, star));
        Self { stream: true, in_process: true, ..asked }
    }

    /// What was asked for, in a word for logs and the books.
    pub(crate) fn word(&self) -> &'static Arc<str> {
        static SESSION: LazyLock<Arc<str>> = LazyLock::new(|| "session".into());
        if self.in_process { &SESSION } else { self.call.endpoint.word() }
    }

    /// Whether it must not be sent with these losses. What a session adds by
    /// itself is not missed.
    fn minds(&self, losses: &Losses) -> bool {
        const OURS: [&str; 3] = ["cache_mark", "item.id", "tool_result.is_error"];
        let missed = |field: &str| !self.in_process || !OURS.contains(&field);
        self.strict && losses.iter().any(|loss| missed(&loss.field))
    }

    /// The model's name at a deployment.
    pub(crate) fn model_at(&self, deployment: &'a Deployment) -> Cow<'a, str> {
        if deployment.model.contains('*') {
            crate::options::Pattern::fill(&deployment.model, self.star).into()
        } else {
            Cow::Borrowed(&*deployment.model)
        }
    }

    /// The most output that the client allows, by the fields that its dialect
    /// knows: a limit that the provider will not heed is none.
    pub(crate) fn output_limit(&self) -> Option<u64> {
        let scan = &self.scan;
        let fields = match self.dialect {
            // Servers differ in which of the two counts.
            Dialect::Chat => [&scan.max_completion_tokens, &scan.max_tokens],
            Dialect::Responses => [&scan.max_output_tokens, &None],
            Dialect::Messages => [&scan.max_tokens, &None],
        };
        fields.into_iter().filter_map(|f| f.as_ref().and_then(|f| f.value)).max()
    }

    fn limit(&self, deployment: &Deployment) -> u64 {
        self.add_limit
            .or(self.route.default_max_tokens)
            .or(deployment.max_output)
            .unwrap_or(OUTPUT_LIMIT_UNSET)
    }

    /// The body for a deployment of the caller's own dialect: the caller's
    /// bytes, with the model's name and what policy needs spliced in.
    fn bytes(&self, deployment: &'a Deployment, model: &str) -> (WireBody, bool) {
        let scan = &self.scan;
        let body = &self.paper.bytes();
        let mut edits: Vec<Edit<'_>> = Vec::new();
        if model != self.model {
            edits.push(scan.set_model(model));
        }
        let mut cut_usage = false;
        if self.dialect == Dialect::Chat
            && self.stream
            && !deployment.quirks.contains(&Quirk::NoStreamOptions)
            && let Some(edit) = scan.ask_for_usage(body)
        {
            cut_usage = true;
            edits.push(edit);
        }
        if self.dialect == Dialect::Responses
            && scan.store.as_ref().is_none_or(|store| store.value.is_none())
        {
            edits.push(scan.set("store", scan.store.as_ref(), "false"));
        }
        let limit;
        if let Some(add) = self.add_limit
            && self.output_limit().is_none()
        {
            limit = add.to_string();
            edits.push(match self.dialect {
                Dialect::Chat if deployment.quirks.contains(&Quirk::MaxTokensKey) => {
                    scan.set("max_tokens", scan.max_tokens.as_ref(), &limit)
                }
                Dialect::Chat => {
                    scan.set("max_completion_tokens", scan.max_completion_tokens.as_ref(), &limit)
                }
                Dialect::Responses => {
                    scan.set("max_output_tokens", scan.max_output_tokens.as_ref(), &limit)
                }
                Dialect::Messages => scan.set("max_tokens", scan.max_tokens.as_ref(), &limit),
            });
        }
        (changed(body, &mut edits), cut_usage)
    }

    /// Whether a quirk of the deployment concerns this very request, so that
    /// the codec must rewrite it although the dialect is the caller's.
    fn needs_codec(&self, deployment: &Deployment) -> bool {
        if deployment.quirks.is_empty() {
            return false;
        }
        let body = self.paper.bytes();
        let has = |needle: &[u8]| memmem::find(&body, needle).is_some();
        deployment.quirks.iter().any(|quirk| match quirk {
            Quirk::MaxTokensKey => self.scan.max_completion_tokens.is_some(),
            Quirk::NoDeveloperRole => has(b"\"developer\""),
            Quirk::StringContent => self.dialect == Dialect::Chat && lists_content(&body),
            Quirk::NoJsonSchema => has(b"\"json_schema\""),
            Quirk::NoStreamOptions => self.scan.stream_options.is_some(),
            _ => false,
        })
    }
}

/// From which size on a changed body goes out in parts. The parts of a smaller
/// one cost more than a copy of it.
const PARTS_FROM: usize = 32 << 10;

/// The client's body with these changes, which is not copied if it is large.
pub(crate) fn changed(body: &Bytes, edits: &mut [Edit<'_>]) -> WireBody {
    if edits.is_empty() {
        return body.clone().into();
    }
    if body.len() < PARTS_FROM {
        return splice(body, edits).into();
    }
    let mut changed = WireBody::default();
    for piece in pieces(body.len(), edits) {
        changed.push(match piece {
            // `pieces` stays within the length that it is given.
            Piece::Kept(kept) => body.slice(kept),
            Piece::New(with) => Bytes::copy_from_slice(with),
        });
    }
    changed
}

/// Whether a deployment is known to think.
fn thinks(deployment: &Deployment, model: &str) -> bool {
    let of = |capabilities: &Vec<Capability>| capabilities.contains(&Capability::Reasoning);
    match &deployment.capabilities {
        Some(capabilities) => of(capabilities),
        None => freehold_llm::catalogue::model(model)
            .is_some_and(|row| row.capabilities.as_ref().is_some_and(of)),
    }
}

/// Whether a `content` in the body is a list, however it is spaced.
fn lists_content(body: &[u8]) -> bool {
    memmem::find_iter(body, b"\"content\"").any(|at| {
        let rest = body.get(at + 9..).unwrap_or_default().trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|r| r.trim_ascii_start().first() == Some(&b'['))
    })
}

/// The request for one deployment.
pub(crate) fn outgoing<'a>(
    asked: &Asked<'a>,
    deployment: &'a Deployment,
    request: Option<&Arc<Request>>,
) -> Result<Outgoing, Box<ApiError>> {
    let provider = &deployment.provider;
    let model = asked.model_at(deployment);
    let to = deployment.speaks(asked.dialect);
    let written = asked.paper.written();
    let bytes = written.is_none() && to == asked.dialect && !asked.in_process;
    let (body, lane, losses) = if bytes && !asked.needs_codec(deployment) {
        let (body, cut_usage) = asked.bytes(deployment, &model);
        (body, Lane::Bytes { cut_usage }, Losses::default())
    } else {
        let adds_usage = to == Dialect::Chat && asked.stream;
        let cut_usage = adds_usage && !asked.paper.terms()?.stream_usage;
        let (body, losses) = match written {
            Some(written) => written,
            None => encoded(asked, deployment, (to, cut_usage), request)?,
        };
        let lane = if to == asked.dialect { Lane::Bytes { cut_usage } } else { Lane::Cross(to) };
        (body, lane, losses)
    };
    let uri = || uri(provider, provider.paths.dialects.get(&to).map(String::as_str), &model);
    let fixed = !deployment.model.contains('*');
    let uri = if fixed { deployment.uris.get(to, uri) } else { uri() }?;
    let mut headers = headers(provider, asked.call, to == Dialect::Messages);
    if asked.stream {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    }
    let wire = WireRequest {
        method: Method::POST,
        uri,
        headers,
        body,
        timeouts: provider.timeouts,
        target: Target::Configured,
        pool: Some(Arc::clone(&provider.name)),
    };
    Ok(Outgoing { wire, lane, losses })
}

/// The request in a deployment's own dialect, from the hub's form of it.
fn encoded<'a>(
    asked: &Asked<'a>,
    deployment: &'a Deployment,
    (to, asks_for_usage): (Dialect, bool),
    fetched: Option<&Arc<Request>>,
) -> Result<(WireBody, Losses), Box<ApiError>> {
    let model = asked.model_at(deployment);
    let mut request = fetched.map_or_else(|| asked.paper.lend(), |request| Ok(request.clone()))?;
    let theirs = (request.max_tokens, request.stream_usage, request.store);
    let store = if to == Dialect::Responses { Some(false) } else { theirs.2 };
    let ours = (theirs.0.or(asked.add_limit), theirs.1 || asks_for_usage, store);
    // It is a copy only where somebody else has it too.
    let set = |request: &mut Arc<Request>, (max_tokens, stream_usage, store)| {
        let request = Arc::make_mut(request);
        (request.max_tokens, request.stream_usage, request.store) =
            (max_tokens, stream_usage, store);
    };
    if ours != theirs {
        set(&mut request, ours);
    }
    // What a session's model thought is shown to it again, if it gives that away
    // sealed. A model that does not think refuses the wish.
    let seals = asked.in_process && to == Dialect::Responses && thinks(deployment, &model);
    let reasoning = seals.then(|| request.reasoning.clone());
    if seals {
        Arc::make_mut(&mut request).reasoning.get_or_insert_default().want_seal = true;
    }
    let mut quirks = Cow::Borrowed(deployment.quirks.as_slice());
    if deployment.model.contains('*')
        && let Some(profile) = freehold_llm::catalogue::model(&model)
    {
        quirks.to_mut().extend(&profile.quirks);
    }
    let target = RequestTarget {
        model: &model,
        quirks: &quirks,
        default_max_tokens: asked.limit(deployment),
    };
    let mut losses = Losses::default();
    let body = codec(to)
        .encode_request(&request, &target, &mut losses)
        .map_err(|e| crate::refuse::cannot_encode(&e))?;
    if asked.minds(&losses) {
        return Err(crate::refuse::strict(&losses, asked.dialect, to));
    }
    let body = WireBody::from(body);
    if ours != theirs {
        set(&mut request, theirs);
    }
    if let Some(reasoning) = reasoning {
        Arc::make_mut(&mut request).reasoning = reasoning;
    }
    asked.paper.goes_out(request, (&body, &losses), asked.sole);
    Ok((body, losses))
}

/// The address of an endpoint of a provider.
pub(crate) fn uri(
    provider: &Provider,
    path: Option<&str>,
    model: &str,
) -> Result<Uri, Box<ApiError>> {
    let Some(path) = path else {
        return Err(Box::new(ApiError::new(
            Code::EndpointNotOffered,
            format!("the provider {} has no such endpoint", provider.name),
        )));
    };
    let mut text = String::with_capacity(provider.base.len() + path.len() + 48);
    text.push_str(&provider.base);
    match path.split_once("{model}") {
        Some((before, after)) => {
            text.push_str(before);
            percent_encode(model, &mut text);
            text.push_str(after);
        }
        None => text.push_str(path),
    }
    let mut separator = if path.contains('?') { '&' } else { '?' };
    let Paths { query, .. } = &provider.paths;
    if let Some(part) = query {
        text.push(separator);
        text.push_str(part);
        separator = '&';
    }
    if let Auth::Query(name, value) = &provider.auth {
        text.push(separator);
        text.push_str(name);
        text.push('=');
        text.push_str(value.reveal());
    }
    text.parse().map_err(|_| {
        Box::new(ApiError::new(
            Code::BadUpstreamUrl,
            format!(
                "the address of the provider {} is not valid: check its base_url",
                provider.name
            ),
        ))
    })
}

/// Percent-encodes a path segment (RFC 3986, unreserved characters stay).
pub(crate) fn percent_encode(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
}

/// Headers of the client's that mean something to the provider.
const FORWARDED: [HeaderName; 2] =
    [HeaderName::from_static("openai-beta"), HeaderName::from_static("idempotency-key")];

/// Those that mean something in Anthropic's dialect only.
const FORWARDED_MESSAGES: [HeaderName; 2] =
    [HeaderName::from_static("anthropic-beta"), HeaderName::from_static("anthropic-version")];

/// The headers of a request to a provider: its own, its credential, and the
/// client's that cross, its trace among them. The client's credential never
/// does.
pub(crate) fn headers(provider: &Provider, call: &Call, messages: bool) -> HeaderMap {
    let mut headers = provider.headers.clone();
    let beyond: &[HeaderName] = if messages { &FORWARDED_MESSAGES } else { &[] };
    for name in FORWARDED.iter().chain(beyond) {
        let mut values = call.headers.get_all(name).iter();
        if let Some(first) = values.next() {
            headers.insert(name, first.clone());
            for more in values {
                headers.append(name, more.clone());
            }
        }
    }
    if let Some(trace) = &call.trace {
        trace.write(&mut headers);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_is_one_path_segment() {
        let mut out = String::new();
        percent_encode("a/b:c d\u{e4}", &mut out);
        assert_eq!(out, "a%2Fb%3Ac%20d%C3%A4");
    }

    #[test]
    fn a_large_body_with_changes_is_not_copied() {
        let body = Bytes::from(vec![b'x'; PARTS_FROM]);
        let edit = |at: usize| Edit { span: at..at + 1, with: b"new".as_slice().into() };
        let mut large = changed(&body, &mut [edit(9), edit(4)]);
        assert_eq!(large.len(), PARTS_FROM + 4);
        assert_eq!(large.to_bytes(), splice(&body, &mut [edit(9), edit(4)]));
        let (first, _, second) = (large.pop().unwrap(), large.pop(), large.pop().unwrap());
        assert_eq!((first.as_ptr(), first.len()), (body.as_ptr(), 4));
        assert_eq!((second.as_ptr(), second.len()), (body[5..].as_ptr(), 4));
        let small = changed(&body.slice(..99), &mut [edit(4)]);
        assert_eq!(small.len(), 101);
        assert_eq!(changed(&body, &mut []).to_bytes().as_ptr(), body.as_ptr());
    }
}
