//! The desk as a whole: what it takes, what it gives back, and races.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use freehold_store::budgets::Period;
use freehold_types::{BudgetId, Code, ErrorKind, GroupId, KeyId, KeyName, TenantId};

use super::*;
use crate::budget::Budget;
use crate::identity::{Group, Key, KeyHash, Registry, Routes};
use crate::testing::TestEnv;
use crate::usage::Books;
use crate::{Limits, Scope, Settlement, Tokens, UsageSettings};

fn money(nanos: i128) -> Money {
    Money::from_nanos(nanos).unwrap()
}

/// A desk, a registry behind it, and one key in the group `inner` in `outer`.
struct Desk {
    env: Arc<TestEnv>,
    admission: Arc<Admission>,
    registry: Registry,
    principal: Arc<Principal>,
}

impl Desk {
    fn new() -> Self {
        let env = Arc::new(TestEnv::default());
        let mut registry = Registry::default();
        for (name, parent) in [("outer", None), ("inner", Some("outer"))] {
            registry.put_group(Group {
                tenant: TenantId::main(),
                id: group(name),
                parent: parent.map(group),
                limits: Limits::default(),
            });
        }
        let key = Key {
            id: KeyId::new(&*env),
            tenant: TenantId::main(),
            group: Some(group("inner")),
            name: KeyName::new("ci").unwrap(),
            hash: KeyHash([7; 32]),
            shown: "fh-abc…".into(),
            admin: false,
            routes: Routes::only(&["local", "gpt-*"]).unwrap(),
            limits: Limits::default(),
            created_at: env.now(),
            expires_at: None,
            revoked_at: None,
        };
        let principal = Arc::new(registry.put_key(key).unwrap());
        let door: Arc<dyn Env> = env.clone();
        let books = Arc::new(Books::new(UsageSettings::default()));
        let admission = Arc::new(Admission::new(door, AdmissionSettings::default(), books));
        Self { env, admission, registry, principal }
    }

    fn limit(&self, scope: usize, limits: Limits) {
        self.principal.gates()[scope].meter().set_limits(limits);
    }

    fn budget(&mut self, scope: Scope, amount: i128) -> BudgetId {
        let id = BudgetId::new(&*self.env);
        let budget = Budget { id, scope, amount: money(amount), period: Period::Day };
        self.registry.put_budget(budget, self.env.now(), Money::ZERO);
        id
    }

    fn standing(&self, id: BudgetId) -> (Money, Money) {
        let mut budgets = self.registry.budgets(self.env.now());
        let (_, standing) = budgets.find(|(budget, _)| budget.id == id).unwrap();
        (standing.spent, standing.reserved)
    }

    fn admit(&self, tokens: u64, reserve: Option<i128>) -> Result<Ticket, Refusal> {
        let ask = Ask {
            route: &"local".into(),
            dialect: &"chat".into(),
            stream: false,
            input_tokens_upper: tokens,
            output_tokens_upper: 0,
            reserve: reserve.map(money),
        };
        self.admission.admit(&self.principal, &ask)
    }

    fn nothing_is_held(&self) {
        assert_eq!(self.admission.in_flight(), 0);
        for gate in self.principal.gates() {
            assert_eq!(gate.meter().in_flight(), 0, "{}", gate.meter().scope());
        }
        for (budget, standing) in self.registry.budgets(self.env.now()) {
            assert_eq!(standing.reserved, Money::ZERO, "{}", budget.scope);
        }
    }
}

/// Without durability `Sync` this is done at once.
fn begin(ticket: &mut Ticket) {
    let mut begun = std::pin::pin!(ticket.begin());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(begun.as_mut().poll(&mut context), std::task::Poll::Ready(Ok(())));
}

fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn tenant_scope() -> Scope {
    Scope::Tenant(TenantId::main())
}

fn used(output: u64, nanos: i128) -> Settlement {
    let tokens = Tokens { output, ..Tokens::default() };
    Settlement { tokens, cost: Some(money(nanos)), ..Settlement::default() }
}

fn cost(nanos: i128) -> Settlement {
    used(0, nanos)
}

#[test]
fn every_scope_of_the_chain_has_a_say_and_is_named() {
    let names = ["the key `key_", "the group `inner`", "the group `outer`", "the tenant `main`"];
    for (scope, name) in names.into_iter().enumerate() {
        let desk = Desk::new();
        desk.limit(scope, Limits { concurrency: Some(1), ..Limits::default() });
        let ticket = desk.admit(1, None).unwrap();
        let refusal = desk.admit(1, None).unwrap_err();
        assert_eq!(refusal.code, Code::LimitConcurrency);
        assert!(refusal.message.starts_with(name), "{refusal}");
        drop(ticket);
        drop(desk.admit(1, None).unwrap());
        desk.nothing_is_held();
    }
}

