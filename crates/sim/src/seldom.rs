//! What clients do now and then: budgets and pins, forks, rewinds, deletions.

use std::sync::Arc;

use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Fact, Limits, Scope};
use freehold_runtime::sessions::{Error, Sessions};
use freehold_types::{Offset, SessionId};

use crate::clients::{Client, by};
use crate::net;
use crate::setup::node_at;
use crate::world::lock;

/// How often a session is followed to the node that has it.
const TRIES: u32 = 4;
/// More sessions than drawn that forks may make.
const FORKS: usize = 2;

impl Client {
    /// What is seldom done.
    pub(crate) async fn odd(&mut self, session: SessionId) {
        let Some(state) = self.view(session).await else { return };
        let timer = state.timers.first().map(|timer| timer.id);
        let pinned = state.pins.first().copied();
        let cue = match self.random.below(6) {
            0 => Cue::Compact,
            1 => {
                let spans = state.context.up_to(state.head);
                Cue::Pin { at: spans.first().map_or(state.head, |span| span.from) }
            }
            5 => match pinned {
                Some(at) => Cue::Unpin { at },
                None => return,
            },
            2 => Cue::RaiseBudget {
                scope: Scope::Session,
                limits: Limits { steps: Some(self.random.between(1, 16)), ..Limits::default() },
            },
            3 => Cue::Due,
            _ => match timer {
                Some(timer) => Cue::CancelTimer { timer },
                None => return,
            },
        };
        let _ = self.give(session, vec![cue], None, None).await;
    }

    pub(crate) async fn delete(&mut self, session: SessionId) {
        let tenant = self.world.tenant.clone();
        let send = move |sessions: Arc<Sessions>| {
            let tenant = tenant.clone();
            net::boxed(async move { sessions.delete(&tenant, session).await })
        };
        lock(&self.world.book).maybe_deleted.insert(session);
        let deleted = net::call(&self.world, &mut self.random, self.node, false, send).await;
        if let Some(Ok(())) = deleted {
            let mut book = lock(&self.world.book);
            book.deleted.insert(session);
            book.sessions.retain(|known| *known != session);
            drop(book);
            self.world.count("session deleted");
        }
    }

    /// Forks a session, rewinds it, or has it deleted.
    pub(crate) async fn branch(&mut self, session: SessionId) {
        let sessions = lock(&self.world.book).sessions.len();
        match self.random.below(6) {
            0 => self.delete(session).await,
            1..=2 if sessions < self.world.setup.sessions + FORKS => {
                let Some(state) = self.view(session).await else { return };
                let at = Offset(self.random.between(1, state.head.0));
                let _ = self.fork(session, at).await;
            }
            _ => self.rewind(session).await,
        }
    }

    /// Forks a session; the fork, if it is heard of.
    pub(crate) async fn fork(&mut self, session: SessionId, at: Offset) -> Option<SessionId> {
        let tenant = self.world.tenant.clone();
        let send = move |sessions: Arc<Sessions>| {
            let tenant = tenant.clone();
            net::boxed(async move { sessions.fork(&tenant, session, at, by(), None, None).await })
        };
        let receipt = self.told(send).await?;
        let mut book = lock(&self.world.book);
        book.forked.push((session, receipt.session, at.0));
        book.knows(receipt.session);
        Some(receipt.session)
    }

    /// Has done what only the node does that has the session; what came of it,
    /// if that is heard.
    async fn told<T: Send + 'static>(
        &mut self,
        send: impl Fn(Arc<Sessions>) -> net::Answer<Result<T, Error>> + Send + Sync + 'static,
    ) -> Option<T> {
        let send = Arc::new(send);
        for _ in 0..TRIES {
            let again = Arc::clone(&send);
            let send = move |sessions| again(sessions);
            match net::call(&self.world, &mut self.random, self.node, false, send).await? {
                Ok(receipt) => return Some(receipt),
                Err(Error::Elsewhere { address }) => {
                    self.node = node_at(&address).unwrap_or(self.node);
                }
                Err(error) => {
                    self.never(&error);
                    return None;
                }
            }
        }
        None
    }

    /// Rewinds a session to the end of one of its turns.
    pub(crate) async fn rewind(&mut self, session: SessionId) {
        let tenant = self.world.tenant.clone();
        let read = move |sessions: Arc<Sessions>| {
            let tenant = tenant.clone();
            let all = (Offset::START, Offset(u64::MAX >> 1));
            net::boxed(async move { sessions.read(&tenant, session, all.0, all.1, 256).await })
        };
        let read = net::call(&self.world, &mut self.random, self.node, false, read).await;
        let Some(Ok(events)) = read else { return };
        let ends = events.iter().filter(|event| matches!(event.fact, Fact::TurnEnded(_)));
        let ends: Vec<Offset> = ends.map(|event| event.offset).collect();
        let Some(to) = self.random.pick(&ends) else { return };
        let tenant = self.world.tenant.clone();
        let send = move |sessions: Arc<Sessions>| {
            let tenant = tenant.clone();
            net::boxed(async move { sessions.rewind(&tenant, session, to, by()).await })
        };
        let _ = self.told(send).await;
    }
}
