//! What dead nodes left open.

use std::time::Duration;

use freehold_store::exchanges::{self, Opened};
use freehold_store::membership::Membership;
use freehold_store::nodes;
use freehold_types::{DbError, NodeId};

use crate::usage::{self, RECOVERY_PAGE};
use crate::{Control, Error};

/// How long a heart must have stood still until the node's exchanges are
/// settled: longer than for its sessions, for they cannot be taken up again.
const SETTLE_AFTER: Duration = Duration::from_secs(10);
/// And until its row is taken away, and what it had of budgets with it.
const FORGET_AFTER: Duration = Duration::from_secs(30);

impl Control {
    /// Settles the exchanges that dead nodes had open, at their reservations,
    /// and forgets nodes that have been dead for long. Gives what was settled,
    /// for the log. To be called every few seconds.
    pub async fn settle_the_dead(&self, members: &Membership) -> Result<Vec<Opened>, Error> {
        let mut openers = Vec::new();
        while let Some(next) = exchanges::next_opener(&*self.db, openers.last().copied()).await? {
            openers.push(next);
        }
        // After: who has opened something has joined before.
        members.look().await?;
        let dead: Vec<NodeId> =
            members.dead(SETTLE_AFTER).into_iter().map(|node| node.id).collect();
        let mut settled = Vec::new();
        for opener in openers {
            if members.is_missing(opener) || dead.contains(&opener) {
                settled.extend(self.settle_node(opener).await?);
            }
        }
        for node in members.dead(FORGET_AFTER) {
            if exchanges::open_of(&*self.db, Some(node.id), None, 1).await?.is_empty() {
                match self.db.write(nodes::forget(&node)).await {
                    Ok(_) | Err(DbError::GuardFailed { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(settled)
    }

    async fn settle_node(&self, node: NodeId) -> Result<Vec<Opened>, Error> {
        let mut settled: Vec<Opened> = Vec::new();
        loop {
            let page =
                exchanges::open_of(&*self.db, Some(node), settled.last(), RECOVERY_PAGE).await?;
            if page.is_empty() {
                return Ok(settled);
            }
            let unit = usage::interrupt(&self.registry(), &page, self.env.now());
            match self.db.write(unit).await {
                Ok(_) => settled.extend(page),
                // Another node does the same.
                Err(DbError::GuardFailed { .. }) => return Ok(settled),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
