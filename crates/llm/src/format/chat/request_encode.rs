//! The hub into a request to a provider that speaks Chat.

use serde_json::{Map, Number, Value, json};

use super::part::Scope;
use super::{ME, message_encode, thinking, tool};
use crate::codec::{EncodeError, Quirk, RequestTarget};
use crate::format::json::to_vec;
use crate::model::{OutputFormat, Request};
use crate::{Dialect, Losses};

/// The whole body.
pub(super) fn encode(
    request: &Request,
    target: &RequestTarget<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, EncodeError> {
    let mut scope = Scope { target: Some(target), is_ours: request.origin == ME, losses };
    let mut body = Map::new();
    body.insert("model".into(), target.model.into());
    let messages = message_encode::encode_all(&request.instructions, &request.items, &mut scope);
    if messages.is_empty() && request.origin != ME {
        return Err(EncodeError {
            field: "items".into(),
            message: "nothing of the conversation can be said in Chat".into(),
        });
    }
    body.insert("messages".into(), messages.into());
    write_tools(request, &mut body, &mut scope);
    write_limits(request, &mut body, &mut scope);
    write_sampling(request, &mut body, &mut scope);
    write_format(request, &mut body, &mut scope);
    if let Some(reasoning) = &request.reasoning {
        thinking::write(reasoning, &mut body, &mut scope);
    }
    write_stream(request, &mut body, &scope);
    write_account(request, &mut body, &mut scope);
    request.extra.write(ME, &mut body, "", scope.losses);
    Ok(to_vec(&Value::Object(body)))
}

fn spelt(request: &Request, name: &str) -> bool {
    request.extra.spelt(ME, name).is_some()
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

fn write_tools(request: &Request, body: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    if spelt(request, "functions") {
        body.insert("functions".into(), tool::encode_functions(request).into());
    } else {
        let tools = tool::encode_all(request, scope);
        // A choice among no tools is refused by every server.
        if tools.is_empty() && request.origin != ME {
            return;
        }
        if !tools.is_empty() {
            body.insert("tools".into(), tools.into());
        }
    }
    if let Some(choice) = &request.tool_choice {
        if spelt(request, "function_call") {
            put(body, "function_call", tool::encode_function_call(choice));
        } else {
            put(body, "tool_choice", tool::encode_choice(choice, request, scope));
        }
    }
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn write_limits(request: &Request, body: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    let is_old = scope.has(Quirk::MaxTokensKey) || spelt(request, "max_tokens");
    let key = if is_old { "max_tokens" } else { "max_completion_tokens" };
    put(body, key, request.max_tokens);
    put(body, "n", request.n);
}

fn write_sampling(request: &Request, body: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    let number = |n: &Option<Number>| n.clone().map(Value::Number);
    // A client of Chat that says it to such a model hears its refusal.
    let is_refused = scope.has(Quirk::NoSampling) && !scope.is_ours;
    for (field, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        if is_refused && value.is_some() {
            scope.losses.add(field);
        } else {
            put(body, field, number(value));
        }
    }
    put(body, "frequency_penalty", number(&request.frequency_penalty));
    put(body, "presence_penalty", number(&request.presence_penalty));
    if request.origin == ME || scope.has(Quirk::TopK) {
        put(body, "top_k", request.top_k);
    } else if request.top_k.is_some() {
        scope.losses.add("top_k");
    }
    let seed = if scope.has(Quirk::RandomSeed) || spelt(request, "random_seed") {
        "random_seed"
    } else {
        "seed"
    };
    put(body, seed, request.seed);
    match request.stop.as_slice() {
        [] => {}
        [one] if spelt(request, "stop") => put(body, "stop", Some(one.as_str())),
        list => put(body, "stop", Some(list.to_vec())),
    }
    match request.logprobs {
        Some(wanted) => {
            body.insert("logprobs".into(), true.into());
            put(body, "top_logprobs", wanted.top);
        }
        None if spelt(request, "logprobs") => put(body, "logprobs", Some(false)),
        None => {}
    }
}

fn write_format(request: &Request, body: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    let format = match &request.format {
        None => return,
        Some(OutputFormat::Text) if request.origin != ME => return,
        Some(OutputFormat::Text) => json!({"type": "text"}),
        Some(OutputFormat::JsonObject) => json!({"type": "json_object"}),
        Some(OutputFormat::JsonSchema { .. }) if scope.has(Quirk::NoJsonSchema) => {
            scope.losses.add("format.json_schema");
            json!({"type": "json_object"})
        }
        Some(OutputFormat::JsonSchema { name, description, schema, strict }) => {
            let mut inner = Map::new();
            inner.insert("name".into(), name.as_deref().unwrap_or("output").into());
            put(&mut inner, "description", description.as_deref());
            inner.insert("schema".into(), schema.clone());
            put(&mut inner, "strict", *strict);
            json!({"type": "json_schema", "json_schema": inner})
        }
    };
    body.insert("response_format".into(), format);
}

/// A client of another dialect hears the usage without asking, so it is asked
/// for here.
fn write_stream(request: &Request, body: &mut Map<String, Value>, scope: &Scope<'_>) {
    if request.stream {
        body.insert("stream".into(), true.into());
    } else {
        put(body, "stream", request.extra.spelt(ME, "stream").cloned());
    }
    if scope.has(Quirk::NoStreamOptions) {
        return;
    }
    let mut options = Map::new();
    let wants_usage = request.stream_usage || request.origin != Dialect::Chat;
    if request.stream && wants_usage || request.stream_usage {
        options.insert("include_usage".into(), true.into());
    } else if spelt(request, "include_usage") {
        options.insert("include_usage".into(), false.into());
    }
    if let Some(Value::Object(rest)) = request.extra.spelt(ME, "stream_options") {
        options.extend(rest.clone());
    }
    if !options.is_empty() {
        body.insert("stream_options".into(), options.into());
    }
}

/// The lane in OpenAI's words.
fn service_tier<'a>(request: &'a Request, scope: &mut Scope<'_>) -> Option<&'a str> {
    let word = request.service_tier.as_deref()?;
    match word {
        _ if request.origin == ME => Some(word),
        "standard_only" => Some("default"),
        "auto" | "default" | "flex" | "scale" | "priority" | "fast" => Some(word),
        _ => {
            scope.losses.add("service_tier");
            None
        }
    }
}

/// What a server does beside answering. Servers that refuse fields they do
/// not know get none of it.
fn write_account(request: &Request, body: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    let user = if spelt(request, "safety_identifier") { "safety_identifier" } else { "user" };
    let fields: [(&'static str, &str, Option<Value>); 6] = [
        ("user", user, request.user.as_deref().map(Value::from)),
        ("metadata", "metadata", request.metadata.clone().map(Value::Object)),
        ("service_tier", "service_tier", service_tier(request, scope).map(Value::from)),
        ("store", "store", request.store.map(Value::from)),
        ("verbosity", "verbosity", request.verbosity.as_deref().map(Value::from)),
        (
            "prompt_cache_key",
            "prompt_cache_key",
            request.prompt_cache_key.as_deref().map(Value::from),
        ),
    ];
    let is_strict = scope.has(Quirk::KnownFieldsOnly);
    for (field, key, value) in fields {
        let Some(value) = value else { continue };
        if is_strict && request.origin != ME {
            scope.losses.add(field);
        } else {
            body.insert(key.to_owned(), value);
        }
    }
}
