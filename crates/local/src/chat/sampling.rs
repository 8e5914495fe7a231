//! From scores to the next token.

use std::collections::BTreeMap;

use freehold_llm::model::{ApiError, Logprob, Request};
use serde_json::Number;

use super::vocab::Vocab;
use crate::error;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    temperature: f32,
    top_p: f32,
    top_k: usize,
    frequency: f32,
    presence: f32,
}

impl Rules {
    /// The request's rules, with the model's own where it says nothing.
    pub(crate) fn of(
        request: &Request,
        temperature: f32,
        top_p: f32,
    ) -> Result<Self, Box<ApiError>> {
        let penalty = |field, value| number(field, value, (-2.0, 2.0), 0.0);
        Ok(Self {
            temperature: number(
                "temperature",
                request.temperature.as_ref(),
                (0.0, 2.0),
                temperature,
            )?,
            top_p: number("top_p", request.top_p.as_ref(), (0.0, 1.0), top_p)?,
            top_k: request.top_k.map_or(0, |k| usize::try_from(k).unwrap_or(0)),
            frequency: penalty("frequency_penalty", request.frequency_penalty.as_ref())?,
            presence: penalty("presence_penalty", request.presence_penalty.as_ref())?,
        })
    }
}

fn number(
    field: &str,
    value: Option<&Number>,
    (low, high): (f64, f64),
    default: f32,
) -> Result<f32, Box<ApiError>> {
    let Some(value) = value else { return Ok(default) };
    let value = value.as_f64().filter(|x| (low..=high).contains(x)).ok_or_else(|| {
        error::invalid(field, format!("{field} is {value}; it goes from {low} to {high}"))
    })?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    Ok(value as f32)
}

/// Draws tokens for one answer.
pub(crate) struct Sampler {
    rules: Rules,
    random: SplitMix,
    seen: BTreeMap<u32, f32>,
    candidates: Vec<(f32, u32)>,
}

/// Candidates this many (scaled) nats below the best are left out of nucleus
/// sampling: together they weigh less than a millionth.
const NEGLIGIBLE: f32 = 25.0;

impl Sampler {
    /// A sampler whose draws are fixed by `seed`.
    pub(crate) fn new(rules: Rules, seed: u64) -> Self {
        Self { rules, random: SplitMix(seed), seen: BTreeMap::new(), candidates: Vec::new() }
    }

    /// Lowers the scores of what was said before.
    pub(crate) fn penalise(&self, scores: &mut [f32]) {
        for (id, count) in &self.seen {
            if let Some(score) = scores.get_mut(*id as usize) {
                *score -= self.rules.frequency * count + self.rules.presence;
            }
        }
    }

    /// Draws a token. Scores of minus infinity are never drawn; `None` where
    /// nothing is left.
    pub(crate) fn draw(&mut self, scores: &[f32]) -> Option<u32> {
        let (best, top) = best(scores)?;
        if self.rules.temperature < 1e-3 || self.rules.top_k == 1 {
            return Some(best);
        }
        let scale = 1.0 / self.rules.temperature;
        self.candidates.clear();
        self.candidates.extend(
            scores
                .iter()
                .zip(0u32..)
                .map(|(score, id)| ((score - top) * scale, id))
                .filter(|(x, _)| *x > -NEGLIGIBLE),
        );
        // By weight, then by id: the order must not depend on anything else.
        self.candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if self.rules.top_k > 0 {
            self.candidates.truncate(self.rules.top_k);
        }
        let mut total = 0.0;
        for (x, _) in &mut self.candidates {
            *x = x.exp();
            total += *x;
        }
        if self.rules.top_p < 1.0 {
            let enough = self.rules.top_p * total;
            let mut sum = 0.0;
            let keep = self.candidates.iter().position(|(x, _)| {
                sum += x;
                sum >= enough
            });
            self.candidates.truncate(keep.map_or(self.candidates.len(), |at| at + 1));
            total = self.candidates.iter().map(|(x, _)| x).sum();
        }
        let mut left = self.random.unit() * total;
        let drawn = self.candidates.iter().find(|(x, _)| {
            left -= x;
            left < 0.0
        });
        drawn.or(self.candidates.first()).map(|(_, id)| *id)
    }

    /// Remembers what was said.
    pub(crate) fn said(&mut self, id: u32) {
        if self.rules.frequency != 0.0 || self.rules.presence != 0.0 {
            *self.seen.entry(id).or_default() += 1.0;
        }
    }
}

