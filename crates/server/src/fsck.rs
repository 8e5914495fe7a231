//! Looks whether what is stored can be right, and makes projections right
//! again: the store's walk over the runtime's fold, with the real doors.

use std::path::Path;
use std::sync::Arc;

use freehold_control::vault::Keyring;
use freehold_runtime::archive::Archive;
use freehold_runtime::fsck::Deriving;
use freehold_store::fsck::{self, Begin, Finding, Fsck, Looked, Underived};
use freehold_store::{Postgres, Store, StoreOptions};
use freehold_types::{Blobs, Db, Env};

use crate::master_key;

/// What to look at.
pub struct Look<'a> {
    /// The data folder, for its master key.
    pub data: &'a Path,
    /// The store. An embedded one must be nobody else's; nodes may go on with
    /// one that they share.
    pub store: &'a StoreOptions,
    /// Where blobs lie.
    pub blobs: Arc<dyn Blobs>,
    /// Whether each blob is opened, and those of nobody are looked for.
    pub with_blobs: bool,
    /// Whether projections are made what they should be.
    pub repair: bool,
    /// Time and chance.
    pub env: Arc<dyn Env>,
}

/// Why it could not look, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not open: a server may have it.
    #[error(transparent)]
    Open(#[from] freehold_store::OpenError),
    /// The master key is missing or wrong.
    #[error(transparent)]
    MasterKey(#[from] master_key::Error),
    /// What is stored cannot be taken up.
    #[error(transparent)]
    Control(#[from] freehold_control::Error),
    /// The store or the blob store does not answer.
    #[error(transparent)]
    Look(#[from] fsck::Error),
}

/// Looks at all of it; each finding is told as it is found.
pub async fn look(what: Look<'_>, found: impl FnMut(Finding) + Send) -> Result<Looked, Error> {
    match what.store {
        StoreOptions::Sqlite(_) => {
            let store = Arc::new(Store::open(what.store, Arc::clone(&what.env)).await?);
            let looked = over(&what, Arc::clone(&store) as _, found).await;
            store.close().await;
            looked
        }
        // Without the lock on the data folder, which a node on this machine has.
        StoreOptions::Postgres(options, _) => {
            let store = Arc::new(Postgres::open(options, Arc::clone(&what.env)).await?);
            let looked = over(&what, Arc::clone(&store) as _, found).await;
            store.close().await;
            looked
        }
    }
}

async fn over(
    what: &Look<'_>,
    db: Arc<dyn Db>,
    found: impl FnMut(Finding) + Send,
) -> Result<Looked, Error> {
    let env = &what.env;
    // One in which nothing was ever sealed has no session, and is left alone.
    let begin: Box<dyn Begin> = if Keyring::is_used(&*db).await? {
        let keyring = master_key::open(Arc::clone(&db), Arc::clone(env), what.data).await?;
        Box::new(Deriving::new(Archive {
            env: Arc::clone(env),
            db: Arc::clone(&db),
            blobs: Arc::clone(&what.blobs),
            keys: Arc::new(keyring),
        }))
    } else {
        Box::new(Underived)
    };
    let blobs = what.with_blobs.then_some(&*what.blobs);
    let (begin, now, repair) = (&*begin, env.now(), what.repair);
    Ok(Fsck { db: &*db, begin, blobs, now, repair }.run(found).await?)
}
