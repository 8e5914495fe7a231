//! In which order a route's deployments are tried. Pure.

use std::time::Duration;

use crate::options::Strategy;

/// One deployment as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the route.
    pub index: usize,
    /// In proportion to which it is drawn; 0 never draws it first.
    pub weight: u32,
    /// The peak mean of its time to head.
    pub latency: Duration,
    /// Requests under way.
    pub in_flight: u32,
    /// What this request would cost at most, in nano-units; `None` if it has
    /// no price, which counts as dearest.
    pub price: Option<i128>,
    /// Whether its breaker, back-off and credential let it be tried.
    pub healthy: bool,
}

/// The order of attempts: the strategy's among the healthy, then the others
/// as a last resort in their written order. `affinity` (a hash of what shares
/// a prompt prefix) puts one healthy deployment first for all its requests.
/// `chance` is uniform.
pub fn order(
    strategy: Strategy,
    candidates: &[Candidate],
    affinity: Option<u64>,
    chance: u64,
) -> Vec<usize> {
    if let [only] = candidates {
        return vec![only.index];
    }
    let mut healthy: Vec<Candidate> = candidates.iter().copied().filter(|c| c.healthy).collect();
    let mut chance = Chance(chance);
    match strategy {
        Strategy::Ordered => {}
        Strategy::Weighted => shuffle_by_weight(&mut healthy, &mut chance),
        Strategy::Latency => {
            shuffle_by_weight(&mut healthy, &mut chance);
            if let [a, b, ..] = healthy.as_slice()
                && load(b) < load(a)
            {
                healthy.swap(0, 1);
            }
            if let Some(rest) = healthy.get_mut(1..) {
                rest.sort_by_key(load);
            }
        }
        Strategy::Price => healthy.sort_by_key(|c| c.price.unwrap_or(i128::MAX)),
    }
    if let Some(key) = affinity
        && let Some(home) =
            healthy.iter().enumerate().max_by_key(|(_, c)| rendezvous(key, c)).map(|(at, _)| at)
    {
        let home = healthy.remove(home);
        healthy.insert(0, home);
    }
    let sick = candidates.iter().filter(|c| !c.healthy);
    healthy.iter().chain(sick).map(|c| c.index).collect()
}

/// A place without history counts as fast, so that it is tried.
fn load(c: &Candidate) -> u128 {
    c.latency.as_nanos().max(1).saturating_mul(u128::from(c.in_flight) + 1)
}

/// Weighted rendezvous hashing: a deployment that leaves moves only its own
/// keys. Scores compare `-weight / ln(u)`, in integers: u to the power
/// 1/weight orders the same.
fn rendezvous(key: u64, c: &Candidate) -> u64 {
    let mixed = splitmix(key ^ splitmix(c.index as u64 + 1));
    #[expect(clippy::cast_precision_loss, reason = "a hash needs no exact float")]
    let unit = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    let score = unit.powf(1.0 / f64::from(c.weight.max(1)));
    // Positive floats order as their bits do.
    score.to_bits()
}

fn shuffle_by_weight(candidates: &mut [Candidate], chance: &mut Chance) {
    let mut rest = candidates;
    while rest.len() > 1 {
        let total: u64 = rest.iter().map(|c| u64::from(c.weight)).sum();
        let mut drawn = if total == 0 { 0 } else { chance.next() % total };
        let mut at = 0;
        for (n, c) in rest.iter().enumerate() {
            let weight = u64::from(c.weight);
            if drawn < weight {
                at = n;
                break;
            }
            drawn -= weight;
        }
        rest.swap(0, at);
        let Some((_, tail)) = rest.split_first_mut() else { return };
        rest = tail;
    }
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        splitmix(self.0)
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014).
fn splitmix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(n: usize) -> Vec<Candidate> {
        (0..n)
            .map(|index| Candidate {
                index,
                weight: 1,
                latency: Duration::from_millis(100),
                in_flight: 0,
                price: None,
                healthy: true,
            })
            .collect()
    }

    #[test]
    fn ordered_puts_the_sick_last() {
        let mut all = candidates(3);
        all[0].healthy = false;
        assert_eq!(order(Strategy::Ordered, &all, None, 1), [1, 2, 0]);
    }

    #[test]
    fn weights_are_kept() {
        let mut all = candidates(3);
        all[0].weight = 3;
        all[2].weight = 0;
        let mut first = [0_u32; 3];
        for chance in 0..4_000 {
            first[order(Strategy::Weighted, &all, None, splitmix(chance))[0]] += 1;
        }
        assert!((2_850..3_150).contains(&first[0]), "{first:?}");
        assert_eq!(first[2], 0);
    }

    #[test]
    fn latency_leaves_the_slow_and_the_busy() {
        let mut all = candidates(2);
        all[0].latency = Duration::from_secs(1);
        all[1].in_flight = 3;
        for chance in 0..100 {
            assert_eq!(order(Strategy::Latency, &all, None, chance)[0], 1);
        }
        all[1].in_flight = 20;
        assert_eq!(order(Strategy::Latency, &all, None, 5)[0], 0);
    }

    #[test]
    fn price_puts_the_unpriced_last() {
        let mut all = candidates(3);
        all[1].price = Some(5);
        all[2].price = Some(3);
        assert_eq!(order(Strategy::Price, &all, None, 1), [2, 1, 0]);
    }

    #[test]
    fn affinity_is_sticky_and_moves_only_the_lost() {
        let mut all = candidates(4);
        let homes: Vec<usize> =
            (0..400).map(|k| order(Strategy::Weighted, &all, Some(k), k)[0]).collect();
        for (k, home) in homes.iter().enumerate() {
            assert_eq!(order(Strategy::Weighted, &all, Some(k as u64), 77)[0], *home);
        }
        all[2].healthy = false;
        for (k, home) in homes.iter().enumerate() {
            let now = order(Strategy::Weighted, &all, Some(k as u64), 9)[0];
            assert!(now == *home || *home == 2);
        }
        assert!((0..4).all(|d| homes.iter().filter(|h| **h == d).count() > 60));
    }
}
