//! What every request is looked up in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_types::{Code, Env, KeyId};

use crate::Refusal;
use crate::identity::{Key, KeyHash, Principal, Principals};

/// All keys by their hashes, replaced as a whole by each change: a reader
/// takes no lock, and a revoked key is refused from the next request on. It
/// needs no store; its age tells when it was last known to be the store's.
pub(crate) struct Snapshot {
    env: Arc<dyn Env>,
    current: ArcSwap<Principals>,
    /// On the monotonic clock, in nanoseconds.
    confirmed_at_ns: AtomicU64,
}

impl Snapshot {
    pub(crate) fn new(env: Arc<dyn Env>, principals: Principals) -> Self {
        let snapshot = Self {
            env,
            current: ArcSwap::from_pointee(principals),
            confirmed_at_ns: AtomicU64::new(0),
        };
        snapshot.confirm();
        snapshot
    }

    /// Who presents this key, if it is good now. The key is hashed before it
    /// is compared, so the time that it takes tells nothing about other keys.
    pub(crate) fn authenticate(&self, presented: &str) -> Result<Arc<Principal>, Refusal> {
        if presented.is_empty() {
            return Err(Refusal::new(
                Code::KeyMissing,
                "no key was sent; send `Authorization: Bearer` with a key, or `x-api-key`",
            ));
        }
        let current = self.current.load();
        let found = KeyHash::of(presented).and_then(|hash| current.get(&hash));
        let Some(principal) = found else {
            return Err(Refusal::new(
                Code::KeyUnknown,
                "this key was not issued here; check that it is complete, or ask an \
                 administrator for a new one",
            ));
        };
        principal.check(|| self.env.now())?;
        Ok(Arc::clone(principal))
    }

    /// Whether somebody has this key, good or not.
    pub(crate) fn knows(&self, hash: KeyHash) -> bool {
        self.current.load().contains_key(&hash)
    }

    /// Who a key is, by its id and hash, if it is good now.
    pub(crate) fn find(&self, id: KeyId, hash: KeyHash) -> Result<Arc<Principal>, Refusal> {
        let current = self.current.load();
        // A revoked key may have given its place to one with the same hash.
        let found = current.get(&hash).filter(|principal| principal.key().id == id);
        let Some(principal) = found else {
            let message = format!("the key {id} was revoked; go on with another");
            return Err(Refusal::new(Code::KeyRevoked, message));
        };
        principal.check(|| self.env.now())?;
        Ok(Arc::clone(principal))
    }

    /// Puts principals in force that the store is known to hold.
    pub(crate) fn replace(&self, principals: Principals) {
        self.current.store(Arc::new(principals));
        self.confirm();
    }

