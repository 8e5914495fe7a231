//! One attempt to have a model answer, on a task of its own: its context is
//! read from the journal, and what the model says is gathered for the worker.

use std::sync::{Arc, Mutex};

use freehold_llm::model::{ApiError, Request};
use freehold_store::journal::MAX_EVENTS;
use freehold_types::{BoxFuture, Code, DbError, ErrorKind, Offset};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::listed;
use crate::answer::{Failure, Gather};
use crate::archive::{Id, Reader};
use crate::content::Settings;
use crate::context::{self, Journal};
use crate::decide::{OFFERED_MAX, Offered};
use crate::event::{AbortReason, Content, Event, Fact, Listing, Note, Purpose, Span, Usage};
use crate::models::ModelAsk;
use crate::sessions::{Error, Inner, lock};
use crate::state::State;
use crate::tools::Toolset;

/// What an attempt has gathered so far.
#[derive(Default)]
pub(super) struct Attempt {
    gather: Mutex<Option<Gather>>,
    /// What servers of tools list, if that is news.
    listed: Mutex<Option<(Vec<Listing>, Content)>>,
    bell: Notify,
}

/// How an attempt ended.
pub(super) enum Ended {
    /// The model has said all; what that comes to is gathered.
    Said(Resolved),
    /// It failed before it was asked, or was stopped.
    Failed(Failure),
}

/// The settings that an attempt was made under, and their tools.
pub(super) struct Resolved {
    /// The event that brought the settings.
    pub(super) at: Option<Offset>,
    pub(super) settings: Arc<Settings>,
    pub(super) tools: Arc<Toolset>,
}

impl Attempt {
    /// Waits until there is more of an answer; for ever if nothing answers.
    pub(super) async fn rings(attempt: Option<Arc<Self>>) {
        match attempt {
            Some(attempt) => attempt.bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// What servers list, once.
    pub(super) fn take_listed(&self) -> Option<(Vec<Listing>, Content)> {
        lock(&self.listed).take()
    }

    pub(super) fn take_chunk(&self) -> Option<Content> {
        lock(&self.gather).as_mut()?.take_chunk()
    }

    /// What was used so far.
    pub(super) fn usage(&self) -> Usage {
        lock(&self.gather).as_ref().map_or_else(Usage::default, Gather::usage)
    }

    /// What was said in all, once its chunks are taken.
    pub(super) fn finish(&self) -> Result<Offered, Failure> {
        let gather = lock(&self.gather).take();
        let answer = gather.ok_or_else(|| refused("nothing was gathered"))?.finish()?;
        let calls = answer.calls.len();
        if calls > OFFERED_MAX {
            let words = format!("the model calls {calls} tools at once; the most is {OFFERED_MAX}");
            return Err(Failure { usage: answer.usage, ..refused(&words) });
        }
        Ok(answer)
    }
}

/// What a task takes along of a session.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) inner: Arc<Inner>,
    pub(super) reader: Arc<Reader>,
    /// As it was when the task began.
    pub(super) state: Arc<State>,
    /// The settings in force, if they are known already.
    pub(super) settings: Option<Arc<Settings>>,
}

impl Errand {
    /// The settings in force.
    pub(super) async fn settings(&self) -> Result<Arc<Settings>, context::Error> {
        match &self.settings {
            Some(settings) => Ok(Arc::clone(settings)),
            None => context::settings(self, &self.state, &self.reader.about()).await,
        }
    }

    /// What servers of tools listed last.
    async fn known(&self) -> Result<Vec<Listing>, context::Error> {
        let Some(at) = self.state.listed else { return Ok(Vec::new()) };
        let events = self.events(Span { from: at, to: at }).await?;
        Ok(match events.into_iter().next().map(|event| event.fact) {
            Some(Fact::ToolsListed(fact)) => fact.listings,
            _ => Vec::new(),
        })
    }

    /// What the settings come to.
    pub(super) async fn tools(&self, settings: &Arc<Settings>) -> Result<Arc<Toolset>, Note> {
        let Id { tenant, session } = self.reader.id.clone();
        self.inner.parts.tools.resolve(tenant, session, Arc::clone(settings)).await
    }
}

impl Journal for Errand {
    fn events(&self, span: Span) -> BoxFuture<'_, Result<Vec<Event>, context::Error>> {
        Box::pin(async move {
            let read = self.reader.events(span.from.before(), span.to, MAX_EVENTS).await;
            read.map_err(|error| unreadable(span.from, error))
        })
    }

