//! The handle of a chat model: a queue, and the thread that works on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use freehold_llm::model::{ApiError, Event, Request};
use tokio::sync::mpsc::{Receiver, channel};

use super::generate::{Failure, Job, Model, Options, Plan};
use super::gguf::Gguf;
use super::output::send;
use super::prompt::Prompter;
use crate::error;
use crate::queue::Queue;

/// A chat model in this process. Cheap to clone; the weights are loaded by
/// the first request and stay until the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// The clones' common part: dropped with the last of them, which ends the
/// worker.
struct Owner {
    core: Arc<Core>,
    started: Mutex<bool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.queue.close();
    }
}

/// What the worker shares with the handles.
struct Core {
    options: Options,
    queue: Arc<Queue<Job>>,
    prompter: Mutex<Option<Arc<Prompter>>>,
    loaded: AtomicBool,
}

impl Core {
    /// Vocabulary, tokenizer and template, read on first use.
    fn prompter(&self) -> Result<Arc<Prompter>, Box<ApiError>> {
        let mut slot = self.prompter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompter) = &*slot {
            return Ok(prompter.clone());
        }
        let prompter = Arc::new(Prompter::new(&Gguf::open(&self.options.path)?)?);
        *slot = Some(prompter.clone());
        Ok(prompter)
    }
}

impl Engine {
    /// A handle; nothing is read yet.
    pub fn new(options: Options) -> Self {
        let queue = Queue::new(options.queue);
        let core =
            Core { options, queue, prompter: Mutex::new(None), loaded: AtomicBool::new(false) };
        Self { owner: Arc::new(Owner { core: Arc::new(core), started: Mutex::new(false) }) }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.owner.core.options.name
    }

    /// Where its weights are.
    pub fn path(&self) -> &Path {
        &self.owner.core.options.path
    }

    /// Whether the weights are in memory.
    pub fn is_loaded(&self) -> bool {
        self.owner.core.loaded.load(Ordering::Relaxed)
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.owner.core.queue.len()
    }

    /// Starts to answer a request. What is wrong with it is an error at once
    /// where that shows without the model; else the first event, and the only
    /// one, is [`Event::Error`]. A full queue is an error of the kind
    /// `Unavailable`. Dropping the events cancels the answer.
    ///
    /// `created` is in seconds since 1970; `seed` is random: ids are made of
    /// it, and it seeds the sampling of a request that has no seed.
    pub fn generate(
        &self,
        request: Arc<Request>,
        created: i64,
        seed: u64,
    ) -> Result<Events, Box<ApiError>> {
        let core = &self.owner.core;
        let plan = Plan::of(&request, &core.options)?;
        let (to, from) = channel(plan.events_max(&request, &core.options));
        self.start()?;
        core.queue
            .push(Job { request, plan, created, seed, to })
            .map_err(|_| error::busy(&core.options.name, core.queue.limit()))?;
        Ok(Events { from })
    }

    /// How many tokens a request's prompt has: what `usage.input` would say.
    /// Reads the tokenizer on first use and works on the caller's thread: a
    /// matter of milliseconds, more for long prompts.
    pub fn count_tokens(&self, request: &Request) -> Result<u64, Box<ApiError>> {
        // The date that a template may tell has the same length on any day.
        Ok(self.owner.core.prompter()?.tokens(request, 0)?.len() as u64)
    }

    fn start(&self) -> Result<(), Box<ApiError>> {
        let mut started = self.owner.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let core = self.owner.core.clone();
            std::thread::Builder::new()
                .name(format!("local {}", core.options.name).chars().take(15).collect())
                // Grammars of deep schemas recurse.
                .stack_size(16 << 20)
                .spawn(move || work(&core))
                .map_err(error::internal)?;
            *started = true;
        }
        Ok(())
    }
}

/// The events of one answer. Dropping it cancels the answer.
#[derive(Debug)]
pub struct Events {
    from: Receiver<Event>,
}

impl Events {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        self.from.recv().await
    }

    /// The same for use in a stream's `poll_next`.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.from.poll_recv(context)
    }

    /// The same for threads outside of a runtime.
    pub fn blocking_next(&mut self) -> Option<Event> {
        self.from.blocking_recv()
    }
}

fn work(core: &Core) {
    let mut model = None;
    while let Some(job) = core.queue.pop() {
        let done = catch_unwind(AssertUnwindSafe(|| answer(core, &mut model, &job)));
        let error = match done {
            Ok(Ok(()) | Err(Failure::Gone)) => continue,
            Ok(Err(Failure::Error(error))) => error,
            Err(_) => {
                // The model may be half changed: it is loaded anew.
                model = None;
                core.loaded.store(false, Ordering::Relaxed);
                error::internal("a defect in the engine; the log has the place")
            }
        };
        if send(&job.to, Event::Error(*error)).is_err() {
            // Nobody waits for the error either.
        }
    }
}

fn answer(core: &Core, model: &mut Option<Model>, job: &Job) -> Result<(), Failure> {
    if model.is_none() {
        *model = Some(Model::load(&core.options, core.prompter()?)?);
        core.loaded.store(true, Ordering::Relaxed);
    }
    let Some(model) = model else { return Ok(()) };
    model.answer(job, &core.options)
}
