//! Tasks that read, each over a connection of its own with several queries in
//! flight. A query changes nothing, so it is sent again as long as it may.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_types::{DbError, Row, Value};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::Shared;
use super::connect::Purpose;
use super::fault::{Class, Fault, Known, Next, Reached, next};
use super::line::Line;
use super::queue::Queue;
use super::session::Session;

/// Queries in flight on one connection: enough to fill it, few enough that not
/// many wait behind a slow one.
const DEPTH: usize = 8;

/// A query, and who waits for its rows.
pub(super) struct Job {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Value>,
    pub(super) answer: oneshot::Sender<Result<Vec<Row>, DbError>>,
    /// When its caller is to be told at the latest, on the monotonic clock.
    pub(super) until: Duration,
}

/// Answers queries until the queue is closed and empty.
pub(super) async fn run(shared: Arc<Shared>, queue: Arc<Queue<Job>>) {
    let mut line = Line::new(Arc::clone(&shared), Purpose::Reading);
    let mut again = Vec::new();
    let mut tried = 0;
    loop {
        let first = again.iter().map(|job: &Job| job.until).min();
        let session = match first {
            Some(until) => line.until(until).await,
            None => line.idle().await.map(|session| &*session),
        };
        let Some(session) = session else {
            if first.is_none() {
                // The store closes, and there is nobody to ask.
                refuse_all(&shared, &queue).await;
                return;
            }
            let now = shared.env.monotonic();
            for job in again.extract_if(.., |job| job.until <= now) {
                drop(job.answer.send(Err(shared.unavailable())));
            }
            continue;
        };
        let ended = serve(&shared, session, &queue, &mut again).await;
        match ended {
            Ended::Closed => return,
            Ended::Broken => line.drop_session(),
            Ended::Conflict => {}
        }
        tried = if again.is_empty() { 0 } else { tried + 1 };
        if tried > 0 {
            shared.counters.retries.fetch_add(1, Ordering::Relaxed);
            shared.pause(tried).await;
        }
    }
}

/// Why a session serves no more.
enum Ended {
    /// The queue is closed and empty.
    Closed,
    /// It needs another connection.
    Broken,
    /// What is to be sent again waits for a moment.
    Conflict,
}

/// Answers queries over one session until it breaks. What is to be sent again
/// is in `again`.
async fn serve(
    shared: &Shared,
    session: &Session,
    queue: &Queue<Job>,
    again: &mut Vec<Job>,
) -> Ended {
    let mut flight = FuturesUnordered::new();
    let mut ended = None;
    let ask = |job: Job| async move {
        let answer = session.query(job.sql, &job.args).await;
        (job, answer)
    };
    flight.extend(again.drain(..).map(ask));
    loop {
        let landed = if ended.is_some() || flight.len() >= DEPTH {
            flight.next().await
        } else if flight.is_empty() {
            match queue.take().await {
                Some(job) => {
                    flight.push(ask(job));
                    continue;
                }
                None => return Ended::Closed,
            }
        } else {
            match select(pin!(queue.take()), flight.next()).await {
                Either::Left((Some(job), _)) => {
                    flight.push(ask(job));
                    continue;
                }
                // Closed: what is in flight comes down first.
                Either::Left((None, landing)) => landing.await,
                Either::Right((landed, _)) => landed,
            }
        };
        let Some((job, answer)) = landed else {
            return ended.unwrap_or(Ended::Conflict);
        };
        match answer {
            Ok(rows) => drop(job.answer.send(Ok(rows))),
            Err(fault) => match after(shared, &job, &fault) {
                Some(end) => {
                    again.push(job);
                    if !matches!(ended, Some(Ended::Broken)) {
                        ended = Some(end);
                    }
                }
                None => drop(job.answer.send(Err(fault.into_error()))),
            },
        }
    }
}

/// Whether a query is sent again, and what that takes.
fn after(shared: &Shared, job: &Job, fault: &Fault) -> Option<Ended> {
    if fault.class == Class::ReadOnly || job.answer.is_closed() {
        // A query that writes; or nobody waits.
        return None;
    }
    let known = Known {
        reached: Reached::Statements,
        provable: false,
        doubt: false,
        late: shared.env.monotonic() >= job.until,
    };
    match next(fault.class, known) {
        Next::Again { fresh: true, .. } => Some(Ended::Broken),
        Next::Again { .. } => Some(Ended::Conflict),
        Next::Prove | Next::Fail | Next::Doubt => None,
    }
}

async fn refuse_all(shared: &Shared, queue: &Queue<Job>) {
    while let Some(job) = queue.take().await {
        drop(job.answer.send(Err(shared.unavailable())));
    }
}
