//! Changes: durable and in force when they return, and still there after.

use std::time::Duration;

use freehold_store::budgets::Period;
use freehold_types::{
    Code, ErrorKind, GroupId, KeyId, Money, PageRequest, Secret, TenantId, Unit, args,
};

use super::*;
use crate::testing::{Fault, Node, new_key};
use crate::{Limits, Routes, Settings};

fn group(name: &str, parent: Option<&str>) -> Group {
    Group {
        tenant: TenantId::main(),
        id: GroupId::new(name).unwrap(),
        parent: parent.map(|name| GroupId::new(name).unwrap()),
        limits: Limits::default(),
    }
}

fn code(node: &Node, presented: &Secret) -> Option<Code> {
    node.control.authenticate(presented.reveal()).err().map(|refusal| refusal.code)
}

#[tokio::test]
async fn a_key_is_in_force_when_it_is_issued_and_after_a_restart() {
    let node = Node::new(Settings::default()).await;
    let mut new = new_key("ci");
    new.group = Some(GroupId::new("research").unwrap());
    new.routes = Routes::only(&["gpt-*"]).unwrap();
    new.limits.requests_per_minute = Some(7);
    let issued = node.control.create_key(new).await.unwrap();
    let check = |node: &Node| {
        let principal = node.control.authenticate(issued.secret.reveal()).unwrap();
        assert_eq!(principal.key(), &issued.key);
        assert_eq!(principal.gates().len(), 3, "key, group and tenant");
        assert_eq!(node.control.left(&principal).requests_per_minute, Some(7));
        assert_eq!(principal.may_call("claude").unwrap_err().code, Code::RouteForbidden);
    };
    check(&node);
    let node = node.restart(Settings::default()).await;
    check(&node);
    assert_eq!(node.control.groups(&TenantId::main(), &PageRequest::first()).items.len(), 1);
}

#[tokio::test]
async fn a_revoked_key_is_refused_when_the_call_returns_and_after_a_restart() {
    let node = Node::new(Settings::default()).await;
    let issued = node.control.create_key(new_key("ci")).await.unwrap();
    let revoked = node.control.revoke_key(&TenantId::main(), issued.key.id).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(code(&node, &issued.secret), Some(Code::KeyRevoked));
    let again = node.control.revoke_key(&TenantId::main(), issued.key.id).await.unwrap();
    assert_eq!(again, revoked);
    let node = node.restart(Settings::default()).await;
    assert_eq!(code(&node, &issued.secret), Some(Code::KeyRevoked));
    let other = TenantId::new("other").unwrap();
    let error = node.control.revoke_key(&other, issued.key.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "a tenant sees only its own keys");
}

#[tokio::test]
async fn a_changed_key_is_in_force_at_once() {
    let node = Node::new(Settings::default()).await;
    let issued = node.control.create_key(new_key("ci")).await.unwrap();
    let main = TenantId::main();
    let change = KeyChange {
        routes: Some(Routes::only(&["local"]).unwrap()),
        limits: Some(Limits { concurrency: Some(3), ..Limits::default() }),
        expires_at: Some(Some(node.env.now_plus(60))),
        ..KeyChange::default()
    };
    let changed = node.control.update_key(&main, issued.key.id, change).await.unwrap();
    let principal = node.control.authenticate(issued.secret.reveal()).unwrap();
    assert_eq!(principal.key(), &changed);
    assert_eq!(node.control.left(&principal).concurrency, Some(3));
    node.env.advance(Duration::from_secs(60));
    assert_eq!(code(&node, &issued.secret), Some(Code::KeyExpired));
    let to_nowhere =
        KeyChange { group: Some(Some(GroupId::new("ghost").unwrap())), ..KeyChange::default() };
    let error = node.control.update_key(&main, issued.key.id, to_nowhere).await.unwrap_err();
    assert_eq!(error.code(), Code::GroupNotFound);
    let node = node.restart(Settings::default()).await;
    assert_eq!(node.control.key(&main, issued.key.id).unwrap(), changed);
}

