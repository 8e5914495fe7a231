//! Blobs in a folder: the contract, and what only a folder can do wrong.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod contract;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use freehold_store::blob_store::FolderBlobs;
use freehold_store::blobs::{self, BlobRef};
use freehold_store::sessions::{self, NewSession};
use freehold_store::sweeper::sweep_session;
use freehold_store::{Sqlite, SqliteOptions, deletion};
use freehold_types::{BlobError, BlobScope, Blobs, Db as _, TenantId, Unit};
use jiff::Timestamp;

use contract::{name, session};

macro_rules! contract {
    ($($check:ident;)*) => {$(
        #[tokio::test]
        async fn $check() {
            let root = tempfile::tempdir().unwrap();
            contract::$check(&FolderBlobs::open(root.path()).unwrap()).await;
        }
    )*};
}

contract! {
    what_was_put_is_there_as_it_was;
    what_is_not_there_is_missing_and_may_be_removed;
    blobs_are_listed_in_order_by_the_page;
    putting_and_removing_side_by_side_loses_nothing;
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_may_read_what_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("blobs");
    let name = name("main", 1, 1);
    FolderBlobs::open(&folder).unwrap().put(&name, Bytes::from_static(b"x")).await.unwrap();
    let file = folder.join(name.to_string());
    assert_eq!((mode(&file), mode(file.parent().unwrap()), mode(&folder)), (0o600, 0o700, 0o700));
}

#[tokio::test]
async fn what_a_crash_left_behind_is_neither_listed_nor_kept() {
    let root = tempfile::tempdir().unwrap();
    let half = root.path().join(".new/17");
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(&half, "half").unwrap();
    std::fs::write(root.path().join("stray"), "x").unwrap();
    std::fs::create_dir_all(root.path().join("main/no-session")).unwrap();
    std::fs::write(root.path().join("main/no-session/file"), "x").unwrap();
    let blobs = FolderBlobs::open(root.path()).unwrap();
    assert!(half.exists(), "it may be another's");
    let name = name("main", 1, 1);
    blobs.put(&name, Bytes::from_static(b"x")).await.unwrap();
    blobs.delete(&name).await.unwrap();
    let blobs = FolderBlobs::open_own(root.path()).unwrap();
    assert!(!half.exists());
    assert!(blobs.list(&BlobScope::All, None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_says_so() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(FolderBlobs::open(&file).is_err());
    let blobs = FolderBlobs::open(&root.path().join("blobs")).unwrap();
    let name = name("main", 1, 1);
    std::fs::write(root.path().join("blobs/main"), "in the way").unwrap();
    let error = blobs.put(&name, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable(_)), "{error}");
    assert!(matches!(blobs.get(&name).await, Err(BlobError::Missing(_))));
    assert_eq!(root.path().join("blobs/.new").read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_deleted_session_takes_its_blobs_along_and_no_others() {
    let root = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&SqliteOptions::new(root.path())).unwrap();
    let store: Arc<dyn Blobs> = Arc::new(FolderBlobs::open(&root.path().join("blobs")).unwrap());
    let main = TenantId::main();
    for n in [1, 2] {
        let mut unit = Unit::new("begin");
        let new = NewSession {
            tenant: main.clone(),
            id: session(n),
            created_at: Timestamp::UNIX_EPOCH,
            timeline: 1,
            phase: "idle",
            due_at: None,
            node: None,
            about: "{}".into(),
            content_key: None,
        };
        sessions::create(&mut unit, &new);
        for blob in 0..3 {
            let name = name("main", n, blob);
            store.put(&name, Bytes::from_static(b"x")).await.unwrap();
            let blob = BlobRef { hash: Arc::from(name.hash), size: 1 };
            blobs::refer(&mut unit, &main, session(n), &blob);
        }
        db.write(unit).await.unwrap();
    }
    db.write(deletion::delete(&main, session(1), Timestamp::UNIX_EPOCH)).await.unwrap();
    let gone = sweep_session(&db, &*store, &main, session(1)).await.unwrap();
    assert_eq!(gone.unwrap().blobs, 3);
    let left = store.list(&BlobScope::All, None, 9).await.unwrap();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|entry| entry.name.session == session(2)));
    assert!(blobs::list(&db, &main, session(1), None, 9).await.unwrap().is_empty());
}
