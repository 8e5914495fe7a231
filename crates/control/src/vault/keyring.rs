//! The keyring: each tenant's key, made when it is first needed, kept in the
//! store under the master key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freehold_store::settle;
use freehold_store::tenant_keys::{self, TenantKey};
use freehold_types::{Db, DbError, Env, TenantId};
use jiff::Timestamp;

use super::{KeyBytes, MasterKey, SealKey};
use crate::Error;

/// Tenants whose keys are kept in memory; the others' are read when needed.
const KEPT_MAX: usize = 4096;
/// Rows that are read at one time.
const PAGE: u32 = 1000;
/// Tries to put all keys under a new master while tenants come in.
const ROTATIONS_MAX: usize = 10;

/// A node's way to seal what is its tenants'.
pub struct Keyring {
    db: Arc<dyn Db>,
    env: Arc<dyn Env>,
    master: MasterKey,
    /// Held for a look only, never across the store.
    kept: Mutex<BTreeMap<TenantId, Arc<SealKey>>>,
}

/// What something sealed is, and so where it belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// `session`, `credential`...: the kind of row that holds it.
    pub kind: &'static str,
    /// The row's id in the tenant.
    pub id: &'a str,
}

impl Sealed<'_> {
    /// Neither a kind nor a tenant's name has a NUL in it.
    fn place(&self) -> Vec<u8> {
        [self.kind, "\0", self.tenant.as_str(), "\0", self.id].concat().into_bytes()
    }
}

impl Keyring {
    /// Whether the store has any key: if so, a new master key is of no use.
    pub async fn is_used(db: &dyn Db) -> Result<bool, Error> {
        Ok(!tenant_keys::list(db, None, 1).await?.is_empty())
    }

    /// Over this store, which was used with this master key or with none.
    pub async fn open(
        db: Arc<dyn Db>,
        env: Arc<dyn Env>,
        master: MasterKey,
    ) -> Result<Self, Error> {
        let keyring = Self { db, env, master, kept: Mutex::default() };
        // Of two nodes that begin with different master keys, one finds out
        // here, before anything is sealed.
        keyring.key(&TenantId::main()).await?;
        Ok(keyring)
    }

    /// The name of the master key.
    pub fn master_id(&self) -> &str {
        self.master.id()
    }

    /// Seals something of a tenant's.
    pub async fn seal(&self, what: Sealed<'_>, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.key(what.tenant).await?;
        Ok(key.seal(&*self.env, &what.place(), plain))
    }

    /// Opens what [`Keyring::seal`] gave for the same.
    pub async fn open_sealed(&self, what: Sealed<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.key(what.tenant).await?;
        key.open(&what.place(), sealed).map_err(|error| Error::Damaged {
            what: format!("{} `{}` of the tenant `{}`", what.kind, what.id, what.tenant),
            why: error.to_string(),
        })
    }