#[tokio::test]
async fn what_the_store_does_not_take_does_not_happen() {
    let node = Node::new(Settings::default()).await;
    let issued = node.control.create_key(new_key("ci")).await.unwrap();
    node.db.set(Fault::Down);
    let main = TenantId::main();
    let error = node.control.create_key(new_key("other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    node.control.revoke_key(&main, issued.key.id).await.unwrap_err();
    assert_eq!(code(&node, &issued.secret), None, "the last good snapshot serves");
    assert_eq!(node.control.keys(None, &PageRequest::first()).items.len(), 1);
    node.env.advance(Duration::from_secs(9));
    assert_eq!(node.control.snapshot_age(), Duration::from_secs(9));
    node.db.set(Fault::None);
    node.control.reload().await.unwrap();
    assert_eq!(node.control.snapshot_age(), Duration::ZERO);
    node.env.advance(Duration::from_secs(9));
    node.control.confirm().await.unwrap();
    assert_eq!(node.control.snapshot_age(), Duration::ZERO);
}

#[tokio::test]
async fn after_a_lost_answer_memory_follows_the_store() {
    for (fault, revoked) in [(Fault::LoseAnswer, true), (Fault::LoseWrite, false)] {
        let node = Node::new(Settings::default()).await;
        let issued = node.control.create_key(new_key("ci")).await.unwrap();
        node.db.set(fault);
        let error = node.control.revoke_key(&TenantId::main(), issued.key.id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(code(&node, &issued.secret).is_some(), revoked, "{fault:?}");
    }
}

#[tokio::test]
async fn a_moved_group_takes_its_keys_along() {
    let node = Node::new(Settings::default()).await;
    for name in ["a", "b"] {
        node.control.put_group(group(name, None)).await.unwrap();
    }
    let mut new = new_key("ci");
    new.group = Some(GroupId::new("b").unwrap());
    let issued = node.control.create_key(new).await.unwrap();
    node.control.put_group(group("b", Some("a"))).await.unwrap();
    let principal = node.control.authenticate(issued.secret.reveal()).unwrap();
    assert_eq!(principal.gates().len(), 4);
    let error = node.control.put_group(group("a", Some("b"))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, Code::GroupCycle));
}

#[tokio::test]
async fn a_group_goes_only_when_nothing_is_in_it() {
    let node = Node::new(Settings::default()).await;
    let main = TenantId::main();
    node.control.put_group(group("a", None)).await.unwrap();
    node.control.put_group(group("b", Some("a"))).await.unwrap();
    let mut new = new_key("ci");
    let (a, b) = (GroupId::new("a").unwrap(), GroupId::new("b").unwrap());
    new.group = Some(b.clone());
    let issued = node.control.create_key(new).await.unwrap();
    let budget = NewBudget {
        scope: Scope::Group(main.clone(), b.clone()),
        amount: Money::from_units(1),
        period: Period::Day,
    };
    node.control.create_budget(budget).await.unwrap();
    for id in [&a, &b] {
        let error = node.control.remove_group(&main, id).await.unwrap_err();
        assert_eq!(error.code(), Code::GroupInUse);
    }
    node.control.revoke_key(&main, issued.key.id).await.unwrap();
    node.control.remove_group(&main, &b).await.unwrap();
    node.control.remove_group(&main, &a).await.unwrap();
    assert!(node.control.budgets(&main, &PageRequest::first()).items.is_empty());
    let node = node.restart(Settings::default()).await;
    assert_eq!(code(&node, &issued.secret), Some(Code::KeyRevoked), "its group is gone");
}

#[tokio::test]
async fn budgets_are_made_changed_and_removed_for_what_is_there() {
    let node = Node::new(Settings::default()).await;
    let main = TenantId::main();
    let new = |scope, amount| NewBudget { scope, amount, period: Period::Month };
    let ghost = Scope::Key(main.clone(), KeyId::new(&*node.env));
    let error = node.control.create_budget(new(ghost, Money::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let tenant = Scope::Tenant(main.clone());
    let error =
        node.control.create_budget(new(tenant.clone(), "-1".parse().unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let budget = node.control.create_budget(new(tenant, Money::from_units(5))).await.unwrap();
    let changed = node.control.update_budget(&main, budget.id, Money::from_units(9)).await.unwrap();
    assert_eq!(changed, Budget { amount: Money::from_units(9), ..budget });
    let node = node.restart(Settings::default()).await;
    let (found, standing) = node.control.budget(&main, changed.id).unwrap();
    assert_eq!((found, standing.spent), (changed.clone(), Money::ZERO));
    node.control.remove_budget(&main, changed.id).await.unwrap();
    assert_eq!(node.control.budget(&main, changed.id).unwrap_err().code(), Code::BudgetNotFound);
}

#[tokio::test]
async fn the_first_admin_key_is_made_once() {
    let node = Node::new(Settings::default()).await;
    let made = node.control.ensure_admin_key(None).await.unwrap().unwrap();
    assert!(node.control.ensure_admin_key(None).await.unwrap().is_none());
    let principal = node.control.authenticate(made.secret.reveal()).unwrap();
    assert!(principal.may_manage(&TenantId::new("any").unwrap()).is_ok());
    node.control.revoke_key(&TenantId::main(), made.key.id).await.unwrap();
    assert!(node.control.ensure_admin_key(None).await.unwrap().is_some(), "nobody is locked out");
}

#[tokio::test]
async fn a_given_admin_key_replaces_the_one_given_before() {
    let node = Node::new(Settings::default()).await;
    let (first, second) = (Secret::new("first-given-key"), Secret::new("second-given-key"));
    for _ in 0..2 {
        assert!(node.control.ensure_admin_key(Some(first.clone())).await.unwrap().is_none());
    }
    assert_eq!(node.control.keys(None, &PageRequest::first()).items.len(), 1);
    assert!(node.control.authenticate(first.reveal()).unwrap().key().admin);
    let node = node.restart(Settings::default()).await;
    node.control.ensure_admin_key(Some(second.clone())).await.unwrap();
    assert_eq!(code(&node, &first), Some(Code::KeyRevoked));
    assert_eq!(code(&node, &second), None);
    node.control.ensure_admin_key(Some(first.clone())).await.unwrap();
    let node = node.restart(Settings::default()).await;
    assert_eq!(code(&node, &first), None, "given again, it is good again");
    assert_eq!(code(&node, &second), Some(Code::KeyRevoked));
    for bad in ["", "with space", "ключ", &"x".repeat(257)] {
        let error = node.control.ensure_admin_key(Some(Secret::new(bad))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn an_admin_manages_its_own_tenant_and_that_of_main_manages_all() {
    let node = Node::new(Settings::default()).await;
    let (main, other) = (TenantId::main(), TenantId::new("other").unwrap());
    let mut new = new_key("admin");
    new.admin = true;
    new.tenant = other.clone();
    let of_other = node.control.create_key(new).await.unwrap();
    let plain = node.control.create_key(new_key("plain")).await.unwrap();
    let of_other = node.control.authenticate(of_other.secret.reveal()).unwrap();
    let plain = node.control.authenticate(plain.secret.reveal()).unwrap();
    assert!(of_other.may_manage(&other).is_ok());
    let refusal = of_other.may_manage(&main).unwrap_err();
    assert_eq!((refusal.code, refusal.kind), (Code::AdminRequired, ErrorKind::Forbidden));
    assert_eq!(plain.may_manage(&main).unwrap_err().code, Code::AdminRequired);
}

#[tokio::test]
async fn lists_go_by_the_page_and_by_tenant() {
    let node = Node::new(Settings::default()).await;
    let other = TenantId::new("other").unwrap();
    for n in 0..5 {
        node.env.advance(Duration::from_millis(1));
        let mut new = new_key(&n.to_string());
        if n == 4 {
            new.tenant = other.clone();
        }
        node.control.create_key(new).await.unwrap();
    }
    let names = |page: &freehold_types::Page<Key>| -> Vec<String> {
        page.items.iter().map(|key| key.name.to_string()).collect()
    };
    let first = node.control.keys(None, &PageRequest::new(None, 3));
    assert_eq!(names(&first), ["0", "1", "2"]);
    let second = node.control.keys(None, &PageRequest::new(first.next, 3));
    assert_eq!(names(&second), ["3", "4"]);
    assert_eq!(second.next, None);
    assert_eq!(names(&node.control.keys(Some(&other), &PageRequest::first())), ["4"]);
}

#[tokio::test]
async fn what_cannot_be_taken_up_leaves_all_as_it_is() {
    let node = Node::new(Settings::default()).await;
    let good = node.control.create_key(new_key("good")).await.unwrap();
    let other = node.control.create_key(new_key("other")).await.unwrap();
    // As somebody with the file could leave it: in a group that is not there.
    let mut misplaced = Unit::new("misplace");
    let sql = "UPDATE keys SET group_name = 'ghost' WHERE id = $1";
    misplaced.expect(1, sql, args![other.key.id.to_string()]);
    node.db.write(misplaced).await.unwrap();
    let error = node.control.reload().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, Code::StoreDamaged));
    node.control.put_group(group("top", None)).await.unwrap();
    node.control.put_group(group("moved", None)).await.unwrap();
    // This publishes all keys anew.
    node.control.put_group(group("moved", Some("top"))).await.unwrap();
    assert_eq!((code(&node, &good.secret), code(&node, &other.secret)), (None, None));
}
