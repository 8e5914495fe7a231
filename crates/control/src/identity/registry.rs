//! All keys, groups and budgets in memory, and the gates that they share.
//!
//! Pure: the directory writes a change through the store first and applies it
//! here after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use freehold_store::exchanges::Opened;
use freehold_types::{BudgetId, GroupId, KeyId, Money, TenantId};
use jiff::{SignedDuration, Timestamp};

use crate::admission::Gate;
use crate::budget::{Account, Budget, Standing, Window};
use crate::identity::tree::{self, Groups};
use crate::identity::{Group, Key, KeyHash, Principal, TreeError};
use crate::manage::Loaded;
use crate::usage::Post;
use crate::{Limits, Scope};

/// What is looked up with every request; never changed, only replaced.
pub(crate) type Principals = HashMap<KeyHash, Arc<Principal>>;

/// The whole of it. Gates and accounts stay the same through every change, so
/// what is in flight stays counted.
#[derive(Default)]
pub(crate) struct Registry {
    groups: Groups,
    keys: BTreeMap<KeyId, Key>,
    gates: BTreeMap<Scope, Arc<Gate>>,
    budgets: BTreeMap<BudgetId, (Budget, Arc<Account>)>,
    /// Whether other nodes spend of the same budgets.
    shared: bool,
    /// How many they are, this one among them; 0 as long as nobody knows.
    nodes: usize,
}

impl Registry {
    pub(crate) fn new(shared: bool) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Takes a key in, or replaces it, and gives the principal for it.
    pub(crate) fn put_key(&mut self, key: Key) -> Result<Principal, TreeError> {
        let chain = self.chain(&key)?;
        let scope = Scope::Key(key.tenant.clone(), key.id);
        self.gate(scope).meter().set_limits(key.limits);
        self.keys.insert(key.id, key.clone());
        Ok(self.principal(key, chain))
    }

    /// A new principal for every key: after groups have moved.
    pub(crate) fn principals(&mut self) -> Result<Principals, TreeError> {
        let mut keys: Vec<Key> = self.keys.values().cloned().collect();
        // A bearer key that was given anew after its revocation is good again:
        // of two with one hash the later in this order stays.
        keys.sort_by_key(|key| (key.revoked_at.is_none(), key.id));
        keys.into_iter()
            .map(|key| {
                let chain = self.chain(&key)?;
                Ok((key.hash, Arc::new(self.principal(key, chain))))
            })
            .collect()
    }

    /// A revoked key passes no gate any more, and its group may be gone.
    fn chain(&self, key: &Key) -> Result<Vec<GroupId>, TreeError> {
        if key.revoked_at.is_some() {
            return Ok(Vec::new());
        }
        tree::chain(&self.groups, &key.tenant, key.group.as_ref())
    }

    fn principal(&mut self, key: Key, chain: Vec<GroupId>) -> Principal {
        let tenant = key.tenant.clone();
        let scopes = std::iter::once(Scope::Key(tenant.clone(), key.id))
            .chain(chain.into_iter().map(|group| Scope::Group(tenant.clone(), group)))
            .chain(std::iter::once(Scope::Tenant(tenant.clone())));
        let gates = scopes.map(|scope| self.gate(scope)).collect();
        Principal::new(key, gates)
    }

