//! `POST /v1/responses`, where the answer is kept.

use axum::body::Body;
use freehold_llm::model::ApiError;
use freehold_runtime::content::{About, Input};
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Busy, Content, Hash, Limits, Name};
use freehold_runtime::sessions::{Error, Key, NewSession, Receipt};
use freehold_types::{Code, Offset, Secret, SessionId, TenantId};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::ask::{self, Asked, From};
use super::begun::Begun;
use super::ids::{ConversationId, ResponseId};
use super::reading::{Following, Reading};
use super::stream::{self, Telling, Waits};
use super::{Asking, Failure, answers, json, paused_message, refer};
use freehold_llm::format::responses::End;

/// The header that makes a request one that can be sent twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest such key.
const KEY_BYTES_MAX: usize = 255;

/// The agent of sessions that this surface makes.
const AGENT: &str = "responses";

/// A response that began, and what was told of it so far.
pub(super) struct Started {
    pub(super) following: Following,
    pub(super) told: Vec<u8>,
    pub(super) head: Offset,
    pub(super) background: bool,
}

pub(super) async fn create(asking: &Asking) -> Result<Response<Body>, Failure> {
    let asked = ask::read(&asking.body, asking.key())?;
    let stream = asked.stream;
    let started = Box::pin(start(asking, asked, &asking.body)).await?;
    if stream {
        return Ok(stream::body(telling(asking, started)));
    }
    if started.background {
        let Started { mut following, head, .. } = started;
        following.run_to(head).await?;
        return Ok(json(&following.follower.response()));
    }
    whole(asking, started).await
}

/// Begins a response: what was asked is accepted and durable when it returns.
pub(super) async fn start(asking: &Asking, asked: Asked, body: &[u8]) -> Result<Started, Failure> {
    may_call(asking, &asked.settings.request.model)?;
    let key = idempotency_key(asking, body)?;
    let background = asked.begun.background;
    let receipt = match asked.from {
        From::Nothing => begin(asking, asked, key).await?,
        From::Response(id) => follow_up(asking, id, asked, key).await?,
        From::Conversation(id) => say_in(asking, id, asked, key).await?,
    };
    let reading = asking.reading(receipt.session);
    let begin = beginning(&reading, &receipt).await?;
    let mut told = Vec::new();
    let following = reading.follow(begin, &mut told).await?;
    Ok(Started { following, told, head: receipt.head, background })
}

/// The stream of a response that just began.
pub(super) fn telling(asking: &Asking, started: Started) -> Telling {
    let Started { following, told, background, .. } = started;
    let waits = (!background).then(|| waits(asking, &following));
    Telling::new(following, &told, None, waits, asking.state.env.clone())
}

fn waits(asking: &Asking, following: &Following) -> Waits {
    Waits {
        reading: following.reading.clone(),
        by: asking.by(),
        turn: following.follower.turn(),
        drain: asking.state.drain.clone(),
    }
}

/// Waits for the end.
async fn whole(asking: &Asking, started: Started) -> Result<Response<Body>, Failure> {
    let Started { mut following, .. } = started;
    let mut waits = waits(asking, &following);
    let mut told = Vec::new();
    while !following.follower.is_over() {
        if following.follower.is_paused() {
            waits.over();
            let message = paused_message(&following.follower);
            let mut error = ApiError::new(Code::BudgetExhausted, message);
            error.status = StatusCode::TOO_MANY_REQUESTS.as_u16();
            return Err(Failure::Api(Box::new(error)));
        }
        if let Err(error) = following.step(&mut told).await {
            waits.over();
            return Err(error.into());
        }
        told.clear();
        waits.turn = waits.turn.or(following.follower.turn());
    }
    waits.over();
    let response = following.follower.response();
    if let Some(End::Failed(message)) = following.follower.ended() {
        return Ok(failed(message, &response));
    }
    Ok(json(&response))
}

