//! What nodes over one database know of each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freehold_store::budgets::{self, Budget, Period, Scope, Spend};
use freehold_store::shares::{self, Share, Shares};
use freehold_store::{changes, exchanges, groups, keys};
use freehold_types::{BudgetId, Db, NodeId, TenantId, Unit};

use crate::samples::{at, held_back, id, key, money, opened};

pub(crate) async fn a_change_of_each_kind_is_counted_once(db: &dyn Db) {
    let main = TenantId::main();
    let mut seen = vec![changes::versions(db).await.unwrap()];
    let mut changed = async |unit: Unit| {
        db.write(unit).await.unwrap();
        let now = changes::versions(db).await.unwrap();
        assert!(!seen.contains(&now));
        seen.push(now);
    };
    let group = groups::Group {
        tenant: main.clone(),
        name: "g".parse().unwrap(),
        parent: None,
        limits: "{}".into(),
        created_at: at(0),
    };
    let budget = Budget {
        tenant: main.clone(),
        id: id("bud_", 1),
        scope: Scope::Tenant,
        period: Period::Day,
        amount: money("1"),
        created_at: at(0),
    };
    changed(keys::insert(&key(&main, 1))).await;
    changed(keys::update(&key(&main, 1))).await;
    changed(keys::revoke(&main, key(&main, 1).id, at(1))).await;
    changed(groups::insert(&group)).await;
    changed(groups::update(&group)).await;
    changed(groups::delete(&main, &group.name)).await;
    changed(budgets::insert(&budget)).await;
    changed(budgets::update(&main, budget.id, money("2"))).await;
    changed(budgets::delete(&main, budget.id)).await;
    let last = changes::versions(db).await.unwrap();
    assert!(held_back(db, keys::insert(&key(&main, 1))).await);
    assert_eq!(changes::versions(db).await.unwrap(), last, "nothing was changed");
}

pub(crate) async fn open_exchanges_are_found_by_their_node(db: &dyn Db) {
    let main = TenantId::main();
    let node = |n| id::<NodeId>("node_", n);
    let all: Vec<_> = (1..=5).map(|n| opened(&main, n)).collect();
    db.write(exchanges::open(Some(node(1)), &all[..2])).await.unwrap();
    db.write(exchanges::open(Some(node(2)), &all[2..4])).await.unwrap();
    db.write(exchanges::open(None, &all[4..])).await.unwrap();
    assert_eq!(exchanges::next_opener(db, None).await.unwrap(), Some(node(1)));
    assert_eq!(exchanges::next_opener(db, Some(node(1))).await.unwrap(), Some(node(2)));
    assert_eq!(exchanges::next_opener(db, Some(node(2))).await.unwrap(), None);
    let of = async |node| exchanges::open_of(db, node, None, 9).await.unwrap();
    assert_eq!(of(Some(node(1))).await, all[..2]);
    assert_eq!(of(None).await, all[4..]);
    let rest = exchanges::open_of(db, Some(node(2)), Some(&all[2]), 9).await.unwrap();
    assert_eq!(rest, all[3..4]);
    db.write(exchanges::interrupt(&all[..2], at(9))).await.unwrap();
    assert!(of(Some(node(1))).await.is_empty());
    assert!(held_back(db, exchanges::interrupt(&all[..2], at(9))).await, "once");
}

fn some(budget: u32) -> Shares {
    Shares {
        tenant: TenantId::main(),
        budget: id::<BudgetId>("bud_", budget),
        period_start: at(0),
        version: 0,
        spent: money("0"),
        of: [(id("node_", 1), Share { taken: money("1"), free: money("0.000000001") })].into(),
    }
}

pub(crate) async fn who_shares_a_budget_has_seen_all_others(db: &dyn Db) {
    let mut first = some(1);
    db.write(shares::put(&first)).await.unwrap();
    db.write(shares::put(&some(2))).await.unwrap();
    assert!(held_back(db, shares::put(&first)).await, "there is one");
    let spend = Spend {
        tenant: TenantId::main(),
        budget: first.budget,
        period_start: at(0),
        spent: money("2.5"),
    };
    let mut unit = Unit::new("spend");
    budgets::spend(&mut unit, &spend);
    budgets::spend(&mut unit, &Spend { period_start: at(-99), ..spend });
    db.write(unit).await.unwrap();
    (first.version, first.spent) = (1, money("2.5"));
    let all = shares::all(db, None, 9).await.unwrap();
    assert_eq!(all, [first.clone(), Shares { version: 1, ..some(2) }]);
    assert_eq!(shares::all(db, Some(&first), 9).await.unwrap().len(), 1);
    first.of.insert(id("node_", 2), Share::default());
    db.write(shares::put(&first)).await.unwrap();
    assert!(held_back(db, shares::put(&first)).await, "of a version that is past");
    let found = shares::all(db, None, 1).await.unwrap();
    assert_eq!((found[0].version, &found[0].of), (2, &first.of));
}

