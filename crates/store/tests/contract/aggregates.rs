//! The aggregates, over whatever store the door leads to.

use freehold_store::budgets::{self, Budget, Period, Scope, Spend};
use freehold_store::exchanges::{self, State};
use freehold_store::groups::{self, Group};
use freehold_store::keys;
use freehold_store::usage::{self, By, Only, Query};
use freehold_types::{Db, DbError, ExchangeId, GroupId, Money, PageRequest, TenantId, Unit};

use crate::samples::{at, closed, id, key, lost, money, opened};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn group(tenant: &TenantId, name: &str, parent: Option<&str>) -> Group {
    Group {
        tenant: tenant.clone(),
        name: GroupId::new(name).unwrap(),
        parent: parent.map(|parent| GroupId::new(parent).unwrap()),
        limits: "{}".into(),
        created_at: at(0),
    }
}

async fn guard_holds_back(db: &dyn Db, unit: Unit) -> bool {
    matches!(db.write(unit).await, Err(DbError::GuardFailed { .. }))
}

pub(crate) async fn keys_are_inserted_found_listed_and_revoked(db: &dyn Db) {
    let main = TenantId::main();
    let mut first = key(&main, 1);
    first.group = Some(GroupId::new("team").unwrap());
    first.admin = true;
    let second = key(&main, 2);
    assert!(guard_holds_back(db, keys::insert(&first)).await, "no such group");
    db.write(groups::insert(&group(&main, "team", None))).await.unwrap();
    for key in [&first, &second] {
        db.write(keys::insert(key)).await.unwrap();
    }
    assert!(guard_holds_back(db, keys::insert(&first)).await, "the id is taken");
    assert_eq!(keys::get(db, &main, first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(keys::find(db, &second.hash).await.unwrap().as_ref(), Some(&second));
    assert_eq!(keys::find(db, b"other").await.unwrap(), None);

    let page = keys::list(db, &main, &PageRequest::new(None, 1)).await.unwrap();
    assert_eq!((page.items, page.next.clone()), (vec![first.clone()], Some(first.id.to_string())));
    let page = keys::list(db, &main, &PageRequest::new(page.next, 1)).await.unwrap();
    assert_eq!((page.items, page.next), (vec![second], None));

    db.write(keys::revoke(&main, first.id, at(5))).await.unwrap();
    assert!(guard_holds_back(db, keys::revoke(&main, first.id, at(6))).await, "only once");
    let revoked = keys::get(db, &main, first.id).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at(5)));
}

pub(crate) async fn a_tenant_does_not_see_anothers(db: &dyn Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    db.write(keys::insert(&key(&a, 1))).await.unwrap();
    db.write(keys::insert(&key(&b, 1))).await.unwrap();
    db.write(exchanges::open(None, [&opened(&a, 1)])).await.unwrap();
    assert!(guard_holds_back(db, keys::revoke(&tenant("c"), id("key_", 1), at(1))).await);
    db.write(keys::revoke(&a, id("key_", 1), at(1))).await.unwrap();
    let other = keys::get(db, &b, id("key_", 1)).await.unwrap().unwrap();
    assert_eq!(other.revoked_at, None);
    assert_eq!(exchanges::get(db, &b, id("exch_", 1)).await.unwrap(), None);

    let all = keys::all(db, None, 1).await.unwrap();
    let rest = keys::all(db, all.last(), 10).await.unwrap();
    let tenants: Vec<_> = all.iter().chain(&rest).map(|key| key.tenant.as_str()).collect();
    assert_eq!(tenants, ["a", "b"]);
}

pub(crate) async fn groups_nest_and_hold_what_is_in_them(db: &dyn Db) {
    let main = TenantId::main();
    let name = |name: &str| GroupId::new(name).unwrap();
    let group = |own, parent| group(&main, own, parent);
    assert!(guard_holds_back(db, groups::insert(&group("b", Some("a")))).await, "no such parent");
    db.write(groups::insert(&group("a", None))).await.unwrap();
    db.write(groups::insert(&group("b", Some("a")))).await.unwrap();
    db.write(groups::insert(&group("c", None))).await.unwrap();
    let mut moved = group("c", Some("b"));
    moved.limits = r#"{"rpm":5}"#.into();
    db.write(groups::update(&moved)).await.unwrap();
    let page = groups::list(db, &main, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items, [group("a", None), group("b", Some("a")), moved]);
    assert_eq!(groups::all(db, page.items.first(), 10).await.unwrap().len(), 2);

    let mut member = key(&main, 1);
    member.group = Some(name("c"));
    db.write(keys::insert(&member)).await.unwrap();
    assert!(guard_holds_back(db, groups::delete(&main, &name("a"))).await, "b is in it");
    assert!(guard_holds_back(db, groups::delete(&main, &name("c"))).await, "a key is in it");
    db.write(keys::revoke(&main, member.id, at(1))).await.unwrap();
    db.write(groups::delete(&main, &name("c"))).await.unwrap();
}