#[test]
fn a_refusal_at_the_last_scope_leaves_the_others_as_they_were() {
    let mut desk = Desk::new();
    let limits = Limits {
        requests_per_minute: Some(10),
        tokens_per_minute: Some(1_000),
        concurrency: Some(10),
    };
    (0..4).for_each(|scope| desk.limit(scope, limits));
    let of_group = desk.budget(Scope::Group(TenantId::main(), group("outer")), 1_000);
    desk.budget(tenant_scope(), 5);
    let refusal = desk.admit(100, Some(6)).unwrap_err();
    assert_eq!((refusal.code, refusal.kind), (Code::BudgetExhausted, ErrorKind::OutOfBudget));
    assert_eq!(refusal.retry_after_ms, Some(12 * 3_600_000), "the rest of the day");
    for gate in desk.principal.gates() {
        assert_eq!(gate.meter().left(desk.env.monotonic()), limits);
    }
    assert_eq!(desk.standing(of_group), (Money::ZERO, Money::ZERO));
    desk.nothing_is_held();
    assert_eq!(desk.admission.counts().refused, [(Code::BudgetExhausted, 1)]);
}

#[test]
fn a_route_beyond_the_keys_list_is_refused_before_anything_is_taken() {
    let desk = Desk::new();
    let ask = Ask {
        route: &"claude".into(),
        dialect: &"chat".into(),
        stream: true,
        input_tokens_upper: 1,
        output_tokens_upper: 1,
        reserve: None,
    };
    let refusal = desk.admission.admit(&desk.principal, &ask).unwrap_err();
    assert_eq!((refusal.code, refusal.kind), (Code::RouteForbidden, ErrorKind::Forbidden));
    assert!(refusal.message.contains("`local`, `gpt-*`"), "{refusal}");
    desk.nothing_is_held();
}

#[test]
fn settling_turns_reservations_into_what_was_used_everywhere() {
    let mut desk = Desk::new();
    desk.limit(3, Limits { tokens_per_minute: Some(1_000), ..Limits::default() });
    let of_tenant = desk.budget(tenant_scope(), 1_000);
    let of_key = desk.budget(Scope::Key(TenantId::main(), desk.principal.key().id), 1_000);
    let mut ticket = desk.admit(800, Some(600)).unwrap();
    begin(&mut ticket);
    assert_eq!(ticket.reserved(), Some(money(600)));
    assert_eq!(desk.standing(of_key), (Money::ZERO, money(600)));
    let settled = ticket.settle(used(300, 250));
    assert_eq!(settled.excess, None);
    for id in [of_tenant, of_key] {
        assert_eq!(desk.standing(id), (money(250), Money::ZERO));
    }
    let left = desk.principal.gates()[3].meter().left(desk.env.monotonic());
    assert_eq!(left.tokens_per_minute, Some(700));
    desk.nothing_is_held();
}

#[test]
fn a_dropped_ticket_costs_nothing_before_an_attempt_and_its_reservation_after() {
    let mut desk = Desk::new();
    desk.limit(0, Limits { tokens_per_minute: Some(1_000), ..Limits::default() });
    let id = desk.budget(tenant_scope(), 1_000);
    drop(desk.admit(400, Some(300)).unwrap());
    assert_eq!(desk.standing(id), (Money::ZERO, Money::ZERO));
    let mut ticket = desk.admit(400, Some(300)).unwrap();
    begin(&mut ticket);
    drop(ticket);
    assert_eq!(desk.standing(id), (money(300), Money::ZERO));
    let left = desk.principal.gates()[0].meter().left(desk.env.monotonic());
    assert_eq!(left.tokens_per_minute, Some(600));
    desk.nothing_is_held();
    let counts = desk.admission.counts();
    assert_eq!((counts.abandoned, counts.interrupted, counts.settled), (1, 1, 0));
}

#[test]
fn an_excess_is_posted_and_told() {
    let mut desk = Desk::new();
    let id = desk.budget(tenant_scope(), 100);
    let ticket = desk.admit(1, Some(100)).unwrap();
    assert_eq!(ticket.settle(cost(130)).excess, Some(money(30)));
    assert_eq!(desk.standing(id), (money(130), Money::ZERO));
    assert_eq!(desk.admission.counts().overspent, 1);
    assert_eq!(desk.admit(1, Some(1)).unwrap_err().code, Code::BudgetExhausted);
    assert!(desk.admit(1, Some(0)).is_ok(), "what is free goes on");
}