pub(crate) async fn of_many_who_share_at_once_none_is_forgotten(db: &dyn Db) {
    db.write(shares::put(&Shares { of: [].into(), ..some(1) })).await.unwrap();
    let join = async |n: u32| {
        loop {
            let mut row = shares::all(db, None, 1).await.unwrap().remove(0);
            row.of.insert(id("node_", n), Share { taken: money("1"), free: money("1") });
            if !held_back(db, shares::put(&row)).await {
                break;
            }
        }
    };
    tokio::join!(join(1), join(2), join(3), join(4), join(5));
    let row = shares::all(db, None, 1).await.unwrap().remove(0);
    let expected: BTreeSet<NodeId> = (1..=5).map(|n| id("node_", n)).collect();
    assert_eq!(row.of.into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(row.version, 6);
}

/// A clock that stands still until it is moved.
#[derive(Default)]
pub(crate) struct Clock {
    ms: AtomicU64,
}

impl Clock {
    pub(crate) fn pass(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl freehold_types::Env for Clock {
    fn now(&self) -> jiff::Timestamp {
        at(0) + jiff::SignedDuration::from_millis(self.ms.load(Ordering::Relaxed).cast_signed())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }

    fn fill_random(&self, out: &mut [u8]) {
        use std::hash::{BuildHasher as _, RandomState};
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&RandomState::new().hash_one(0).to_le_bytes()[..chunk.len()]);
        }
    }

    fn sleep(&self, _: Duration) -> freehold_types::BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

mod hearts {
    use super::*;
    use freehold_store::membership::{Membership, MembershipOptions};
    use freehold_store::{Sqlite, SqliteOptions};

    async fn join(db: &Arc<Sqlite>, clock: &Arc<Clock>) -> Membership {
        let (db, clock) = (Arc::clone(db), Arc::clone(clock));
        let options = MembershipOptions::default();
        Membership::join(db, clock, options, "n".into(), "there".into()).await.unwrap()
    }

    fn world() -> (tempfile::TempDir, Arc<Sqlite>, Arc<Clock>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
        (folder, Arc::new(store), Arc::default())
    }

    #[tokio::test]
    async fn a_heart_that_stands_still_is_noticed_and_one_that_beats_is_not() {
        let (_folder, db, clock) = world();
        let (a, b, c) = (join(&db, &clock).await, join(&db, &clock).await, join(&db, &clock).await);
        for _ in 0..20 {
            clock.pass(500);
            assert!(a.beat().await.unwrap() && b.beat().await.unwrap());
        }
        let mut alive = vec![a.me(), b.me()];
        alive.sort_unstable();
        assert_eq!((a.alive(), b.alive()), (alive.clone(), alive));
        let dead: Vec<_> = a.dead(Duration::ZERO).into_iter().map(|node| node.id).collect();
        assert_eq!(dead, [c.me()]);
        assert!(a.dead(Duration::from_secs(60)).is_empty(), "not for so long");
        // It was only slow, and nobody has forgotten it.
        assert!(c.beat().await.unwrap());
        clock.pass(500);
        a.beat().await.unwrap();
        assert_eq!(a.alive().len(), 3);
        c.leave().await.unwrap();
        assert!(c.beat().await.unwrap());
        clock.pass(500);
        a.beat().await.unwrap();
        assert!(a.is_missing(c.me()));
    }

    #[tokio::test]
    async fn who_did_not_look_for_long_calls_nobody_dead_for_it() {
        let (_folder, db, clock) = world();
        let (a, b) = (join(&db, &clock).await, join(&db, &clock).await);
        a.beat().await.unwrap();
        // Both were without the store for a minute; `a` is the first to be back.
        clock.pass(60_000);
        a.beat().await.unwrap();
        assert_eq!(a.alive().len(), 2);
        b.beat().await.unwrap();
        clock.pass(500);
        a.beat().await.unwrap();
        assert!(a.dead(Duration::ZERO).is_empty());
    }
}
