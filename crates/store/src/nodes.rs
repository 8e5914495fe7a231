//! Nodes: the one heartbeat that there is. Beats are counted and not timed:
//! who watches a node calls it dead when its count has not moved for a while
//! by the watcher's own clock, so no two clocks are ever compared.

use std::sync::Arc;

use freehold_types::{Db, DbError, NodeId, Row, Unit, args};
use jiff::Timestamp;

/// A process that serves, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// One life of it.
    pub id: NodeId,
    /// What operators call it.
    pub name: Arc<str>,
    /// Where others reach it.
    pub address: Arc<str>,
    /// When it began, by its own clock: for people.
    pub started_at: Timestamp,
    /// How often its heart has beaten.
    pub beat: u64,
}

const JOIN: &str = "INSERT INTO nodes (id, name, address, started_at, beat)
    VALUES ($1, $2, $3, $4, $5)";
const JOINED: &str = "SELECT id FROM nodes WHERE id = $1";
const BEAT: &str = "UPDATE nodes SET beat = beat + 1 WHERE id = $1";
const LIST: &str = "SELECT id, name, address, started_at, beat FROM nodes
    WHERE id > $1 ORDER BY id LIMIT $2";
const FORGET: &str = "DELETE FROM nodes WHERE id = $1 AND beat = $2";

/// Adds a node, before it claims anything: a holder that is not among the
/// nodes is dead.
pub fn join(node: &Node) -> Unit {
    let mut unit = Unit::new("nodes.join");
    let args = args![
        node.id.to_string(),
        Arc::clone(&node.name),
        Arc::clone(&node.address),
        node.started_at,
        node.beat,
    ];
    unit.expect(1, JOIN, args);
    // The id is this life's alone.
    unit.proven_by(JOINED, args![node.id.to_string()]);
    unit
}

/// One beat. Fails its guard if others forgot the node as dead: it then holds
/// nothing any more.
pub fn beat(id: NodeId) -> Unit {
    let mut unit = Unit::new("nodes.beat");
    unit.expect(1, BEAT, args![id.to_string()]);
    unit
}

/// All nodes, by the batch.
pub async fn list(db: &dyn Db, after: Option<NodeId>, limit: u32) -> Result<Vec<Node>, DbError> {
    let after = after.map_or_else(String::new, |node| node.to_string());
    let rows = db.read(LIST, args![after, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Forgets a node that left or is dead; fails its guard if its heart has beaten
/// since.
pub fn forget(node: &Node) -> Unit {
    let mut unit = Unit::new("nodes.forget");
    unit.expect(1, FORGET, args![node.id.to_string(), node.beat]);
    unit
}

fn read(mut row: Row) -> Result<Node, DbError> {
    Ok(Node {
        id: row.parse()?,
        name: row.take()?,
        address: row.take()?,
        started_at: row.take()?,
        beat: row.take()?,
    })
}
