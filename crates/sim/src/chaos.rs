//! What breaks of machines: second by second, node by node, until it is
//! enough. Then all is mended.

use std::sync::Arc;

use crate::clock::{MS, SECOND};
use crate::setup::DEAD_AFTER;
use crate::world::{CLIENTS, Command, World, lock};

/// Breaks things for as long as clients are busy.
pub(crate) async fn live(world: Arc<World>) {
    while world.clock.now() < world.setup.busy_us {
        world.clock.sleep(SECOND, CLIENTS).await;
        for node in 1..=world.setup.nodes {
            trouble(&world, node);
        }
    }
}

fn trouble(world: &Arc<World>, node: usize) {
    let rates = lock(&world.faults).rates.clone();
    let mut random = lock(&world.chance.chaos);
    let soon = random.below(SECOND);
    if random.per_mille(rates.crash) {
        at(world, soon, Command::Crash(node));
        at(world, soon + random.between(100 * MS, 4 * SECOND), Command::Start(node));
    } else if random.per_mille(rates.pause) {
        let pause = random.between(500 * MS, 8 * SECOND);
        if u128::from(pause) > DEAD_AFTER.as_micros() {
            world.count("node paused past its lease");
        }
        at(world, soon, Command::Pause(node));
        at(world, soon + pause, Command::Resume(node));
    } else if random.per_mille(rates.stop) {
        at(world, soon, Command::Stop(node));
    }
    if random.per_mille(rates.cut_off) {
        let until = world.clock.now() + random.between(200 * MS, 6 * SECOND);
        world.say(|| format!("n{node} is cut off from the store"));
        world.count("node cut off from the store");
        world.node(node, |node| node.cut_off_until = until);
    }
    if random.per_mille(rates.jump) {
        let ms = i64::try_from(random.between(0, 20_000)).unwrap_or(0) - 10_000;
        world.say(|| format!("the clock of n{node} is off by {ms} ms"));
        world.count("clock jumped");
        world.node(node, |node| node.skew = ms * 1_000);
    }
}

fn at(world: &Arc<World>, after: u64, command: Command) {
    let (of, world) = (CLIENTS, Arc::clone(world));
    let clock = Arc::clone(&world.clock);
    clock.after(after, of, move || world.command(command));
}

/// Nothing breaks any more, and what is broken is mended.
pub(crate) fn mend(world: &Arc<World>) {
    world.say(|| "all is mended".into());
    lock(&world.faults).calm();
    for node in 1..=world.setup.nodes {
        world.node(node, |node| {
            node.skew = 0;
            node.cut_off_until = 0;
        });
        world.command(Command::Resume(node));
        world.command(Command::Start(node));
    }
}
