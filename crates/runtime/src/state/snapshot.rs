//! A state as bytes, from which recovery begins.

use serde::{Deserialize, Serialize};

use super::State;

/// The version that is written. A snapshot of another one is not upcast: it
/// is thrown away, and the journal is folded instead.
pub const SNAPSHOT_VERSION: u32 = 2;

/// The most bytes of a snapshot. The bounds of a state's parts keep it below.
pub const SNAPSHOT_BYTES_MAX: usize = 32 * 1024;

/// Bytes that are no snapshot of this version, or a state that is none. Fold
/// the journal instead.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// More than a snapshot can have.
    #[error("a snapshot of {0} bytes; the most is {SNAPSHOT_BYTES_MAX}")]
    TooLarge(usize),
    /// Another version wrote it.
    #[error("a snapshot of version {0}; this build reads {SNAPSHOT_VERSION}")]
    Version(u32),
    /// Not the JSON of a snapshot.
    #[error("a snapshot that cannot be read or written")]
    Json(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    state: &'a serde_json::value::RawValue,
}

impl State {
    /// The bytes of a snapshot.
    pub fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        let written = Written { v: SNAPSHOT_VERSION, state: self };
        let bytes = serde_json::to_vec(&written).map_err(SnapshotError::Json)?;
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// The state of which these are the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let read: Read<'_> = serde_json::from_slice(bytes).map_err(SnapshotError::Json)?;
        if read.v != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version(read.v));
        }
        serde_json::from_str(read.state.get()).map_err(SnapshotError::Json)
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::{ApprovalId, CallId, Money, Offset, TimerId, TurnId};
    use jiff::Timestamp;

    use super::*;
    use crate::event::{
        Busy, CancelReason, Deciders, Hash, Labels, LimitKind, Limits, Name, Place, Purpose,
        Question, Repeat, RetryRule, Scope, Span, Text, Usage, Verdict,
    };
    use crate::state::{
        Approval, CALLS_MAX, Call, Cancel, Context, DECIDED_MAX, Decided, ModelAttempt, PINS_MAX,
        QUEUE_MAX, Queued, SPANS_MAX, Status, TIMERS_MAX, Timer, Turn,
    };

    const FAR: Offset = Offset(u64::MAX);

    fn late() -> Timestamp {
        "9999-12-29T01:02:03.123456789Z".parse().unwrap()
    }

    /// A name that needs an escape for each of its bytes.
    fn name() -> Name {
        Name::new(&"\"".repeat(64)).unwrap()
    }

    fn usage() -> Usage {
        Usage { input: u64::MAX, output: u64::MAX, cost: Money::MAX }
    }

    fn limits() -> Limits {
        let most = Some(u64::MAX);
        Limits { steps: most, tokens: most, cost: Some(Money::MAX), active_ms: most }
    }

    fn call() -> Call {
        Call {
            id: CallId::from_parts(late(), &[9; 10]),
            intended: FAR,
            answer: FAR,
            tool: name(),
            args: Hash::of(b""),
            bound: Hash::of(b""),
            retry: RetryRule::QueryByKey,
            attempts_max: u32::MAX,
            timeout_ms: u64::MAX,
            status: Status::Running {
                place: Place::Worker,
                attempt: u32::MAX,
                deadline: Some(late()),
            },
        }
    }

    fn turn() -> Turn {
        Turn {
            id: TurnId::from_parts(late(), &[9; 10]),
            started: FAR,
            taken: Some(FAR),
            before: vec![Span { from: FAR, to: FAR }; SPANS_MAX],
            limits: limits(),
            usage: usage(),
            steps: u64::MAX,
            active_ms: u64::MAX,
            active_since: Some(late()),
            progress_at: late(),
            effects: u32::MAX,
            performed: u32::MAX,
            owes_answer: false,
            failures: u32::MAX,
            compacted: false,
            model: Some(ModelAttempt {
                asked: FAR,
                purpose: Purpose::Compaction,
                not_before: Some(late()),
            }),
            calls: vec![call(); CALLS_MAX],
            paused: Some((Scope::Session, LimitKind::Tokens)),
            cancel: Some(Cancel { reason: CancelReason::Interrupt(FAR), at: late() }),
        }
    }

    /// Everything at its bound at once, which no journal brings about.
    fn largest() -> State {
        let approval = Approval {
            id: ApprovalId::from_parts(late(), &[9; 10]),
            call: call().id,
            question: Question::Repeat,
            deciders: Deciders::Principal(name()),
            expires: late(),
        };
        let timer = Timer {
            id: TimerId::from_parts(late(), &[9; 10]),
            due: late(),
            repeat: Repeat::Cron(Text::new(&"\"".repeat(64)).unwrap()),
            set: FAR,
            call: Some(call().id),
        };
        let label = |n: u8| Text::new(&format!("{}{n:02}", "\"".repeat(30))).unwrap();
        State {
            head: FAR,
            timeline: u64::MAX,
            sealed: Some(name()),
            limits: limits(),
            usage: usage(),
            steps: u64::MAX,
            active_ms: u64::MAX,
            labels: Labels::new((0..16).map(label)),
            context: Context {
                spans: vec![Span { from: FAR, to: FAR }; SPANS_MAX],
                tail: FAR,
                tokens: u64::MAX,
            },
            pins: vec![FAR; PINS_MAX],
            settings: Some(FAR),
            listed: Some(FAR),
            queue: vec![Queued { at: FAR, busy: Busy::Interrupt, settings: true }; QUEUE_MAX],
            turn: Some(turn()),
            approvals: vec![approval.clone(); CALLS_MAX],
            decided: vec![
                Decided { id: approval.id, verdict: Some(Verdict::Approve) };
                DECIDED_MAX
            ],
            timers: vec![timer; TIMERS_MAX],
        }
    }

    #[test]
    fn the_bounds_of_the_parts_keep_it_below_its_own() {
        let state = largest();
        let bytes = state.encode().unwrap();
        assert_eq!(State::decode(&bytes).unwrap(), state);
    }

    #[test]
    fn another_version_and_damage_are_told_apart() {
        let bytes = State::default().encode().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let newer = text.replace("\"v\":2", "\"v\":3").replace("\"head\"", "\"top\"");
        assert!(matches!(State::decode(newer.as_bytes()), Err(SnapshotError::Version(3))));
        assert!(matches!(State::decode(&bytes[1..]), Err(SnapshotError::Json(_))));
        let large = vec![b' '; SNAPSHOT_BYTES_MAX + 1];
        assert!(matches!(State::decode(&large), Err(SnapshotError::TooLarge(_))));
    }
}