/// The first of the best-scored tokens, and its score.
fn best(scores: &[f32]) -> Option<(u32, f32)> {
    let mut best = None;
    for (score, id) in scores.iter().zip(0u32..) {
        if *score > best.map_or(f32::NEG_INFINITY, |(_, top)| top) {
            best = Some((id, *score));
        }
    }
    best
}

/// Sebastiano Vigna's SplitMix64: small, and good enough to draw tokens.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    fn unit(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
        let x = (self.next() >> 40) as f32;
        x / 16_777_216.0
    }
}

/// The logarithm of the probability of `id`, and of the `top` likeliest
/// tokens beside it, from the model's own scores.
pub(crate) fn logprob(scores: &[f32], id: u32, top: usize, vocab: &Vocab) -> Option<Logprob> {
    let (_, most) = best(scores)?;
    let sum: f64 = scores.iter().map(|x| f64::from(x - most).exp()).sum();
    let log = |id: u32| {
        let x = scores.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        f64::from(x - most) - sum.ln()
    };
    let mut ids: Vec<u32> = Vec::new();
    if top > 0 {
        ids = (0u32..).take(scores.len()).collect();
        let by_score = |a: &u32, b: &u32| log(*b).total_cmp(&log(*a)).then(a.cmp(b));
        if top < ids.len() {
            ids.select_nth_unstable_by(top, by_score);
            ids.truncate(top);
        }
        ids.sort_unstable_by(by_score);
    }
    let entry = |id: u32, top: Vec<Logprob>| {
        let bytes = vocab.bytes_of(id);
        Logprob {
            token: String::from_utf8_lossy(bytes).into_owned(),
            // What cannot be said in JSON is as good as never.
            logprob: Number::from_f64(log(id).max(-9999.0)).unwrap_or_else(|| Number::from(-9999)),
            bytes: Some(bytes.to_vec()),
            top,
        }
    };
    let top = ids.into_iter().map(|id| entry(id, Vec::new())).collect();
    Some(entry(id, top))
}

#[cfg(test)]
mod tests {
    use freehold_llm::Dialect;
    use serde_json::json;

    use super::*;

    fn rules(temperature: f32, top_p: f32, top_k: usize) -> Rules {
        Rules { temperature, top_p, top_k, frequency: 0.0, presence: 0.0 }
    }

    #[test]
    fn without_temperature_the_best_is_drawn() {
        let mut sampler = Sampler::new(rules(0.0, 1.0, 0), 1);
        assert_eq!(sampler.draw(&[0.1, 3.0, 2.0, 3.0]), Some(1));
        assert_eq!(sampler.draw(&[f32::NEG_INFINITY; 3]), None);
    }

    #[test]
    fn draws_follow_the_weights_and_the_seed() {
        let scores = [0.0, 1.0f32.ln(), 3.0f32.ln(), f32::NEG_INFINITY];
        let draw = |seed| {
            let mut sampler = Sampler::new(rules(1.0, 1.0, 0), seed);
            (0..4000).filter_map(|_| sampler.draw(&scores)).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
        let share = drawn.iter().filter(|id| **id == 2).count();
        assert!((2300..2500).contains(&share), "{share} of 4000, expected about 2400");
        assert!(!drawn.contains(&3));
    }

    #[test]
    fn nucleus_and_k_cut_the_tail() {
        let scores = [4.0, 3.0, 2.0, 1.0];
        let mut nucleus = Sampler::new(rules(1.0, 0.6, 0), 3);
        assert!((0..200).all(|_| nucleus.draw(&scores) == Some(0)));
        let mut k = Sampler::new(rules(2.0, 1.0, 2), 3);
        assert!((0..200).all(|_| k.draw(&scores).is_some_and(|id| id < 2)));
    }

    #[test]
    fn penalties_lower_what_was_said() {
        let mut sampler =
            Sampler::new(Rules { frequency: 0.5, presence: 1.0, ..rules(0.0, 1.0, 0) }, 1);
        sampler.said(0);
        sampler.said(0);
        let mut scores = [2.0, 0.5];
        sampler.penalise(&mut scores);
        assert!(scores[0].abs() < 1e-6 && (scores[1] - 0.5).abs() < 1e-6, "{scores:?}");
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let mut request = Request::new(Dialect::Chat, "m");
        request.temperature = json!(3).as_number().cloned();
        let error = Rules::of(&request, 0.5, 1.0).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("temperature"));
        request.temperature = json!(0.5).as_number().cloned();
        assert_eq!(Rules::of(&request, 0.1, 0.9).unwrap(), rules(0.5, 0.9, 0));
    }
}
