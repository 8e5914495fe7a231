//! The node among the nodes: whom it takes for dead, what it takes over, and
//! what is due.

mod adrift;
mod due;
mod listen;

use std::sync::Arc;

use freehold_store::leases;
use freehold_types::NodeId;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::archive::Id;
use crate::sessions::{Error, Inner};
pub(crate) use adrift::Adrift;

/// Sessions that are read at once.
const BATCH: u32 = 200;
/// Claims that are under way at once.
const CLAIMS: usize = 16;

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is reached there.
    Alive(Arc<str>),
    /// What it holds is free.
    Dead,
}

/// Starts what keeps the node going.
pub(crate) fn keep(inner: &Arc<Inner>) -> Vec<JoinHandle<()>> {
    let mut keepers = vec![
        tokio::spawn(take_over_all(Arc::clone(inner))),
        tokio::spawn(due::watch(Arc::clone(inner))),
        tokio::spawn(adrift::watch(Arc::clone(inner))),
    ];
    if inner.parts.members.is_some() {
        keepers.push(tokio::spawn(listen::watch(Arc::clone(inner))));
    }
    keepers
}

/// How a node stands that holds something. What this one holds without a
/// worker is free, and so is what any other holds of a store that one node
/// alone may use.
pub(crate) async fn standing(inner: &Inner, node: NodeId) -> Result<Standing, Error> {
    let Some(members) = &inner.parts.members else { return Ok(Standing::Dead) };
    if node == members.me() {
        return Ok(Standing::Dead);
    }
    if members.is_missing(node) {
        // It may have joined since: nodes join before they hold anything.
        members.look().await?;
    }
    Ok(members.address(node).map_or(Standing::Dead, Standing::Alive))
}

/// Takes over what dead nodes hold, at the start and whenever one dies.
async fn take_over_all(inner: Arc<Inner>) {
    loop {
        if let Err(error) = take_over(&inner).await {
            tracing::warn!(%error, "sessions of dead nodes are not taken over yet");
            inner.env().sleep(inner.options.look).await;
            continue;
        }
        // Alone, nobody else can die.
        let Some(members) = &inner.parts.members else { return };
        inner.env().sleep(members.beat_every()).await;
    }
}

async fn take_over(inner: &Arc<Inner>) -> Result<(), Error> {
    let mut holder: Option<NodeId> = None;
    while let Some(node) = leases::next_holder(inner.db(), holder).await? {
        holder = Some(node);
        if node != inner.me() && standing(inner, node).await? == Standing::Dead {
            tracing::info!(%node, "taking over the sessions of a dead node");
            take_over_node(inner, node).await?;
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
            .for_each_concurrent(CLAIMS, |id| async move {
                due::take(inner, &id, Some(node)).await;
            })
            .await;
    }
}
