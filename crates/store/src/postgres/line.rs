//! A worker's connection: opened, lost, opened again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::select;

use super::Shared;
use super::connect::Purpose;
use super::session::Session;

/// Between tries to connect, from the second on.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// So a database that is back is found within about this time.
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection that is there when it can be.
pub(super) struct Line {
    shared: Arc<Shared>,
    purpose: Purpose,
    session: Option<Session>,
    /// Tries to connect that failed in a row.
    failed: u32,
}

impl Line {
    pub(super) fn new(shared: Arc<Shared>, purpose: Purpose) -> Self {
        Self { shared, purpose, session: None, failed: 0 }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Connects, for a worker that has nothing to do yet, however long that
    /// takes. Without a session when the store closes.
    pub(super) async fn idle(&mut self) -> Option<&mut Session> {
        let mut closing = self.shared.closing.subscribe();
        {
            let closed = pin!(closing.wait_for(|closing| *closing));
            let connecting = pin!(async { while !self.try_connect().await {} });
            drop(select(connecting, closed).await);
        }
        self.session.as_mut()
    }

    /// The session, connected again if need be by then.
    pub(super) async fn until(&mut self, late: Duration) -> Option<&Session> {
        // At least one try, however late it is.
        while !self.try_connect().await {
            if self.shared.env.monotonic() >= late {
                return None;
            }
        }
        self.session.as_ref()
    }

    /// The next use needs a new connection.
    pub(super) fn drop_session(&mut self) {
        if self.session.take().is_some() {
            self.shared.counters.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tries once, after the pause that its last failure calls for.
    async fn try_connect(&mut self) -> bool {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return true;
        }
        self.drop_session();
        if self.failed > 0 {
            let pause = self.shared.jittered(self.failed - 1, RECONNECT_MIN, RECONNECT_MAX);
            self.shared.env.sleep(pause).await;
        }
        let Shared { connector, env, answer_timeout, .. } = &*self.shared;
        match Session::open(connector, self.purpose, Arc::clone(env), *answer_timeout).await {
            Ok(session) => {
                self.failed = 0;
                self.session = Some(session);
                self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                self.shared.note_reached(None);
                true
            }
            Err(why) => {
                self.failed = self.failed.saturating_add(1);
                self.shared.note_reached(Some(why));
                false
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.drop_session();
    }
}
