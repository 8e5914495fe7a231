//! Sums of usage by day, kept as exchanges close, so that a report reads days
//! and not exchanges.

use std::sync::Arc;

use freehold_types::{Db, DbError, Money, Row, TenantId, Unit, args};

use crate::exchanges::{Closed, State, Tokens};
use crate::lost::Lost;

/// What usage is told apart by. In a report, what is not asked for is empty;
/// so is what an exchange does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dimensions {
    /// Whose.
    pub tenant: Arc<str>,
    /// In UTC, `2026-11-22`.
    pub day: Arc<str>,
    /// The key's group.
    pub group: Arc<str>,
    /// The key's id.
    pub key: Arc<str>,
    /// The model name that clients asked for.
    pub route: Arc<str>,
    /// Who answered.
    pub provider: Arc<str>,
    /// The model that answered.
    pub model: Arc<str>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many exchanges.
    pub exchanges: u64,
    /// Of those, how many ended with an error.
    pub errors: u64,
    /// How many a crash interrupted; their cost is their reservation.
    pub interrupted: u64,
    /// How many have tokens that were estimated.
    pub estimated: u64,
    /// How many have no price.
    pub unpriced: u64,
    /// Attempts beside them that gave no answer and may be billed all the
    /// same, counted where they were sent.
    pub lost: u64,
    /// The tokens of all of them.
    pub tokens: Tokens,
    /// The cost of all of them.
    pub cost: Money,
}

impl Sums {
    /// Adds an exchange. Counts stop at the end of their range.
    pub(crate) fn add(&mut self, state: State, closed: &Closed) {
        let count = |n: &mut u64, one: bool| *n = n.saturating_add(u64::from(one));
        count(&mut self.exchanges, true);
        count(&mut self.errors, closed.error.is_some());
        count(&mut self.interrupted, state == State::Interrupted);
        count(&mut self.estimated, closed.estimated);
        count(&mut self.unpriced, closed.unpriced);
        let (sum, more) = (&mut self.tokens, &closed.tokens);
        sum.input = sum.input.saturating_add(more.input);
        sum.cache_read = sum.cache_read.saturating_add(more.cache_read);
        sum.cache_write = sum.cache_write.saturating_add(more.cache_write);
        sum.cache_write_long = sum.cache_write_long.saturating_add(more.cache_write_long);
        sum.output = sum.output.saturating_add(more.output);
        sum.reasoning = sum.reasoning.saturating_add(more.reasoning);
        self.cost = self.cost.saturating_add(closed.answer_cost());
    }

    /// Adds an attempt that gave no answer.
    pub(crate) fn add_lost(&mut self, lost: &Lost) {
        self.lost = self.lost.saturating_add(1);
        self.tokens.input = self.tokens.input.saturating_add(lost.input_tokens);
        self.tokens.output = self.tokens.output.saturating_add(lost.output_tokens);
        self.cost = self.cost.saturating_add(lost.cost);
    }
}

/// Which dimensions a report has; the others are summed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// A row for each tenant.
    pub tenant: bool,
    /// A row for each day.
    pub day: bool,
    /// A row for each group.
    pub group: bool,
    /// A row for each key.
    pub key: bool,
    /// A row for each route.
    pub route: bool,
    /// A row for each provider.
    pub provider: bool,
    /// A row for each model.
    pub model: bool,
}

/// What a report is narrowed to: `None` is anything, and empty text what has
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Keys in just this group, not in those below it.
    pub group: Option<Arc<str>>,
    /// This key, by its id.
    pub key: Option<Arc<str>>,
    /// The model name that clients asked for.
    pub route: Option<Arc<str>>,
    /// Who answered.
    pub provider: Option<Arc<str>>,
    /// The model that answered.
    pub model: Option<Arc<str>>,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Only this tenant; `None` is all.
    pub tenant: Option<TenantId>,
    /// Only what fits all of these.
    pub only: Only,
    /// The first day, `2026-11-01`.
    pub from: jiff::civil::Date,
    /// The last day.
    pub to: jiff::civil::Date,
    /// Its dimensions.
    pub by: By,
}

/// The most rows of a report.
pub const REPORT_MAX_ROWS: u32 = 10_000;

/// A report, in the order of its dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its rows.
    pub rows: Vec<(Dimensions, Sums)>,
    /// Whether rows after [`REPORT_MAX_ROWS`] were left out.
    pub truncated: bool,
}

const ADD: &str = "INSERT INTO usage_days (tenant, day, group_name, key_id, route, provider,
    model, exchanges, errors, interrupted, estimated, unpriced, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, cost_units,
    cost_nanos, lost)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21)
    ON CONFLICT (tenant, day, group_name, key_id, route, provider, model) DO UPDATE SET
    exchanges = usage_days.exchanges + excluded.exchanges,
    errors = usage_days.errors + excluded.errors,
    interrupted = usage_days.interrupted + excluded.interrupted,
    estimated = usage_days.estimated + excluded.estimated,
    unpriced = usage_days.unpriced + excluded.unpriced,
    input_tokens = usage_days.input_tokens + excluded.input_tokens,
    cache_read_tokens = usage_days.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = usage_days.cache_write_tokens + excluded.cache_write_tokens,
    cache_write_long_tokens = usage_days.cache_write_long_tokens
        + excluded.cache_write_long_tokens,
    output_tokens = usage_days.output_tokens + excluded.output_tokens,
    reasoning_tokens = usage_days.reasoning_tokens + excluded.reasoning_tokens,
    cost_units = usage_days.cost_units + excluded.cost_units
        + (usage_days.cost_nanos + excluded.cost_nanos) / 1000000000,
    cost_nanos = (usage_days.cost_nanos + excluded.cost_nanos) % 1000000000,
    lost = usage_days.lost + excluded.lost";

