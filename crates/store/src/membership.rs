//! A node's own heart, and its watch over those of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold_types::{Db, DbError, Env, NodeId};

use crate::nodes::{self, Node};

/// Nodes that are read at once.
const PAGE: u32 = 1_000;

/// How nodes watch each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipOptions {
    /// Between two beats, and two looks at those of the others.
    pub beat_every: Duration,
    /// How long a heart may stand still, by the watcher's own clock, before
    /// its node is called dead.
    pub dead_after: Duration,
}

impl Default for MembershipOptions {
    fn default() -> Self {
        Self { beat_every: Duration::from_millis(500), dead_after: Duration::from_millis(2_500) }
    }
}

/// This node among the others. Who it is changes if the others have called it
/// dead meanwhile: it then holds nothing any more, and begins another life.
pub struct Membership {
    db: Arc<dyn Db>,
    env: Arc<dyn Env>,
    options: MembershipOptions,
    name: Arc<str>,
    address: Arc<str>,
    state: Mutex<State>,
}

struct State {
    me: NodeId,
    seen: BTreeMap<NodeId, Seen>,
    /// On our monotonic clock.
    looked_at: Duration,
    /// When the last beat was sent that arrived, on the same clock.
    beaten_at: Duration,
    /// Since when no other can have called this one dead.
    sure_since: Duration,
    left: bool,
}

/// The last that was seen of a node.
struct Seen {
    node: Node,
    /// How long its count has not moved while we looked, on our own clock.
    still_for: Duration,
}

impl Membership {
    /// Joins the others. Nobody is called dead before it was watched for
    /// [`MembershipOptions::dead_after`].
    pub async fn join(
        db: Arc<dyn Db>,
        env: Arc<dyn Env>,
        options: MembershipOptions,
        name: Arc<str>,
        address: Arc<str>,
    ) -> Result<Self, DbError> {
        let me = NodeId::new(&*env);
        let now = env.monotonic();
        let state = Mutex::new(State {
            me,
            seen: BTreeMap::new(),
            looked_at: now,
            beaten_at: now,
            sure_since: now,
            left: false,
        });
        let membership = Self { db, env, options, name, address, state };
        membership.enter(me).await?;
        membership.look().await?;
        Ok(membership)
    }

    /// Who this is now.
    pub fn me(&self) -> NodeId {
        self.state().me
    }

    /// How often [`Membership::beat`] is to be called.
    pub fn beat_every(&self) -> Duration {
        self.options.beat_every
    }

    /// One beat, and a look at the others. Tells whether this is still the
    /// same life; if not, what was done in the one before is over.
    pub async fn beat(&self) -> Result<bool, DbError> {
        let me = self.me();
        if self.state().left {
            return Ok(true);
        }
        let sent_at = self.env.monotonic();
        let same = match self.db.write(nodes::beat(me)).await {
            Ok(_) => {
                self.beaten(sent_at);
                true
            }
            Err(DbError::GuardFailed { .. }) => {
                let anew = NodeId::new(&*self.env);
                self.enter(anew).await?;
                let now = self.env.monotonic();
                let mut state = self.state();
                state.me = anew;
                (state.beaten_at, state.sure_since) = (sent_at, now);
                false
            }
            Err(error) => return Err(error),
        };
        self.look().await?;
        Ok(same)
    }

    /// Whether no other node can have called this one dead since then, on our
    /// monotonic clock, nor can while something begins that is short. Where it
    /// is false, what this node held may be another's.
    pub fn is_sure_since(&self, then: Duration) -> bool {
        let state = self.state();
        let silent_for = self.env.monotonic().saturating_sub(state.beaten_at);
        state.sure_since <= then && silent_for < self.patience()
    }

    /// The others count from when they see a beat, which is after it was sent;
    /// a beat is left for what is begun meanwhile.
    fn patience(&self) -> Duration {
        self.options.dead_after.saturating_sub(self.options.beat_every)
    }