pub(crate) async fn a_group_is_not_taken_away_from_a_key_that_comes_into_it(db: &dyn Db) {
    let main = TenantId::main();
    let name = GroupId::new("team").unwrap();
    for n in 0..50 {
        db.write(groups::insert(&group(&main, "team", None))).await.unwrap();
        let mut member = key(&main, n);
        member.group = Some(name.clone());
        // Both at once, in either order.
        let (insert, delete) = if n % 2 == 0 {
            let insert = db.write(keys::insert(&member));
            (insert, db.write(groups::delete(&main, &name)))
        } else {
            let delete = db.write(groups::delete(&main, &name));
            (db.write(keys::insert(&member)), delete)
        };
        let (inserted, deleted) = (insert.await, delete.await);
        assert!(inserted.is_ok() != deleted.is_ok(), "{n}: {inserted:?} {deleted:?}");
        if inserted.is_ok() {
            db.write(keys::revoke(&main, member.id, at(1))).await.unwrap();
            db.write(groups::delete(&main, &name)).await.unwrap();
        }
    }
}

pub(crate) async fn what_many_spend_at_once_adds_up(db: &dyn Db) {
    let spend = |_| {
        let mut unit = Unit::new("spend");
        let (tenant, budget) = (TenantId::main(), id("bud_", 1));
        let (period_start, spent) = (at(0), money("0.300000007"));
        budgets::spend(&mut unit, &Spend { tenant, budget, period_start, spent });
        db.write(unit)
    };
    let writes: Vec<_> = (0..100).map(spend).collect();
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(budgets::spends(db, None, 10).await.unwrap()[0].spent, money("30.0000007"));
}

pub(crate) async fn a_budgets_spending_adds_up_exactly(db: &dyn Db) {
    let main = TenantId::main();
    let budget = Budget {
        tenant: main.clone(),
        id: id("bud_", 1),
        scope: Scope::Group(GroupId::new("team").unwrap()),
        period: Period::Month,
        amount: money("300000000000.000000001"),
        created_at: at(0),
    };
    db.write(budgets::insert(&budget)).await.unwrap();
    assert_eq!(budgets::all(db, None, 10).await.unwrap(), std::slice::from_ref(&budget));

    let parts = ["0.999999999", "0.000000001", "12.5", "-0.500000001", "-13", "7.3"];
    for part in parts {
        let mut unit = Unit::new("spend");
        let spent = money(part);
        let tenant = main.clone();
        let period_start = at(0);
        budgets::spend(&mut unit, &Spend { tenant, budget: budget.id, period_start, spent });
        db.write(unit).await.unwrap();
    }
    let sum = parts.iter().fold(Money::ZERO, |sum, part| sum.saturating_add(money(part)));
    assert_eq!(budgets::spends(db, None, 10).await.unwrap()[0].spent, sum);

    db.write(budgets::update(&main, budget.id, money("5"))).await.unwrap();
    let page = budgets::list(db, &main, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items[0].amount, money("5"));
    db.write(budgets::delete(&main, budget.id)).await.unwrap();
    assert_eq!(budgets::spends(db, None, 10).await.unwrap(), []);
    assert!(guard_holds_back(db, budgets::delete(&main, budget.id)).await);
}

pub(crate) async fn the_latest_period_is_what_a_restart_takes_up(db: &dyn Db) {
    let mut unit = Unit::new("spend");
    for (budget, period, spent) in [(1, 0, "1"), (1, 60, "2"), (2, 0, "3")] {
        let spend = Spend {
            tenant: TenantId::main(),
            budget: id("bud_", budget),
            period_start: at(period),
            spent: money(spent),
        };
        budgets::spend(&mut unit, &spend);
    }
    db.write(unit).await.unwrap();
    let first = budgets::spends(db, None, 1).await.unwrap();
    assert_eq!((first[0].period_start, first[0].spent), (at(60), money("2")));
    let rest = budgets::spends(db, first.last(), 10).await.unwrap();
    assert_eq!(rest.iter().map(|spend| spend.spent).collect::<Vec<_>>(), [money("3")]);
}

