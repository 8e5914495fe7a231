//! Many nodes that know too little, over one session: whatever they try and in
//! whatever order it arrives, the journal is one story.

use std::cell::RefCell;
use std::collections::BTreeMap;

use freehold_store::leases::{self, Claim};
use freehold_store::timers::{self, Timer};
use freehold_store::{journal, waits};
use freehold_types::{Db, DbError, NodeId, SessionId, TenantId};

use crate::samples::{append, at, begin, bodies, event, get, id, unit, write_id};

const NODES: u32 = 6;
const TRIES: u32 = 40;

/// A generator of small numbers; the same seed gives the same ones.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What a node believes of the session, and what it did.
struct Player<'a> {
    tenant: &'a TenantId,
    session: SessionId,
    node: NodeId,
    number: u32,
    epoch: u64,
    head: u64,
    dice: Dice,
    /// Shared by all: what each write should have left.
    acknowledged: &'a RefCell<BTreeMap<String, bool>>,
}

impl Player<'_> {
    async fn play(&mut self, db: &dyn Db) {
        for nth in 0..TRIES {
            match self.dice.roll(20) {
                0 => self.claim(db).await,
                1..=3 => self.look(db).await,
                4 => self.release(db).await,
                _ => self.append(db, nth).await,
            }
        }
    }

    async fn look(&mut self, db: &dyn Db) {
        self.head = get(db, self.tenant, self.session).await.head;
    }

    async fn claim(&mut self, db: &dyn Db) {
        let seen = get(db, self.tenant, self.session).await.epoch;
        let claim = Claim {
            tenant: self.tenant,
            session: self.session,
            epoch: seen,
            node: self.node,
            id: write_id(),
        };
        if db.write(leases::claim(&claim)).await.is_ok() {
            self.epoch = seen + 1;
            self.look(db).await;
        }
    }

    async fn release(&mut self, db: &dyn Db) {
        let held = Claim {
            tenant: self.tenant,
            session: self.session,
            epoch: self.epoch,
            node: self.node,
            id: write_id(),
        };
        let mut unit = freehold_types::Unit::new("release");
        leases::release(&mut unit, &held, self.head, Some(at(1)));
        // Whether it held anything does not matter here.
        drop(db.write(unit).await);
    }

    /// Appends under the epoch that it believes in, sometimes with a part that
    /// cannot be, sometimes twice at once.
    async fn append(&mut self, db: &dyn Db, nth: u32) {
        let name = format!("{} {} {nth}", self.epoch, self.number);
        let events = [event(&name), event(&name)];
        let events = &events[..=usize::from(self.dice.roll(3) == 0)];
        let mut append = append(self.tenant, self.session, self.head, events);
        append.epoch = self.epoch;
        let mut whole = unit(&append);
        let timer = Timer {
            tenant: self.tenant.clone(),
            session: self.session,
            id: name.clone().into(),
            due_at: at(1),
            offset: self.head + 1,
        };
        timers::set(&mut whole, &timer);
        let broken = self.dice.roll(6) == 0;
        if broken {
            waits::close(&mut whole, self.tenant, self.session, "nothing");
        }
        let first = db.write(whole.clone());
        let second = (self.dice.roll(6) == 0).then(|| db.write(whole));
        let mut oks = u32::from(accepted(first.await));
        if let Some(second) = second {
            oks += u32::from(accepted(second.await));
        }
        assert!(oks < 2, "one append took effect twice");
        assert!(!(broken && oks > 0), "a failed guard was overlooked");
        let is_in = journal::is_in(db, self.tenant, self.session, self.head + 1, append.id);
        assert_eq!(is_in.await.unwrap(), oks == 1);
        self.acknowledged.borrow_mut().insert(name, oks == 1);
        if oks == 1 {
            self.head += events.len() as u64;
        }
    }
}

fn accepted<T>(outcome: Result<T, DbError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(DbError::GuardFailed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

pub(crate) async fn whatever_nodes_try_at_once_the_journal_is_one_story(db: &dyn Db) {
    let main = TenantId::main();
    for seed in 1..=8 {
        let session = begin(db, &main, seed).await;
        let acknowledged = RefCell::new(BTreeMap::new());
        let mut players: Vec<_> = (0..NODES)
            .map(|number| Player {
                tenant: &main,
                session,
                node: id("node_", number),
                number,
                epoch: 0,
                head: 0,
                dice: Dice(u64::from(seed) << 32 | u64::from(number + 1)),
                acknowledged: &acknowledged,
            })
            .collect();
        let games = players.iter_mut().map(|player| player.play(db));
        futures_util::future::join_all(games).await;
        drop(players);
        judge(db, &main, session, &acknowledged.into_inner()).await;
    }
}

async fn judge(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    acknowledged: &BTreeMap<String, bool>,
) {
    let story = bodies(db, tenant, session).await;
    assert_eq!(get(db, tenant, session).await.head, story.len() as u64);
    assert!(story.len() > 5, "hardly anything happened: {story:?}");
    let mut writers: BTreeMap<u64, &str> = BTreeMap::new();
    let mut last = 0;
    for name in &story {
        let mut words = name.split(' ');
        let epoch: u64 = words.next().unwrap().parse().unwrap();
        let writer = words.next().unwrap();
        assert!(epoch >= last, "an epoch that was over came back: {story:?}");
        assert_eq!(*writers.entry(epoch).or_insert(writer), writer, "two writers in one epoch");
        last = epoch;
        assert!(acknowledged[name], "{name} was refused, and is there");
    }
    for (name, _) in acknowledged.iter().filter(|(_, kept)| **kept) {
        let times = story.iter().filter(|kept| *kept == name).count();
        assert!((1..=2).contains(&times), "{name} was acknowledged, and is there {times} times");
    }
    let timers = timers::due(db, tenant, at(9), 1000).await.unwrap();
    let timers = timers.iter().filter(|timer| timer.session == session).count();
    assert_eq!(timers, acknowledged.values().filter(|kept| **kept).count());
}
