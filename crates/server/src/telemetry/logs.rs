//! Structured logs, written by a thread of their own.
//!
//! A line must never hold up an exchange: it goes into a bounded queue, and
//! when that is full the line is dropped and counted.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use super::{EXCHANGE, Traces};
use crate::config::{LogFormat, LogLevel, LogOptions};

/// Lines that may wait for standard error.
const WAITING_MAX: usize = 8192;

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
        let (sender, lines) = sync_channel(WAITING_MAX);
        let queue = Queue { sender, dropped: Arc::default() };
        let (filter, handle) = reload::Layer::new(LogFilter::new(options));
        let usual = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
        let layer = match options.format.unwrap_or(usual) {
            LogFormat::Json => fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(queue.clone())
                .boxed(),
            LogFormat::Text => fmt::layer().with_ansi(false).with_writer(queue.clone()).boxed(),
        };
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .with(traces.map(Traces::layer))
            .try_init()
            .ok()?;
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
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Writes out what waits, at most for `limit`, and ends the log.
    pub fn flush(&self, limit: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // The subscriber keeps a sender for ever, so the thread is told by an
        // empty line, which no event makes.
        if self.queue.sender.try_send(Vec::new()).is_err() {
            return;
        }
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

fn write_lines(lines: &Receiver<Vec<u8>>) {
    let mut batch = Vec::new();
    while let Ok(line) = lines.recv() {
        let mut last = line.is_empty();
        batch.extend_from_slice(&line);
        // What waits already is written in the same call.
        while batch.len() < 64 << 10 && !last {
            let Ok(line) = lines.try_recv() else { break };
            last = line.is_empty();
            batch.extend_from_slice(&line);
        }
        // Nobody is left to be told when standard error is closed.
        drop(io::stderr().write_all(&batch));
        batch.clear();
        if last {
            return;
        }
    }
}

/// Where events write their lines.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// One line, queued when dropped.
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
        let line = std::mem::take(&mut self.bytes);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.sender.try_send(line)
        {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
