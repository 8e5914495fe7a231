//! What is done to the nodes, and when.

use std::time::Duration;

use anyhow::Result;

use super::Args;
use super::kill;
use super::report::Figures;
use super::setup::Cast;
use super::stage::Stage;
use crate::clock::{nap, now};

/// How long a node may take to stop in order.
const STOP: Duration = Duration::from_secs(60);
/// After a restart, before the next.
const BETWEEN_MS: u64 = 2_000;
/// A node stays dead for so long.
const DEAD_MS: u64 = 8_000;
/// When the restarts begin, in hundredths of the time.
const RESTARTS: u64 = 25;
/// When a node is killed.
const KILL: u64 = 65;

/// Runs the whole time.
pub(super) fn run(cast: &Cast, stage: &Stage, args: &Args, figures: &mut Figures) -> Result<()> {
    let until = |percent: u64| {
        let at = Duration::from_millis(args.seconds * 10 * percent);
        while now().duration_since(stage.began) < at {
            nap(20);
        }
    };
    until(RESTARTS);
    for node in cast.cluster.nodes.iter() {
        match node.stop(STOP)? {
            Some(took) => figures.stops.push(took),
            None => figures.would_not_stop += 1,
        }
        figures.starts.push(node.start()?);
        nap(BETWEEN_MS);
    }
    until(KILL);
    figures.held = kill::kill(cast, stage)?;
    nap(DEAD_MS);
    if let Some(victim) = cast.cluster.nodes.get(kill::VICTIM) {
        figures.starts.push(victim.start()?);
    }
    until(100);
    figures.seconds = now().duration_since(stage.began).as_secs_f64();
    Ok(())
}
