//! What clients know: what they sent and what they were told, what they heard.
//! At the end the journals must agree with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_runtime::event::{Event, Verdict};
use freehold_runtime::sessions::Receipt;
use freehold_types::{ApprovalId, CallId, SessionId};

/// What all words of clients begin with.
pub(crate) const WORD: &str = "word-";

/// What all clients know together.
#[derive(Default)]
pub(crate) struct Book {
    /// By a word that is in the content, and in no other.
    pub(crate) requests: BTreeMap<String, Request>,
    /// Sessions that clients know of.
    pub(crate) sessions: Vec<SessionId>,
    /// Sessions that clients were told to be deleted, with the last event by
    /// then.
    pub(crate) deleted: BTreeSet<SessionId>,
    /// Sessions that may be deleted: nobody heard.
    pub(crate) maybe_deleted: BTreeSet<SessionId>,
    /// Decisions that were acknowledged.
    pub(crate) decided: Vec<(SessionId, ApprovalId, Verdict)>,
    /// Answers to calls that were acknowledged, by a word in them.
    pub(crate) answered: Vec<(SessionId, CallId, String)>,
    /// Forks that were acknowledged: of what, which, where.
    pub(crate) forked: Vec<(SessionId, SessionId, u64)>,
    /// Who listens.
    pub(crate) listeners: Vec<Listener>,
    words: u64,
}

/// Something that is to be in a journal once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) session: Option<SessionId>,
    /// Whether it has an idempotency key.
    pub(crate) is_keyed: bool,
    /// Each acknowledgement: first and last event, and whether it was said to
    /// be a repetition.
    pub(crate) acks: Vec<(u64, u64, bool)>,
    /// How often it was sent without an answer that says what became of it.
    pub(crate) maybe: u32,
}

/// Somebody who listens to a session.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) session: Option<SessionId>,
    /// Counts the times that they began anew somewhere.
    pub(crate) round: u64,
    /// Where they began.
    pub(crate) from: u64,
    /// All that they heard after that.
    pub(crate) heard: Vec<Arc<Event>>,
    /// They were told that the session is gone.
    pub(crate) is_over: bool,
}

impl Book {
    /// A word that nobody used yet.
    pub(crate) fn word(&mut self) -> String {
        self.words += 1;
        format!("{WORD}{}-", self.words)
    }

    pub(crate) fn acknowledged(&mut self, word: &str, receipt: &Receipt) {
        let request = self.requests.entry(word.to_owned()).or_default();
        request.session = Some(receipt.session);
        request.acks.push((receipt.first.0, receipt.head.0, receipt.repeated));
        self.knows(receipt.session);
    }

    pub(crate) fn knows(&mut self, session: SessionId) {
        if !self.sessions.contains(&session) {
            self.sessions.push(session);
        }
    }

    pub(crate) fn unheard(&mut self, word: &str) {
        self.requests.entry(word.to_owned()).or_default().maybe += 1;
    }
}

impl Listener {
    /// The last event that they have.
    pub(crate) fn at(&self) -> u64 {
        self.from + self.heard.len() as u64
    }
}