    pub(crate) fn key(&self, tenant: &TenantId, id: KeyId) -> Option<&Key> {
        self.keys.get(&id).filter(|key| key.tenant == *tenant)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// Whether the group may have this place.
    pub(crate) fn check_group(&self, group: &Group) -> Result<(), TreeError> {
        tree::check(&self.groups, group)
    }

    /// Takes a group in, or replaces it. The caller has checked its place, and
    /// renews the principals if it has another parent now.
    pub(crate) fn put_group(&mut self, group: Group) {
        let scope = Scope::Group(group.tenant.clone(), group.id.clone());
        self.gate(scope).meter().set_limits(group.limits);
        self.groups.insert((group.tenant.clone(), group.id.clone()), group);
    }

    /// Forgets a group that nothing is in.
    pub(crate) fn remove_group(&mut self, tenant: &TenantId, id: &GroupId) {
        self.groups.remove(&(tenant.clone(), id.clone()));
        self.gates.remove(&Scope::Group(tenant.clone(), id.clone()));
    }

    /// Whether groups or keys that are not revoked are in it.
    pub(crate) fn group_in_use(&self, tenant: &TenantId, id: &GroupId) -> bool {
        let inside = |of: &TenantId, group: Option<&GroupId>| of == tenant && group == Some(id);
        self.groups.values().any(|group| inside(&group.tenant, group.parent.as_ref()))
            || self
                .keys
                .values()
                .any(|key| key.revoked_at.is_none() && inside(&key.tenant, key.group.as_ref()))
    }

    pub(crate) fn budgets_of_group(&self, tenant: &TenantId, id: &GroupId) -> Vec<BudgetId> {
        let scope = Scope::Group(tenant.clone(), id.clone());
        let budgets = self.budgets.values().map(|(budget, _)| budget);
        budgets.filter(|budget| budget.scope == scope).map(|budget| budget.id).collect()
    }

    /// Lets go of keys, groups and budgets that are not in `loaded`.
    pub(crate) fn forget_all_but(&mut self, loaded: &Loaded) {
        self.keys.clear();
        self.groups.clear();
        let budgets: BTreeSet<_> = loaded.budgets.iter().map(|budget| budget.id).collect();
        let gone: Vec<_> =
            self.budgets.keys().copied().filter(|id| !budgets.contains(id)).collect();
        for id in gone {
            self.remove_budget(id);
        }
        let keys: BTreeSet<_> = loaded.keys.iter().map(|key| key.id).collect();
        let groups: BTreeSet<_> =
            loaded.groups.iter().map(|group| (&group.tenant, &group.id)).collect();
        self.gates.retain(|scope, _| match scope {
            Scope::Tenant(_) => true,
            Scope::Group(tenant, group) => groups.contains(&(tenant, group)),
            Scope::Key(_, key) => keys.contains(key),
        });
    }

    pub(crate) fn group(&self, tenant: &TenantId, id: &GroupId) -> Option<&Group> {
        self.groups.get(&(tenant.clone(), id.clone()))
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The budgets that an exchange is charged to, in the periods in which it
    /// began, as far as its groups still are what they were. A budget that was
    /// made after it began had no part in it.
    pub(crate) fn posts(&self, opened: &Opened) -> Vec<Post> {
        let tenant = &opened.tenant;
        let chain = tree::chain(&self.groups, tenant, opened.group.as_ref()).unwrap_or_default();
        let charged = |scope: &Scope| match scope {
            Scope::Tenant(of) => of == tenant,
            Scope::Group(of, group) => of == tenant && chain.contains(group),
            Scope::Key(of, key) => of == tenant && *key == opened.key,
        };
        let next = opened.opened_at.checked_add(SignedDuration::from_millis(1));
        let too_late = BudgetId::floor(next.unwrap_or(opened.opened_at));
        self.budgets
            .values()
            .filter(|(budget, _)| charged(&budget.scope) && budget.id.to_string() < too_late)
            .map(|(budget, _)| Post {
                budget: budget.id,
                period_start: Window::of(budget.period, opened.opened_at).start,
            })
            .collect()
    }

    pub(crate) fn set_tenant_limits(&mut self, tenant: &TenantId, limits: Limits) {
        self.gate(Scope::Tenant(tenant.clone())).meter().set_limits(limits);
    }

    /// Opens an account for a budget, or changes the terms of the one it has.
    /// `spent` is what the store has for the window that holds `now`.
    pub(crate) fn put_budget(&mut self, budget: Budget, now: Timestamp, spent: Money) {
        if let Some((known, account)) = self.budgets.get_mut(&budget.id) {
            account.change(now, budget.amount, budget.period, spent);
            *known = budget;
            return;
        }
        let account = Account::new(&budget, now, spent);
        let account = Arc::new(if self.shared {
            account.shared(if is_new(&budget, now) { self.nodes } else { 0 })
        } else {
            account
        });
        self.gate(budget.scope.clone()).open_account(Arc::clone(&account));
        self.budgets.insert(budget.id, (budget, account));
    }

    /// Closes the account of a budget.
    pub(crate) fn remove_budget(&mut self, id: BudgetId) {
        if let Some((budget, _)) = self.budgets.remove(&id) {
            self.gate(budget.scope).close_account(id);
        }
    }

    pub(crate) fn budget(&self, tenant: &TenantId, id: BudgetId) -> Option<&Budget> {
        let (budget, _) = self.budgets.get(&id)?;
        (budget.scope.tenant() == tenant).then_some(budget)
    }

    pub(crate) fn budgets(&self, now: Timestamp) -> impl Iterator<Item = (&Budget, Standing)> {
        self.budgets.values().map(move |(budget, account)| (budget, account.standing(now)))
    }

    /// Who spends of the budgets, counted.
    pub(crate) fn set_nodes(&mut self, nodes: usize) {
        self.nodes = nodes;
    }

    /// All budgets with their accounts.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&Budget, &Arc<Account>)> {
        self.budgets.values().map(|(budget, account)| (budget, account))
    }

    fn gate(&mut self, scope: Scope) -> Arc<Gate> {
        let gate = self
            .gates
            .entry(scope)
            .or_insert_with_key(|scope| Arc::new(Gate::new(scope.clone(), Limits::default())));
        Arc::clone(gate)
    }
}

/// How old a budget may be of which nobody can have spent much.
const NEW: SignedDuration = SignedDuration::from_secs(5);

fn is_new(budget: &Budget, now: Timestamp) -> bool {
    now.checked_sub(NEW).is_ok_and(|before| budget.id.to_string() >= BudgetId::floor(before))
}
