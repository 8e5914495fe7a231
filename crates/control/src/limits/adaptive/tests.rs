//! Simulated upstreams under simulated load, in virtual time.

use std::collections::BinaryHeap;

use super::*;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = u32::try_from(self.0 >> 32).unwrap();
        (f64::from(bits) + 0.5) / 4_294_967_296.0
    }

    /// Time to the next arrival at so many per second.
    fn gap(&mut self, rate: f64) -> f64 {
        -self.roll().ln() / rate
    }

    /// Log-normal around the median.
    fn spread(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.roll().ln()).sqrt() * (std::f64::consts::TAU * self.roll()).cos();
        median * (sigma * normal).exp()
    }
}

/// How the upstream treats what it is given.
#[derive(Clone, Copy)]
enum Upstream {
    /// So many work at once, the others queue, however many.
    Queues(usize),
    /// So many work at once, the others get a 503 at once.
    Refuses(usize),
    /// Everything is worked on at once.
    Endless,
}

#[derive(Default)]
struct Outcome {
    offered: u32,
    refused: u32,
    overloaded: u32,
    took: Vec<f64>,
}

impl Outcome {
    fn quantile(&mut self, q: f64) -> f64 {
        self.took.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((self.took.len() - 1) as f64 * q) as usize;
        self.took[index]
    }

    fn answered(&self) -> f64 {
        f64::from(u32::try_from(self.took.len()).unwrap())
    }

    fn refused_share(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.offered)
    }
}

/// One upstream behind one limit; time goes on from phase to phase.
struct World {
    limit: Arc<Adaptive>,
    upstream: Upstream,
    dice: Dice,
    now: f64,
    /// When each busy worker is free, or an endless upstream answers.
    working: BinaryHeap<Ends>,
    queue: std::collections::VecDeque<(f64, f64, Waiting)>,
    waiting: Vec<Option<(f64, Waiting)>>,
}

/// An end of work; the earliest is the greatest.
struct Ends {
    at: f64,
    slot: usize,
}

impl PartialEq for Ends {
    fn eq(&self, other: &Self) -> bool {
        self.at.total_cmp(&other.at).is_eq()
    }
}

impl Eq for Ends {}

impl PartialOrd for Ends {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ends {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.total_cmp(&self.at)
    }
}

fn clock(seconds: f64) -> Duration {
    Duration::from_secs_f64(1_000.0 + seconds)
}