/// Each dimension is summed over unless its flag is 1. Nanos stay far from the
/// end of a BIGINT: nine billion rows could not reach it.
const REPORT: &str = "SELECT
    CASE WHEN CAST($4 AS BIGINT) = 1 THEN tenant ELSE '' END AS by_tenant,
    CASE WHEN CAST($5 AS BIGINT) = 1 THEN day ELSE '' END AS by_day,
    CASE WHEN CAST($6 AS BIGINT) = 1 THEN group_name ELSE '' END AS by_group,
    CASE WHEN CAST($7 AS BIGINT) = 1 THEN key_id ELSE '' END AS by_key,
    CASE WHEN CAST($8 AS BIGINT) = 1 THEN route ELSE '' END AS by_route,
    CASE WHEN CAST($9 AS BIGINT) = 1 THEN provider ELSE '' END AS by_provider,
    CASE WHEN CAST($10 AS BIGINT) = 1 THEN model ELSE '' END AS by_model,
    CAST(SUM(exchanges) AS BIGINT), CAST(SUM(errors) AS BIGINT),
    CAST(SUM(interrupted) AS BIGINT), CAST(SUM(estimated) AS BIGINT),
    CAST(SUM(unpriced) AS BIGINT), CAST(SUM(input_tokens) AS BIGINT),
    CAST(SUM(cache_read_tokens) AS BIGINT), CAST(SUM(cache_write_tokens) AS BIGINT),
    CAST(SUM(cache_write_long_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT),
    CAST(SUM(reasoning_tokens) AS BIGINT), CAST(SUM(cost_units) AS BIGINT),
    CAST(SUM(cost_nanos) AS BIGINT), CAST(SUM(lost) AS BIGINT)
    FROM usage_days WHERE ($1 = '' OR tenant = $1) AND day >= $2 AND day <= $3
    AND (CAST($12 AS TEXT) IS NULL OR group_name = $12)
    AND (CAST($13 AS TEXT) IS NULL OR key_id = $13)
    AND (CAST($14 AS TEXT) IS NULL OR route = $14)
    AND (CAST($15 AS TEXT) IS NULL OR provider = $15)
    AND (CAST($16 AS TEXT) IS NULL OR model = $16)
    GROUP BY by_tenant, by_day, by_group, by_key, by_route, by_provider, by_model
    ORDER BY by_tenant, by_day, by_group, by_key, by_route, by_provider, by_model
    LIMIT $11";

pub(crate) fn add(unit: &mut Unit, dimensions: &Dimensions, sums: &Sums) {
    let (cost_units, cost_nanos) = sums.cost.to_columns();
    let args = args![
        Arc::clone(&dimensions.tenant),
        Arc::clone(&dimensions.day),
        Arc::clone(&dimensions.group),
        Arc::clone(&dimensions.key),
        Arc::clone(&dimensions.route),
        Arc::clone(&dimensions.provider),
        Arc::clone(&dimensions.model),
        sums.exchanges,
        sums.errors,
        sums.interrupted,
        sums.estimated,
        sums.unpriced,
        sums.tokens.input,
        sums.tokens.cache_read,
        sums.tokens.cache_write,
        sums.tokens.cache_write_long,
        sums.tokens.output,
        sums.tokens.reasoning,
        cost_units,
        cost_nanos,
        sums.lost,
    ];
    unit.expect(1, ADD, args);
}

/// Usage of some days, by the dimensions asked for.
pub async fn report(db: &dyn Db, query: &Query) -> Result<Report, DbError> {
    let tenant = query.tenant.as_ref().map_or_else(|| Arc::from(""), TenantId::shared);
    let (by, only) = (query.by, query.only.clone());
    let args = args![
        tenant,
        query.from.to_string(),
        query.to.to_string(),
        by.tenant,
        by.day,
        by.group,
        by.key,
        by.route,
        by.provider,
        by.model,
        REPORT_MAX_ROWS + 1,
        only.group,
        only.key,
        only.route,
        only.provider,
        only.model,
    ];
    let found = db.read(REPORT, args).await?;
    let max = usize::try_from(REPORT_MAX_ROWS).unwrap_or(usize::MAX);
    let truncated = found.len() > max;
    let rows = found.into_iter().take(max).map(read).collect::<Result<_, _>>()?;
    Ok(Report { rows, truncated })
}

fn read(mut row: Row) -> Result<(Dimensions, Sums), DbError> {
    let dimensions = Dimensions {
        tenant: row.take()?,
        day: row.take()?,
        group: row.take()?,
        key: row.take()?,
        route: row.take()?,
        provider: row.take()?,
        model: row.take()?,
    };
    let sums = Sums {
        exchanges: row.take()?,
        errors: row.take()?,
        interrupted: row.take()?,
        estimated: row.take()?,
        unpriced: row.take()?,
        tokens: Tokens {
            input: row.take()?,
            cache_read: row.take()?,
            cache_write: row.take()?,
            cache_write_long: row.take()?,
            output: row.take()?,
            reasoning: row.take()?,
        },
        cost: summed(row.take()?, row.take()?)?,
        lost: row.take()?,
    };
    Ok((dimensions, sums))
}

/// Columns of money, each summed by itself.
fn summed(units: i64, nanos: i64) -> Result<Money, DbError> {
    Money::from_nanos(Money::from_units(units).nanos() + i128::from(nanos))
        .ok_or_else(|| DbError::Corrupt(format!("a sum of {units} units and {nanos} nanos")))
}
