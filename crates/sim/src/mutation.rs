//! Bugs that are planted on purpose, to see that they are found. They sit in
//! the doors, where statements, answers and rules pass: the code of the house
//! is not touched, and has no line for them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use freehold_runtime::decide::Found;
use freehold_runtime::event::RetryRule;
use freehold_runtime::seal::Place;
use freehold_types::{SessionId, Statement, Unit, Value};
use serde_json::Value as Json;

use crate::env::MachineEnv;
use crate::journal;
use crate::story::{body_of, events_of, is_event, session_of, text};
use crate::world::{World, lock};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Fencing is off: a writer of a past epoch is not refused.
    Unfenced,
    /// A model is told of an outcome before there is one.
    ObservedBeforeOutcome,
    /// A tool that must not be repeated is.
    RepeatsWhatMustNot,
    /// A client's input is acknowledged before it is durable.
    AcknowledgedBeforeDurable,
    /// Listeners hear of a chunk before it is committed.
    ToldBeforeCommit,
    /// A timer fires again after it fired.
    FiresTwice,
    /// A node takes sessions from nodes that live.
    TakesFromTheLiving,
    /// A tool is called before its start is durable.
    DispatchedBeforeDurable,
    /// Idempotency keys are forgotten.
    ForgetsKeys,
    /// A snapshot is kept of events that do not take effect.
    SnapshotFromTheFuture,
    /// A session is let go of without a word about when it is due.
    ForgetsWhatIsDue,
    /// What a session waits for is not to be found beside the journal.
    LosesWaits,
    /// Asked by its key, a tool never knows of a call that ran.
    DeniesWhatRan,
    /// A deleted session still takes events.
    WritesToTheDeleted,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Unfenced,
        Self::ObservedBeforeOutcome,
        Self::RepeatsWhatMustNot,
        Self::AcknowledgedBeforeDurable,
        Self::ToldBeforeCommit,
        Self::FiresTwice,
        Self::TakesFromTheLiving,
        Self::DispatchedBeforeDurable,
        Self::ForgetsKeys,
        Self::SnapshotFromTheFuture,
        Self::ForgetsWhatIsDue,
        Self::LosesWaits,
        Self::DeniesWhatRan,
        Self::WritesToTheDeleted,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// In so many worlds it is found, or something is wrong with the checks.
    pub fn within(self) -> u64 {
        500
    }

    /// What the store gets in place of a unit.
    pub(crate) fn unit(self, unit: &Unit, world: &Arc<World>) -> Unit {
        match self {
            Self::Unfenced => rewritten(unit, "epoch = $4", "epoch >= $4"),
            Self::WritesToTheDeleted => revived(unit),
            Self::ObservedBeforeOutcome => observed_first(unit, world),
            Self::FiresTwice => fires_again(unit, world),
            Self::ForgetsKeys => without(unit, |sql| sql.contains("INTO idempotency_keys")),
            Self::LosesWaits => without(unit, |sql| sql.contains("waits (")),
            Self::ForgetsWhatIsDue => forgets_due(unit),
            Self::SnapshotFromTheFuture => snapshot_alone(unit, world),
            _ => unit.clone(),
        }
    }

    /// Whether a unit is said to be durable before it is tried.
    pub(crate) fn tells_early(self, unit: &Unit) -> bool {
        let has = |kind| events_of(unit).iter().any(|(_, found)| *found == kind);
        match self {
            Self::AcknowledgedBeforeDurable => has("input_accepted"),
            Self::ToldBeforeCommit => has("model_delta"),
            Self::DispatchedBeforeDurable => has("tool_started"),
            _ => false,
        }
    }

    /// Whether a query finds nothing.
    pub(crate) fn hides(self, sql: &str) -> bool {
        self == Self::ForgetsKeys && sql.contains("FROM idempotency_keys")
    }

    /// What becomes of a doubt about a tool, in place of its own rule.
    pub(crate) fn retry(self, rule: RetryRule) -> RetryRule {
        match (self, rule) {
            (Self::RepeatsWhatMustNot, RetryRule::TellUnknown) => RetryRule::Idempotent,
            (_, rule) => rule,
        }
    }

    /// What a tool says of a call.
    pub(crate) fn found(self, found: Found) -> Found {
        match (self, found) {
            (Self::DeniesWhatRan, Found::Ok(_)) => Found::Nothing,
            (_, found) => found,
        }
    }
}

/// The same unit with other statements.
fn with(unit: &Unit, statements: impl IntoIterator<Item = Statement>) -> Unit {
    let mut planted = Unit::new(unit.label());
    for statement in statements {
        planted.push(statement);
    }
    if let Some(proof) = unit.proof() {
        planted.proven_by(proof.sql, proof.args.clone());
    }
    planted
}

fn without(unit: &Unit, gone: impl Fn(&str) -> bool) -> Unit {
    let kept = unit.statements().iter().filter(|statement| !gone(statement.sql));
    with(unit, kept.cloned())
}

