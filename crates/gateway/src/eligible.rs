//! Whether a request can be served at all, and by which of a route's
//! deployments. Pure.

use std::sync::Arc;

use freehold_control::Principal;
use freehold_llm::model::ApiError;
use freehold_llm::{estimate, scan};
use freehold_types::Code;

use crate::options::{Affinity, Capability};
use crate::plan::{Deployment, Plan};
use crate::wire::Asked;

/// What shares a prompt prefix: the client's own key for it, else its user,
/// else the body's beginning, where instructions and first messages stand.
pub(crate) fn affinity(asked: &Asked<'_>) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    if asked.route.affinity == Affinity::Off {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    asked.call.principal.tenant().as_str().hash(&mut hasher);
    let named = [&asked.scan.prompt_cache_key, &asked.scan.user]
        .into_iter()
        .find_map(|f| f.as_ref().and_then(|f| f.value.as_deref()));
    match named {
        Some(name) => name.hash(&mut hasher),
        None => {
            let body = asked.paper.bytes();
            body.get(..body.len().min(1024)).unwrap_or_default().hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}

/// The deployments of a route that can serve a request at all.
pub(crate) fn eligible(asked: &Asked<'_>) -> Result<Vec<Arc<Deployment>>, Box<ApiError>> {
    let scan = &asked.scan;
    let text = (scan.body_bytes - scan.media_bytes) as u64;
    let likely = estimate::estimate_tokens_of_len(text);
    let able: Vec<_> = asked
        .route
        .deployments
        .iter()
        .filter(|d| !scan.tools || d.can(Capability::Tools))
        .filter(|d| {
            !scan.has_media()
                || [Capability::Images, Capability::Files, Capability::Audio]
                    .into_iter()
                    .any(|c| d.can(c))
        })
        .cloned()
        .collect();
    if able.is_empty() {
        let wants = if scan.has_media() { "images, files or audio" } else { "tools" };
        return Err(Box::new(ApiError::new(
            Code::UnsupportedFeature,
            format!("no deployment of the route {} takes {wants}", asked.route.name),
        )));
    }
    let fits = |d: &Arc<Deployment>| d.context.is_none_or(|context| likely <= context);
    if able.iter().any(fits) {
        return Ok(able.into_iter().filter(fits).collect());
    }
    let most = able.iter().filter_map(|d| d.context).max().unwrap_or_default();
    Err(Box::new(ApiError::new(
        Code::ContextLengthExceeded,
        format!(
            "the request has about {likely} tokens, and the largest context of the route {} is \
             {most}",
            asked.route.name
        ),
    )))
}

/// State is Freehold's own and comes with its sessions: until then a request
/// that asks for it is refused and not served without.
pub(crate) fn stateless(scan: &scan::Scan<'_>) -> Result<(), Box<ApiError>> {
    let asked = if scan.store.as_ref().is_some_and(|f| f.value == Some(true)) {
        "store"
    } else if scan.background.as_ref().is_some_and(|f| f.value == Some(true)) {
        "background"
    } else if scan.conversation.as_ref().is_some_and(|f| f.value.is_some()) {
        "conversation"
    } else if scan.previous_response_id.as_ref().is_some_and(|f| f.value.is_some()) {
        "previous_response_id"
    } else {
        return Ok(());
    };
    let mut refused = ApiError::new(
        Code::StateNotAvailable,
        format!(
            "{asked}: this server keeps no state of responses yet; state comes later. Send the \
             whole input and leave {asked} out"
        ),
    );
    refused.param = Some(asked.to_owned());
    Err(Box::new(refused))
}

/// With a near name, or some of those that there are; only such as the key may
/// use, for the others are not its business.
pub(crate) fn unknown_model(plan: &Plan, principal: &Principal, model: &str) -> Box<ApiError> {
    let usable = plan.routes().map(|route| &*route.name);
    let names: Vec<&str> = usable.filter(|name| principal.may_call(name).is_ok()).collect();
    let near = crate::options::nearest(model, names.iter().copied());
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let some: Vec<&str> = names.iter().take(10).copied().collect();
            format!("routes here: {}", some.join(", "))
        }
    };
    let shown: String = model.chars().take(200).collect();
    let mut error =
        ApiError::new(Code::ModelNotFound, format!("no route is named {shown}; {hint}"));
    error.param = Some("model".to_owned());
    Box::new(error)
}
