//! Takes records out of the queue and puts them into the store.

use std::sync::Arc;
use std::time::Duration;

use freehold_types::{Db, DbError, Env};

use crate::usage::Books;
use crate::usage::batch::Batch;
use crate::usage::books::Next;

/// Pauses between attempts while the store is down; they double.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How often in a row it finds nothing before it waits to be woken. Waking it
/// takes an exchange's time before its request is sent, so while exchanges come
/// and go it looks by itself.
const LOOKS: u32 = 20;

/// The one task that writes usage. It ends when the books are closed and all
/// is written.
pub struct UsageWriter {
    db: Arc<dyn Db>,
    env: Arc<dyn Env>,
    books: Arc<Books>,
}

/// What became of a unit.
enum Written {
    Yes,
    /// The store takes units, but not this one.
    Rejected,
    /// Nobody waits for the store any more.
    GivenUp,
}

impl UsageWriter {
    pub(crate) fn new(db: Arc<dyn Db>, env: Arc<dyn Env>, books: Arc<Books>) -> Self {
        Self { db, env, books }
    }

    /// Writes until the books are closed.
    pub async fn run(self) {
        let mut looks = 0_u32;
        loop {
            match self.books.next(looks > 0) {
                Next::Finish => break,
                Next::Wait => self.books.work.notified().await,
                Next::Gather(time) => {
                    tokio::select! {
                        () = self.env.sleep(time) => {}
                        () = self.books.work.notified() => {
                            // A ring for the first record has been heard
                            // already; any other is for work at once.
                            if matches!(self.books.next(looks > 0), Next::Gather(_)) {
                                continue;
                            }
                        }
                    }
                    looks = if self.write_batch().await { LOOKS } else { looks.saturating_sub(1) };
                }
                Next::Write => {
                    self.write_batch().await;
                }
            }
        }
    }

    /// Whether there was anything to write.
    async fn write_batch(&self) -> bool {
        let entries = self.books.take();
        if entries.is_empty() {
            return false;
        }
        let mut batch = Batch::new(entries, self.books.node(), self.env.now());
        match self.write(&mut batch).await {
            Written::Yes => self.note(&batch),
            Written::Rejected if batch.len() > 1 => {
                for mut one in batch.split() {
                    match self.write(&mut one).await {
                        Written::Yes => self.note(&one),
                        Written::Rejected => self.books.note_rejected(one.len(), one.ended()),
                        Written::GivenUp => return true,
                    }
                }
            }
            Written::Rejected => self.books.note_rejected(batch.len(), batch.ended()),
            Written::GivenUp => return true,
        }
        self.books.note_taken();
        true
    }

    fn note(&self, batch: &Batch) {
        self.books.note_spent(&batch.spends());
        self.books.note_written(batch.len(), batch.ended(), batch.coalesced());
    }

    /// Sends a batch until the store has taken or rejected it.
    async fn write(&self, batch: &mut Batch) -> Written {
        let mut in_doubt = false;
        let mut pause = RETRY_MIN;
        loop {
            let Err(error) = self.db.write(batch.unit()).await else {
                batch.answer(true);
                return Written::Yes;
            };
            match &error {
                // The first sending was in after all.
                DbError::GuardFailed { .. } if in_doubt => {
                    batch.answer(true);
                    return Written::Yes;
                }
                DbError::GuardFailed { .. } | DbError::Corrupt(_) | DbError::Other(_) => {
                    batch.answer(false);
                    return Written::Rejected;
                }
                DbError::InDoubt(_) => in_doubt = true,
                DbError::Unavailable(_) | DbError::Full(_) => {}
            }
            self.books.note_down(error.to_string());
            batch.answer(self.books.goes_on());
            if self.books.given_up() {
                return Written::GivenUp;
            }
            tokio::select! {
                () = self.env.sleep(pause) => {}
                () = self.books.hurry.notified() => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

impl Drop for UsageWriter {
    fn drop(&mut self) {
        self.books.writer_gone();
    }
}
