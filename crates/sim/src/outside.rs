//! The outside world, which tools change: it remembers what was done to it,
//! under which idempotency key, and how often.

use std::collections::BTreeMap;

use freehold_types::SessionId;

/// What tools did.
#[derive(Default)]
pub(crate) struct Outside {
    /// By idempotency key.
    pub(crate) effects: BTreeMap<String, Effect>,
    count: u64,
}

/// What was done under one idempotency key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effect {
    /// By which tool.
    pub(crate) tool: String,
    pub(crate) session: Option<SessionId>,
    /// How often it was done.
    pub(crate) runs: u32,
    /// What the tool says of each time.
    pub(crate) results: Vec<String>,
    /// Somebody was told that it was not done: from then on it is not.
    is_closed: bool,
    /// Each time that a node sent it: the start, and the session's last event
    /// by then.
    pub(crate) sent: Vec<(u32, u64)>,
}

impl Outside {
    /// A node sends a call on its way.
    pub(crate) fn sent(
        &mut self,
        key: &str,
        tool: &str,
        session: SessionId,
        attempt: u32,
        head: u64,
    ) {
        let effect = self.effects.entry(key.to_owned()).or_default();
        tool.clone_into(&mut effect.tool);
        effect.session = Some(session);
        effect.sent.push((attempt, head));
    }

    /// A call arrives, and its effect takes place. A tool that is idempotent
    /// does nothing the second time. `None` is one that is not done any more.
    pub(crate) fn arrived(&mut self, key: &str, idempotent: bool) -> Option<String> {
        self.count += 1;
        let effect = self.effects.entry(key.to_owned()).or_default();
        if effect.is_closed {
            return None;
        }
        if !(idempotent && effect.runs > 0) {
            effect.runs += 1;
            effect.results.push(format!("effect {}", self.count));
        }
        effect.results.last().cloned()
    }

    /// Somebody asks by key; what was not done by then never will be, but by
    /// another start.
    pub(crate) fn asked(&mut self, key: &str) -> Option<String> {
        let effect = self.effects.entry(key.to_owned()).or_default();
        if effect.runs == 0 {
            effect.is_closed = true;
        }
        effect.results.last().cloned()
    }

    /// A later start of a call that was said not to be done.
    pub(crate) fn reopened(&mut self, key: &str) {
        if let Some(effect) = self.effects.get_mut(key) {
            effect.is_closed = false;
        }
    }
}
