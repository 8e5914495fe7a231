//! The way between clients and nodes: requests that arrive late, twice, or at
//! a node that is gone, and answers that nobody hears.

use std::pin::Pin;
use std::sync::Arc;

use freehold_runtime::sessions::Sessions;
use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use crate::clock::{MS, SECOND};
use crate::random::Random;
use crate::world::{CLIENTS, World, lock};

/// What a node answers.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a client waits for an answer.
const PATIENCE: u64 = 12 * SECOND;

pub(crate) fn boxed<T>(answer: impl Future<Output = T> + Send + 'static) -> Answer<T> {
    Box::pin(answer)
}

/// Some node, dead or alive.
pub(crate) fn any(world: &World, random: &mut Random) -> usize {
    let nodes = world.setup.nodes as u64;
    usize::try_from(random.between(1, nodes)).unwrap_or(1)
}

/// Has a node do something; `None` if nothing is heard of it.
pub(crate) async fn call<T: Send + 'static>(
    world: &Arc<World>,
    random: &mut Random,
    node: usize,
    twice: bool,
    ask: impl Fn(Arc<Sessions>) -> Answer<T> + Send + Sync + 'static,
) -> Option<T> {
    let (answer, heard) = oneshot::channel();
    let ask = Arc::new(ask);
    if twice {
        world.count("request delivered twice");
        let (late, ask) = (random.between(1, 2 * SECOND), Arc::clone(&ask));
        let (nobody, _) = oneshot::channel();
        arrive(world, node, late, ask, nobody, true);
    }
    let unheard = lock(&world.faults).rates.unheard;
    let unheard = random.per_mille(unheard);
    if unheard {
        world.count("answer to a client lost");
    }
    arrive(world, node, random.between(100, 5 * MS), ask, answer, unheard);
    let patience = Box::pin(world.clock.sleep(PATIENCE, CLIENTS));
    match select(heard, patience).await {
        Either::Left((answer, _)) => answer.ok(),
        Either::Right(_) => None,
    }
}

fn arrive<T: Send + 'static>(
    world: &Arc<World>,
    node: usize,
    after: u64,
    ask: Arc<impl Fn(Arc<Sessions>) -> Answer<T> + Send + Sync + 'static>,
    answer: oneshot::Sender<T>,
    unheard: bool,
) {
    let arrived = Arc::clone(world);
    world.clock.after(after, node, move || {
        let there = arrived.node(node, |node| node.handle.clone().zip(node.sessions.clone()));
        // Nobody is there: the connection is refused.
        let Some((handle, sessions)) = there.flatten() else {
            let back = MS;
            arrived.clock.after(back, CLIENTS, move || drop(answer));
            return;
        };
        let world = Arc::clone(&arrived);
        drop(handle.spawn(async move {
            let answer = Back { world: Arc::clone(&world), answer: Some(answer) };
            let said = ask(sessions).await;
            if !unheard {
                answer.say(said);
            }
        }));
    });
}

/// The way back: if the node dies, the client's connection breaks a moment
/// later, on the client's own time.
struct Back<T: Send + 'static> {
    world: Arc<World>,
    answer: Option<oneshot::Sender<T>>,
}

impl<T: Send + 'static> Back<T> {
    fn say(mut self, said: T) {
        if let Some(answer) = self.answer.take() {
            self.world.clock.after(MS, CLIENTS, move || drop(answer.send(said)));
        }
    }
}

impl<T: Send + 'static> Drop for Back<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.world.clock.after(MS, CLIENTS, move || drop(answer));
        }
    }
}