/// A failure is an error to whoever waits for an answer. Sending the request
/// again would begin another turn, which official clients are told not to do by
/// themselves.
fn failed(message: &str, response: &Value) -> Response<Body> {
    let id = response.get("id").and_then(Value::as_str).unwrap_or_default();
    let error = ApiError::new(Code::AnswerFailed, format!("{message} (kept as {id})"));
    let reply = freehold_gateway::refuse::reply(freehold_llm::Dialect::Responses, &error, "");
    let body = match reply.body {
        freehold_gateway::call::ReplyBody::Full(bytes) => Body::from(bytes),
        freehold_gateway::call::ReplyBody::Stream(_) => Body::empty(),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = reply.status;
    *answer.headers_mut() = reply.headers;
    answer.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    answer
}

/// Whether the key may use the model, and there is one: told now, where it is
/// still an error of the request.
pub(super) fn may_call(asking: &Asking, model: &str) -> Result<(), Failure> {
    let plan = asking.state.gateway.plan();
    let Some((route, _)) = plan.route(model) else {
        let shown: String = model.chars().take(200).collect();
        let message = format!("no model is named {shown}");
        return Err(Failure::of_field(Code::ModelNotFound, "model", message));
    };
    asking
        .principal
        .may_call(&route.name)
        .map_err(|refusal| freehold_gateway::refuse::refusal(&refusal).into())
}

fn idempotency_key(asking: &Asking, body: &[u8]) -> Result<Option<Key>, Failure> {
    let Some(value) = asking.head.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| !name.is_empty() && name.len() <= KEY_BYTES_MAX);
    let Some(name) = name else {
        let message = format!("{IDEMPOTENCY_KEY}: 1 to {KEY_BYTES_MAX} printable characters");
        return Err(Failure::invalid(IDEMPOTENCY_KEY, message));
    };
    Ok(Some(Key { name: name.to_owned(), request: Hash::of(body) }))
}

/// A session of its own.
async fn begin(asking: &Asking, asked: Asked, key: Option<Key>) -> Result<Receipt, Failure> {
    let Asked { settings, items, secrets, begun, .. } = asked;
    let items = refer::resolve(asking, None, items).await?;
    let input = Input { items, settings: Some(Box::new(settings)), about: begun.about() };
    let cues = vec![cue(&input, Busy::Reject, key.as_ref())?];
    let mut new = NewSession {
        id: None,
        agent: Name::cut(AGENT),
        about: About::default(),
        limits: Limits::default(),
        cues,
        key,
    };
    let (tenant, sessions) = (asking.principal.tenant(), &asking.state.sessions);
    if secrets.is_empty() {
        return Ok(sessions.create(tenant, asking.by(), new).await?);
    }
    // Credentials are sealed with the key of their session, so that is made
    // first; a repeated request finds it made.
    let (cues, key) = (std::mem::take(&mut new.cues), new.key.take());
    let id = key
        .as_ref()
        .map_or_else(|| SessionId::new(&*asking.state.env), |key| id_of(tenant, &key.name));
    new.id = Some(id);
    match sessions.view(tenant, id).await {
        Ok(_) => {}
        Err(Error::NotFound) => drop(sessions.create(tenant, asking.by(), new).await?),
        Err(error) => return Err(error.into()),
    }
    keep(asking, id, secrets).await?;
    Ok(sessions.give(tenant, id, asking.by(), cues, key).await?)
}

/// The id of a session that is made under an idempotency key, with
/// credentials: the same whenever it comes.
fn id_of(tenant: &TenantId, key: &str) -> SessionId {
    let hash = Hash::of(format!("{tenant}\0with credentials\0{key}").as_bytes());
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hash.bytes()) {
        *to = *from;
    }
    SessionId::from_parts(Timestamp::UNIX_EPOCH, &random)
}

/// Keeps the credentials of a request for as long as its session lives.
async fn keep(
    asking: &Asking,
    session: SessionId,
    secrets: Vec<(Name, Secret)>,
) -> Result<(), Failure> {
    for (name, secret) in secrets {
        let kept = asking.state.secrets.put(asking.principal.tenant(), session, &name, secret);
        kept.await.map_err(|note| Failure::new(Code::StoreFailed, note.as_str()))?;
    }
    Ok(())
}

