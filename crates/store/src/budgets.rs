//! Budgets, and what was spent of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use freehold_types::{
    BudgetId, Db, DbError, GroupId, KeyId, Money, Page, PageRequest, Row, TenantId, Unit, args,
};
use jiff::Timestamp;

use crate::changes::{self, Kind};

/// Whose spending a budget bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All of the tenant.
    Tenant,
    /// A group and the groups in it.
    Group(GroupId),
    /// One key.
    Key(KeyId),
}

impl Scope {
    /// The kind and the subject as two columns.
    fn to_columns(&self) -> (&'static str, String) {
        match self {
            Self::Tenant => ("tenant", String::new()),
            Self::Group(group) => ("group", group.to_string()),
            Self::Key(key) => ("key", key.to_string()),
        }
    }

    fn from_columns(kind: &str, subject: &str) -> Option<Self> {
        match kind {
            "tenant" => Some(Self::Tenant),
            "group" => subject.parse().ok().map(Self::Group),
            "key" => subject.parse().ok().map(Self::Key),
            _ => None,
        }
    }
}

/// How long a budget lasts before it starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// For ever.
    Total,
    /// A day in UTC.
    Day,
    /// Monday to Sunday in UTC.
    Week,
    /// A calendar month in UTC.
    Month,
    /// A calendar year in UTC.
    Year,
}

/// Text that names no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a period: use total, day, week, month or year")]
pub struct PeriodError;

impl Period {
    /// Its word in the database and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        [Self::Total, Self::Day, Self::Week, Self::Month, Self::Year]
            .into_iter()
            .find(|period| period.word() == text)
            .ok_or(PeriodError)
    }
}

/// A budget as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, unique in the tenant.
    pub id: BudgetId,
    /// Whose spending it bounds.
    pub scope: Scope,
    /// When it starts afresh.
    pub period: Period,
    /// What may be spent in a period.
    pub amount: Money,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What was spent of a budget in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Whose budget.
    pub tenant: TenantId,
    /// Which budget.
    pub budget: BudgetId,
    /// When the period began.
    pub period_start: Timestamp,
    /// What was settled against it.
    pub spent: Money,
}

const INSERT: &str = "INSERT INTO budgets (tenant, id, scope, subject, period, amount_units,
    amount_nanos, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE budgets SET amount_units = $3, amount_nanos = $4
    WHERE tenant = $1 AND id = $2";
const DELETE: &str = "DELETE FROM budgets WHERE tenant = $1 AND id = $2";
const DELETE_SPEND: &str = "DELETE FROM budget_spend WHERE tenant = $1 AND budget = $2";
const DELETE_SHARES: &str = "DELETE FROM budget_shares WHERE tenant = $1 AND budget = $2";
const LIST: &str = "SELECT tenant, id, scope, subject, period, amount_units, amount_nanos,
    created_at FROM budgets WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";
const ALL: &str = "SELECT tenant, id, scope, subject, period, amount_units, amount_nanos,
    created_at FROM budgets WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3";
/// Nanos are added first and carry into the units. Both are counted from zero
/// up, so the division rounds down on either database.
const SPEND: &str = "INSERT INTO budget_spend (tenant, budget, period_start, spent_units,
    spent_nanos) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant, budget, period_start) DO UPDATE SET
    spent_units = budget_spend.spent_units + excluded.spent_units
        + (budget_spend.spent_nanos + excluded.spent_nanos) / 1000000000,
    spent_nanos = (budget_spend.spent_nanos + excluded.spent_nanos) % 1000000000";
/// The latest period of each budget.
const SPENDS: &str = "SELECT tenant, budget, period_start, spent_units, spent_nanos
    FROM budget_spend WHERE (tenant, budget) > ($1, $2) AND period_start = (
        SELECT MAX(period_start) FROM budget_spend AS later
        WHERE later.tenant = budget_spend.tenant AND later.budget = budget_spend.budget)
    ORDER BY tenant, budget LIMIT $3";

