//! Whether everything is accounted for: inputs, turns, effects, streams.

use std::collections::BTreeMap;

use crate::chance::digest;
use crate::cluster::Cluster;
use crate::journal::{Call, Journal};
use crate::payments::Payment;
use crate::report::Report;
use crate::world::Seen;

/// Looks at all sessions and all payments.
pub(crate) fn judge(
    cluster: &Cluster,
    seen: &[Seen],
    payments: &BTreeMap<String, Payment>,
    report: &mut Report,
) {
    let mut calls = BTreeMap::new();
    for one in seen {
        report.sessions += 1;
        if one.session.is_empty() {
            continue;
        }
        match Journal::read(cluster, &one.session) {
            Ok(journal) => {
                session(one, &journal, report);
                calls.extend(journal.calls);
            }
            Err(error) => report.note(|report| &mut report.lost, format!("{error:#}")),
        }
    }
    effects(payments, &calls, report);
    for (key, call) in &calls {
        let paid = payments.get(key).is_some_and(|payment| payment.effects > 0);
        if call.outcome == "ok" && !paid && call.tool.starts_with("pay__") {
            report.note(|report| &mut report.invented, format!("{key} says ok, nothing was paid"));
        }
        report.unknown += u64::from(call.outcome == "unknown");
    }
    report.calls += calls.len() as u64;
}

fn session(seen: &Seen, journal: &Journal, report: &mut Report) {
    let id = &seen.session;
    for input in &seen.inputs {
        report.inputs += 1;
        let found = journal.inputs(&input.name);
        let right = found.iter().any(|at| input.within.contains(at));
        if found.is_empty() || !right {
            let note = format!("{id}: input {} at {:?} is at {found:?}", input.name, input.within);
            report.note(|report| &mut report.lost, note);
        } else if found.len() > 1 {
            let note = format!("{id}: input {} is at {found:?}", input.name);
            report.note(|report| &mut report.inputs_doubled, note);
        }
        for at in found.iter().filter(|at| !journal.taken.contains(at)) {
            let note = format!("{id}: input {} at {at} was never taken", input.name);
            report.note(|report| &mut report.stuck, note);
        }
    }
    report.turns += journal.started as u64;
    if journal.started != journal.ended.len() || !seen.finished {
        let last = journal.events.last().map(|event| event["kind"].to_string());
        let note = format!(
            "{id}: {} turns began, {} ended; the last event is {}, {}",
            journal.started,
            journal.ended.len(),
            journal.events.len(),
            last.unwrap_or_default()
        );
        report.note(|report| &mut report.stuck, note);
    }
    for reason in journal.ended.iter().filter(|reason| *reason != "done") {
        report.note(|report| &mut report.ended_badly, format!("{id}: a turn ended: {reason}"));
    }
    for (at, (told, event)) in seen.events.iter().zip(&journal.events).enumerate() {
        if *told != digest(event) {
            let note = format!("{id}: something else was told than {}, which is {event}", at + 1);
            report.note(|report| &mut report.differs, note);
            break;
        }
    }
    if seen.events.len() > journal.events.len() {
        let note = format!("{id}: told {} events of {}", seen.events.len(), journal.events.len());
        report.note(|report| &mut report.differs, note);
    }
}

/// Each effect is one of a call that says so, or says that it does not know.
fn effects(
    payments: &BTreeMap<String, Payment>,
    calls: &BTreeMap<String, Call>,
    report: &mut Report,
) {
    let mut by_mark: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (key, payment) in payments {
        if payment.effects == 0 {
            continue;
        }
        report.effects += u64::from(payment.effects);
        *by_mark.entry((&payment.tool, &payment.mark)).or_default() += payment.effects;
        let call = calls.get(key);
        let known = call
            .is_some_and(|call| call.observed && matches!(call.outcome.as_str(), "ok" | "unknown"));
        if !known {
            let note = format!("{key} ({}) took effect; its call is {call:?}", payment.mark);
            report.note(|report| &mut report.unaccounted, note);
        }
    }
    for ((tool, mark), count) in by_mark.into_iter().filter(|(_, count)| *count > 1) {
        let note = format!("{mark} of {tool} took effect {count} times");
        match tool {
            "idem" => report.note(|report| &mut report.doubled_idempotent, note),
            "query" => report.note(|report| &mut report.doubled_by_key, note),
            _ => report.note(|report| &mut report.doubled_plain, note),
        }
    }
}
