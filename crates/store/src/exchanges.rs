//! Exchanges: one row for each request of a client, written when it opens and
//! completed when it closes, with the day's sums beside it.

mod batch;
mod record;

use std::sync::Arc;

use freehold_types::{
    Db, DbError, ExchangeId, GroupId, KeyId, NodeId, Page, PageRequest, Rounding, Row, TenantId,
    Unit, args,
};
use jiff::Timestamp;

use self::batch::{Days, Texts};
pub use self::record::{Closed, Exchange, Opened, State, StateError, Tokens};
use crate::lost;
use crate::usage;

const OPEN: &str = "INSERT INTO exchanges (tenant, id, state, group_name, key_id, route, dialect,
    stream, opened_at, reserved_units, reserved_nanos, node)
    VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
const INSERT_CLOSED: &str = "INSERT INTO exchanges (tenant, id, state, group_name, key_id, route,
    dialect, stream, opened_at, reserved_units, reserved_nanos, closed_at, provider, deployment,
    model, status, error, attempts, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, cost_units, cost_nanos,
    cost_rounding, estimated, unpriced)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)
    ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state,
    closed_at = excluded.closed_at, provider = excluded.provider,
    deployment = excluded.deployment, model = excluded.model, status = excluded.status,
    error = excluded.error, attempts = excluded.attempts, input_tokens = excluded.input_tokens,
    cache_read_tokens = excluded.cache_read_tokens,
    cache_write_tokens = excluded.cache_write_tokens,
    cache_write_long_tokens = excluded.cache_write_long_tokens,
    output_tokens = excluded.output_tokens, reasoning_tokens = excluded.reasoning_tokens,
    cost_units = excluded.cost_units, cost_nanos = excluded.cost_nanos,
    cost_rounding = excluded.cost_rounding, estimated = excluded.estimated,
    unpriced = excluded.unpriced
    WHERE exchanges.state = 'open'";
const STILL_OPEN: &str = "SELECT tenant, id, state, group_name, key_id, route, dialect, stream,
    opened_at, reserved_units, reserved_nanos
    FROM exchanges WHERE state = 'open' AND (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3";
const OPEN_OF: &str = "SELECT tenant, id, state, group_name, key_id, route, dialect, stream,
    opened_at, reserved_units, reserved_nanos FROM exchanges
    WHERE state = 'open' AND node = $1 AND (tenant, id) > ($2, $3) ORDER BY tenant, id LIMIT $4";
const NEXT_OPENER: &str =
    "SELECT node FROM exchanges WHERE state = 'open' AND node > $1 ORDER BY node LIMIT 1";
/// Newest first: ids sort by time. An empty state or key is any.
const LIST: &str = "SELECT tenant, id, state, group_name, key_id, route, dialect, stream,
    opened_at, reserved_units, reserved_nanos, closed_at, provider, deployment, model, status,
    error, attempts, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, cost_units, cost_nanos,
    cost_rounding, estimated, unpriced
    FROM exchanges WHERE tenant = $1 AND id < $2 AND ($3 = '' OR state = $3)
    AND ($4 = '' OR key_id = $4) ORDER BY id DESC LIMIT $5";
const GET: &str = "SELECT tenant, id, state, group_name, key_id, route, dialect, stream,
    opened_at, reserved_units, reserved_nanos, closed_at, provider, deployment, model, status,
    error, attempts, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, cost_units, cost_nanos,
    cost_rounding, estimated, unpriced
    FROM exchanges WHERE tenant = $1 AND id = $2";

/// The next tenant with exchanges, and the oldest of these.
const OLDEST: &str =
    "SELECT tenant, id FROM exchanges WHERE tenant > $1 ORDER BY tenant, id LIMIT 1";
/// By the id, which sorts by time and has an index. One that is still open is
/// somebody's to close.
const PRUNE: &str = "DELETE FROM exchanges WHERE tenant = $1 AND id IN (
    SELECT id FROM exchanges WHERE tenant = $1 AND id < $2 AND opened_at < $3 AND state <> 'open'
    ORDER BY id LIMIT $4)";

/// Records exchanges that began on a node. One that is there already, open or
/// closed, is left as it is.
pub fn open<'a>(node: Option<NodeId>, exchanges: impl IntoIterator<Item = &'a Opened>) -> Unit {
    let mut unit = Unit::new("exchanges.open");
    let node: Arc<str> = node_text(node);
    for opened in exchanges {
        let (units, nanos) = opened.reserved.to_columns();
        let args = args![
            opened.tenant.shared(),
            opened.id.shared(),
            group_text(opened),
            opened.key.shared(),
            Arc::clone(&opened.route),
            Arc::clone(&opened.dialect),
            opened.stream,
            opened.opened_at,
            units,
            nanos,
            Arc::clone(&node),
        ];
        unit.run(OPEN, args);
    }
    unit
}