impl World {
    fn new(upstream: Upstream) -> Self {
        Self {
            limit: Arc::new(Adaptive::new(AdaptiveSettings::default())),
            upstream,
            dice: Dice(7),
            now: 0.0,
            working: BinaryHeap::new(),
            queue: std::collections::VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    /// An open loop: so many arrive per second, whatever becomes of them.
    fn offer(&mut self, rate: f64, seconds: f64, service: impl Fn(&mut Dice) -> f64) -> Outcome {
        let mut outcome = Outcome::default();
        let end = self.now + seconds;
        let mut arrival = self.now + self.dice.gap(rate);
        while arrival < end {
            self.run_until(arrival, &mut outcome);
            self.arrive(&service, &mut outcome);
            arrival += self.dice.gap(rate);
        }
        self.run_until(end, &mut outcome);
        outcome
    }

    /// A closed loop: so many clients, each of which asks again at once, or
    /// after 10 ms when it was refused.
    fn close_loop(
        &mut self,
        clients: u32,
        seconds: f64,
        service: impl Fn(&mut Dice) -> f64,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let end = self.now + seconds;
        while self.now < end {
            let missing = clients.saturating_sub(self.limit.waiting());
            let before = outcome.refused;
            for _ in 0..missing {
                self.arrive(&service, &mut outcome);
            }
            let next = self.working.peek().map_or(end, |ends| ends.at);
            let retry = if outcome.refused > before { self.now + 0.01 } else { end };
            self.run_until(next.min(retry).min(end), &mut outcome);
        }
        outcome
    }

    fn arrive(&mut self, service: &impl Fn(&mut Dice) -> f64, outcome: &mut Outcome) {
        outcome.offered += 1;
        let Ok(waiting) = self.limit.enter(clock(self.now), "up") else {
            outcome.refused += 1;
            return;
        };
        let takes = service(&mut self.dice);
        match self.upstream {
            Upstream::Refuses(workers) if self.working.len() >= workers => {
                outcome.overloaded += 1;
                waiting.head(clock(self.now + 0.001), Head::Overloaded);
            }
            Upstream::Queues(workers) if self.working.len() >= workers => {
                self.queue.push_back((self.now, takes, waiting));
            }
            _ => self.work(self.now, takes, waiting),
        }
    }

    fn work(&mut self, arrived: f64, takes: f64, waiting: Waiting) {
        let slot = self.waiting.iter().position(Option::is_none).unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[slot] = Some((arrived, waiting));
        self.working.push(Ends { at: self.now + takes, slot });
    }

    fn run_until(&mut self, until: f64, outcome: &mut Outcome) {
        while self.working.peek().is_some_and(|ends| ends.at <= until) {
            let Ends { at, slot } = self.working.pop().unwrap();
            self.now = at;
            let (arrived, waiting) = self.waiting[slot].take().unwrap();
            outcome.took.push(at - arrived);
            waiting.head(clock(at), Head::Answered);
            if let Some((arrived, takes, waiting)) = self.queue.pop_front() {
                self.work(arrived, takes, waiting);
            }
        }
        self.now = until;
    }
}

#[test]
fn an_overloaded_upstream_keeps_its_latency_and_its_throughput() {
    // 10 workers at 20 ms are 500 per second; three times as many are offered,
    // from a cold start.
    let mut world = World::new(Upstream::Queues(10));
    let mut outcome = world.offer(1_500.0, 60.0, |_| 0.020);
    let p99 = outcome.quantile(0.99);
    assert!(p99 < 0.180, "p99 {p99}");
    assert!(outcome.answered() > 60.0 * 500.0 * 0.97, "{} answered", outcome.answered());
    // Two seconds after it is over, nobody is refused any more.
    world.offer(400.0, 2.0, |_| 0.020);
    let mut after = world.offer(400.0, 10.0, |_| 0.020);
    assert_eq!(after.refused, 0);
    assert!(after.quantile(0.99) < 0.060);
}

#[test]
fn it_comes_back_from_overload_time_and_again() {
    let mut world = World::new(Upstream::Queues(10));
    for round in 0..5 {
        let calm = world.offer(250.0, 5.0, |_| 0.020);
        assert!(calm.refused_share() < 0.001, "round {round}: {}", calm.refused_share());
        let mut burst = world.offer(3_000.0, 5.0, |_| 0.020);
        let p99 = burst.quantile(0.99);
        assert!(p99 < 0.200, "round {round}: p99 {p99}");
        world.offer(250.0, 2.0, |_| 0.020);
    }
}

#[test]
fn a_tiny_upstream_has_no_more_before_it_than_need_no_proof() {
    // 50 per second; four times as many are offered. What waits is 64 of them.
    let mut world = World::new(Upstream::Queues(1));
    world.offer(200.0, 30.0, |_| 0.020);
    let mut outcome = world.offer(200.0, 60.0, |_| 0.020);
    let p99 = outcome.quantile(0.99);
    assert!(p99 < 1.35, "p99 {p99}");
    assert!(outcome.answered() > 60.0 * 50.0 * 0.95);
}

#[test]
fn a_tiny_upstream_that_says_no_is_asked_by_few_until_it_answers_again() {
    let mut world = World::new(Upstream::Refuses(2));
    world.offer(400.0, 30.0, |_| 0.020);
    assert!(world.limit.limit() < 16, "{}", world.limit.limit());
    world.offer(20.0, 30.0, |_| 0.020);
    let after = world.offer(20.0, 30.0, |_| 0.020);
    assert!(after.refused_share() < 0.001, "{}", after.refused_share());
}

#[test]
fn clients_of_a_machine_that_does_other_things_are_not_refused() {
    // 64 clients of an upstream that answers in 1 ms, then in half a second,
    // for want of a processor, each a little later than the one before.
    let mut world = World::new(Upstream::Queues(1));
    world.close_loop(64, 5.0, |_| 0.001);
    let starved = world.close_loop(64, 60.0, |dice| dice.spread(0.008, 0.8));
    assert_eq!(starved.refused, 0);
    let after = world.close_loop(64, 5.0, |_| 0.001);
    assert_eq!(after.refused, 0);
}

#[test]
fn an_upstream_that_says_no_is_asked_less() {
    let mut world = World::new(Upstream::Refuses(10));
    world.offer(1_500.0, 5.0, |_| 0.020);
    let outcome = world.offer(1_500.0, 30.0, |_| 0.020);
    let answered = outcome.answered() / 30.0;
    assert!(answered > 400.0, "{answered} per second of 500");
    let hit = f64::from(outcome.overloaded) / 30.0;
    assert!(hit < 200.0, "{hit} per second reached it in vain of 1,000");
}

#[test]
fn long_and_uneven_work_is_not_an_overload() {
    for (median, sigma, rate) in [(3.0, 1.0, 30.0), (0.4, 1.2, 100.0), (20.0, 0.8, 10.0)] {
        let mut world = World::new(Upstream::Endless);
        let outcome = world.offer(rate, 600.0, |dice| dice.spread(median, sigma));
        let share = outcome.refused_share();
        assert!(share < 0.01, "median {median}, spread {sigma}: {share} refused");
    }
}

#[test]
fn work_that_becomes_longer_is_accepted_as_it_is() {
    let mut world = World::new(Upstream::Endless);
    world.offer(30.0, 120.0, |dice| dice.spread(1.0, 0.7));
    // All of it takes eight times as long from now on.
    world.offer(30.0, 120.0, |dice| dice.spread(8.0, 0.7));
    let after = world.offer(30.0, 300.0, |dice| dice.spread(8.0, 0.7));
    assert!(after.refused_share() < 0.01, "{} refused", after.refused_share());
}

#[test]
fn a_fast_upstream_may_have_many_at_once() {
    // As in a benchmark: 256 clients, 8 workers at 0.8 ms, from a cold start.
    let mut world = World::new(Upstream::Queues(8));
    let outcome = world.close_loop(256, 10.0, |_| 0.0008);
    assert_eq!(outcome.refused, 0);
    let mut world = World::new(Upstream::Queues(8));
    for clients in [1, 8, 64, 256] {
        let outcome = world.close_loop(clients, 5.0, |_| 0.0008);
        assert!(outcome.refused_share() < 0.001, "{clients} clients: {}", outcome.refused_share());
    }
}

#[test]
fn those_who_leave_and_those_who_never_hear_leave_nothing_behind() {
    let limit = Arc::new(Adaptive::new(AdaptiveSettings {
        min: 2,
        initial: 2,
        ..AdaptiveSettings::default()
    }));
    let first = limit.enter(clock(0.0), "up").unwrap();
    let second = limit.enter(clock(0.0), "up").unwrap();
    let refusal = limit.enter(clock(0.0), "up").unwrap_err();
    assert_eq!(refusal.code, Code::OverloadUpstream);
    assert!(refusal.message.contains("`up`") && refusal.retry_after_ms == Some(1_000));
    drop(first);
    assert_eq!(limit.waiting(), 1);
    limit.enter(clock(0.0), "up").unwrap().head(clock(0.1), Head::Answered);
    second.head(clock(9.0), Head::Overloaded);
    assert_eq!(limit.waiting(), 0);
}
