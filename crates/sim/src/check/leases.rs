//! One writer a session, and no session taken from who lives: seen at the
//! moment at which each unit takes effect.

use std::collections::BTreeMap;

use freehold_store::sessions::{self, Session};
use freehold_types::{NodeId, SessionId, Unit};

use crate::journal::at_once;
use crate::setup::{BEAT_EVERY, DEAD_AFTER};
use crate::story::{events_of, session_of, short, text};
use crate::world::{World, lock};

/// What units showed so far.
#[derive(Default)]
pub(crate) struct Leases {
    nodes: BTreeMap<NodeId, Life>,
    sessions: BTreeMap<SessionId, Seen>,
}

/// One life of a node.
struct Life {
    machine: usize,
    beat_at: u64,
    /// Its heart stood still for so long that it may be taken for dead.
    may_be_dead: bool,
}

/// A session as its row had it last.
#[derive(Clone, Copy)]
struct Seen {
    epoch: u64,
    head: u64,
    node: Option<NodeId>,
    is_deleted: bool,
}

/// A unit of a machine's took effect just now.
pub(crate) fn took_effect(world: &World, machine: usize, unit: &Unit) {
    let now = world.clock.now();
    let mut leases = lock(&world.leases);
    match unit.label() {
        "nodes.join" | "nodes.beat" | "nodes.forget" => leases.heart(unit, machine, now),
        _ => {
            let session = session_of(unit).and_then(|text| text.parse().ok());
            if let Some(session) = session {
                let row = at_once(sessions::get(&*world.store, &world.tenant, session));
                let row = row.and_then(Result::ok).flatten();
                let before = leases.sessions.get(&session).and_then(|seen| seen.node);
                let wrong = leases.session(machine, unit, session, row.as_ref(), now);
                let after = leases.sessions.get(&session).and_then(|seen| seen.node);
                drop(leases);
                if let (Some(row), false) = (&row, events_of(unit).is_empty()) {
                    super::steps::added(world, unit, session, row);
                }
                if before.zip(after).is_some_and(|(before, after)| before != after) {
                    world.count("session taken from a dead node");
                }
                for what in wrong {
                    world.wrong(what);
                }
            }
        }
    }
}

impl Leases {
    fn heart(&mut self, unit: &Unit, machine: usize, now: u64) {
        let args = unit.statements().iter().flat_map(|statement| &statement.args);
        let node = args.filter_map(text).find_map(|text| text.parse::<NodeId>().ok());
        let Some(node) = node else { return };
        if unit.label() == "nodes.join" {
            self.nodes.insert(node, Life { machine, beat_at: now, may_be_dead: false });
        } else if let Some(life) = self.nodes.get_mut(&node) {
            let still = unit.label() == "nodes.forget" || is_long(life.beat_at, now);
            life.may_be_dead |= still;
            life.beat_at = now;
        }
    }

    fn session(
        &mut self,
        machine: usize,
        unit: &Unit,
        session: SessionId,
        row: Option<&Session>,
        now: u64,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = session.to_string();
        let name = short(&name);
        let before = self.sessions.get(&session).copied();
        let added = events_of(unit).len() as u64;
        let Some(row) = row else {
            if added > 0 && before.is_some_and(|before| before.is_deleted) {
                wrong.push(format!("n{machine} adds events to the deleted session {name}"));
            }
            let gone = Seen { epoch: u64::MAX, head: 0, node: None, is_deleted: true };
            self.sessions.insert(session, gone);
            return wrong;
        };
        // A fork is made without a worker, and taken when it is given something.
        let is_birth = unit.label() == "sessions.fork";
        let writer = row.node.and_then(|node| self.nodes.get(&node)).map(|life| life.machine);
        if added > 0 && writer != Some(machine) && !is_birth {
            wrong.push(format!(
                "n{machine} adds events to {name}, which is in the hands of {writer:?}"
            ));
        }
        if let Some(before) = before {
            if row.head != before.head + added {
                wrong.push(format!(
                    "{added} events moved {name} from {} to {}",
                    before.head, row.head
                ));
            }
            if row.epoch < before.epoch {
                wrong.push(format!("the epoch of {name} fell to {}", row.epoch));
            }
            if added > 0 && row.epoch != before.epoch {
                wrong.push(format!("the epoch of {name} changed in an append"));
            }
            if let (Some(from), Some(to)) = (before.node, row.node)
                && from != to
                && let Some(life) = self.nodes.get(&from)
                && !life.may_be_dead
                && !is_long(life.beat_at, now)
            {
                wrong.push(format!(
                    "n{machine} takes {name} from n{}, whose heart beat {} us ago",
                    life.machine,
                    now - life.beat_at
                ));
            }
        }
        let (epoch, head, node) = (row.epoch, row.head, row.node);
        self.sessions.insert(session, Seen { epoch, head, node, is_deleted: false });
        wrong
    }
}

/// Whether a heart that beat then and not since may be dead to who watched it:
/// a look may be late by two beats, and so may the one before.
fn is_long(beat_at: u64, now: u64) -> bool {
    let late = BEAT_EVERY * 3;
    u128::from(now - beat_at) >= DEAD_AFTER.saturating_sub(late).as_micros()
}
