//! A machine's door to time and chance: its own wall clock, which may be off
//! and jump, over the one clock of the world.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_types::{BoxFuture, Env};
use jiff::{SignedDuration, Timestamp};

use crate::random::Random;
use crate::world::{World, lock};

/// What the world's clock calls its beginning: some seconds before a full
/// minute of 2026-11-01, so that schedules have something to do.
const EPOCH_SECONDS: i64 = 1_793_491_192;

/// A machine's clock and chance, for one of its lives.
pub(crate) struct MachineEnv {
    world: Arc<World>,
    machine: usize,
    chance: Mutex<Random>,
}

impl MachineEnv {
    pub(crate) fn new(world: &Arc<World>, machine: usize, life: u64) -> Self {
        let chance = Random::derive(world.setup.seed, &[10, machine as u64, life]);
        Self { world: Arc::clone(world), machine, chance: Mutex::new(chance) }
    }

    /// One for what the world itself does.
    pub(crate) fn nobody(world: &Arc<World>) -> Self {
        let chance = Random::derive(world.setup.seed, &[11, world.clock.now()]);
        Self { world: Arc::clone(world), machine: usize::MAX, chance: Mutex::new(chance) }
    }
}

/// What a wall clock shows that is off by so much.
pub(crate) fn wall(us: u64, skew: i64) -> Timestamp {
    let us = i64::try_from(us).unwrap_or(i64::MAX).saturating_add(skew);
    let begin = Timestamp::constant(EPOCH_SECONDS, 0);
    begin.checked_add(SignedDuration::from_micros(us)).unwrap_or(Timestamp::MAX)
}

impl Env for MachineEnv {
    fn now(&self) -> Timestamp {
        let skew = self.world.node(self.machine, |node| node.skew).unwrap_or(0);
        wall(self.world.clock.now(), skew)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.world.clock.now())
    }

    fn fill_random(&self, out: &mut [u8]) {
        lock(&self.chance).fill(out);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Box::pin(self.world.clock.sleep(us, self.machine))
    }
}
