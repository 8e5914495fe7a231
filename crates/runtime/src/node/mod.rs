//! The node among the nodes: its heart, whom it takes for dead, what it takes
//! over, and what is due.

mod due;
mod listen;
mod watch;

use std::sync::Arc;

use freehold_store::leases;
use freehold_store::nodes::{self, Node};
use freehold_types::{DbError, NodeId};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

pub(crate) use watch::{Standing, Watcher};

use crate::archive::Id;
use crate::sessions::{Error, Inner};

/// Nodes, and sessions, that are read at once.
const BATCH: u32 = 200;
/// Claims that are under way at once.
const CLAIMS: usize = 16;

/// Adds this life of the node, after forgetting those that the store's own
/// lock proves dead.
pub(crate) async fn join(inner: &Arc<Inner>) -> Result<(), Error> {
    if !inner.parts.shared {
        for node in all(inner).await? {
            forget(inner, &node).await?;
        }
    }
    let node = Node {
        id: inner.node,
        name: Arc::clone(&inner.options.name),
        address: Arc::clone(&inner.options.address),
        started_at: inner.env().now(),
        beat: 0,
    };
    freehold_store::settle(inner.db(), nodes::join(&node)).await?;
    look(inner).await
}

/// Starts what keeps the node going.
pub(crate) fn keep(inner: &Arc<Inner>) -> Vec<JoinHandle<()>> {
    let mut keepers = vec![
        tokio::spawn(take_over_all(Arc::clone(inner))),
        tokio::spawn(due::watch(Arc::clone(inner))),
    ];
    if inner.parts.shared {
        keepers.push(tokio::spawn(beat(Arc::clone(inner))));
        keepers.push(tokio::spawn(listen::watch(Arc::clone(inner))));
    }
    keepers
}

/// Takes the node away; what it still holds is free at once.
pub(crate) async fn leave(inner: &Arc<Inner>) {
    let left = async {
        let mine = all(inner).await?.into_iter().find(|node| node.id == inner.node);
        match mine {
            Some(mine) => forget(inner, &mine).await,
            None => Ok(()),
        }
    };
    if let Err(error) = left.await {
        tracing::warn!(%error, "the node leaves without a word: others will find it dead");
    }
}

/// Looks at all nodes.
pub(crate) async fn look(inner: &Inner) -> Result<(), Error> {
    let nodes = all(inner).await?;
    inner.watcher.observe(&nodes, inner.env().monotonic());
    Ok(())
}

async fn all(inner: &Inner) -> Result<Vec<Node>, Error> {
    let mut nodes: Vec<Node> = Vec::new();
    loop {
        let after = nodes.last().map(|node| node.id);
        let page = nodes::list(inner.db(), after, BATCH).await?;
        let more = page.len() >= BATCH as usize;
        nodes.extend(page);
        if !more {
            return Ok(nodes);
        }
    }
}

/// A node whose heart has beaten since is not forgotten.
async fn forget(inner: &Inner, node: &Node) -> Result<(), Error> {
    match inner.db().write(nodes::forget(node)).await {
        Ok(_) | Err(DbError::GuardFailed { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn beat(inner: Arc<Inner>) {
    loop {
        inner.env().sleep(inner.options.beat).await;
        match inner.db().write(nodes::beat(inner.node)).await {
            Ok(_) => {}
            Err(DbError::GuardFailed { .. }) => {
                // Others took us for dead. What we held is theirs, as each
                // worker learns by itself; we begin anew.
                tracing::warn!(node = %inner.node, "the node was taken for dead; it joins again");
                if let Err(error) = join(&inner).await {
                    tracing::warn!(%error, "the node cannot join again yet");
                }
            }
            Err(error) => tracing::debug!(%error, "a heartbeat is not written"),
        }
    }
}

/// Takes over what dead nodes hold, at the start and whenever one dies.
async fn take_over_all(inner: Arc<Inner>) {
    loop {
        if let Err(error) = take_over(&inner).await {
            tracing::warn!(%error, "sessions of dead nodes are not taken over yet");
        }
        if inner.parts.shared {
            inner.env().sleep(inner.options.beat).await;
            if let Err(error) = look(&inner).await {
                tracing::debug!(%error, "the nodes cannot be looked at now");
            }
        } else {
            // Nobody else can die.
            return;
        }
    }
}

async fn take_over(inner: &Arc<Inner>) -> Result<(), Error> {
    let mut holder: Option<NodeId> = None;
    while let Some(node) = leases::next_holder(inner.db(), holder).await? {
        holder = Some(node);
        let now = inner.env().monotonic();
        let dead = match inner.watcher.standing(node, now) {
            Standing::Dead => true,
            Standing::Unknown => {
                look(inner).await?;
                !matches!(inner.watcher.standing(node, now), Standing::Alive(_))
            }
            Standing::Alive(_) => false,
        };
        if dead && node != inner.node {
            tracing::info!(%node, "taking over the sessions of a dead node");
            take_over_node(inner, node).await?;
        }
    }
    for node in inner.watcher.dead(inner.env().monotonic()) {
        let holds = leases::held(inner.db(), node.id, None, 1).await?;
        if holds.is_empty() {
            forget(inner, &node).await?;
            inner.watcher.forget(node.id);
        }
    }
    Ok(())
}

async fn take_over_node(inner: &Arc<Inner>, node: NodeId) -> Result<(), Error> {
    let mut last: Option<Id> = None;
    loop {
        let after = last.as_ref().map(|id| (&id.tenant, id.session));
        let held = leases::held(inner.db(), node, after, BATCH).await?;
        let Some(end) = held.last() else { return Ok(()) };
        last = Some(Id { tenant: end.tenant.clone(), session: end.session });
        let held = held.into_iter().map(|row| Id { tenant: row.tenant, session: row.session });
        futures_util::stream::iter(held)
            .for_each_concurrent(CLAIMS, |id| async move { due::take(inner, &id).await })
            .await;
    }
}
