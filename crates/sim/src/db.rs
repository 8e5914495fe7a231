//! A node's door to the store: late, unheard, refused or in doubt, as the
//! world has it. What takes effect does so at one moment, in the one store.

use std::sync::Arc;

use freehold_types::{BoxFuture, Db, DbError, Row, Unit, UnitReceipt, Value};
use tokio::sync::oneshot;

use crate::clock::{MS, SECOND};
use crate::faults::Way;
use crate::mutation::Mutation;
use crate::world::{Command, World, lock};

/// The store as a node reaches it in one of its lives.
pub(crate) struct NodeDb {
    world: Arc<World>,
    machine: usize,
    life: u64,
}

type Answer = oneshot::Sender<Result<UnitReceipt, DbError>>;

impl NodeDb {
    pub(crate) fn new(world: &Arc<World>, machine: usize, life: u64) -> Self {
        Self { world: Arc::clone(world), machine, life }
    }

    /// How long something takes on its way.
    fn way(&self) -> u64 {
        let mut random = lock(&self.world.chance.store);
        let slow = lock(&self.world.faults).rates.slow_store;
        if random.per_mille(slow) {
            self.world.count("store slow");
            random.between(100 * MS, 4 * SECOND)
        } else {
            random.between(50, 900)
        }
    }

    fn is_cut_off(&self) -> bool {
        let now = self.world.clock.now();
        self.world.node(self.machine, |node| node.cut_off_until > now).unwrap_or(true)
    }

    /// Whether a unit that is still on its way arrives: that of a node that
    /// crashed meanwhile may or may not.
    fn arrives(&self) -> bool {
        self.world.lives(self.machine, self.life) || lock(&self.world.chance.store).one_in(2)
    }

    /// Has a unit take effect after a while, and its answer heard after
    /// another.
    fn send(&self, unit: Unit, after: u64, answer: Option<(Answer, bool)>) {
        let this = Self::new(&self.world, self.machine, self.life);
        self.world.clock.after(after, self.machine, move || {
            if !this.world.lives(this.machine, this.life) {
                this.world.count("commit on its way when its node crashed");
            }
            if !this.arrives() {
                return;
            }
            let outcome = this.apply(&unit);
            if let Some((answer, heard)) = answer {
                this.answer(outcome, answer, heard);
            }
        });
    }

    fn apply(&self, unit: &Unit) -> Result<UnitReceipt, DbError> {
        let world = &self.world;
        let planted = world.setup.mutation.map(|mutation| mutation.unit(unit, world));
        let outcome = world.store.run(planted.as_ref().unwrap_or(unit));
        world.beat(u64::from(outcome.is_ok()) + 2 * unit.statements().len() as u64);
        let how = || match &outcome {
            Ok(_) => "takes effect".to_owned(),
            Err(error) => error.to_string(),
        };
        if unit.label() != "nodes.beat" {
            world.say(|| format!("n{} {} {}", self.machine, crate::story::unit(unit), how()));
        }
        // A unique key may stand in the way of a unit's second sending.
        if let Err(DbError::Other(error) | DbError::Corrupt(error)) = &outcome
            && !error.contains("UNIQUE")
        {
            world.wrong(format!("the store refuses the unit `{}`: {error}", unit.label()));
        }
        if outcome.is_ok() {
            let done = planted.as_ref().unwrap_or(unit);
            crate::check::leases::took_effect(world, self.machine, done);
        }
        outcome
    }

    fn answer(&self, outcome: Result<UnitReceipt, DbError>, answer: Answer, heard: bool) {
        let this = Self::new(&self.world, self.machine, self.life);
        self.world.clock.after(self.way(), self.machine, move || {
            let outcome = if heard && !this.is_cut_off() {
                outcome
            } else {
                Err(DbError::InDoubt("nobody heard".into()))
            };
            // Whoever asked may be gone.
            drop(answer.send(outcome));
        });
    }

    fn refuse(&self, error: DbError, answer: Answer) {
        self.world.clock.after(self.way(), self.machine, move || {
            drop(answer.send(Err(error)));
        });
    }

    fn crash(&self) {
        self.world.command(Command::Crash(self.machine));
        let (world, machine) = (Arc::clone(&self.world), self.machine);
        self.world.clock.after(SECOND, self.machine, move || {
            world.command(Command::Start(machine));
        });
    }

    /// Units that a planted bug says to be durable before they are.
    fn is_told_early(&self, unit: &Unit) -> bool {
        self.world.setup.mutation.is_some_and(|mutation| mutation.tells_early(unit))
    }

    fn begin(&self, unit: Unit, answer: Answer) {
        if self.is_cut_off() {
            return self.refuse(DbError::Unavailable("it cannot be reached".into()), answer);
        }
        let way = {
            let mut random = lock(&self.world.chance.store);
            lock(&self.world.faults).commit(unit.label(), &mut random)
        };
        if self.is_told_early(&unit) {
            let changed = vec![1; unit.statements().len()];
            drop(answer.send(Ok(UnitReceipt { changed })));
            let lost = matches!(way, Some(Way::Refused | Way::NotDone));
            if !lost {
                self.send(unit, self.way(), None);
            }
            return;
        }
        if let Some(way) = way {
            if let Some(fault) = way.fault() {
                self.world.count(fault);
            }
            self.world.say(|| format!("n{} {}: {way:?}", self.machine, crate::story::unit(&unit)));
        }
        match way {
            None => self.send(unit, self.way(), Some((answer, true))),
            Some(Way::Done) => self.send(unit, self.way(), Some((answer, false))),
            Some(Way::Refused) => self.refuse(DbError::Unavailable("not now".into()), answer),
            Some(Way::NotDone) => self.refuse(DbError::InDoubt("it is lost".into()), answer),
            Some(Way::DoneLater) => {
                let late = lock(&self.world.chance.store).between(MS, 3 * SECOND);
                self.refuse(DbError::InDoubt("it is late".into()), answer);
                self.send(unit, late, None);
            }
            Some(Way::CrashBefore) => self.crash(),
            Some(Way::CrashAfter) => {
                drop(self.apply(&unit));
                self.crash();
            }
        }
    }
}

impl Db for NodeDb {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let (answer, outcome) = oneshot::channel();
        self.begin(unit, answer);
        Box::pin(async move {
            outcome.await.unwrap_or_else(|_| Err(DbError::InDoubt("it went down".into())))
        })
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        let (answer, rows) = oneshot::channel();
        let fails = self.is_cut_off() || {
            let unread = lock(&self.world.faults).rates.unread;
            lock(&self.world.chance.store).per_mille(unread)
        };
        if fails {
            self.world.count("read failed");
        }
        let this = Self::new(&self.world, self.machine, self.life);
        let back = self.way();
        self.world.clock.after(self.way(), self.machine, move || {
            let world = Arc::clone(&this.world);
            let found = if fails || this.is_cut_off() {
                Err(DbError::Unavailable("not read".into()))
            } else if world
                .setup
                .mutation
                .is_some_and(|m| m == Mutation::ForgetsKeys && m.hides(sql))
            {
                Ok(Vec::new())
            } else {
                world.store.query(sql, &args)
            };
            world.clock.after(back, this.machine, move || {
                drop(answer.send(found));
            });
        });
        Box::pin(async move {
            rows.await.unwrap_or_else(|_| Err(DbError::Unavailable("it went down".into())))
        })
    }
}