    fn content<'a>(
        &'a self,
        content: &'a Content,
    ) -> BoxFuture<'a, Result<serde_json::Value, context::Error>> {
        Box::pin(async move {
            let read = self.reader.content(content).await;
            read.map_err(|error| unreadable(self.state.head, error))
        })
    }
}

fn unreadable(at: Offset, error: Error) -> context::Error {
    match error {
        Error::Store(error) => context::Error::Store(error),
        // Of the same weight: it may be back soon.
        Error::Blob(error) if error.kind() == ErrorKind::Unavailable => {
            context::Error::Store(DbError::Unavailable(error.to_string()))
        }
        Error::MissingBlob(hash) => context::Error::MissingBlob { hash },
        other => context::Error::Damaged { at, what: other.to_string() },
    }
}

/// Asks, and gathers what is said.
pub(super) async fn task(
    errand: Errand,
    asked: Offset,
    not_before: Option<Timestamp>,
    attempt: Arc<Attempt>,
) -> Ended {
    let env = Arc::clone(&errand.inner.parts.archive.env);
    while let Some(wait) = not_before.and_then(|at| wait(at, env.now())) {
        env.sleep(wait).await;
    }
    ask(&errand, asked, &attempt).await.map_or_else(Ended::Failed, Ended::Said)
}

/// How long until then, in naps that notice a clock that is set.
fn wait(at: Timestamp, now: Timestamp) -> Option<std::time::Duration> {
    let wait = std::time::Duration::try_from(at.duration_since(now)).ok()?;
    (!wait.is_zero()).then(|| wait.min(super::NAP))
}

async fn ask(errand: &Errand, asked: Offset, attempt: &Attempt) -> Result<Resolved, Failure> {
    let (inner, id) = (&errand.inner, &errand.reader.id);
    let settings = errand.settings().await.map_err(|error| ours(&error))?;
    let tools = errand.tools(&settings).await.map_err(|note| refused(note.as_str()))?;
    let turn = errand.state.turn.as_ref();
    let purpose = turn.and_then(|turn| turn.model).map_or(Purpose::Step, |model| model.purpose);
    if purpose == Purpose::Step && !tools.listed.is_empty() {
        let known = errand.known().await.map_err(|error| ours(&error))?;
        if let Some(news) = listed::news(&tools.listed, &known) {
            *lock(&attempt.listed) = Some(news);
            attempt.bell.notify_one();
        }
    }
    let request = context::request(errand, &errand.state, &settings, &tools, purpose).await;
    let request = Arc::new(request.map_err(|error| ours(&error))?);
    let mut ask = ModelAsk {
        tenant: id.tenant.clone(),
        payer: settings.payer.clone(),
        session: id.session,
        asked,
        request,
    };
    let mut stream = loop {
        *lock(&attempt.gather) = Some(Gather::new(&ask.request));
        let error = match inner.parts.models.ask(ask.clone()).await {
            Ok(stream) => break stream,
            Err(error) => error,
        };
        let shorter = shorter(&error, &ask, settings.may_truncate && purpose == Purpose::Step);
        ask.request = shorter.ok_or_else(|| Failure::of(&error, Usage::default()))?;
    };
    while let Some(said) = stream.next().await {
        let over = match lock(&attempt.gather).as_mut() {
            Some(gather) => {
                gather.take(said);
                gather.is_over()
            }
            None => true,
        };
        attempt.bell.notify_one();
        if over {
            break;
        }
    }
    Ok(Resolved { at: errand.state.settings, settings, tools })
}

/// What is asked instead of what is longer than the model takes. Each is
/// shorter than the one before, and such a refusal costs nothing.
fn shorter(error: &ApiError, ask: &ModelAsk, may_truncate: bool) -> Option<Arc<Request>> {
    let too_long = error.code.as_deref() == Some(Code::ContextLengthExceeded.word());
    let request = context::without_oldest(&ask.request).filter(|_| may_truncate && too_long)?;
    tracing::info!(
        target: "freehold::session",
        session = %ask.session,
        asked = %ask.asked,
        items = request.items.len(),
        "longer than the model takes; asking without the oldest"
    );
    Some(Arc::new(request))
}

/// A failure before anything was asked: the store may be back soon, a journal
/// that cannot be read will not mend itself.
fn ours(error: &context::Error) -> Failure {
    let reason = if error.is_transient() { AbortReason::Retryable } else { AbortReason::Final };
    Failure { reason, message: Note::cut(&error.to_string()), usage: Usage::default() }
}

fn refused(why: &str) -> Failure {
    Failure { reason: AbortReason::Final, message: Note::cut(why), usage: Usage::default() }
}