    /// The store is known to hold just this.
    pub(crate) fn confirm(&self) {
        let now = u64::try_from(self.env.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.confirmed_at_ns.store(now, Ordering::Relaxed);
    }

    /// The same with one key more, or a changed one. Callers take turns.
    pub(crate) fn put(&self, principal: Principal) {
        let mut principals = Principals::clone(&self.current.load());
        // A bearer key that was replaced is no longer good.
        let (id, hash) = (principal.key().id, principal.key().hash);
        principals.retain(|_, other| other.key().id != id);
        // One that was revoked does not stand in the way of a live one that
        // was given the same bearer key since.
        let is_live = |key: &Key| key.revoked_at.is_none();
        let stays = principals.get(&hash).is_some_and(|other| is_live(other.key()));
        if is_live(principal.key()) || !stays {
            principals.insert(hash, Arc::new(principal));
        }
        self.replace(principals);
    }

    /// How long ago the store was last known to hold just this.
    pub(crate) fn age(&self) -> Duration {
        let confirmed_at = Duration::from_nanos(self.confirmed_at_ns.load(Ordering::Relaxed));
        self.env.monotonic().saturating_sub(confirmed_at)
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::{ErrorKind, KeyName, Secret, TenantId};
    use jiff::SignedDuration;

    use super::*;
    use crate::Limits;
    use crate::identity::{Registry, Routes, bearer};
    use crate::testing::TestEnv;

    struct World {
        env: Arc<TestEnv>,
        registry: Registry,
        snapshot: Snapshot,
    }

    impl World {
        fn new() -> Self {
            let env = Arc::new(TestEnv::default());
            let door: Arc<dyn Env> = env.clone();
            let snapshot = Snapshot::new(door, Principals::new());
            Self { env, registry: Registry::default(), snapshot }
        }

        fn issue(&mut self) -> (Secret, Key) {
            let secret = bearer::generate(&*self.env);
            let key = Key {
                id: KeyId::new(&*self.env),
                tenant: TenantId::main(),
                group: None,
                name: KeyName::new("ci").unwrap(),
                hash: KeyHash::of(secret.reveal()).unwrap(),
                shown: bearer::shown(&secret),
                admin: false,
                routes: Routes::ALL,
                limits: Limits::default(),
                created_at: self.env.now(),
                expires_at: Some(self.env.now() + SignedDuration::from_secs(60)),
                revoked_at: None,
            };
            self.put(key.clone());
            (secret, key)
        }

        fn put(&mut self, key: Key) {
            let principal = self.registry.put_key(key).unwrap();
            self.snapshot.put(principal);
        }

        fn code(&self, presented: &str) -> Option<Code> {
            let refusal = self.snapshot.authenticate(presented).err()?;
            assert_eq!(refusal.kind, ErrorKind::Unauthenticated);
            assert!(presented.is_empty() || !refusal.message.contains(presented));
            Some(refusal.code)
        }
    }

    #[test]
    fn a_key_is_good_from_its_issue_to_its_end() {
        let mut world = World::new();
        let (secret, key) = world.issue();
        let principal = world.snapshot.authenticate(secret.reveal()).unwrap();
        assert_eq!(principal.key(), &key);
        world.env.advance(Duration::from_millis(59_999));
        assert_eq!(world.code(secret.reveal()), None);
        world.env.advance(Duration::from_millis(1));
        assert_eq!(world.code(secret.reveal()), Some(Code::KeyExpired));
    }

    #[test]
    fn what_was_never_issued_is_unknown() {
        let mut world = World::new();
        let (secret, _) = world.issue();
        let almost = secret.reveal().to_lowercase();
        for presented in [&*almost, "fh-", &"x".repeat(10_000)] {
            assert_eq!(world.code(presented), Some(Code::KeyUnknown));
        }
        assert_eq!(world.code(""), Some(Code::KeyMissing));
    }

    #[test]
    fn a_revoked_key_is_refused_at_once_and_the_others_go_on() {
        let mut world = World::new();
        let ((revoked, key), (other, _)) = (world.issue(), world.issue());
        world.put(Key { revoked_at: Some(world.env.now()), ..key });
        assert_eq!(world.code(revoked.reveal()), Some(Code::KeyRevoked));
        assert_eq!(world.code(other.reveal()), None);
    }

    #[test]
    fn a_key_is_found_by_its_id_while_it_is_good() {
        let mut world = World::new();
        let (_, key) = world.issue();
        let find = |world: &World, key: &Key| {
            world.snapshot.find(key.id, key.hash).map_err(|refusal| refusal.code)
        };
        assert_eq!(find(&world, &key).unwrap().key(), &key);
        let other = Key { id: KeyId::new(&*world.env), ..key.clone() };
        assert_eq!(find(&world, &other).unwrap_err(), Code::KeyRevoked);
        world.put(Key { revoked_at: Some(world.env.now()), ..key.clone() });
        assert_eq!(find(&world, &key).unwrap_err(), Code::KeyRevoked);
        world.put(other.clone());
        assert_eq!(find(&world, &key).unwrap_err(), Code::KeyRevoked, "its place is taken");
        world.env.advance(Duration::from_secs(60));
        assert_eq!(find(&world, &other).unwrap_err(), Code::KeyExpired);
    }

    #[test]
    fn a_replaced_bearer_key_is_unknown_and_the_gates_stay() {
        let mut world = World::new();
        let (old, key) = world.issue();
        let before = world.snapshot.authenticate(old.reveal()).unwrap();
        let new = bearer::generate(&*world.env);
        world.put(Key { hash: KeyHash::of(new.reveal()).unwrap(), ..key });
        assert_eq!(world.code(old.reveal()), Some(Code::KeyUnknown));
        let after = world.snapshot.authenticate(new.reveal()).unwrap();
        assert!(Arc::ptr_eq(&before.gates()[0], &after.gates()[0]));
    }

    #[test]
    fn a_revoked_key_that_changes_leaves_its_successor_alone() {
        let mut world = World::new();
        let (secret, first) = world.issue();
        let revoked = Key { revoked_at: Some(world.env.now()), ..first.clone() };
        world.put(revoked.clone());
        let second = Key { id: KeyId::new(&*world.env), ..first };
        world.put(second.clone());
        world.put(Key { name: KeyName::new("old").unwrap(), ..revoked });
        assert_eq!(world.snapshot.authenticate(secret.reveal()).unwrap().key().id, second.id);
        world.put(Key { revoked_at: Some(world.env.now()), ..second });
        assert_eq!(world.code(secret.reveal()), Some(Code::KeyRevoked));
    }

    #[test]
    fn its_age_is_the_time_since_the_store_agreed() {
        let mut world = World::new();
        world.env.advance(Duration::from_secs(5));
        assert_eq!(world.snapshot.age(), Duration::from_secs(5));
        world.issue();
        assert_eq!(world.snapshot.age(), Duration::ZERO);
    }
}