pub(crate) async fn an_exchange_opens_and_closes_once(db: &dyn Db) {
    let main = TenantId::main();
    let mut opened = opened(&main, 1);
    opened.group = Some(GroupId::new("team").unwrap());
    db.write(exchanges::open(None, [&opened])).await.unwrap();
    let stored = exchanges::get(db, &main, opened.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.closed), (State::Open, None));
    assert_eq!(stored.opened, opened);

    let mut closed = closed("0.123456789");
    closed.error = Some("upstream".into());
    db.write(exchanges::close([(&opened, &closed)])).await.unwrap();
    let stored = exchanges::get(db, &main, opened.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.closed), (State::Closed, Some(closed.clone())));
    closed.cost = money("9");
    assert!(guard_holds_back(db, exchanges::close([(&opened, &closed)])).await, "only once");
}

pub(crate) async fn a_close_needs_no_open_before_it(db: &dyn Db) {
    let (opened, closed) = (opened(&TenantId::main(), 1), closed("0.5"));
    db.write(exchanges::close([(&opened, &closed)])).await.unwrap();
    let stored = exchanges::get(db, &opened.tenant, opened.id).await.unwrap().unwrap();
    assert_eq!((stored.opened, stored.closed), (opened, Some(closed)));
}

pub(crate) async fn an_open_that_comes_late_changes_nothing(db: &dyn Db) {
    let (opened, closed) = (opened(&TenantId::main(), 1), closed("0.5"));
    db.write(exchanges::close([(&opened, &closed)])).await.unwrap();
    let receipt = db.write(exchanges::open(None, [&opened])).await.unwrap();
    assert_eq!(receipt.changed, [0]);
    assert_eq!(exchanges::still_open(db, None, 10).await.unwrap(), []);
}

pub(crate) async fn open_exchanges_are_settled_at_their_reservation(db: &dyn Db) {
    let all: Vec<_> = (0..5).map(|n| opened(&TenantId::main(), n)).collect();
    db.write(exchanges::open(None, &all)).await.unwrap();
    db.write(exchanges::close([(&all[2], &closed("0.01"))])).await.unwrap();
    let first = exchanges::still_open(db, None, 3).await.unwrap();
    let rest = exchanges::still_open(db, first.last(), 3).await.unwrap();
    let left: Vec<_> = first.into_iter().chain(rest).collect();
    assert_eq!(left, [&all[0], &all[1], &all[3], &all[4]].map(Clone::clone));

    db.write(exchanges::interrupt(&left, at(2000))).await.unwrap();
    assert_eq!(exchanges::still_open(db, None, 10).await.unwrap(), []);
    let page = PageRequest::default();
    let interrupted = Some(State::Interrupted);
    let listed =
        exchanges::list(db, &TenantId::main(), interrupted, None, &page).await.unwrap().items;
    assert_eq!(listed.len(), 4);
    let settled = listed[0].closed.clone().unwrap();
    assert_eq!((settled.cost, settled.closed_at), (money("0.25"), at(2000)));
}

fn days(by: By) -> Query {
    let date = |text: &str| text.parse().unwrap();
    Query {
        tenant: None,
        only: Only::default(),
        from: date("2026-09-01"),
        to: date("2026-09-30"),
        by,
    }
}

pub(crate) async fn usage_is_summed_by_what_is_asked_for(db: &dyn Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    let rows = [
        (opened(&a, 1), closed("0.7")),
        (opened(&a, 2), closed("0.7")),
        (opened(&b, 3), closed("0.7")),
    ];
    db.write(exchanges::close(rows.iter().map(|(o, c)| (o, c)))).await.unwrap();
    let mut later = closed("0.000000001");
    later.closed_at = at(86_400);
    later.model = Some("m-2".into());
    later.error = Some("timeout".into());
    db.write(exchanges::close([(&opened(&a, 4), &later)])).await.unwrap();
    db.write(exchanges::interrupt([&opened(&b, 5)], at(86_400))).await.unwrap();

    let total = usage::report(db, &days(By::default())).await.unwrap();
    let (dimensions, sums) = &total.rows[0];
    assert_eq!((total.rows.len(), total.truncated), (1, false));
    assert_eq!(dimensions, &usage::Dimensions::default());
    assert_eq!(sums.cost, money("2.350000001"));
    assert_eq!((sums.exchanges, sums.errors, sums.interrupted, sums.estimated), (5, 2, 1, 1));
    assert_eq!((sums.tokens.input, sums.tokens.cache_write_long), (400, 80));

    let by = By { tenant: true, day: true, ..By::default() };
    let report = usage::report(db, &days(by)).await.unwrap();
    let costs: Vec<_> =
        report.rows.iter().map(|(d, sums)| (&*d.tenant, &*d.day, sums.cost.to_string())).collect();
    assert_eq!(
        costs,
        [
            ("a", "2026-09-21", "1.4".into()),
            ("a", "2026-09-22", "0.000000001".into()),
            ("b", "2026-09-21", "0.7".into()),
            ("b", "2026-09-22", "0.25".into()),
        ]
    );

    let by = By { model: true, route: true, ..By::default() };
    let one = Query { tenant: Some(a), to: "2026-09-21".parse().unwrap(), ..days(by) };
    let report = usage::report(db, &one).await.unwrap();
    assert_eq!(report.rows.len(), 1);
    assert_eq!((&*report.rows[0].0.model, &*report.rows[0].0.route), ("m-1", "fast"));
}

