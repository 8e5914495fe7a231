//! Where the master key is kept: in `FREEHOLD_MASTER_KEY`, else in a file of
//! the data folder that is made at the first start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use freehold_control::vault::{Keyring, MasterKey, MasterKeyError};
use freehold_types::{Db, Env, Secret};

use crate::data_folder::{sync_folder, write_private};

/// The variable that gives the master key.
pub const MASTER: &str = "FREEHOLD_MASTER_KEY";
/// The variable that gives the one to come in its place.
pub const NEXT: &str = "FREEHOLD_NEW_MASTER_KEY";

/// Why there is no good master key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file cannot be read or written.
    #[error("the master key's file {} cannot be used", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// What is given is none.
    #[error("{from}: {error}")]
    NotOne {
        /// The variable or file.
        from: String,
        /// Why.
        error: MasterKeyError,
    },
    /// The store was used with one, and none is here.
    #[error(
        "the store was used with a master key, and there is none here: put it back to {}, or give \
         it in {MASTER}; nodes over one database share it. Without it, sessions and credentials \
         in the store cannot be read", .0.display()
    )]
    Missing(PathBuf),
    /// The variable cannot be changed from here.
    #[error("the master key is in {MASTER}: give the one to come in {NEXT}")]
    NextMissing,
    /// The store was used with another one, or fails.
    #[error(transparent)]
    Control(#[from] freehold_control::Error),
}

/// Where it is kept unless the variable is set.
pub fn path(data: &Path) -> PathBuf {
    data.join("master.key")
}

/// Where a new one is kept while the store goes over to it.
fn next_path(data: &Path) -> PathBuf {
    data.join("master.key.next")
}

/// The master key that is here, wherever it is kept.
pub fn present(data: &Path) -> Result<Option<MasterKey>, Error> {
    match variable(MASTER)? {
        Some(given) => Ok(Some(given)),
        None => read(&path(data)),
    }
}

/// The keyring of this store, with the master key that was given, or is in the
/// data folder, or is made now because the store never had one.
pub async fn open(db: Arc<dyn Db>, env: Arc<dyn Env>, data: &Path) -> Result<Keyring, Error> {
    if let Some(given) = variable(MASTER)? {
        return Ok(Keyring::open(db, env, given).await?);
    }
    let (path, next) = (path(data), next_path(data));
    let Some(key) = read(&path)? else {
        if Keyring::is_used(&*db).await? {
            return Err(Error::Missing(path));
        }
        let key = MasterKey::random(&*env);
        // It outlives a loss of power before anything is sealed with it.
        write(&path, &key)?;
        return Ok(Keyring::open(db, env, key).await?);
    };
    let wrong = match Keyring::open(Arc::clone(&db), Arc::clone(&env), key).await {
        Err(error @ freehold_control::Error::MasterKeyWrong { .. }) => error,
        opened => return Ok(opened?),
    };
    // A change of it may have ended between the store and the file.
    let Some(key) = read(&next)? else { return Err(wrong.into()) };
    let keyring = Keyring::open(db, env, key).await?;
    put_in_place(&next, &path)?;
    Ok(keyring)
}

/// What a change of the master key came to.
pub struct Rotated {
    /// How many tenants' keys are under the new one.
    pub tenants: usize,
    /// The file that holds it; `None` if it is to go into the variable.
    pub file: Option<PathBuf>,
}

/// Puts the store under a new master key, given in [`NEXT`] or made now.
/// Interrupted at any point, the next start goes on with the right one.
pub async fn rotate(db: Arc<dyn Db>, env: Arc<dyn Env>, data: &Path) -> Result<Rotated, Error> {
    let keyring = open(db, Arc::clone(&env), data).await?;
    let given = variable(NEXT)?;
    if variable(MASTER)?.is_some() {
        let to = given.ok_or(Error::NextMissing)?;
        return Ok(Rotated { tenants: keyring.rotate(&to).await?, file: None });
    }
    let to = given.unwrap_or_else(|| MasterKey::random(&*env));
    let (path, next) = (path(data), next_path(data));
    write(&next, &to)?;
    let tenants = keyring.rotate(&to).await?;
    put_in_place(&next, &path)?;
    Ok(Rotated { tenants, file: Some(path) })
}