    /// Puts all tenants' keys under another master key, all or none, and gives
    /// their number. This keyring is of no use afterwards; nor are those of
    /// nodes that run, for tenants that they do not know yet.
    pub async fn rotate(self, to: &MasterKey) -> Result<usize, Error> {
        for _ in 0..ROTATIONS_MAX {
            let mut keys = Vec::new();
            loop {
                let after = keys.last().map(|key: &TenantKey| &key.tenant);
                let page = tenant_keys::list(&*self.db, after, PAGE).await?;
                if page.is_empty() {
                    break;
                }
                for row in page {
                    let key = self.unwrap(&row)?;
                    keys.push(self.wrap(to, &row.tenant, &key, row.created_at));
                }
            }
            match settle(&*self.db, tenant_keys::rewrap(self.master.id(), &keys)).await {
                Ok(()) => return Ok(keys.len()),
                // A tenant came in between; if it was another rotation, the
                // next look at the rows tells.
                Err(DbError::GuardFailed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DbError::Unavailable("tenants come in too fast; try again".into()).into())
    }

    /// A tenant's key, which is made if there is none.
    pub(super) async fn key(&self, tenant: &TenantId) -> Result<Arc<SealKey>, Error> {
        if let Some(key) = self.kept().get(tenant) {
            return Ok(Arc::clone(key));
        }
        let key = match tenant_keys::get(&*self.db, tenant).await? {
            Some(row) => self.unwrap(&row)?,
            None => self.make(tenant).await?,
        };
        let key = Arc::new(key);
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(tenant.clone(), Arc::clone(&key));
        Ok(key)
    }

    async fn make(&self, tenant: &TenantId) -> Result<SealKey, Error> {
        let key = SealKey::random(&*self.env);
        let row = self.wrap(&self.master, tenant, &key, self.env.now());
        match settle(&*self.db, tenant_keys::insert(&row)).await {
            Ok(()) => return Ok(key),
            Err(DbError::GuardFailed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Another node was faster, or the master key is not the one in use.
        if let Some(row) = tenant_keys::get(&*self.db, tenant).await? {
            return self.unwrap(&row);
        }
        if let Some(row) = tenant_keys::get(&*self.db, &TenantId::main()).await? {
            self.unwrap(&row)?;
        }
        let why = "that of `main`, which is made first, went away".into();
        Err(Error::Damaged { what: "keys of the tenants".into(), why })
    }

    fn wrap(
        &self,
        master: &MasterKey,
        tenant: &TenantId,
        key: &SealKey,
        created_at: Timestamp,
    ) -> TenantKey {
        let sealed = master.key().seal(&*self.env, &place(tenant), key.bytes().reveal());
        TenantKey {
            tenant: tenant.clone(),
            master: master.id().into(),
            sealed: sealed.into(),
            created_at,
        }
    }

    fn unwrap(&self, row: &TenantKey) -> Result<SealKey, Error> {
        if *row.master != *self.master.id() {
            return Err(Error::MasterKeyWrong {
                stored: row.master.clone(),
                given: self.master.id().into(),
            });
        }
        let opened = self.master.key().open(&place(&row.tenant), &row.sealed);
        let bytes = opened.ok().and_then(KeyBytes::take);
        bytes.map(SealKey::new).ok_or_else(|| Error::Damaged {
            what: format!("key of the tenant `{}`", row.tenant),
            why: "the master key does not open it: it was changed, or is another tenant's".into(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<TenantId, Arc<SealKey>>> {
        // Nothing is left half done in it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(tenant: &TenantId) -> Vec<u8> {
    ["tenant\0", tenant.as_str()].concat().into_bytes()
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({})", self.master.id())
    }
}

#[cfg(test)]
mod tests {
    use freehold_store::{Sqlite, SqliteOptions};
    use freehold_types::{Unit, args};

    use super::*;
    use crate::testing::TestEnv;

    struct World {
        db: Arc<dyn Db>,
        env: Arc<TestEnv>,
        text: freehold_types::Secret,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
            let env = Arc::new(TestEnv::default());
            let text = MasterKey::random(&*env).reveal();
            Self { db, env, text, _folder: folder }
        }

        async fn open(&self, master: MasterKey) -> Result<Keyring, Error> {
            Keyring::open(self.db.clone(), self.env.clone(), master).await
        }

        /// A node with the first master key.
        async fn node(&self) -> Keyring {
            self.open(MasterKey::parse(&self.text).unwrap()).await.unwrap()
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn of<'a>(tenant: &'a TenantId, id: &'a str) -> Sealed<'a> {
        Sealed { tenant, kind: "session", id }
    }

    #[tokio::test]
    async fn nodes_that_make_a_tenants_key_at_once_have_the_same() {
        let world = World::new();
        assert!(!Keyring::is_used(&*world.db).await.unwrap());
        let (a, b) = tokio::join!(world.node(), world.node());
        assert!(Keyring::is_used(&*world.db).await.unwrap());
        for n in 0..20 {
            let tenant = tenant(&format!("t{n}"));
            let (x, y) = (of(&tenant, "x"), of(&tenant, "y"));
            let (one, two) = tokio::join!(a.seal(x, b"one"), b.seal(y, b"two"));
            assert_eq!(b.open_sealed(x, &one.unwrap()).await.unwrap(), b"one");
            let fresh = world.node().await;
            assert_eq!(fresh.open_sealed(y, &two.unwrap()).await.unwrap(), b"two");
        }
    }

    #[tokio::test]
    async fn what_is_sealed_opens_for_its_tenant_and_row_only() {
        let world = World::new();
        let node = world.node().await;
        let (a, b) = (tenant("a"), tenant("b"));
        let sealed = node.seal(of(&a, "x"), b"secret").await.unwrap();
        let credential = Sealed { kind: "credential", ..of(&a, "x") };
        for wrong in [of(&a, "y"), of(&b, "x"), credential] {
            let error = node.open_sealed(wrong, &sealed).await.unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
        // Nor does a tenant's key open in another's row.
        node.seal(of(&b, "x"), b"").await.unwrap();
        let mut swap = Unit::new("swap");
        swap.expect(
            1,
            "UPDATE tenant_keys SET sealed = (SELECT k.sealed FROM tenant_keys AS k
             WHERE k.tenant = 'a') WHERE tenant = $1",
            args!["b"],
        );
        world.db.write(swap).await.unwrap();
        let error = world.node().await.seal(of(&b, "x"), b"").await.unwrap_err();
        assert!(error.to_string().contains("tenant `b`"), "{error}");
    }

    #[tokio::test]
    async fn another_master_key_is_refused_and_named() {
        let world = World::new();
        let node = world.node().await;
        let other = MasterKey::random(&*world.env);
        let given = other.id().to_owned();
        let error = world.open(other).await.unwrap_err();
        assert!(matches!(error, Error::MasterKeyWrong { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains(node.master_id()) && told.contains(&given), "{told}");
        assert!(!told.contains(world.text.reveal()));
    }

    #[tokio::test]
    async fn a_new_master_key_keeps_all_and_ends_the_old_one() {
        let world = World::new();
        let (node, running) = (world.node().await, world.node().await);
        let (a, b) = (tenant("a"), tenant("b"));
        let sealed = node.seal(of(&a, "x"), b"secret").await.unwrap();
        running.seal(of(&a, "y"), b"").await.unwrap();

        let cell = node.cell_key().await.unwrap().public();
        assert_eq!(running.cell_key().await.unwrap().public(), cell);
        let new = MasterKey::random(&*world.env);
        let text = new.reveal();
        assert_eq!(node.rotate(&new).await.unwrap(), 2, "main and a");
        let error = world.open(MasterKey::parse(&world.text).unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::MasterKeyWrong { .. }), "{error}");
        let after = world.open(MasterKey::parse(&text).unwrap()).await.unwrap();
        assert_eq!(after.open_sealed(of(&a, "x"), &sealed).await.unwrap(), b"secret");
        assert_eq!(after.cell_key().await.unwrap().public(), cell);

        // A node that runs on serves the tenants that it knows, and makes no
        // key that the new master would not open.
        running.open_sealed(of(&a, "x"), &sealed).await.unwrap();
        let error = running.seal(of(&b, "x"), b"").await.unwrap_err();
        assert!(matches!(error, Error::MasterKeyWrong { .. }), "{error}");
        after.seal(of(&b, "x"), b"").await.unwrap();
    }
}
