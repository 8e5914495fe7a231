//! Does what is owed: asks models, calls tools, stops both.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use freehold_types::{CallId, Offset};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::ask::{self, Attempt, Ended as AttemptEnded, Resolved};
use super::hold::Hold;
use super::settle::{PAUSE_MAX, PAUSE_MIN};
use super::{Over, Worker};
use crate::answer::Failure;
use crate::archive::Reader;
use crate::content::Settings;
use crate::context;
use crate::decide::{Action, Cue, Ended, Found, Performing, Rules};
use crate::event::{AbortReason, Content, Note, Repeat, TimerPurpose, Usage};
use crate::sessions::Error;
use crate::tools::{self, Performed, Toolset};

/// The most that a session performs at once, with room for what is stopped.
pub(super) const RUNNING_MAX: usize = 128;
/// Chunks that are committed at once, when an answer ends with many left.
const CHUNKS: usize = 64;

/// Something that was performed has ended.
pub(super) enum Done {
    Model { asked: Offset, ended: Box<AttemptEnded> },
    Tool { call: CallId, attempt: u32, performed: Performed },
    Query { call: CallId, attempt: u32, found: Found },
}

/// What a session performs.
pub(super) struct Running {
    tell: mpsc::Sender<Done>,
    tasks: Vec<(Performing, AbortHandle)>,
    /// The attempt whose answer comes in.
    attempt: Option<(Offset, Arc<Attempt>)>,
    /// Committed, and to be performed next.
    owed: Vec<Action>,
}

