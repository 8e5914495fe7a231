//! Structured logs, written by a thread of their own.
//!
//! A line must never hold up an exchange: it goes into a bounded buffer, and
//! when that is full the line is dropped and counted. The thread is woken by
//! the first line after a silence and then looks by itself until there is
//! another: to wake it costs more than a line, and whoever does so is about to
//! send an answer.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use super::json::{self, JsonLines};
use super::{EXCHANGE, Traces};
use crate::config::{LogFormat, LogLevel, LogOptions};

/// Bytes of lines that may wait for standard error.
const WAITING_MAX: usize = 4 << 20;

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// How often in a row there is none before the thread waits to be woken: a
/// second of silence.
const LOOKS: u32 = 50;

/// The running log.
pub struct Logs {
    filter: reload::Handle<LogFilter, Registry>,
    queue: Queue,
    /// Taken by the first flush.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Logs {
    /// Takes over the process's events, for `traces` as well. `None` if someone
    /// has already.
    pub fn start(options: LogOptions, traces: Option<&Arc<Traces>>) -> Option<Self> {
        let queue = Queue::default();
        let (filter, handle) = reload::Layer::new(LogFilter::new(options));
        let usual = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
        let layer = match options.format.unwrap_or(usual) {
            LogFormat::Json => JsonLines(queue.clone()).boxed(),
            LogFormat::Text => fmt::layer().with_ansi(false).with_writer(queue.clone()).boxed(),
        };
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .with(traces.map(Traces::layer))
            .try_init()
            .ok()?;
        let lines = queue.clone();
        let spawned =
            std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&lines));
        Some(Self { filter: handle, queue, thread: Mutex::new(spawned.ok()) })
    }

    /// Changes how much is logged.
    pub fn set(&self, options: LogOptions) {
        if let Err(error) = self.filter.reload(LogFilter::new(options)) {
            tracing::warn!(%error, "the log stays as it is");
        }
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.queue.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes out what waits, at most for `limit`, and ends the log.
    pub fn flush(&self, limit: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        self.queue.0.waiting().ended = true;
        self.queue.0.more.notify_one();
        let step = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < limit {
            std::thread::sleep(step);
            waited += step;
        }
    }
}

/// What is logged.
struct LogFilter {
    level: LevelFilter,
    exchanges: bool,
}

impl LogFilter {
    fn new(options: LogOptions) -> Self {
        let level = match options.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        Self { level, exchanges: options.exchanges }
    }
}

impl<S> Filter<S> for LogFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= self.level && (self.exchanges || metadata.target() != EXCHANGE)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }
}

fn write_lines(queue: &Queue) {
    let mut batch = Vec::new();
    let mut looks = 0_u32;
    loop {
        let ended = {
            let mut waiting = queue.0.waiting();
            while looks == 0 && waiting.bytes.is_empty() && !waiting.ended {
                waiting.asleep = true;
                waiting = queue.0.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                waiting.asleep = false;
            }
            // It waits for the end as well, which is told at once.
            if !waiting.ended {
                let gathered = queue.0.more.wait_timeout(waiting, GATHER);
                waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            // The buffers change places, so that neither is allocated again.
            std::mem::swap(&mut batch, &mut waiting.bytes);
            waiting.ended
        };
        if batch.is_empty() {
            looks = looks.saturating_sub(1);
        } else {
            looks = LOOKS;
            // Nobody is left to be told when standard error is closed.
            drop(io::stderr().write_all(&batch));
            batch.clear();
            // A burst's memory is given back.
            batch.shrink_to(64 << 10);
        }
        if ended {
            return;
        }
    }
}

/// Where events write their lines.
#[derive(Clone, Default)]
struct Queue(Arc<Lines>);

#[derive(Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// There are lines again, or the log ends.
    more: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    ended: bool,
    /// The thread has to be woken.
    asleep: bool,
}

impl Lines {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > WAITING_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        // Once: the next line finds it awake.
        let wake = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.more.notify_one();
        }
    }
}

impl json::Lines for Queue {
    fn push(&self, line: &[u8]) {
        self.0.push(line);
    }
}

/// One line of text, queued when dropped.
struct Line<'a> {
    queue: &'a Queue,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::new() }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        self.queue.0.push(&self.bytes);
    }
}
