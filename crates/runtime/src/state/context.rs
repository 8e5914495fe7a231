//! What a model would see: spans of the journal, in the order of its reading.

use freehold_types::Offset;
use serde::{Deserialize, Serialize};

use crate::event::Span;

/// The live context: some spans, then all from `tail` on.
///
/// Of the events in it these are content: `InputAccepted` that is quiet,
/// `InputTaken` (the inputs that it names), `ModelAnswered`, `ModelAborted` with `kept` (its deltas),
/// `ToolObserved` (the outcome that it names), `Rewound` with effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// What is kept of what is before `tail`.
    pub spans: Vec<Span>,
    /// From here on everything.
    pub tail: Offset,
    /// How many tokens it had when a model last saw it, the answer included.
    pub tokens: u64,
}

impl Default for Context {
    fn default() -> Self {
        Self { spans: Vec::new(), tail: Offset::START.next(), tokens: 0 }
    }
}

impl Context {
    /// The context as spans up to `head`.
    pub fn up_to(&self, head: Offset) -> Vec<Span> {
        let mut spans = self.spans.clone();
        if self.tail <= head {
            spans.push(Span { from: self.tail, to: head });
        }
        spans
    }
}

/// Parts spans into what is kept and what is not: kept is all from `cut` on,
/// and the single events of `pins`.
pub(crate) fn part(spans: &[Span], cut: Offset, pins: &[Offset]) -> (Vec<Span>, Vec<Span>) {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for span in spans {
        let mut inside: Vec<Offset> =
            pins.iter().copied().filter(|pin| span.has(*pin) && *pin < cut).collect();
        inside.sort_unstable();
        inside.dedup();
        let mut from = span.from;
        for pin in inside {
            push(&mut dropped, from, pin.before());
            push(&mut kept, pin, pin);
            from = pin.next();
        }
        push(&mut dropped, from, span.to.min(cut.before()));
        push(&mut kept, from.max(cut), span.to);
    }
    (kept, dropped)
}

/// Adds a span that is not empty, joined to its neighbour.
fn push(spans: &mut Vec<Span>, from: Offset, to: Offset) {
    if from > to {
        return;
    }
    match spans.last_mut() {
        Some(last) if last.to.next() == from => last.to = to,
        _ => spans.push(Span { from, to }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(of: &[(u64, u64)]) -> Vec<Span> {
        of.iter().map(|&(from, to)| Span { from: Offset(from), to: Offset(to) }).collect()
    }

    #[test]
    fn what_is_after_the_cut_or_pinned_is_kept() {
        let all = spans(&[(40, 40), (3, 9), (41, 60)]);
        let pins = [Offset(5), Offset(6), Offset(44), Offset(99)];
        let (kept, dropped) = part(&all, Offset(50), &pins);
        assert_eq!(kept, spans(&[(5, 6), (44, 44), (50, 60)]));
        assert_eq!(dropped, spans(&[(40, 40), (3, 4), (7, 9), (41, 43), (45, 49)]));
    }

    #[test]
    fn a_cut_outside_keeps_or_drops_all() {
        let all = spans(&[(3, 9)]);
        assert_eq!(part(&all, Offset(1), &[]), (all.clone(), vec![]));
        assert_eq!(part(&all, Offset(10), &[]), (vec![], all));
    }
}