impl Running {
    pub(super) fn new(tell: mpsc::Sender<Done>) -> Self {
        Self { tell, tasks: Vec::new(), attempt: None, owed: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn owe(&mut self, actions: Vec<Action>) {
        self.owed.extend(actions);
    }

    /// The attempt whose answer comes in.
    pub(super) fn chunk(&self) -> Option<Arc<Attempt>> {
        self.attempt.as_ref().map(|(_, attempt)| Arc::clone(attempt))
    }

    pub(super) fn stop_all(&mut self) {
        for (_, task) in self.tasks.drain(..) {
            task.abort();
        }
        self.attempt = None;
    }

    fn stop(&mut self, what: Performing) {
        if let Some(at) = self.tasks.iter().position(|(running, _)| *running == what) {
            self.tasks.swap_remove(at).1.abort();
        }
    }

    fn is_running(&self, what: Performing) -> bool {
        self.tasks.iter().any(|(running, _)| *running == what)
    }

    fn begun(&mut self, what: Performing, task: AbortHandle) {
        self.tasks.push((what, task));
    }

    fn over(&mut self, what: Performing) {
        self.tasks.retain(|(running, _)| *running != what);
    }
}

impl Drop for Running {
    /// A worker that goes takes what it performs with it.
    fn drop(&mut self) {
        self.stop_all();
    }
}

impl Worker<'_> {
    /// Begins what the last commit owes. Nothing here waits.
    pub(super) fn perform(&mut self) {
        for action in std::mem::take(&mut self.running.owed) {
            match action {
                Action::Stop(what) => self.stop(what),
                // Of a node that stops, the session goes to another at the next
                // step, which asks in its place.
                Action::Ask { .. } if self.inner().stop.get() => {}
                Action::Ask { asked, not_before } => {
                    let what = Performing::Model(asked);
                    if self.running.is_running(what) {
                        continue;
                    }
                    let attempt = Arc::new(Attempt::default());
                    let task = ask::task(self.errand(), asked, not_before, Arc::clone(&attempt));
                    self.spawn(
                        what,
                        async move { Done::Model { asked, ended: Box::new(task.await) } },
                    );
                    self.running.attempt = Some((asked, attempt));
                }
                Action::Start { call, intended, attempt } => {
                    let errand = self.errand();
                    let hold = Hold { epoch: self.epoch, since: self.since };
                    self.spawn(Performing::Tool(call, attempt), async move {
                        let performed = start(errand, hold, call, intended, attempt).await;
                        Done::Tool { call, attempt, performed }
                    });
                }
                Action::Query { call, intended, attempt } => {
                    let errand = self.errand();
                    self.spawn(Performing::Query(call, attempt), async move {
                        let found = query(errand, call, intended, attempt).await;
                        Done::Query { call, attempt, found }
                    });
                }
            }
        }
    }

    fn spawn(&mut self, what: Performing, work: impl Future<Output = Done> + Send + 'static) {
        if self.running.is_running(what) {
            return;
        }
        let tell = self.running.tell.clone();
        let task = tokio::spawn(async move {
            let done = work.await;
            // A worker that is gone has been followed by another.
            drop(tell.send(done).await);
        });
        self.running.begun(what, task.abort_handle());
    }

    /// Stops something, which then ends as what was stopped; if it had ended
    /// already, or another worker began it, that is stale and dropped.
    fn stop(&mut self, what: Performing) {
        self.running.stop(what);
        let done = match what {
            Performing::Model(asked) => {
                let usage = self.running.chunk().map_or_else(Usage::default, |one| one.usage());
                let message = Note::cut("it was stopped");
                let reason = AbortReason::Cancelled;
                let ended = AttemptEnded::Failed(Failure { reason, message, usage });
                Done::Model { asked, ended: Box::new(ended) }
            }
            Performing::Tool(call, attempt) => {
                Done::Tool { call, attempt, performed: Performed::Ended(Ended::Lost) }
            }
            Performing::Query(call, attempt) => {
                Done::Query { call, attempt, found: Found::Unclear }
            }
        };
        // There is room: as many are told as can be open, and patience ends
        // what is not told.
        drop(self.running.tell.try_send(done));
    }

    /// Something was performed.
    pub(super) async fn ended(&mut self, done: Done) -> Result<(), Over> {
        let cue = match done {
            Done::Model { asked, ended } => return self.answered(asked, *ended).await,
            Done::Tool { call, attempt, performed } => {
                self.running.over(Performing::Tool(call, attempt));
                match performed {
                    Performed::Ended(ended) => Cue::ToolEnded { call, attempt, ended },
                    Performed::Until(due) => {
                        let (repeat, purpose) = (Repeat::Once, TimerPurpose::Call(call));
                        Cue::SetTimer { due, repeat, purpose }
                    }
                }
            }
            Done::Query { call, attempt, found } => {
                self.running.over(Performing::Query(call, attempt));
                Cue::Queried { call, attempt, found }
            }
        };
        self.happened(vec![cue]).await
    }

    /// An attempt has ended: what it said last, and how it ended, in one.
    async fn answered(&mut self, asked: Offset, ended: AttemptEnded) -> Result<(), Over> {
        let mut cues = Vec::new();
        let attempt = self.running.attempt.take_if(|(of, _)| *of == asked);
        let attempt = attempt.map(|(_, attempt)| attempt).unwrap_or_default();
        cues.extend(listed(asked, &attempt));
        while let Some(content) = attempt.take_chunk() {
            cues.push(Cue::Chunk { asked, content });
            if cues.len() >= CHUNKS {
                self.happened(std::mem::take(&mut cues)).await?;
            }
        }
        self.running.over(Performing::Model(asked));
        let ended = match ended {
            AttemptEnded::Said(Resolved { at, settings, tools }) => {
                self.resolved(at, settings, tools);
                attempt.finish()
            }
            AttemptEnded::Failed(failure) => Err(failure),
        };
        cues.push(match ended {
            Ok(answer) => Cue::Answered { asked, answer },
            Err(Failure { reason, message, usage }) => {
                Cue::ModelFailed { asked, reason, message, usage }
            }
        });
        self.happened(cues).await
    }

    /// Some of an answer came while the last commit ran.
    pub(super) async fn chunk(&mut self) -> Result<(), Over> {
        let Some((asked, attempt)) = &self.running.attempt else { return Ok(()) };
        let asked = *asked;
        let mut cues = listed(asked, attempt);
        cues.extend(attempt.take_chunk().map(|content| Cue::Chunk { asked, content }));
        if cues.is_empty() { Ok(()) } else { self.happened(cues).await }
    }

    /// Sees to it that the rules of the tools are there when calls are open.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        if self.post.stale.swap(false, Ordering::AcqRel) {
            self.reader = Reader::open(&self.inner().parts.archive, self.id()).await?;
            self.settings = None;
        }
        let open = self
            .state
            .turn
            .as_ref()
            .is_some_and(|turn| turn.calls.iter().any(|call| !call.is_done()));
        if !open || self.tools.is_some() {
            return Ok(());
        }
        let errand = self.errand();
        let settings = match errand.settings().await {
            Ok(settings) => settings,
            Err(context::Error::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(session = %self.id().session, %error, "no settings");
                return Ok(());
            }
        };
        match errand.tools(&settings).await {
            Ok(tools) => self.resolved(errand.state.settings, settings, tools),
            Err(note) => tracing::warn!(session = %self.id().session, %note,
                "the tools of a session are not there"),
        }
        Ok(())
    }

    /// These are the settings and the tools in force.
    fn resolved(&mut self, at: Option<Offset>, settings: Arc<Settings>, tools: Arc<Toolset>) {
        let ours = &self.inner().options.rules;
        self.rules = Arc::new(Rules {
            turn_limits: settings.limits.or(ours.turn_limits),
            calls_max: settings.calls_max,
            one_by_one: settings.request.parallel_tool_calls == Some(false),
            tools: tools.rules.clone(),
            ..ours.clone()
        });
        self.tools = Some(tools);
        self.settings = Some((at, settings));
    }

    /// What a task takes along.
    fn errand(&self) -> ask::Errand {
        let settings = self.settings.as_ref().filter(|(at, _)| *at == self.state.settings);
        ask::Errand {
            inner: Arc::clone(&self.post.inner),
            reader: Arc::clone(&self.reader),
            state: Arc::clone(&self.state),
            settings: settings.map(|(_, settings)| Arc::clone(settings)),
        }
    }
}