/// After a response: the newest of its session, which must be at its end.
async fn follow_up(
    asking: &Asking,
    id: ResponseId,
    asked: Asked,
    key: Option<Key>,
) -> Result<Receipt, Failure> {
    let missing = || ask::no_previous(&id.to_string());
    let reading = asking.reading(id.session);
    let view = match reading.sessions.view(&reading.tenant, id.session).await {
        Ok(view) => view,
        Err(Error::NotFound) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    let begins = reading.input(id.begin).await?.is_some_and(|it| Begun::of(&it.input).is_some());
    if !begins || super::retrieve::is_deleted(&view.about, id.begin) {
        return Err(missing());
    }
    if newest(&view.state) == Some(id.begin) {
        return tell(asking, &reading, &view.state, asked, key).await;
    }
    if let Some(key) = &key
        && let Some(receipt) = repeated(asking, id.session, key).await?
    {
        return Ok(receipt);
    }
    let head = Offset(view.row.head);
    branch(asking, &reading, id, head, asked, key).await
}

/// From a response that was continued already: in a session of its own, which
/// begins with all that was there at the response's end.
async fn branch(
    asking: &Asking,
    reading: &Reading,
    id: ResponseId,
    head: Offset,
    asked: Asked,
    key: Option<Key>,
) -> Result<Receipt, Failure> {
    let mut told = Vec::new();
    let mut following = reading.follow(id.begin, &mut told).await?;
    following.run_to(head).await?;
    let Some(end) = following.follower.end() else {
        let message = format!("the response {id} is still in progress");
        return Err(Failure::of_field(Code::SessionBusy, "previous_response_id", message));
    };
    let Reading { sessions, tenant, session } = reading;
    let about = Some(About::default());
    // The key itself is the fork's; the fork is made once under another one.
    let once =
        key.as_ref().map(|key| Key { name: format!("\u{1}fork {}", key.name), ..key.clone() });
    let forked = sessions.fork(tenant, *session, end, asking.by(), about, once).await?;
    if forked.repeated
        && let Some(key) = &key
        && let Some(receipt) = repeated(asking, forked.session, key).await?
    {
        return Ok(receipt);
    }
    let child = asking.reading(forked.session);
    tell(asking, &child, &forked.state, asked, key).await
}

/// The answer to a request that was accepted before under the same key.
async fn repeated(
    asking: &Asking,
    session: SessionId,
    key: &Key,
) -> Result<Option<Receipt>, Failure> {
    let (tenant, sessions) = (asking.principal.tenant(), &asking.state.sessions);
    let none = Vec::new();
    let receipt = sessions.give(tenant, session, asking.by(), none, Some(key.clone())).await?;
    Ok(receipt.repeated.then_some(receipt))
}

/// The newest response of a session: the last input that brought settings.
fn newest(state: &freehold_runtime::state::State) -> Option<Offset> {
    let waiting = state.queue.iter().rev().find(|queued| queued.settings);
    waiting.map(|queued| queued.at).or(state.settings)
}

async fn say_in(
    asking: &Asking,
    id: ConversationId,
    asked: Asked,
    key: Option<Key>,
) -> Result<Receipt, Failure> {
    let reading = asking.reading(id.0);
    let view = match reading.sessions.view(&reading.tenant, id.0).await {
        Ok(view) => view,
        Err(Error::NotFound) => return Err(Failure::not_found("Conversation", &id.to_string())),
        Err(error) => return Err(error.into()),
    };
    tell(asking, &reading, &view.state, asked, key).await
}

/// Says something in a session that is there: with what its turn waits for, if
/// one does.
async fn tell(
    asking: &Asking,
    reading: &Reading,
    state: &freehold_runtime::state::State,
    asked: Asked,
    key: Option<Key>,
) -> Result<Receipt, Failure> {
    let Asked { settings, items, secrets, mut begun, .. } = asked;
    let items = refer::resolve(asking, Some(reading.session), items).await?;
    keep(asking, reading.session, secrets).await?;
    let settings = Some(Box::new(settings));
    let cues = if answers::waits_for_client(state) {
        let brought = answers::sort(reading, state, items, &asking.key()).await?;
        begun.joins = state.turn.as_ref().map(|turn| turn.id);
        begun.answers = brought.answers;
        begun.decided = brought.decided;
        let input = Input { items: brought.rest, settings, about: begun.about() };
        let mut cues = vec![cue(&input, Busy::Steer, key.as_ref())?];
        cues.extend(brought.cues);
        cues
    } else {
        if let Some(stray) = answers::stray(&items) {
            // It may be the same request again, which was taken before.
            let before = match &key {
                Some(key) => repeated(asking, reading.session, key).await?,
                None => None,
            };
            return before.ok_or(stray);
        }
        let input = Input { items, settings, about: begun.about() };
        vec![cue(&input, Busy::Reject, key.as_ref())?]
    };
    let by = asking.by();
    Ok(reading.sessions.give(&reading.tenant, reading.session, by, cues, key).await?)
}

pub(crate) fn cue(input: &Input, busy: Busy, key: Option<&Key>) -> Result<Cue, Failure> {
    Ok(Cue::Input {
        content: content(input)?,
        busy,
        key: key.map(|key| key.request),
        settings: input.settings.is_some(),
    })
}

fn content(input: &Input) -> Result<Content, Failure> {
    let content = serde_json::to_value(input)
        .map_err(|error| Failure::new(Code::InvalidRequest, error.to_string()))?;
    Ok(Content::Inline(content))
}

/// The input among the events that came of a request.
async fn beginning(reading: &Reading, receipt: &Receipt) -> Result<Offset, Failure> {
    let events = reading.events(receipt.first.before(), receipt.head, 8).await?;
    let input = events
        .iter()
        .find(|event| matches!(event.fact, freehold_runtime::event::Fact::InputAccepted(_)));
    input.map(|event| event.offset).ok_or_else(|| {
        Failure::new(Code::ManagementFailed, "the response was accepted and cannot be found")
    })
}