/// A statement's text in other words; each is made once.
fn reworded(sql: &'static str, from: &str, to: &str) -> &'static str {
    static WORDS: LazyLock<Mutex<BTreeMap<String, &'static str>>> = LazyLock::new(Mutex::default);
    let text = sql.replace(from, to);
    let mut words = lock(&WORDS);
    if let Some(known) = words.get(&text) {
        return known;
    }
    let kept: &'static str = Box::leak(text.clone().into_boxed_str());
    words.insert(text, kept);
    kept
}

fn rewritten(unit: &Unit, from: &str, to: &str) -> Unit {
    let reword = |statement: &Statement| Statement {
        sql: reworded(statement.sql, from, to),
        ..statement.clone()
    };
    with(unit, unit.statements().iter().map(reword))
}

/// An append does not look whether its session is deleted; nor at its epoch,
/// which a deletion raises.
fn revived(unit: &Unit) -> Unit {
    if events_of(unit).is_empty() {
        return unit.clone();
    }
    let unit = rewritten(unit, "epoch = $4", "epoch >= $4");
    rewritten(&unit, "AND deleted_at IS NULL", "")
}

fn forgets_due(unit: &Unit) -> Unit {
    if unit.label() != "leases.release" {
        return unit.clone();
    }
    let forget = |statement: &Statement| {
        let mut statement = statement.clone();
        if let Some(due) = statement.args.last_mut() {
            *due = Value::I64(None);
        }
        statement
    };
    with(unit, unit.statements().iter().map(forget))
}

/// The snapshot takes effect, whatever becomes of the events that are in it.
fn snapshot_alone(unit: &Unit, world: &Arc<World>) -> Unit {
    let is_snapshot = |sql: &str| sql.contains("INTO snapshots");
    for statement in unit.statements().iter().filter(|statement| is_snapshot(statement.sql)) {
        let mut alone = Unit::new("snapshot");
        alone.push(statement.clone());
        drop(world.store.run(&alone));
    }
    without(unit, is_snapshot)
}

/// Where two events of one call are in one unit, the observation comes first.
fn observed_first(unit: &Unit, world: &Arc<World>) -> Unit {
    let kinds = events_of(unit);
    let at = |kind| kinds.iter().position(|(_, found)| *found == kind);
    let (Some(outcome), Some(observed)) = (at("tool_outcome"), at("tool_observed")) else {
        return unit.clone();
    };
    let Some(mut bodies) = bodies(unit, world) else { return unit.clone() };
    bodies.swap(outcome, observed);
    let kind = |at: usize| kinds.get(at).map_or("", |(_, kind)| *kind);
    let mut names: Vec<&str> = (0..kinds.len()).map(kind).collect();
    names.swap(outcome, observed);
    with_events(unit, world, &bodies, &names)
}

/// A timer that fires is set again, a second later.
fn fires_again(unit: &Unit, world: &Arc<World>) -> Unit {
    let kinds = events_of(unit);
    if !kinds.iter().any(|(_, kind)| *kind == "timer_fired") {
        return unit.clone();
    }
    let Some(mut bodies) = bodies(unit, world) else { return unit.clone() };
    for (body, (_, kind)) in bodies.iter_mut().zip(&kinds) {
        if *kind != "timer_fired" {
            continue;
        }
        if let Ok(mut event) = serde_json::from_slice::<Json>(body) {
            let due = event.pointer("/fact/due").and_then(Json::as_str);
            let again = due.and_then(|due| due.parse::<jiff::Timestamp>().ok());
            let again =
                again.and_then(|at| at.checked_add(jiff::SignedDuration::from_secs(1)).ok());
            if let (Some(again), Some(fact)) = (again, event.pointer_mut("/fact"))
                && fact.get("next").is_none()
                && let Some(fact) = fact.as_object_mut()
            {
                fact.insert("next".into(), again.to_string().into());
            }
            *body = event.to_string().into_bytes();
        }
    }
    let names: Vec<&str> = kinds.iter().map(|(_, kind)| *kind).collect();
    with_events(unit, world, &bodies, &names)
}

/// The plain bodies of a unit's events.
fn bodies(unit: &Unit, world: &Arc<World>) -> Option<Vec<Vec<u8>>> {
    let session: SessionId = session_of(unit)?.parse().ok()?;
    let key = journal::key(world, session)?;
    let events = unit.statements().iter().filter(|statement| is_event(statement.sql));
    events
        .zip(events_of(unit))
        .map(|(statement, (offset, _))| {
            let place = Place::Event(u64::try_from(offset).ok()?);
            key.open(session, place, body_of(statement)?).ok()
        })
        .collect()
}

/// The same unit with these events in place of its own.
fn with_events(unit: &Unit, world: &Arc<World>, bodies: &[Vec<u8>], kinds: &[&str]) -> Unit {
    let Some(session) = session_of(unit).and_then(|text| text.parse::<SessionId>().ok()) else {
        return unit.clone();
    };
    let Some(key) = journal::key(world, session) else { return unit.clone() };
    let env = MachineEnv::nobody(world);
    let mut events = events_of(unit).into_iter().zip(bodies.iter().zip(kinds));
    let planted = unit.statements().iter().map(|statement| {
        let mut statement = statement.clone();
        if !is_event(statement.sql) {
            return statement;
        }
        if let Some(((offset, before), (body, kind))) = events.next() {
            let place = Place::Event(u64::try_from(offset).unwrap_or(0));
            let sealed = key.seal(&env, session, place, body);
            if let Some(last) = statement.args.last_mut() {
                *last = sealed.into();
            }
            for arg in &mut statement.args {
                if text(arg) == Some(before) {
                    *arg = (*kind).into();
                }
            }
        }
        statement
    });
    with(unit, planted.collect::<Vec<_>>())
}