/// What servers of tools list, before anything that the model says.
fn listed(asked: Offset, attempt: &Attempt) -> Vec<Cue> {
    let news = attempt.take_listed();
    news.map(|(listings, content)| Cue::Listed { asked, listings, content }).into_iter().collect()
}

/// Calls a tool. What cannot even be sent was not run.
async fn start(
    errand: ask::Errand,
    hold: Hold,
    call: CallId,
    intended: Offset,
    attempt: u32,
) -> Performed {
    match prepared(&errand, call, intended, attempt).await {
        // Another has the session, and what becomes of the call is its to say.
        Ok(_) if !hold.lasts(&errand.inner, &errand.reader.id).await => {
            Performed::Ended(Ended::Lost)
        }
        Ok(performing) => errand.inner.parts.tools.call(performing).await,
        // An earlier start of it may have run.
        Err(_) if attempt > 1 => Performed::Ended(Ended::Lost),
        Err(error) => {
            let why = format!("the call was not sent: {error}");
            Performed::Ended(Ended::Failed(Content::text(why)))
        }
    }
}

async fn query(errand: ask::Errand, call: CallId, intended: Offset, attempt: u32) -> Found {
    match prepared(&errand, call, intended, attempt).await {
        Ok(performing) => errand.inner.parts.tools.query(performing).await,
        Err(_) => Found::Unclear,
    }
}

/// What to send, however long the store takes to tell: the call's deadline
/// ends that, too.
async fn prepared(
    errand: &ask::Errand,
    call: CallId,
    intended: Offset,
    attempt: u32,
) -> Result<tools::Performing, context::Error> {
    let mut pause = PAUSE_MIN;
    loop {
        match performing(errand, call, intended, attempt).await {
            Err(error) if error.is_transient() => {
                errand.inner.env().sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            prepared => return prepared,
        }
    }
}

async fn performing(
    errand: &ask::Errand,
    call: CallId,
    intended: Offset,
    attempt: u32,
) -> Result<tools::Performing, context::Error> {
    let (tool, arguments) = context::call(errand, intended).await?;
    let settings = errand.settings().await?;
    let timeout_ms = errand.state.call(call).map_or(0, |call| call.timeout_ms);
    Ok(tools::Performing {
        tenant: errand.reader.id.tenant.clone(),
        session: errand.reader.id.session,
        call,
        attempt,
        tool,
        arguments,
        settings,
        timeout_ms,
    })
}