#[test]
fn a_further_attempt_is_reserved_in_every_budget_or_in_none() {
    let mut desk = Desk::new();
    let of_group = desk.budget(Scope::Group(TenantId::main(), group("inner")), 1_000);
    let of_tenant = desk.budget(tenant_scope(), 150);
    let mut ticket = desk.admit(1, Some(100)).unwrap();
    assert_eq!(ticket.extend(money(51)).unwrap_err().code, Code::BudgetExhausted);
    assert_eq!(desk.standing(of_group), (Money::ZERO, money(100)));
    ticket.extend(money(50)).unwrap();
    assert_eq!(ticket.reserved(), Some(money(150)));
    assert_eq!(desk.standing(of_group), (Money::ZERO, money(150)));
    assert_eq!(ticket.settle(cost(120)).excess, None);
    assert_eq!(desk.standing(of_tenant), (money(120), Money::ZERO));
    desk.nothing_is_held();
}

#[test]
fn what_has_no_price_is_served_or_refused_as_the_operator_says() {
    let mut desk = Desk::new();
    let id = desk.budget(tenant_scope(), 100);
    let _ = desk.admit(1, None).unwrap().settle(cost(40));
    assert_eq!(desk.standing(id).0, money(40), "a price that turns up is posted");
    desk.admission
        .set(AdmissionSettings { unpriced: Unpriced::Refuse, ..AdmissionSettings::default() });
    let refusal = desk.admit(1, None).unwrap_err();
    assert_eq!((refusal.code, refusal.kind), (Code::BudgetUnpriced, ErrorKind::Forbidden));
    desk.registry.remove_budget(id);
    assert!(desk.admit(1, None).is_ok(), "without a budget nobody asks");
}

#[test]
fn a_full_server_sheds_at_once() {
    let desk = Desk::new();
    desk.admission.set(AdmissionSettings { max_in_flight: 2, ..AdmissionSettings::default() });
    let tickets = [desk.admit(1, None).unwrap(), desk.admit(1, None).unwrap()];
    let refusal = desk.admit(1, None).unwrap_err();
    assert_eq!((refusal.code, refusal.kind), (Code::OverloadShed, ErrorKind::Unavailable));
    assert_eq!(refusal.retry_after_ms, Some(1_000));
    drop(tickets);
    desk.nothing_is_held();
}

/// 64 clients race for one key's budget, each in its own way: most settle
/// below their reservation, some give up, some are lost.
#[test]
fn racing_clients_overspend_by_nothing() {
    const CAP: i128 = 1_000_003;
    let mut desk = Desk::new();
    let of_key = desk.budget(Scope::Key(TenantId::main(), desk.principal.key().id), CAP);
    let of_tenant = desk.budget(tenant_scope(), CAP + 1);
    let (admitted, spent) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Barrier::new(64);
    std::thread::scope(|scope| {
        for client in 0..64_u64 {
            let (desk, admitted, spent, start) = (&desk, &admitted, &spent, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..500_u64 {
                    let reserve = 50 + (client * 31 + round * 17) % 101;
                    let Ok(mut ticket) = desk.admit(1, Some(i128::from(reserve))) else { continue };
                    admitted.fetch_add(1, Ordering::Relaxed);
                    let used = match round % 5 {
                        0 => {
                            drop(ticket);
                            0
                        }
                        1 => {
                            begin(&mut ticket);
                            drop(ticket);
                            reserve
                        }
                        _ => {
                            begin(&mut ticket);
                            ticket.settle(cost(i128::from(reserve - round % 7)));
                            reserve - round % 7
                        }
                    };
                    spent.fetch_add(used, Ordering::Relaxed);
                }
            });
        }
    });
    let spent = i128::from(spent.into_inner());
    assert_eq!(desk.standing(of_key), (money(spent), Money::ZERO));
    assert_eq!(desk.standing(of_tenant), (money(spent), Money::ZERO));
    assert!(spent <= CAP, "overspent by {}", spent - CAP);
    assert!(spent > CAP - 150, "the cap was reached: {spent}");
    assert!(desk.admission.counts().refused.iter().any(|(c, _)| *c == Code::BudgetExhausted));
    desk.nothing_is_held();
}
