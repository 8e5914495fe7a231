//! What a turn does, written in the input that begins it, so that the model
//! needs no memory: `job NAME do i,qU end 12`.
//!
//! A step is the calls of one answer: `i` the idempotent tool, `q` the one that
//! can be asked by key, `p` the plain one; capitals for slow ones; `c` the
//! client's own, `w` a wait of a second or two. After the last step comes a
//! text of so many words.

use crate::chance::Chance;

/// The turn of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Names the input among all.
    pub(crate) name: String,
    /// The calls of each answer.
    pub(crate) steps: Vec<String>,
    /// Words of the last answer.
    pub(crate) words: u64,
}

impl Plan {
    /// A plan by chance.
    pub(crate) fn new(name: String, chance: &mut Chance) -> Self {
        Self::of(name, chance, &['i', 'q', 'p', 'i', 'q', 'I', 'Q', 'P'])
    }

    /// A plan of such calls by chance.
    pub(crate) fn of(name: String, chance: &mut Chance, letters: &[char]) -> Self {
        let steps = (0..chance.below(4)).map(|_| {
            let calls = 1 + chance.below(3);
            (0..calls).map(|_| chance.pick(letters, 'i')).collect()
        });
        let steps = steps.collect();
        Self { name, steps, words: 4 + chance.below(30) }
    }

    /// As an input says it.
    pub(crate) fn text(&self) -> String {
        let steps = self.steps.join(",");
        let steps = if steps.is_empty() { "-" } else { &steps };
        format!("job {} do {steps} end {}", self.name, self.words)
    }

    /// Finds the last plan in a text.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let rest = text.rsplit_once("job ")?.1;
        let mut words = rest.split_whitespace();
        let name = words.next()?.to_owned();
        let steps = words.nth(1)?;
        let end = words.nth(1)?;
        let end = end.trim_end_matches(|c: char| !c.is_ascii_digit());
        let steps =
            if steps == "-" { Vec::new() } else { steps.split(',').map(str::to_owned).collect() };
        Some(Self { name, steps, words: end.parse().ok()? })
    }

    /// What tells one call from all others.
    pub(crate) fn mark(&self, step: usize, call: usize) -> String {
        format!("{}.{step}.{call}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        for seed in 0..50 {
            let plan = Plan::new("S1-2".into(), &mut Chance::new(seed));
            assert_eq!(Plan::find(&plan.text()), Some(plan));
        }
        assert_eq!(Plan::find("job of a baker"), None);
    }
}
