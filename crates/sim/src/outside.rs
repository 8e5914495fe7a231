//! The outside world, which tools change: it remembers what was done to it,
//! under which idempotency key, and how often.

use std::collections::BTreeMap;

use freehold_runtime::event::INLINE_BYTES_MAX;
use freehold_types::SessionId;

/// One effect in so many has a result that is too large for an event.
const LARGE_EVERY: u64 = 40;

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
    /// Somebody was told that it was not done: starts up to this one will not
    /// do it any more.
    closed: u32,
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

    /// A start of a call arrives, and its effect takes place. A tool that is
    /// idempotent does nothing the second time. `None` is one that is not done
    /// any more.
    pub(crate) fn arrived(&mut self, key: &str, attempt: u32, idempotent: bool) -> Option<String> {
        self.count += 1;
        let effect = self.effects.entry(key.to_owned()).or_default();
        if attempt <= effect.closed {
            return None;
        }
        if !(idempotent && effect.runs > 0) {
            effect.runs += 1;
            let mut result = format!("effect {}", self.count);
            if self.count.is_multiple_of(LARGE_EVERY) {
                result.push_str(&".".repeat(INLINE_BYTES_MAX));
            }
            effect.results.push(result);
        }
        effect.results.last().cloned()
    }

    /// Somebody asks by key; what was not done by then never will be, but by a
    /// later start.
    pub(crate) fn asked(&mut self, key: &str, attempt: u32) -> Option<String> {
        let effect = self.effects.entry(key.to_owned()).or_default();
        if effect.runs == 0 {
            effect.closed = effect.closed.max(attempt);
        }
        effect.results.last().cloned()
    }
}