/// Records exchanges that ended, whether they were recorded as open or not,
/// and adds them to their days' sums. Fails a guard if one was closed before:
/// so a batch in doubt may be sent again, and a failed guard means that it is
/// in.
pub fn close<'a>(exchanges: impl IntoIterator<Item = (&'a Opened, &'a Closed)>) -> Unit {
    let mut unit = Unit::new("exchanges.close");
    settle(&mut unit, State::Closed, exchanges);
    unit
}

/// Settles exchanges that a crash left open, like [`close`], flagged
/// `interrupted`: at their reservation, with a status of 0.
pub fn interrupt<'a>(exchanges: impl IntoIterator<Item = &'a Opened>, at: Timestamp) -> Unit {
    let mut unit = Unit::new("exchanges.interrupt");
    let settled: Vec<_> = exchanges.into_iter().map(|opened| (opened, lost(opened, at))).collect();
    settle(&mut unit, State::Interrupted, settled.iter().map(|(opened, closed)| (*opened, closed)));
    unit
}

fn lost(opened: &Opened, at: Timestamp) -> Closed {
    Closed {
        closed_at: at,
        provider: None,
        deployment: None,
        model: None,
        status: 0,
        error: Some("interrupted".into()),
        attempts: 0,
        tokens: Tokens::default(),
        cost: opened.reserved,
        rounding: Rounding::default(),
        estimated: true,
        unpriced: false,
        lost: Vec::new(),
    }
}

fn settle<'a>(
    unit: &mut Unit,
    state: State,
    exchanges: impl IntoIterator<Item = (&'a Opened, &'a Closed)>,
) {
    let mut days = Days::default();
    let mut texts = Texts::default();
    for (opened, closed) in exchanges {
        let (reserved_units, reserved_nanos) = opened.reserved.to_columns();
        let (cost_units, cost_nanos) = closed.cost.to_columns();
        let args = args![
            opened.tenant.shared(),
            opened.id.shared(),
            texts.state(state),
            texts.group(opened),
            texts.key(opened),
            Arc::clone(&opened.route),
            Arc::clone(&opened.dialect),
            opened.stream,
            opened.opened_at,
            reserved_units,
            reserved_nanos,
            closed.closed_at,
            closed.provider.clone(),
            closed.deployment.clone(),
            closed.model.clone(),
            closed.status,
            closed.error.clone(),
            closed.attempts,
            closed.tokens.input,
            closed.tokens.cache_read,
            closed.tokens.cache_write,
            closed.tokens.cache_write_long,
            closed.tokens.output,
            closed.tokens.reasoning,
            cost_units,
            cost_nanos,
            closed.rounding.0,
            closed.estimated,
            closed.unpriced,
        ];
        unit.expect(1, INSERT_CLOSED, args);
        lost::insert(unit, opened, &closed.lost);
        let answered = (closed.provider.clone(), closed.model.clone());
        days.of(texts.dimensions(opened, closed, answered)).add(state, closed);
        for lost in &closed.lost {
            let asked = (Some(Arc::clone(&lost.provider)), Some(Arc::clone(&lost.model)));
            days.of(texts.dimensions(opened, closed, asked)).add_lost(lost);
        }
    }
    for (dimensions, sums) in days.all() {
        usage::add(unit, &dimensions, &sums);
    }
}

fn group_text(opened: &Opened) -> Arc<str> {
    opened.group.as_ref().map_or_else(|| Arc::from(""), GroupId::shared)
}

