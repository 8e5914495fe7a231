//! Who a request comes from, ready for admission.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use freehold_types::{Code, GroupId, KeyId, KeyName, TenantId};
use jiff::Timestamp;

use crate::admission::Gate;
use crate::identity::{KeyHash, Routes};
use crate::{Limits, Refusal};

/// A virtual key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id; not secret.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantId,
    /// The group that it is in.
    pub group: Option<GroupId>,
    /// What people call it.
    pub name: KeyName,
    /// What remains of the bearer key.
    pub hash: KeyHash,
    /// The bearer key's first characters, to tell keys apart.
    pub shown: String,
    /// May manage its tenant; in the tenant `main`, all tenants.
    pub admin: bool,
    /// What it may call.
    pub routes: Routes,
    /// Its own limits.
    pub limits: Limits,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first moment at which it is no longer good.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A key with the gates that its exchanges pass. Shared by all of them; a
/// changed key is a new principal.
pub struct Principal {
    key: Key,
    /// The key's own gate, those of its group and the groups above, the
    /// tenant's.
    gates: Box<[Arc<Gate>]>,
}

impl Principal {
    pub(crate) fn new(key: Key, gates: Vec<Arc<Gate>>) -> Self {
        Self { key, gates: gates.into() }
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The tenant of everything that it does.
    pub fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    /// Whether it may call the route.
    pub fn may_call(&self, route: &str) -> Result<(), Refusal> {
        if self.key.routes.allow(route) {
            return Ok(());
        }
        let message = format!(
            "the key `{}` may not use the route `{route}`; it may use {}",
            self.key.name, self.key.routes
        );
        Err(Refusal::new(Code::RouteForbidden, message))
    }

    /// Whether it may manage keys, groups and budgets of the tenant.
    pub fn may_manage(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let own = self.key.tenant == *tenant || self.key.tenant == TenantId::main();
        if self.key.admin && own {
            return Ok(());
        }
        let message = format!(
            "the key `{}` may not manage the tenant `{tenant}`; use an admin key of it or of \
             the tenant `main`",
            self.key.name
        );
        Err(Refusal::new(Code::AdminRequired, message))
    }

    /// Whether anything is set aside for its exchanges, money or tokens, so
    /// that their output needs a limit.
    pub fn reserves(&self) -> bool {
        self.gates.iter().any(|gate| gate.meter().limits_tokens() || !gate.accounts().is_empty())
    }

    pub(crate) fn gates(&self) -> &[Arc<Gate>] {
        &self.gates
    }

    /// What is left of each limit at the gate that leaves least.
    pub(crate) fn left(&self, now: Duration) -> Limits {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        self.gates.iter().map(|gate| gate.meter().left(now)).fold(Limits::default(), |sum, gate| {
            Limits {
                requests_per_minute: least(sum.requests_per_minute, gate.requests_per_minute),
                tokens_per_minute: least(sum.tokens_per_minute, gate.tokens_per_minute),
                concurrency: sum.concurrency.into_iter().chain(gate.concurrency).min(),
            }
        })
    }

    /// Whether the key is good at this moment, which is only asked for where
    /// it matters.
    pub(crate) fn check(&self, now: impl FnOnce() -> Timestamp) -> Result<(), Refusal> {
        let refuse = |code, what: fmt::Arguments<'_>| {
            let message = format!(
                "the key `{}` ({}) {what}; ask an administrator for a new one",
                self.key.name, self.key.shown
            );
            Err(Refusal::new(code, message))
        };
        match (self.key.revoked_at, self.key.expires_at) {
            (Some(at), _) => refuse(Code::KeyRevoked, format_args!("was revoked at {at}")),
            (_, Some(at)) if at <= now() => {
                refuse(Code::KeyExpired, format_args!("expired at {at}"))
            }
            _ => Ok(()),
        }
    }
}

/// Without the gates, which are long and change.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("key", &self.key).finish_non_exhaustive()
    }
}
