//! What a backup holds, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use freehold_store::blob_store::FolderBlobs;
use freehold_store::blobs::{self, BlobRef};
use freehold_store::journal::{self, Append, Due, NewEvent};
use freehold_store::sessions::{self, NewSession};
use freehold_store::timelines::{self, Begun};
use freehold_store::{Sqlite, SqliteOptions, deletion};
use freehold_types::{
    BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Db, Env, PageRequest, SessionId,
    TenantId, Unit, UnitId,
};

use super::*;
use crate::env::RealEnv;
use crate::master_key;

/// A data folder with a server's parts on it.
struct World {
    root: tempfile::TempDir,
    db: Arc<Sqlite>,
    blobs: FolderBlobs,
    env: Arc<RealEnv>,
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(&data)).unwrap());
        let env = Arc::new(RealEnv::new());
        master_key::open(db.clone(), env.clone(), &data).await.unwrap();
        let blobs = FolderBlobs::open_own(&data.join("blobs")).unwrap();
        Self { root, db, blobs, env }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A session with a blob.
    async fn session(&self, content: &'static [u8]) -> SessionId {
        let (main, id) = (TenantId::main(), SessionId::new(&*self.env));
        let name = blob(id, content);
        self.blobs.put(&name, Bytes::from_static(content)).await.unwrap();
        let new = NewSession {
            tenant: main.clone(),
            id,
            created_at: self.env.now(),
            timeline: 1,
            phase: "idle",
            due_at: None,
            node: None,
            about: "{}".into(),
            content_key: None,
        };
        let mut unit = Unit::new("begin");
        sessions::create(&mut unit, &new);
        let blob = BlobRef { hash: Arc::from(name.hash), size: content.len() as u64 };
        blobs::refer(&mut unit, &main, id, &blob);
        self.db.write(unit).await.unwrap();
        id
    }

    async fn append(&self, session: SessionId, after: u64) {
        let event =
            NewEvent { kind: "test", version: 1, at: self.env.now(), body: Arc::from([7; 900]) };
        let append = Append {
            tenant: &TenantId::main(),
            session,
            after,
            epoch: NewSession::EPOCH,
            id: UnitId::new(&*self.env),
            at: self.env.now(),
            phase: None,
            due: Due::AsBefore,
            events: &[event],
            snapshot: None,
        };
        let mut unit = Unit::new("append");
        journal::append(&mut unit, &append).unwrap();
        self.db.write(unit).await.unwrap();
    }

    async fn take(&self, to: &Path, with_key: bool) -> Result<Taken, Error> {
        let data = self.path("data");
        let (blobs, env) = (Some(&self.blobs as _), &*self.env as _);
        take(Take { data: &data, blobs, to, with_key, env }).await
    }

    /// Restores into a folder of this name.
    async fn restore(&self, from: &Path, name: &str) -> Result<(Restored, Vec<Begun>), Error> {
        let data = self.path(name);
        let blobs = Arc::new(FolderBlobs::open(&data.join("blobs")).unwrap());
        let mut begun = Vec::new();
        let what = Restore { from, data: &data, blobs, env: self.env.clone() };
        let restored = restore(what, |session| begun.push(session)).await?;
        Ok((restored, begun))
    }

    /// A folder with nothing but this world's master key.
    fn with_key(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        let key = Path::new("master.key");
        fs::copy(self.path("data").join(key), self.path(name).join(key)).unwrap();
    }
}