fn variable(name: &str) -> Result<Option<MasterKey>, Error> {
    let set = std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new);
    set.map(|text| parse(&text, name)).transpose()
}

/// The master key in this file, if there is one.
pub fn read(path: &Path) -> Result<Option<MasterKey>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&Secret::new(text), &path.display().to_string()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::File(path.to_owned(), error)),
    }
}

fn parse(text: &Secret, from: &str) -> Result<MasterKey, Error> {
    MasterKey::parse(text).map_err(|error| Error::NotOne { from: from.to_owned(), error })
}

/// Writes the master key to this file, which only its owner can read.
pub fn write(path: &Path, key: &MasterKey) -> Result<(), Error> {
    let line = Secret::new(format!("{}\n", key.reveal().reveal()));
    write_private(path, line.reveal().as_bytes())
        .map_err(|error| Error::File(path.to_owned(), error))
}

fn put_in_place(next: &Path, path: &Path) -> Result<(), Error> {
    let moved = fs::rename(next, path).and_then(|()| sync_folder(path));
    moved.map_err(|error| Error::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use freehold_control::vault::Sealed;
    use freehold_store::{Sqlite, SqliteOptions};
    use freehold_types::TenantId;

    use super::*;
    use crate::env::RealEnv;

    fn world(data: &Path) -> (Arc<dyn Db>, Arc<dyn Env>) {
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(data)).unwrap());
        (db, Arc::new(RealEnv::new()))
    }

    #[tokio::test]
    async fn a_lost_file_is_not_made_up_for_with_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let (db, env) = world(folder.path());
        let first = open(Arc::clone(&db), Arc::clone(&env), folder.path()).await.unwrap();
        let again = open(Arc::clone(&db), Arc::clone(&env), folder.path()).await.unwrap();
        assert_eq!(first.master_id(), again.master_id());
        fs::remove_file(path(folder.path())).unwrap();
        let error = open(db, env, folder.path()).await.unwrap_err();
        assert!(matches!(error, Error::Missing(_)), "{error}");
        assert!(!path(folder.path()).exists());
    }

    #[tokio::test]
    async fn a_change_that_was_interrupted_anywhere_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let (db, env) = world(data);
        let main = TenantId::main();
        let what = Sealed { tenant: &main, kind: "session", id: "x" };
        let keyring = open(Arc::clone(&db), Arc::clone(&env), data).await.unwrap();
        let sealed = keyring.seal(what, b"secret").await.unwrap();

        // Before the store: the new one is there, and the old one good.
        let next = MasterKey::random(&*env);
        write(&next_path(data), &next).unwrap();
        let keyring = open(Arc::clone(&db), Arc::clone(&env), data).await.unwrap();
        assert_eq!(keyring.open_sealed(what, &sealed).await.unwrap(), b"secret");
        // Between the store and the file.
        keyring.rotate(&next).await.unwrap();
        for _ in 0..2 {
            let keyring = open(Arc::clone(&db), Arc::clone(&env), data).await.unwrap();
            assert_eq!(keyring.master_id(), next.id());
            assert_eq!(keyring.open_sealed(what, &sealed).await.unwrap(), b"secret");
            assert!(!next_path(data).exists());
        }
        // And whole.
        let rotated = rotate(Arc::clone(&db), Arc::clone(&env), data).await.unwrap();
        assert_eq!((rotated.tenants, rotated.file), (1, Some(path(data))));
        let keyring = open(db, env, data).await.unwrap();
        assert_ne!(keyring.master_id(), next.id());
        assert_eq!(keyring.open_sealed(what, &sealed).await.unwrap(), b"secret");
    }
}
