//! One agent over two weeks, on a clock that passes them in a moment: it waits
//! for an approval, a timer, a cron schedule and a signal, while nodes stop,
//! crash and come back over newer and newer schemas.
//!
//! The same story told twice, once over a store that an older build began and
//! once without any upgrade or stop, must be the same but for who told it.

mod node;
mod script;
mod tale;

use std::sync::{Arc, Mutex};

use freehold_store::Memory;
use freehold_types::{SessionId, TenantId};

use crate::clock::{Clock, Due, SECOND, What};
use crate::machine::Machine;
use crate::world::lock;
use node::{Life, Shared};
use script::Script;
pub use tale::{Tale, told};

/// A day, in the clock's microseconds.
pub(crate) const DAY: u64 = 24 * 3_600 * SECOND;
/// An hour.
pub(crate) const HOUR: u64 = 3_600 * SECOND;
/// Things that happen at the most.
const EVENTS_MAX: u64 = 2_000_000;

/// What happens to the nodes on a day.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// All stop, the schema goes on to this migration, and they start.
    Upgrade(i64),
    /// One stops in order while the other goes on; later it comes back.
    Roll,
    /// All crash, and start again.
    Crash,
}

/// Two weeks that are to be lived.
pub struct Weeks {
    shared: Arc<Shared>,
    machines: Vec<Machine>,
    lives: Vec<Option<Life>>,
    count: u64,
}

impl Weeks {
    /// Over this store, from an hour on.
    pub fn over(store: Arc<Memory>, hour: u64, nodes: usize) -> Result<Self, String> {
        let clients = Machine::new().map_err(|error| error.to_string())?;
        let shared = Shared {
            clock: Arc::new(Clock::default()),
            store,
            tenant: TenantId::main(),
            script: Arc::new(Script::default()),
            sessions: Mutex::new(Vec::new()),
        };
        let mut weeks =
            Self { shared: Arc::new(shared), machines: vec![clients], lives: Vec::new(), count: 0 };
        weeks.shared.clock.after(hour * HOUR, 0, || {});
        weeks.step()?;
        for _ in 0..nodes {
            weeks.lives.push(None);
        }
        Ok(weeks)
    }

    /// Skips the answers that a model gave before.
    pub fn answered(&self, answers: usize) {
        self.shared.script.skip(answers);
    }

    /// Lives on to a day, the nodes and the story together.
    pub fn live(
        &mut self,
        session: Option<SessionId>,
        until_hour: u64,
        breaks: &[(u64, Break)],
    ) -> Result<SessionId, String> {
        for at in 0..self.lives.len() {
            self.start(at)?;
        }
        let told = Arc::new(Mutex::new(session));
        let story = tale::tell(Arc::clone(&self.shared), Arc::clone(&told), until_hour);
        let over = Arc::new(Mutex::new(None));
        let ended = Arc::clone(&over);
        if let Some(clients) = self.machines.first() {
            drop(clients.handle().spawn(async move {
                let outcome = story.await;
                *lock(&ended) = Some(outcome);
            }));
        }
        let mut breaks = breaks.iter();
        let mut next = breaks.next();
        self.settle();
        loop {
            if let Some((hour, what)) = next
                && self.shared.clock.now() >= hour * HOUR
            {
                self.broken(*what)?;
                next = breaks.next();
            }
            if let Some(outcome) = lock(&over).take() {
                outcome?;
                break;
            }
            self.step()?;
        }
        for at in 0..self.lives.len() {
            self.stop(at)?;
        }
        let told = *lock(&told);
        told.ok_or_else(|| "there is no session".into())
    }

    fn broken(&mut self, what: Break) -> Result<(), String> {
        match what {
            Break::Upgrade(migration) => {
                for at in 0..self.lives.len() {
                    self.stop(at)?;
                }
                let upgraded = self.shared.store.upgrade_to(migration);
                upgraded.map_err(|error| error.to_string())?;
                for at in 0..self.lives.len() {
                    self.start(at)?;
                }
            }
            Break::Roll => {
                for at in 0..self.lives.len() {
                    self.stop(at)?;
                    self.pass(HOUR)?;
                    self.start(at)?;
                    self.pass(HOUR)?;
                }
            }
            Break::Crash => {
                for at in 0..self.lives.len() {
                    self.crash(at);
                }
                for at in 0..self.lives.len() {
                    self.start(at)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, at: usize) -> Result<(), String> {
        let machine = Machine::new().map_err(|error| error.to_string())?;
        self.count += 1;
        let life = Life::start(&self.shared, &machine, at, self.count);
        if self.machines.len() == at + 1 {
            self.machines.push(machine);
        } else if let Some(place) = self.machines.get_mut(at + 1) {
            *place = machine;
        }
        if let Some(place) = self.lives.get_mut(at) {
            *place = Some(life);
        }
        self.settle();
        Ok(())
    }

    /// Lets go of everything, in order.
    fn stop(&mut self, at: usize) -> Result<(), String> {
        let Some(life) = self.lives.get_mut(at).and_then(Option::take) else { return Ok(()) };
        let Some(machine) = self.machines.get(at + 1) else { return Ok(()) };
        let left = life.stop(&machine.handle());
        for _ in 0..EVENTS_MAX {
            if *lock(&left) {
                self.forget(at);
                return Ok(());
            }
            self.step()?;
        }
        Err("a node does not stop".into())
    }

    fn crash(&mut self, at: usize) {
        self.lives.get_mut(at).and_then(Option::take);
        self.forget(at);
    }

    fn forget(&mut self, at: usize) {
        let gone = lock(&self.shared.sessions).get_mut(at).and_then(Option::take);
        // Its tasks end where they stand.
        if let (Some(place), Ok(empty)) = (self.machines.get_mut(at + 1), Machine::new()) {
            *place = empty;
        }
        drop(gone);
    }

    /// Lets so much time pass.
    fn pass(&mut self, us: u64) -> Result<(), String> {
        let until = self.shared.clock.now() + us;
        while self.shared.clock.now() < until {
            self.step()?;
        }
        Ok(())
    }

    /// The next thing that is due, and all that follows of it at once.
    fn step(&mut self) -> Result<(), String> {
        self.count += 1;
        if self.count > EVENTS_MAX {
            return Err("it does not come to an end".into());
        }
        let Some((_, Due { what, .. })) = self.shared.clock.next() else {
            return Err("nothing will ever happen again".into());
        };
        match what {
            What::Wake(waker) => waker.wake(),
            What::Do(act) => act(),
        }
        self.settle();
        Ok(())
    }

    /// Machines wake each other: round and round until all rest.
    fn settle(&self) {
        for _ in 0..4 {
            self.machines.iter().for_each(Machine::run);
        }
    }
}
