//! Threads that read, each with a connection of its own.

use freehold_types::{DbError, Row, Value};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::{AbandonOnExit, Queue};
use super::value::query;

/// A query, and who waits for its rows.
pub(super) struct Job {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Value>,
    pub(super) answer: oneshot::Sender<Result<Vec<Row>, DbError>>,
}

/// Answers queries until the queue is closed and empty.
pub(super) fn run(connection: &Connection, queue: &Queue<Job>) {
    let _abandon = AbandonOnExit(queue);
    while let Some(jobs) = queue.take(1, usize::MAX) {
        for job in jobs {
            // Whoever went away needs no answer.
            if !job.answer.is_closed() {
                drop(job.answer.send(query(connection, job.sql, &job.args)));
            }
        }
    }
}
