//! Keys that nobody here knows, because they were made elsewhere just now, or
//! never.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold_types::Code;
use tokio::sync::Semaphore;

use crate::identity::{KeyHash, Principal};
use crate::{Control, Refusal};

/// How long a caller with an unknown key may wait for the store.
const WAIT: Duration = Duration::from_millis(500);
/// Callers that may wait at once; they ask one after the other.
const WAITING: usize = 64;
/// Questions to the store each second, and at once after a silence.
const PER_SECOND: u32 = 20;
const AT_ONCE: u32 = 40;
/// Hashes of each of two generations that are known to be nobody's.
const REMEMBERED: usize = 4_096;

/// What keeps those who make keys up from the store.
pub(crate) struct Unknown {
    waiting: Semaphore,
    /// Held by the one who asks.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// Nobody's, as the store has said. The older ones are forgotten when
    /// there are enough younger ones.
    nobodys: HashSet<KeyHash>,
    older: HashSet<KeyHash>,
    /// Questions that may be asked at this moment, in thousandths.
    questions: u32,
    /// When that was counted, on the monotonic clock.
    counted_at: Duration,
}

impl Default for Unknown {
    fn default() -> Self {
        let (nobodys, older, counted_at) = (HashSet::new(), HashSet::new(), Duration::ZERO);
        let state = State { nobodys, older, questions: AT_ONCE * 1_000, counted_at };
        Self {
            waiting: Semaphore::new(WAITING),
            asking: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        }
    }
}

impl Unknown {
    fn is_nobodys(&self, hash: KeyHash) -> bool {
        let state = self.state();
        state.nobodys.contains(&hash) || state.older.contains(&hash)
    }

    fn remember(&self, hash: KeyHash) {
        let mut state = self.state();
        if state.nobodys.len() >= REMEMBERED {
            state.older = std::mem::take(&mut state.nobodys);
        }
        state.nobodys.insert(hash);
    }

    /// Whether one more question may be asked now; counts it if so.
    fn may_ask(&self, now: Duration) -> bool {
        let mut state = self.state();
        let passed_ms = now.saturating_sub(state.counted_at).as_millis();
        let gained = u32::try_from(passed_ms).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
        state.questions = state.questions.saturating_add(gained).min(AT_ONCE * 1_000);
        state.counted_at = now;
        let may = state.questions >= 1_000;
        if may {
            state.questions -= 1_000;
        }
        may
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change above is one that cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Like [`Control::authenticate`], but a key that nobody here knows is
    /// looked up in a store that others use, too. That takes half a second at
    /// the most, and the store is asked a bounded number of times whatever is
    /// presented: what it does not have is remembered.
    pub async fn authenticate_anywhere(&self, presented: &str) -> Result<Arc<Principal>, Refusal> {
        let refusal = match self.authenticate(presented) {
            Err(refusal) if refusal.code == Code::KeyUnknown => refusal,
            known => return known,
        };
        let (Some(unknown), Some(hash)) = (&self.unknown, KeyHash::of(presented)) else {
            return Err(refusal);
        };
        if unknown.is_nobodys(hash) {
            return Err(refusal);
        }
        let Ok(_place) = unknown.waiting.try_acquire() else { return Err(refusal) };
        tokio::select! {
            () = self.look_up(unknown, hash) => {}
            () = self.env.sleep(WAIT) => {}
        }
        self.authenticate(presented)
    }

    /// Takes the key up if the store has it. If the store does not answer, the
    /// key stays unknown for now.
    async fn look_up(&self, unknown: &Unknown, hash: KeyHash) {
        let _asking = unknown.asking.lock().await;
        // Another one may have found it meanwhile.
        let known = self.snapshot.knows(hash) || unknown.is_nobodys(hash);
        if known || !unknown.may_ask(self.env.monotonic()) {
            return;
        }
        match freehold_store::keys::find(&*self.db, &hash.0).await {
            Ok(Some(_)) => drop(self.reload().await),
            Ok(None) => unknown.remember(hash),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_bounded_by_time() {
        let unknown = Unknown::default();
        let asked = |now_ms| {
            let now = Duration::from_millis(now_ms);
            (0..1_000).filter(|_| unknown.may_ask(now)).count()
        };
        assert_eq!(asked(0), AT_ONCE as usize);
        assert_eq!(asked(49), 0);
        assert_eq!(asked(1_000), PER_SECOND as usize);
        assert_eq!(asked(u64::MAX / 2_000), AT_ONCE as usize, "a silence earns no more");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_youngest_stay() {
        let unknown = Unknown::default();
        let hash = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            KeyHash(bytes)
        };
        for n in 0..20_000 {
            unknown.remember(hash(n));
        }
        let state = unknown.state();
        assert!(state.nobodys.len() + state.older.len() <= 2 * REMEMBERED);
        drop(state);
        assert!(unknown.is_nobodys(hash(19_999)) && unknown.is_nobodys(hash(19_999 - 4_000)));
        assert!(!unknown.is_nobodys(hash(0)));
    }
}
