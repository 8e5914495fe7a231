//! The node among the nodes: whom it takes for dead, what it takes over, and
//! what is due.

mod adrift;
mod due;
mod listen;

use std::sync::Arc;
use std::time::Duration;

use freehold_store::leases;
use freehold_types::{NodeId, SessionId};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::archive::Id;
use crate::sessions::{Error, Inner};
pub(crate) use adrift::Adrift;

/// Sessions that are read at once.
const BATCH: u32 = 200;
/// Claims that are under way at once.
const CLAIMS: usize = 16;

/// Looks at what the heart has seen, a beat: a death is acted upon at once.
const GLANCES: u32 = 5;

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
        let (before, every) = (members.alive(), members.beat_every());
        let mut rested = Duration::ZERO;
        while rested < every && members.alive() == before {
            inner.env().sleep(every / GLANCES).await;
            rested += every / GLANCES;
        }
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

/// Those at work come first: somebody waits for them. Each of the nodes that are
/// left begins with a share of its own, so that they do not race for every
/// session; whatever is then still there is anybody's.
async fn take_over_node(inner: &Arc<Inner>, node: NodeId) -> Result<(), Error> {
    let share = Share::of(inner);
    take_part(inner, node, Some("running"), share).await?;
    take_part(inner, node, None, share).await?;
    take_part(inner, node, None, Share::ALL).await
}

/// Of so many nodes, the sessions of one.
#[derive(Clone, Copy, Debug)]
struct Share {
    of: u64,
    at: u64,
}

impl Share {
    const ALL: Self = Self { of: 1, at: 0 };

    /// This node's, among those whose hearts beat. Nodes may see that
    /// differently for a moment: some are then tried twice.
    fn of(inner: &Inner) -> Self {
        let Some(members) = &inner.parts.members else { return Self::ALL };
        let (alive, me) = (members.alive(), members.me());
        let at = alive.iter().position(|node| *node == me).unwrap_or_default();
        Self { of: alive.len().max(1) as u64, at: at as u64 }
    }

    /// By the last bits of its id, which are made by chance.
    fn has(self, session: SessionId) -> bool {
        let text = session.to_string();
        let digits = text.get(text.len().saturating_sub(8)..).unwrap_or_default();
        u64::from_str_radix(digits, 16).is_ok_and(|number| number % self.of == self.at)
    }
}

async fn take_part(
    inner: &Arc<Inner>,
    node: NodeId,
    phase: Option<&str>,
    share: Share,
) -> Result<(), Error> {
    let mut last: Option<Id> = None;
    loop {
        let after = last.as_ref().map(|id| (&id.tenant, id.session));
        let held = leases::held(inner.db(), node, phase, after, BATCH).await?;
        let Some(end) = held.last() else { return Ok(()) };
        last = Some(Id { tenant: end.tenant.clone(), session: end.session });
        let held = held.into_iter().filter(|row| share.has(row.session));
        futures_util::stream::iter(held)
            .for_each_concurrent(CLAIMS, |row| async move {
                due::take(inner, row).await;
            })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_in_one_share() {
        for n in 0..100_u128 {
            let session: SessionId = format!("sess_{:032x}", n * 0x9e37_79b9).parse().unwrap();
            let of_nodes = (0..3).filter(|at| Share { of: 3, at: *at }.has(session));
            assert_eq!(of_nodes.count(), 1);
            assert!(Share::ALL.has(session));
        }
    }
}