/// The next exchanges of all tenants that began and did not end, after the
/// given one; at a start, those that a crash interrupted. Empty at the end.
pub async fn still_open(
    db: &dyn Db,
    after: Option<&Opened>,
    limit: u32,
) -> Result<Vec<Opened>, DbError> {
    let (tenant, id) = match after {
        Some(opened) => (opened.tenant.shared(), opened.id.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(STILL_OPEN, args![tenant, id, limit]).await?;
    rows.into_iter().map(|mut row| Ok(read_opened(&mut row)?.1)).collect()
}

/// The next exchanges that a node opened and nobody closed, after the given
/// one; `None` is those of which nobody knows the node. Empty at the end.
pub async fn open_of(
    db: &dyn Db,
    node: Option<NodeId>,
    after: Option<&Opened>,
    limit: u32,
) -> Result<Vec<Opened>, DbError> {
    let (tenant, id) = match after {
        Some(opened) => (opened.tenant.shared(), opened.id.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(OPEN_OF, args![node_text(node), tenant, id, limit]).await?;
    rows.into_iter().map(|mut row| Ok(read_opened(&mut row)?.1)).collect()
}

/// The next node in order that has open exchanges, alive or not: one that is
/// not among the [`nodes`](crate::nodes) is dead.
pub async fn next_opener(db: &dyn Db, after: Option<NodeId>) -> Result<Option<NodeId>, DbError> {
    let rows = db.read(NEXT_OPENER, args![node_text(after)]).await?;
    rows.into_iter().next().map(|mut row| row.parse()).transpose()
}

fn node_text(node: Option<NodeId>) -> Arc<str> {
    node.map_or_else(|| Arc::from(""), |node| node.to_string().into())
}

/// Forgets up to `limit` exchanges of a tenant that began before a time and
/// have ended, the oldest first, and their lost attempts; the receipt's last
/// number is that of the exchanges. What they were summed up to stays.
pub fn prune(tenant: &TenantId, before: Timestamp, limit: u32) -> Unit {
    let mut unit = Unit::new("exchanges.prune");
    let args = args![tenant.shared(), ExchangeId::floor(before), before, limit];
    lost::prune(&mut unit, args.clone());
    unit.run(PRUNE, args);
    unit
}

/// The tenant after the given one that has exchanges, and its oldest one.
pub async fn oldest(
    db: &dyn Db,
    after: Option<&TenantId>,
) -> Result<Option<(TenantId, ExchangeId)>, DbError> {
    let after = after.map_or_else(|| Arc::from(""), TenantId::shared);
    let mut rows = db.read(OLDEST, args![after]).await?;
    rows.pop().map(|mut row| Ok((row.parse()?, row.parse()?))).transpose()
}

/// One exchange of a tenant.
pub async fn get(
    db: &dyn Db,
    tenant: &TenantId,
    id: ExchangeId,
) -> Result<Option<Exchange>, DbError> {
    let mut rows = db.read(GET, args![tenant.shared(), id.to_string()]).await?;
    let mut found: Option<Exchange> = rows.pop().map(read).transpose()?;
    lost::join(db, tenant, "", found.as_mut_slice()).await?;
    Ok(found)
}

/// A tenant's exchanges in a state and of a key, or in any and of any, newest
/// first; a page goes on after an id.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    state: Option<State>,
    key: Option<KeyId>,
    page: &PageRequest,
) -> Result<Page<Exchange>, DbError> {
    // Sorts after every id.
    let after = page.after.clone().unwrap_or_else(|| "~".into());
    let state = state.map_or("", State::word);
    let key = key.map(|key| key.to_string()).unwrap_or_default();
    let args = args![tenant.shared(), after, state, key.clone(), page.limit() + 1];
    let rows = db.read(LIST, args).await?;
    let mut exchanges: Vec<_> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    lost::join(db, tenant, &key, &mut exchanges).await?;
    Ok(page.page(exchanges, |exchange: &Exchange| exchange.opened.id.to_string()))
}

fn read(mut row: Row) -> Result<Exchange, DbError> {
    let (state, opened) = read_opened(&mut row)?;
    let closed = match state {
        State::Open => None,
        State::Closed | State::Interrupted => Some(read_closed(&mut row)?),
    };
    Ok(Exchange { state, opened, closed })
}

fn read_opened(row: &mut Row) -> Result<(State, Opened), DbError> {
    let (tenant, id, state) = (row.parse()?, row.parse()?, row.parse()?);
    let group: Arc<str> = row.take()?;
    let group = if group.is_empty() { None } else { Some(group) };
    let opened = Opened {
        tenant,
        id,
        group: group
            .map(GroupId::new)
            .transpose()
            .map_err(|error| DbError::Corrupt(format!("the group of {id}: {error}")))?,
        key: row.parse()?,
        route: row.take()?,
        dialect: row.take()?,
        stream: row.take()?,
        opened_at: row.take()?,
        reserved: row.money()?,
    };
    Ok((state, opened))
}

fn read_closed(row: &mut Row) -> Result<Closed, DbError> {
    Ok(Closed {
        closed_at: row.take()?,
        provider: row.take()?,
        deployment: row.take()?,
        model: row.take()?,
        status: row.take()?,
        error: row.take()?,
        attempts: row.take()?,
        tokens: Tokens {
            input: row.take()?,
            cache_read: row.take()?,
            cache_write: row.take()?,
            cache_write_long: row.take()?,
            output: row.take()?,
            reasoning: row.take()?,
        },
        cost: row.money()?,
        rounding: Rounding(row.take()?),
        estimated: row.take()?,
        unpriced: row.take()?,
        lost: Vec::new(),
    })
}
