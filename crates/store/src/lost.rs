//! Attempts that gave no answer and may be billed all the same: lines of their
//! own beside the exchange that they belong to.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_types::{Db, DbError, ExchangeId, Money, Row, TenantId, Unit, Value, args};

use crate::exchanges::{Exchange, Opened, State};

/// An attempt that failed after its request was sent, or was cancelled because
/// another one was faster. What it used is an estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whom it was sent to.
    pub provider: Arc<str>,
    /// The deployment.
    pub deployment: Arc<str>,
    /// The model, by the provider's name for it.
    pub model: Arc<str>,
    /// Tokens of input.
    pub input_tokens: u64,
    /// Tokens of output, as far as any was seen.
    pub output_tokens: u64,
    /// What that costs.
    pub cost: Money,
    /// Whether there is no price for it, so that the cost is zero.
    pub unpriced: bool,
}

const INSERT: &str = "INSERT INTO lost_attempts (tenant, exchange, nth, provider, deployment,
    model, input_tokens, output_tokens, cost_units, cost_nanos, unpriced)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
/// An empty key is any.
const OF_EXCHANGES: &str = "SELECT exchange, provider, deployment, model, input_tokens,
    output_tokens, cost_units, cost_nanos, unpriced FROM lost_attempts
    WHERE tenant = $1 AND exchange >= $2 AND exchange <= $3 AND ($4 = '' OR exchange IN
        (SELECT id FROM exchanges
         WHERE tenant = $1 AND id >= $2 AND id <= $3 AND key_id = $4))
    ORDER BY exchange, nth";
/// Of the exchanges that `exchanges::prune` forgets with the same arguments.
const PRUNE: &str = "DELETE FROM lost_attempts WHERE tenant = $1 AND exchange IN (
    SELECT id FROM exchanges WHERE tenant = $1 AND id < $2 AND opened_at < $3 AND state <> 'open'
    ORDER BY id LIMIT $4)";

/// Forgets the lost attempts of exchanges, before these are forgotten in the
/// same unit.
pub(crate) fn prune(unit: &mut Unit, args: Vec<Value>) {
    unit.run(PRUNE, args);
}

/// Adds an exchange's lost attempts to the unit that closes it, whose guard
/// keeps them from being added twice.
pub(crate) fn insert(unit: &mut Unit, opened: &Opened, lost: &[Lost]) {
    for (nth, lost) in (0_u64..).zip(lost) {
        let (cost_units, cost_nanos) = lost.cost.to_columns();
        let args = args![
            opened.tenant.shared(),
            opened.id.to_string(),
            nth,
            Arc::clone(&lost.provider),
            Arc::clone(&lost.deployment),
            Arc::clone(&lost.model),
            lost.input_tokens,
            lost.output_tokens,
            cost_units,
            cost_nanos,
            lost.unpriced,
        ];
        unit.expect(1, INSERT, args);
    }
}

/// Gives a tenant's exchanges the lost attempts that belong to them. They are
/// all that a key, or any, has between the first and the last of them.
pub(crate) async fn join(
    db: &dyn Db,
    tenant: &TenantId,
    key: &str,
    exchanges: &mut [Exchange],
) -> Result<(), DbError> {
    let closed = exchanges.iter().filter(|exchange| exchange.state == State::Closed);
    let ids = closed.map(|exchange| exchange.opened.id.to_string());
    let (Some(first), Some(last)) = (ids.clone().min(), ids.max()) else { return Ok(()) };
    let rows = db.read(OF_EXCHANGES, args![tenant.shared(), first, last, key]).await?;
    let mut found: BTreeMap<ExchangeId, Vec<Lost>> = BTreeMap::new();
    for mut row in rows {
        found.entry(row.parse()?).or_default().push(read(&mut row)?);
    }
    for exchange in exchanges {
        if let Some(closed) = &mut exchange.closed {
            closed.lost = found.remove(&exchange.opened.id).unwrap_or_default();
        }
    }
    Ok(())
}

fn read(row: &mut Row) -> Result<Lost, DbError> {
    Ok(Lost {
        provider: row.take()?,
        deployment: row.take()?,
        model: row.take()?,
        input_tokens: row.take()?,
        output_tokens: row.take()?,
        cost: row.money()?,
        unpriced: row.take()?,
    })
}
