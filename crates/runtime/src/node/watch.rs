//! Which nodes are alive, by the watcher's own monotonic clock: a heart that
//! has not been seen to beat for the time-to-live is dead. What any node's
//! wall clock says does not matter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_store::nodes::Node;
use freehold_types::NodeId;

use crate::sessions::lock;

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is reached there.
    Alive(Arc<str>),
    /// What it holds is free.
    Dead,
    /// It was not among the nodes when they were looked at last.
    Unknown,
}

/// Watches hearts.
pub(crate) struct Watcher {
    me: NodeId,
    dead_after: Duration,
    seen: Mutex<BTreeMap<NodeId, Seen>>,
}

struct Seen {
    node: Node,
    /// When its beat was first seen.
    since: Duration,
}

impl Watcher {
    pub(crate) fn new(me: NodeId, dead_after: Duration) -> Self {
        Self { me, dead_after, seen: Mutex::default() }
    }

    /// These are all nodes, as they are now.
    pub(crate) fn observe(&self, nodes: &[Node], now: Duration) {
        let mut seen = lock(&self.seen);
        seen.retain(|id, _| nodes.iter().any(|node| node.id == *id));
        for node in nodes {
            match seen.get_mut(&node.id) {
                Some(known) if known.node.beat == node.beat => {}
                _ => {
                    seen.insert(node.id, Seen { node: node.clone(), since: now });
                }
            }
        }
    }

    /// How a node stands; what this node itself holds without a worker is
    /// free, too.
    pub(crate) fn standing(&self, node: NodeId, now: Duration) -> Standing {
        if node == self.me {
            return Standing::Dead;
        }
        match lock(&self.seen).get(&node) {
            None => Standing::Unknown,
            Some(seen) if now.saturating_sub(seen.since) >= self.dead_after => Standing::Dead,
            Some(seen) => Standing::Alive(Arc::clone(&seen.node.address)),
        }
    }

    /// The dead ones.
    pub(crate) fn dead(&self, now: Duration) -> Vec<Node> {
        let seen = lock(&self.seen);
        let dead = seen.values().filter(|seen| {
            seen.node.id != self.me && now.saturating_sub(seen.since) >= self.dead_after
        });
        dead.map(|seen| seen.node.clone()).collect()
    }

    pub(crate) fn forget(&self, node: NodeId) {
        lock(&self.seen).remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::NodeId;
    use jiff::Timestamp;

    use super::*;

    fn node(n: u8, beat: u64) -> Node {
        let id = NodeId::from_parts(Timestamp::UNIX_EPOCH, &[n; 10]);
        let started_at = Timestamp::UNIX_EPOCH;
        Node { id, name: "n".into(), address: "http://n".into(), started_at, beat }
    }

    #[test]
    fn a_heart_that_does_not_beat_is_dead_by_the_watchers_clock() {
        let (me, other) = (node(1, 0), node(2, 0));
        let watcher = Watcher::new(me.id, Duration::from_secs(2));
        let at = Duration::from_millis;
        assert_eq!(watcher.standing(other.id, at(0)), Standing::Unknown);
        watcher.observe(&[me.clone(), other.clone()], at(1000));
        assert_eq!(watcher.standing(other.id, at(2999)), Standing::Alive("http://n".into()));
        assert_eq!(watcher.standing(other.id, at(3000)), Standing::Dead);
        assert_eq!(watcher.dead(at(3000)), vec![other.clone()]);
        watcher.observe(&[me.clone(), node(2, 1)], at(3000));
        assert_eq!(watcher.standing(other.id, at(4999)), Standing::Alive("http://n".into()));
        watcher.observe(&[me.clone(), node(2, 1)], at(4900));
        assert_eq!(watcher.standing(other.id, at(5000)), Standing::Dead);
        watcher.observe(&[me], at(5000));
        assert_eq!(watcher.standing(other.id, at(5000)), Standing::Unknown);
    }
}
