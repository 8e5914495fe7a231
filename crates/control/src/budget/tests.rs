//! Accounts against a reference that keeps every entry and adds them up anew.

use freehold_store::budgets::Period;
use freehold_types::{BudgetId, Money, TenantId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::Scope;
use crate::testing::TestEnv;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn money(nanos: i128) -> Money {
    Money::from_nanos(nanos).unwrap()
}

fn account(amount: i128, period: Period, now: Timestamp) -> Account {
    let budget = Budget {
        id: BudgetId::new(&TestEnv::default()),
        scope: Scope::Tenant(TenantId::main()),
        amount: money(amount),
        period,
    };
    Account::new(&budget, now, Money::ZERO)
}

#[test]
fn a_budget_can_be_spent_to_its_last_nano_and_no_further() {
    let now = at("2026-05-05T12:00:00Z");
    let account = account(100, Period::Day, now);
    let first = account.reserve(now, money(60)).unwrap();
    let refused = account.reserve(now, money(41)).unwrap_err();
    assert_eq!(refused.free, money(40));
    assert_eq!(refused.renews, Some(at("2026-05-06T00:00:00Z")));
    account.settle(now, first, money(10));
    let second = account.reserve(now, money(90)).unwrap();
    assert!(account.reserve(now, money(1)).is_err());
    assert!(account.reserve(now, Money::ZERO).is_ok(), "what is free goes on");
    account.settle(now, second, money(95));
    let standing = account.standing(now);
    assert_eq!((standing.spent, standing.reserved), (money(105), Money::ZERO));
    assert!(account.reserve(now, Money::ZERO).is_ok(), "also after an overspend");
    assert_eq!(account.reserve(now, money(1)).unwrap_err().free, Money::ZERO);
}

#[test]
fn a_new_period_begins_at_its_instant_and_old_reservations_stay_in_theirs() {
    let last = at("2026-05-31T23:59:59.999999999Z");
    let next = at("2026-06-01T00:00:00Z");
    let account = account(100, Period::Month, last);
    let old = account.reserve(last, money(100)).unwrap();
    assert!(account.reserve(last, money(1)).is_err());
    let new = account.reserve(next, money(100)).unwrap();
    account.settle(next, old, money(100));
    let standing = account.standing(next);
    assert_eq!((standing.spent, standing.reserved), (Money::ZERO, money(100)));
    account.settle(next, new, money(7));
    assert_eq!(account.standing(next).spent, money(7));
}

#[test]
fn a_clock_that_goes_back_does_not_open_a_spent_window_again() {
    let (today, tomorrow) = (at("2026-05-05T12:00:00Z"), at("2026-05-06T00:00:01Z"));
    let account = account(100, Period::Day, today);
    let held = account.reserve(tomorrow, money(100)).unwrap();
    account.settle(today, held, money(100));
    assert!(account.reserve(today, money(1)).is_err());
    assert_eq!(account.standing(today).window.start, at("2026-05-06T00:00:00Z"));
}

#[test]
fn changed_terms_hold_at_once_and_another_period_starts_from_what_it_has_seen() {
    let now = at("2026-05-05T12:00:00Z");
    let account = account(100, Period::Day, now);
    let held = account.reserve(now, money(80)).unwrap();
    account.change(now, money(50), Period::Day, Money::ZERO);
    assert_eq!(account.reserve(now, money(1)).unwrap_err().free, Money::ZERO);
    account.change(now, money(500), Period::Month, money(400));
    account.settle(now, held, money(80));
    let standing = account.standing(now);
    assert_eq!((standing.spent, standing.reserved), (money(400), Money::ZERO));
}

/// One thing that happens to the account.
#[derive(Clone, Debug)]
enum Step {
    Reserve(i128),
    /// Settles one of the open reservations at so many hundredths of it.
    Settle(prop::sample::Index, i128),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..400_i128).prop_map(Step::Reserve),
        4 => (any::<prop::sample::Index>(), 0..130_i128).prop_map(|(i, p)| Step::Settle(i, p)),
        1 => (1..40_000_i64).prop_map(Step::Wait),
    ]
}

/// One reservation as the reference remembers it.
struct Entry {
    day: Timestamp,
    held: Reservation,
    amount: i128,
    cost: Option<i128>,
}

proptest! {
    #[test]
    fn agrees_with_a_reference_that_adds_everything_up(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        const AMOUNT: i128 = 1_000;
        let mut now = at("2026-05-05T12:00:00Z");
        let account = account(AMOUNT, Period::Day, now);
        let mut entries: Vec<Entry> = Vec::new();
        for step in steps {
            let day = Window::of(Period::Day, now).start;
            let sum = |entries: &[Entry], open: bool| -> i128 {
                entries
                    .iter()
                    .filter(|entry| entry.day == day && entry.cost.is_none() == open)
                    .map(|entry| entry.cost.unwrap_or(entry.amount))
                    .sum()
            };
            let (spent, reserved) = (sum(&entries, false), sum(&entries, true));
            let standing = account.standing(now);
            prop_assert_eq!(standing.spent, money(spent));
            prop_assert_eq!(standing.reserved, money(reserved));
            match step {
                Step::Reserve(amount) => {
                    let fits = amount == 0 || spent + reserved + amount <= AMOUNT;
                    let result = account.reserve(now, money(amount));
                    prop_assert_eq!(result.is_ok(), fits);
                    if let Ok(held) = result {
                        entries.push(Entry { day, held, amount, cost: None });
                    }
                }
                Step::Settle(index, percent) => {
                    let mut open: Vec<_> =
                        entries.iter_mut().filter(|entry| entry.cost.is_none()).collect();
                    if !open.is_empty() {
                        let at = index.index(open.len());
                        let cost = open[at].amount * percent / 100;
                        account.settle(now, open[at].held, money(cost));
                        open[at].cost = Some(cost);
                    }
                }
                Step::Wait(seconds) => now += SignedDuration::from_secs(seconds),
            }
        }
    }
}
