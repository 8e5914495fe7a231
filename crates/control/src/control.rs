//! The room as a whole: what is kept in memory, and the way to the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold_store::changes::{self, Versions};
use freehold_store::exchanges::Opened;
use freehold_types::{Code, Db, Env, KeyId, NodeId, TenantId};

use crate::admission::Admission;
use crate::identity::{KeyHash, Principal, Principals, Registry, Snapshot};
use crate::together::Unknown;
use crate::usage::{self, Books, UsageCounts, UsageSettings, UsageWriter};
use crate::{AdmissionSettings, Error, Limits, Refusal};

/// How long a stop waits for a store that is down.
pub const CLOSE_MAX: Duration = Duration::from_secs(10);

/// How control is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What may be admitted.
    pub admission: AdmissionSettings,
    /// How usage is recorded.
    pub usage: UsageSettings,
    /// How old an open exchange must be at the start to be settled as one that
    /// a crash interrupted. Zero where the store is this node's alone; where
    /// others use it, too, longer than any of theirs lasts.
    pub settle_after: Duration,
    /// Whether others use the store, too. Then somebody calls what is in
    /// `together`, or budgets stay closed.
    pub shared: bool,
    /// Who this is among them.
    pub node: Option<NodeId>,
}

/// Keys, limits, budgets and usage of one node. What an exchange asks is
/// answered from memory, whether the store is up or not; what an
/// administrator changes is durable when the call returns, and in force.
pub struct Control {
    pub(crate) db: Arc<dyn Db>,
    pub(crate) env: Arc<dyn Env>,
    registry: Mutex<Registry>,
    pub(crate) snapshot: Snapshot,
    admission: Arc<Admission>,
    pub(crate) books: Arc<Books>,
    /// Held from reading what a change depends on until the change is in
    /// memory, across the store's commit.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// As of what memory has.
    pub(crate) versions: Mutex<Versions>,
    pub(crate) unknown: Option<Unknown>,
}

/// A node's control, just opened.
pub struct Started {
    /// The room.
    pub control: Control,
    /// The task that writes usage; to be run until it ends.
    pub writer: UsageWriter,
    /// Exchanges that a crash had left open. They are settled at their
    /// reservations by now; this is for the log.
    pub interrupted: Vec<Opened>,
}

impl Control {
    /// Takes up what the store has, and settles what a crash left open.
    pub async fn open(
        db: Arc<dyn Db>,
        env: Arc<dyn Env>,
        settings: Settings,
    ) -> Result<Started, Error> {
        let now = env.now();
        let mut registry = Registry::new(settings.shared);
        // Before what they count.
        let versions = changes::versions(&*db).await?;
        let loaded = crate::manage::load(&*db).await?;
        let principals = registry.replace(loaded, now)?;
        let interrupted = usage::recover(&*db, &registry, now, settings.settle_after).await?;
        // Only now, for the recovery has charged the budgets.
        crate::manage::load_spends(&*db, &mut registry, now).await?;

        let books = Arc::new(Books::new(settings.usage));
        books.set_node(settings.node);
        let writer = UsageWriter::new(Arc::clone(&db), Arc::clone(&env), Arc::clone(&books));
        let admission = Admission::new(Arc::clone(&env), settings.admission, Arc::clone(&books));
        let control = Self {
            db,
            snapshot: Snapshot::new(Arc::clone(&env), principals),
            env,
            registry: Mutex::new(registry),
            admission: Arc::new(admission),
            books,
            turn: tokio::sync::Mutex::default(),
            versions: Mutex::new(versions),
            unknown: settings.shared.then(Unknown::default),
        };
        Ok(Started { control, writer, interrupted })
    }

    /// Who presents this key, if it is good now, as far as this node knows.
    pub fn authenticate(&self, presented: &str) -> Result<Arc<Principal>, Refusal> {
        self.snapshot.authenticate(presented)
    }

    /// Who a key is, if it is good now: for work that goes on by itself after
    /// the key was presented.
    pub fn principal(&self, tenant: &TenantId, key: KeyId) -> Result<Arc<Principal>, Refusal> {
        let hash = self.registry().key(tenant, key).map(|key| key.hash);
        let Some(hash) = hash else {
            let message = format!(
                "the key {key} that this is paid with is not there any more; go on with another"
            );
            return Err(Refusal::new(Code::KeyUnknown, message));
        };
        self.snapshot.find(key, hash)
    }

    /// The desk that every exchange passes.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Limits for all keys of a tenant together; they are the operator's
    /// configuration and not kept in the store.
    pub fn set_tenant_limits(&self, tenant: &TenantId, limits: Limits) {
        self.registry().set_tenant_limits(tenant, limits);
    }

    /// What is left of the key's limits now, at the scope that leaves least.
    pub fn left(&self, principal: &Principal) -> Limits {
        principal.left(self.env.monotonic())
    }

    /// Asks the store for as little as can be asked. If nobody else writes keys
    /// while this node has them, a store that answers has just those that are
    /// in memory; others' changes are taken up first.
    pub async fn confirm(&self) -> Result<(), Error> {
        if self.unknown.is_some() {
            self.refresh().await?;
            self.snapshot.confirm();
            return Ok(());
        }
        let nobody = KeyHash([0; 32]);
        freehold_store::keys::find(&*self.db, &nobody.0).await?;
        self.snapshot.confirm();
        Ok(())
    }

    /// How long ago the keys in memory were last known to be the store's.
    pub fn snapshot_age(&self) -> Duration {
        self.snapshot.age()
    }

    /// New settings for the recording of usage, in force with the next record.
    pub fn set_usage(&self, settings: UsageSettings) {
        self.books.set(settings);
    }

    /// This node has another name among the others from now on.
    pub fn set_node(&self, node: NodeId) {
        self.books.set_node(Some(node));
    }

    /// Whether there are no budgets at all.
    pub fn is_without_budgets(&self) -> bool {
        self.registry().accounts().next().is_none()
    }

    /// How the recording of usage stands.
    pub fn usage_counts(&self) -> UsageCounts {
        self.books.counts()
    }

    /// Writes all usage that is recorded so far and ends the writer, and gives
    /// the number of records that could not be written: none, unless the store
    /// has been down for [`CLOSE_MAX`]. To be called when no exchange is in
    /// flight any more.
    pub async fn close(&self) -> usize {
        tokio::select! {
            () = self.books.close() => {}
            () = self.env.sleep(CLOSE_MAX) => {
                self.books.give_up();
                self.books.close().await;
            }
        }
        self.books.unwritten()
    }

    #[cfg(test)]
    pub(crate) fn record_for_test(&self, ending: usage::Ending) {
        drop(self.books.end(ending));
    }

    #[cfg(test)]
    pub(crate) fn give_up_for_test(&self) {
        self.books.give_up();
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic in the middle would leave a key or a group half changed,
        // which the next load mends.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, principals: Principals) {
        self.snapshot.replace(principals);
    }
}
