//! Tasks that write, each over a connection of its own: one unit at a time,
//! sent again where that is sound.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_types::{DbError, Guard, Statement, Unit, UnitReceipt};
use futures_util::future::{Either, select};
use tokio::sync::{MutexGuard, oneshot};

use super::Shared;
use super::connect::Purpose;
use super::fault::{Class, Known, Next, next};
use super::line::Line;
use super::queue::Queue;
use super::session::{Session, Stopped, Why};

/// A unit, and who waits for it. The answer goes nowhere if they went away.
pub(super) struct Job {
    pub(super) unit: Unit,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// When its caller is to be told at the latest, on the monotonic clock.
    pub(super) until: Duration,
}

pub(super) type Outcome = Result<UnitReceipt, DbError>;

/// Writes what comes until the queue is closed and empty.
pub(super) async fn run(shared: Arc<Shared>, queue: Arc<Queue<Job>>) {
    let mut line = Line::new(Arc::clone(&shared), Purpose::Writing);
    loop {
        let job = match line.idle().await {
            // What waits when the store closes is told so by the database.
            None => queue.take().await,
            Some(session) => match take(session, &queue).await {
                Ok(job) => job,
                Err(Broken) => {
                    line.drop_session();
                    continue;
                }
            },
        };
        let Some(Job { unit, answer, until }) = job else { return };
        let own = Arc::clone(&shared);
        let attempts = Attempts {
            line: &mut line,
            unit: &unit,
            until,
            doubt: None,
            tried: 0,
            aside: &own.aside,
            alone: None,
        };
        let outcome = attempts.run().await;
        // An error here is a caller that no longer waits.
        drop(answer.send(outcome));
    }
}

/// A session broke while nobody needed it.
struct Broken;

async fn take(session: &mut Session, queue: &Queue<Job>) -> Result<Option<Job>, Broken> {
    match select(pin!(queue.take()), pin!(session.ended())).await {
        Either::Left((job, _)) => Ok(job),
        Either::Right(_) => Err(Broken),
    }
}

/// A unit on its way, and what is known of it.
struct Attempts<'a> {
    line: &'a mut Line,
    unit: &'a Unit,
    until: Duration,
    /// An earlier sending's commit is without an answer.
    doubt: Option<Doubt>,
    tried: u32,
    aside: &'a tokio::sync::Mutex<()>,
    /// Held once the unit stood in another one's way.
    alone: Option<MutexGuard<'a, ()>>,
}

struct Doubt {
    why: String,
    /// What it did, if it took effect.
    receipt: Option<UnitReceipt>,
}

impl Attempts<'_> {
    async fn run(mut self) -> Outcome {
        loop {
            let Some(session) = self.line.until(self.until).await else {
                return Err(self.give_up());
            };
            let stopped = match session.run(self.unit).await {
                Ok(receipt) => {
                    self.line.shared().counters.commits.fetch_add(1, Ordering::Relaxed);
                    return Ok(receipt);
                }
                Err(stopped) => stopped,
            };
            if let Some(outcome) = self.after(stopped).await {
                return outcome;
            }
            self.again().await;
        }
    }

    /// What became of the unit, if it is not to be sent again.
    async fn after(&mut self, stopped: Stopped) -> Option<Outcome> {
        let Stopped { reached, why, receipt } = stopped;
        let fault = match why {
            Why::Fault(fault) => fault,
            Why::Guard(statement, expected, found) => {
                let unit = self.unit.label();
                let error = DbError::GuardFailed { unit, statement, expected, found };
                return match self.doubt {
                    None => Some(Err(error)),
                    Some(_) => Some(self.prove(error).await),
                };
            }
        };
        let known = Known {
            reached,
            provable: self.unit.proof().is_some(),
            doubt: self.doubt.is_some(),
            late: self.line.shared().env.monotonic() >= self.until,
        };
        match next(fault.class, known) {
            Next::Again { fresh, doubt } => {
                if fault.class == Class::Conflict && self.alone.is_none() {
                    // Those that collided go one after the other from here on,
                    // so that each deadlock, which the server takes a second
                    // to see, leaves one fewer that can be in another.
                    self.alone = Some(self.aside.lock().await);
                }
                if fresh {
                    self.line.drop_session();
                }
                if doubt {
                    self.doubt = Some(Doubt { why: fault.text, receipt });
                }
                None
            }
            Next::Prove => Some(self.prove(fault.into_error()).await),
            Next::Fail => Some(Err(fault.into_error())),
            Next::Doubt => {
                let why = self.doubt.take().map_or(fault.text, |doubt| doubt.why);
                Some(Err(DbError::InDoubt(why)))
            }
        }
    }

    /// Looks whether an earlier sending took effect, now that another was
    /// refused with `error`: its own guard or key may have been in its way.
    /// The earlier one is over, for the later had to wait for its locks.
    async fn prove(&mut self, error: DbError) -> Outcome {
        let Some(proof) = self.unit.proof() else { return Err(error) };
        while let Some(session) = self.line.until(self.until).await {
            match session.query(proof.sql, &proof.args).await {
                Ok(rows) if rows.is_empty() => return Err(error),
                Ok(_) => {
                    let receipt = self.doubt.take().and_then(|doubt| doubt.receipt);
                    return Ok(receipt.unwrap_or_else(|| expected(self.unit)));
                }
                Err(_) => {
                    self.line.drop_session();
                    self.again().await;
                }
            }
        }
        Err(self.give_up())
    }

    async fn again(&mut self) {
        self.tried = self.tried.saturating_add(1);
        self.line.shared().counters.retries.fetch_add(1, Ordering::Relaxed);
        self.line.shared().pause(self.tried).await;
    }

    fn give_up(&mut self) -> DbError {
        match self.doubt.take() {
            Some(doubt) => DbError::InDoubt(doubt.why),
            None => self.line.shared().unavailable(),
        }
    }
}

/// The receipt of a unit that took effect unseen: what its guards say. (A unit
/// with a proof sends its commit after its counts, so this is for an engine
/// that lost track of even those.)
fn expected(unit: &Unit) -> UnitReceipt {
    let count = |statement: &Statement| match statement.guard {
        Guard::Exactly(rows) => rows,
        Guard::None => 0,
    };
    UnitReceipt { changed: unit.statements().iter().map(count).collect() }
}