/// Adds a budget; fails its guard if the id is taken.
pub fn insert(budget: &Budget) -> Unit {
    let mut unit = Unit::new("budgets.insert");
    let (scope, subject) = budget.scope.to_columns();
    let (units, nanos) = budget.amount.to_columns();
    let args = args![
        budget.tenant.shared(),
        budget.id.to_string(),
        scope,
        subject,
        budget.period.word(),
        units,
        nanos,
        budget.created_at,
    ];
    unit.expect(1, INSERT, args);
    changes::note(&mut unit, Kind::Budgets);
    unit
}

/// Changes a budget's amount; fails its guard if there is none.
pub fn update(tenant: &TenantId, id: BudgetId, amount: Money) -> Unit {
    let mut unit = Unit::new("budgets.update");
    let (units, nanos) = amount.to_columns();
    unit.expect(1, UPDATE, args![tenant.shared(), id.to_string(), units, nanos]);
    changes::note(&mut unit, Kind::Budgets);
    unit
}

/// Removes a budget and what was spent of it; fails its guard if there is
/// none.
pub fn delete(tenant: &TenantId, id: BudgetId) -> Unit {
    let mut unit = Unit::new("budgets.delete");
    let args = args![tenant.shared(), id.to_string()];
    unit.expect(1, DELETE, args.clone()).run(DELETE_SPEND, args.clone()).run(DELETE_SHARES, args);
    changes::note(&mut unit, Kind::Budgets);
    unit
}

/// Adds `spend.spent` to what was spent in that period: for the unit that
/// closes the exchanges which it is the sum of.
pub fn spend(unit: &mut Unit, spend: &Spend) {
    let (units, nanos) = spend.spent.to_columns();
    let args =
        args![spend.tenant.shared(), spend.budget.to_string(), spend.period_start, units, nanos,];
    unit.expect(1, SPEND, args);
}

/// A tenant's budgets, oldest first; a page goes on after an id.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    page: &PageRequest,
) -> Result<Page<Budget>, DbError> {
    let after = page.after.clone().unwrap_or_default();
    let rows = db.read(LIST, args![tenant.shared(), after, page.limit() + 1]).await?;
    let budgets = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(budgets, |budget: &Budget| budget.id.to_string()))
}

/// The next budgets of all tenants after the given one. Empty at the end.
pub async fn all(db: &dyn Db, after: Option<&Budget>, limit: u32) -> Result<Vec<Budget>, DbError> {
    let (tenant, id) = match after {
        Some(budget) => (budget.tenant.shared(), budget.id.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(ALL, args![tenant, id, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// What was spent of each budget of all tenants in its latest period, after
/// the given one: how a node takes up where it stopped. Empty at the end.
pub async fn spends(db: &dyn Db, after: Option<&Spend>, limit: u32) -> Result<Vec<Spend>, DbError> {
    let (tenant, id) = match after {
        Some(spend) => (spend.tenant.shared(), spend.budget.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(SPENDS, args![tenant, id, limit]).await?;
    rows.into_iter().map(read_spend).collect()
}

fn read(mut row: Row) -> Result<Budget, DbError> {
    let (tenant, id) = (row.parse()?, row.parse()?);
    let (kind, subject): (Arc<str>, Arc<str>) = (row.take()?, row.take()?);
    let scope = Scope::from_columns(&kind, &subject).ok_or_else(|| {
        DbError::Corrupt(format!("the budget {id} has the scope {kind} {subject}"))
    })?;
    let (period, amount) = (row.parse()?, row.money()?);
    Ok(Budget { tenant, id, scope, period, amount, created_at: row.take()? })
}

fn read_spend(mut row: Row) -> Result<Spend, DbError> {
    Ok(Spend {
        tenant: row.parse()?,
        budget: row.parse()?,
        period_start: row.take()?,
        spent: row.money()?,
    })
}