fn blob(session: SessionId, content: &[u8]) -> BlobName {
    use sha2::{Digest as _, Sha256};
    BlobName { tenant: TenantId::main(), session, hash: Sha256::digest(content).into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_of_one_moment_and_goes_on_as_another_timeline() {
    let world = Arc::new(World::new().await);
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(world.session(b"content").await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = all
        .iter()
        .map(|session| {
            let (world, stop, session) = (Arc::clone(&world), Arc::clone(&stop), *session);
            tokio::spawn(async move {
                let mut head = 0;
                while !stop.load(Ordering::Relaxed) {
                    world.append(session, head).await;
                    head += 1;
                }
                head
            })
        })
        .collect();
    // All of them are at work.
    for session in &all {
        while sessions::get(&*world.db, &TenantId::main(), *session).await.unwrap().unwrap().head
            < 5
        {
            tokio::task::yield_now().await;
        }
    }
    let to = world.path("backup");
    let taken = world.take(&to, false).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut heads = Vec::new();
    for writer in writers {
        heads.push(writer.await.unwrap());
    }
    assert_eq!((taken.manifest.sessions, taken.manifest.blob_count, taken.gone), (5, 5, 0));
    assert!(taken.manifest.missing.is_empty() && !to.join("master.key").exists());

    world.with_key("new");
    let (restored, begun) = world.restore(&to, "new").await.unwrap();
    assert_eq!(begun.len(), 5);
    let db = Sqlite::open(&SqliteOptions::new(world.path("new"))).unwrap();
    let main = TenantId::main();
    for (Begun { session, last_common, .. }, head) in begun.iter().zip(heads) {
        let row = sessions::get(&db, &main, *session).await.unwrap().unwrap();
        assert_eq!((row.head, row.timeline), (*last_common, restored.timeline));
        assert!((5..=head).contains(&row.head), "{} of {head}", row.head);
        let events = journal::read(&db, &main, *session, 0, u64::MAX, 100_000).await.unwrap();
        let offsets: Vec<u64> = events.iter().map(|event| event.offset).collect();
        assert_eq!(offsets, (1..=row.head).collect::<Vec<_>>());
        // A cursor of before, whatever came after it then.
        let common = timelines::last_common(&db, &main, *session, 1).await.unwrap();
        assert_eq!(common, Some(row.head));
    }
    let blobs = FolderBlobs::open(&world.path("new/blobs")).unwrap();
    for session in &all {
        assert_eq!(blobs.get(&blob(*session, b"content")).await.unwrap(), "content");
    }
    // What is there already is not written over.
    drop(db);
    let error = world.restore(&to, "new").await.unwrap_err();
    assert!(matches!(error, Error::Occupied(_)), "{error}");
}

#[tokio::test]
async fn what_was_changed_is_refused_and_leaves_nothing_to_serve() {
    let world = World::new().await;
    let session = world.session(b"content").await;
    world.append(session, 0).await;
    let blob = format!("blobs/{}", blob(session, b"content"));
    for (n, file) in ["freehold.db", "blobs.jsonl", &blob].into_iter().enumerate() {
        let to = world.path(&format!("backup{n}"));
        world.take(&to, true).await.unwrap();
        let path = to.join(file);
        let content = fs::read(&path).unwrap();
        let mut changed = content.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed).unwrap();
        let name = format!("new{n}");
        let error = world.restore(&to, &name).await.unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{file}: {error}");
        assert!(!world.path(&name).join("freehold.db").exists(), "{file}");
        assert!(!world.path(&name).join("master.key").exists(), "{file}");
        // Mended, the same folder will do.
        fs::write(&path, &content).unwrap();
        world.restore(&to, &name).await.unwrap();
        assert!(world.path(&name).join("master.key").exists());
    }
}

#[tokio::test]
async fn a_manifest_of_ones_own_needs_the_key_to_sign_it() {
    let world = World::new().await;
    world.session(b"content").await;
    let to = world.path("backup");
    world.take(&to, true).await.unwrap();
    let manifest = to.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"sessions\": 1", "\"sessions\": 2")).unwrap();
    let error = world.restore(&to, "a").await.unwrap_err();
    assert!(error.to_string().contains("signature"), "{error}");
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = world.restore(&to, "a").await.unwrap_err();
    assert!(matches!(error, Error::Format { found: 2, known: 1 }), "{error}");
    fs::remove_file(&manifest).unwrap();
    let error = world.restore(&to, "a").await.unwrap_err();
    assert!(matches!(error, Error::Unfinished(_)), "{error}");
}

#[tokio::test]
async fn without_the_master_key_nothing_is_taken_nor_restored() {
    let world = World::new().await;
    world.session(b"content").await;
    let (to, key) = (world.path("backup"), world.path("data/master.key"));
    world.take(&to, false).await.unwrap();
    let error = world.take(&to, false).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty(_)), "{error}");
    let error = world.restore(&to, "new").await.unwrap_err();
    assert!(matches!(error, Error::NoKey(_)), "{error}");
    fs::write(key, "11".repeat(32)).unwrap();
    let error = world.take(&world.path("other"), false).await.unwrap_err();
    assert!(matches!(error, Error::NoKey(_)), "{error}");
}

/// Blobs of sessions that are deleted when they are first asked for.
struct Vanishing {
    world: &'static World,
    deleted: SessionId,
}

impl Blobs for Vanishing {
    fn put<'a>(&'a self, _: &'a BlobName, _: Bytes) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async { Ok(()) })
    }
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        Box::pin(async move {
            if name.session == self.deleted {
                let delete = deletion::delete(&name.tenant, name.session, self.world.env.now());
                self.world.db.write(delete).await.unwrap();
            }
            Err(BlobError::Missing(name.clone()))
        })
    }
    fn delete<'a>(&'a self, _: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async { Ok(()) })
    }
    fn list<'a>(
        &'a self,
        _: &'a BlobScope,
        _: Option<&'a BlobName>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn a_blob_that_is_lost_is_told_and_one_that_was_deleted_meanwhile_is_not() {
    let world: &'static World = Box::leak(Box::new(World::new().await));
    let (deleted, stays) = (world.session(b"one").await, world.session(b"two").await);
    let blobs = Vanishing { world, deleted };
    let (data, to) = (world.path("data"), world.path("backup"));
    let what =
        Take { data: &data, blobs: Some(&blobs), to: &to, with_key: false, env: &*world.env };
    let taken = take(what).await.unwrap();
    assert_eq!(taken.manifest.missing, [blob(stays, b"two").to_string()]);
    assert_eq!(taken.gone, 1);
    let page = PageRequest::first();
    let left = sessions::list(&*world.db, &TenantId::main(), None, &page).await.unwrap();
    assert_eq!(left.items.len(), 1);
    fs::remove_dir_all(world.root.path()).unwrap();
}