    fn beaten(&self, sent_at: Duration) {
        let now = self.env.monotonic();
        let mut state = self.state();
        if now.saturating_sub(state.beaten_at) >= self.patience() {
            state.sure_since = now;
        }
        state.beaten_at = sent_at;
    }

    /// All nodes whose hearts beat, this one among them, in order.
    pub fn alive(&self) -> Vec<NodeId> {
        let state = self.state();
        let beats = |seen: &Seen| seen.still_for < self.options.dead_after;
        let others = state.seen.values().filter(|seen| beats(seen) && seen.node.id != state.me);
        let mut alive: Vec<NodeId> = others.map(|seen| seen.node.id).collect();
        alive.push(state.me);
        alive.sort_unstable();
        alive
    }

    /// Where a node is reached whose heart beats; `None` if it does not, or is
    /// not there.
    pub fn address(&self, node: NodeId) -> Option<Arc<str>> {
        let state = self.state();
        let seen = state.seen.get(&node)?;
        let beats = seen.still_for < self.options.dead_after;
        beats.then(|| Arc::clone(&seen.node.address))
    }

    /// All nodes that are there, dead ones too until they are forgotten.
    pub fn all(&self) -> BTreeSet<NodeId> {
        let state = self.state();
        state.seen.keys().copied().chain([state.me]).collect()
    }

    /// Nodes whose hearts have stood still for this long, at the least for
    /// [`MembershipOptions::dead_after`].
    pub fn dead(&self, still_for: Duration) -> Vec<Node> {
        let state = self.state();
        let still_for = still_for.max(self.options.dead_after);
        let others = state.seen.values().filter(|seen| seen.node.id != state.me);
        others.filter(|seen| seen.still_for >= still_for).map(|seen| seen.node.clone()).collect()
    }

    /// Whether a node was not there at the last look. One that was found to
    /// hold something before that look then holds it as a dead one, for nodes
    /// join before they take anything.
    pub fn is_missing(&self, node: NodeId) -> bool {
        let state = self.state();
        node != state.me && !state.seen.contains_key(&node)
    }

    /// Looks at all nodes.
    pub async fn look(&self) -> Result<(), DbError> {
        let mut found: Vec<Node> = Vec::new();
        loop {
            let page = nodes::list(&*self.db, found.last().map(|node| node.id), PAGE).await?;
            let more = page.len() == PAGE as usize;
            found.extend(page);
            if !more {
                break;
            }
        }
        let now = self.env.monotonic();
        let mut state = self.state();
        // Who did not look for long, because it was paused or the store was
        // away, cannot tell whether the others could beat meanwhile.
        let watched = now.saturating_sub(state.looked_at).min(self.options.beat_every * 2);
        state.looked_at = now;
        let mut before = std::mem::take(&mut state.seen);
        for node in found {
            let known = before.remove(&node.id).filter(|seen| seen.node.beat == node.beat);
            let still_for = known.map_or(Duration::ZERO, |seen| seen.still_for + watched);
            state.seen.insert(node.id, Seen { node, still_for });
        }
        Ok(())
    }

    /// Leaves the others, who need not wait to call this one dead. It must
    /// hold nothing any more, and does not beat again.
    pub async fn leave(&self) -> Result<(), DbError> {
        let me = self.me();
        self.state().left = true;
        self.look().await?;
        let node = self.state().seen.get(&me).map(|seen| seen.node.clone());
        let Some(node) = node else { return Ok(()) };
        match self.db.write(nodes::forget(&node)).await {
            Ok(_) | Err(DbError::GuardFailed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn enter(&self, id: NodeId) -> Result<(), DbError> {
        let (name, address) = (Arc::clone(&self.name), Arc::clone(&self.address));
        let node = Node { id, name, address, started_at: self.env.now(), beat: 0 };
        crate::settle(&*self.db, nodes::join(&node)).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change above is one that cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