pub(crate) async fn lost_attempts_are_lines_of_their_own(db: &dyn Db) {
    let main = TenantId::main();
    let mut rows = [(opened(&main, 1), closed("0.5")), (opened(&main, 2), closed("0.75"))];
    // What all of it costs: the answer 0.5, and the two before it.
    rows[1].1.lost = vec![lost("0.2"), lost("0.05")];
    let batch = || exchanges::close(rows.iter().map(|(opened, closed)| (opened, closed)));
    db.write(batch()).await.unwrap();
    assert!(guard_holds_back(db, batch()).await, "they are posted once");

    let stored = exchanges::get(db, &main, rows[1].0.id).await.unwrap().unwrap();
    assert_eq!(stored.closed.as_ref(), Some(&rows[1].1));
    let page = PageRequest::default();
    for key in [None, Some(rows[0].0.key)] {
        let listed = exchanges::list(db, &main, None, key, &page).await.unwrap().items;
        let lost: Vec<_> = listed.iter().map(|e| e.closed.as_ref().unwrap().lost.len()).collect();
        assert_eq!(lost, [2, 0]);
    }

    let by = By { provider: true, model: true, ..By::default() };
    let report = usage::report(db, &days(by)).await.unwrap();
    let sums: Vec<_> = report
        .rows
        .iter()
        .map(|(at, sums)| (&*at.provider, &*at.model, sums.exchanges, sums.lost, sums.cost))
        .collect();
    assert_eq!(sums, [("slow", "m-0", 0, 2, money("0.25")), ("upstream", "m-1", 2, 0, money("1"))]);
    assert_eq!((report.rows[0].1.tokens.input, report.rows[0].1.tokens.output), (140, 6));
    let total = usage::report(db, &days(By::default())).await.unwrap();
    assert_eq!(total.rows[0].1.cost, money("1.25"), "all that is in the exchanges");
}

pub(crate) async fn usage_is_narrowed_to_what_is_asked_for(db: &dyn Db) {
    let main = TenantId::main();
    let mut ends = Vec::new();
    for n in 0..32 {
        // Each bit is one dimension; the cost tells which rows were summed.
        let is = |bit: u32| n & (1 << bit) != 0;
        let (mut opened, mut closed) = (opened(&main, n), closed("0"));
        opened.group = is(0).then(|| GroupId::new("team").unwrap());
        opened.key = id("key_", 1 + u32::from(is(1)));
        opened.route = if is(2) { "smart" } else { "fast" }.into();
        closed.provider = is(3).then(|| "east".into());
        closed.model = Some(if is(4) { "m-2" } else { "m-1" }.into());
        closed.cost = Money::from_nanos(1 << n).unwrap();
        ends.push((opened, closed));
    }
    db.write(exchanges::close(ends.iter().map(|(o, c)| (o, c)))).await.unwrap();
    let some = |text: &str| Some(text.into());
    let other_key = id::<freehold_types::KeyId>("key_", 2).to_string();
    let narrowed = [
        (Only { group: some("team"), ..Only::default() }, 1, 1),
        (Only { group: some(""), ..Only::default() }, 1, 0),
        (Only { key: some(&other_key), ..Only::default() }, 2, 2),
        (Only { route: some("smart"), ..Only::default() }, 4, 4),
        (Only { provider: some("east"), ..Only::default() }, 8, 8),
        (Only { provider: some(""), model: some("m-2"), ..Only::default() }, 24, 16),
        (Only { route: some("fast"), model: some("m-1"), ..Only::default() }, 20, 0),
    ];
    for (only, mask, wanted) in narrowed {
        let query = Query { only, ..days(By::default()) };
        let report = usage::report(db, &query).await.unwrap();
        let expected: i128 = (0..32_u32).filter(|n| n & mask == wanted).map(|n| 1 << n).sum();
        assert_eq!(report.rows[0].1.cost.nanos(), expected, "{:?}", query.only);
    }
    let only = Only { route: some("nothing"), ..Only::default() };
    let none = usage::report(db, &Query { only, ..days(By::default()) }).await.unwrap();
    assert_eq!(none.rows, []);
}

