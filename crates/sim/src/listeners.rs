//! Who listens to sessions: at any node, from where they left off, for as long
//! as the connection holds.

use std::sync::Arc;

use freehold_runtime::event::Event;
use freehold_runtime::sessions::{Error, Sessions};
use freehold_types::{Offset, SessionId};

use crate::book::Listener;
use crate::clock::{MS, SECOND};
use crate::journal::head;
use crate::net;
use crate::random::Random;
use crate::world::{CLIENTS, World, lock};

/// Listens for the whole life of the world.
pub(crate) async fn live(world: Arc<World>, number: usize) {
    let mut random = Random::derive(world.setup.seed, &[30, number as u64]);
    lock(&world.book).listeners.push(Listener::default());
    let session = loop {
        world.clock.sleep(200 * MS, CLIENTS).await;
        let known = lock(&world.book).sessions.clone();
        if let Some(session) = random.pick(&known) {
            break session;
        }
    };
    let from = random.below(head(&world, session).saturating_add(1));
    tune(&world, number, |listener| {
        listener.session = Some(session);
        listener.from = from;
    });
    loop {
        let node = net::any(&world, &mut random);
        let (round, after) = tune(&world, number, |listener| {
            // What was under way to them when the connection broke is lost.
            let lost = random.below(3).min(listener.heard.len() as u64);
            let keep = listener.heard.len() - usize::try_from(lost).unwrap_or(0);
            listener.heard.truncate(keep);
            listener.round += 1;
            (listener.round, listener.at())
        });
        let there = world.node(node, |node| node.handle.clone().zip(node.sessions.clone()));
        let Some((handle, sessions)) = there.flatten() else {
            world.clock.sleep(100 * MS, CLIENTS).await;
            continue;
        };
        world.say(|| format!("listener {number} goes to n{node} after {after}"));
        if round > 1 {
            world.count("cursor resumed");
        }
        let task = {
            let world = Arc::clone(&world);
            handle.spawn(listen(world, sessions, session, Offset(after), number, round))
        };
        let busy = world.clock.now() < world.setup.busy_us;
        let us = if busy { random.between(100 * MS, 5 * SECOND) } else { 5 * SECOND };
        world.clock.sleep(us, CLIENTS).await;
        task.abort();
        if lock(&world.book).listeners.get(number).is_some_and(|listener| listener.is_over) {
            return;
        }
    }
}

fn tune<T>(world: &World, number: usize, with: impl FnOnce(&mut Listener) -> T) -> T
where
    T: Default,
{
    lock(&world.book).listeners.get_mut(number).map(with).unwrap_or_default()
}

async fn listen(
    world: Arc<World>,
    sessions: Arc<Sessions>,
    session: SessionId,
    after: Offset,
    number: usize,
    round: u64,
) {
    let mut tail = sessions.tail(&world.tenant, session, after);
    loop {
        match tail.next().await {
            Ok(events) => heard(&world, session, number, round, events),
            Err(Error::NotFound) => {
                let deleted = {
                    let book = lock(&world.book);
                    book.deleted.contains(&session) || book.maybe_deleted.contains(&session)
                };
                if !deleted {
                    world.wrong(format!("a listener hears that {session} does not exist"));
                }
                tune(&world, number, |listener| listener.is_over = true);
                return;
            }
            Err(error) => {
                world.say(|| format!("listener {number} hears no more: {error}"));
                return;
            }
        }
    }
}

fn heard(world: &World, session: SessionId, number: usize, round: u64, events: Vec<Arc<Event>>) {
    let last = head(world, session);
    let mut wrong = None;
    tune(world, number, |listener| {
        // A connection of before that had not heard of its end.
        if listener.round != round {
            return;
        }
        for event in events {
            let due = listener.at() + 1;
            if event.offset.0 != due {
                wrong = Some(format!("a listener hears {} after {}", event.offset, due - 1));
                return;
            }
            if last > 0 && event.offset.0 > last {
                wrong = Some(format!("a listener hears {}, of {last} there are", event.offset));
                return;
            }
            listener.heard.push(event);
        }
    });
    if let Some(wrong) = wrong {
        world.wrong(wrong);
    }
}