pub(crate) async fn a_batch_in_doubt_may_be_sent_again(db: &dyn Db) {
    let (opened, closed) = (opened(&TenantId::main(), 1), closed("0.5"));
    let batch = || {
        let mut unit = exchanges::close([(&opened, &closed)]);
        let (tenant, budget) = (TenantId::main(), id("bud_", 1));
        let (period_start, spent) = (at(0), closed.cost);
        budgets::spend(&mut unit, &Spend { tenant, budget, period_start, spent });
        unit
    };
    db.write(batch()).await.unwrap();
    assert!(guard_holds_back(db, batch()).await);
    let report = usage::report(db, &days(By::default())).await.unwrap();
    assert_eq!(report.rows[0].1.cost, money("0.5"));
    assert_eq!(budgets::spends(db, None, 10).await.unwrap()[0].spent, money("0.5"));
}

pub(crate) async fn exchanges_are_listed_newest_first_by_the_page(db: &dyn Db) {
    let main = TenantId::main();
    let all: Vec<_> = (0..5).map(|n| opened(&main, n)).collect();
    db.write(exchanges::open(None, &all)).await.unwrap();
    let mut request = PageRequest::new(None, 2);
    let mut seen: Vec<ExchangeId> = Vec::new();
    loop {
        let page = exchanges::list(db, &main, None, None, &request).await.unwrap();
        seen.extend(page.items.iter().map(|exchange| exchange.opened.id));
        match page.next {
            Some(next) => request = PageRequest::new(Some(next), 2),
            None => break,
        }
    }
    let expected: Vec<_> = all.iter().rev().map(|opened| opened.id).collect();
    assert_eq!(seen, expected);
    let other = Some(id("key_", 99));
    let page = exchanges::list(db, &main, Some(State::Open), other, &request).await.unwrap();
    assert_eq!(page.items, []);
}

pub(crate) async fn what_is_old_is_forgotten_in_batches_and_stays_in_the_sums(db: &dyn Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    let all: Vec<_> = (0..7).map(|n| opened(&a, n)).chain([opened(&b, 0)]).collect();
    let mut ended = closed("0.123456789");
    ended.lost = vec![lost("0.1")];
    let ends = all.iter().filter(|opened| opened.id != all[1].id || opened.tenant == b);
    db.write(exchanges::open(None, &all)).await.unwrap();
    db.write(exchanges::close(ends.map(|opened| (opened, &ended)))).await.unwrap();
    let by = By { tenant: true, day: true, key: true, model: true, ..By::default() };
    let before = usage::report(db, &days(by)).await.unwrap();
    assert_eq!(exchanges::oldest(db, None).await.unwrap(), Some((a.clone(), all[0].id)));
    assert_eq!(exchanges::oldest(db, Some(&a)).await.unwrap(), Some((b.clone(), all[0].id)));
    assert_eq!(exchanges::oldest(db, Some(&b)).await.unwrap(), None);

    // Before 5: of 0 to 4, all but 1, which is still open.
    let forget = async || db.write(exchanges::prune(&a, at(5), 3)).await.unwrap().changed;
    assert_eq!(
        (forget().await, forget().await, forget().await),
        (vec![3, 3], vec![1, 1], vec![0, 0])
    );
    let page = PageRequest::default();
    let left = exchanges::list(db, &a, None, None, &page).await.unwrap().items;
    let left: Vec<_> = left.iter().map(|exchange| exchange.opened.id).collect();
    assert_eq!(left, [all[6].id, all[5].id, all[1].id]);
    assert_eq!(exchanges::list(db, &b, None, None, &page).await.unwrap().items.len(), 1);
    assert_eq!(usage::report(db, &days(by)).await.unwrap(), before);

    db.write(exchanges::close([(&all[1], &ended)])).await.unwrap();
    assert_eq!(forget().await, [1, 1], "it ended after all");
    let by = By { tenant: true, ..By::default() };
    let after = usage::report(db, &days(by)).await.unwrap();
    assert_eq!(after.rows[0].1.cost, money("0.864197523"));
}
