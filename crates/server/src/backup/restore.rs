//! Makes a data folder of a backup.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use freehold_control::vault::{Keyring, MasterKey};
use freehold_store::timelines::{self, Begun};
use freehold_store::{OwnFolder, Sqlite, SqliteOptions, check_copy};
use freehold_types::{BLOB_BYTES_MAX, BlobName, Blobs, Db, Env};

use super::files::{NewFile, at, hex, part, read};
use super::manifest::BlobLine;
use super::{BLOBS, DATABASE, Error, MANIFEST, MASTER_KEY, Manifest, Part, SIGNATURE};
use crate::data_folder::{open as open_folder, sync_folder};
use crate::master_key;

/// A manifest of more than this is none of ours.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Nor is a longer line of a list.
const LINE_BYTES_MAX: u64 = 1024;
/// Where the database lies until it is complete.
const STAGE: &str = ".restore";

/// What to restore, and where to.
pub struct Restore<'a> {
    /// The backup.
    pub from: &'a Path,
    /// The data folder, new or without a database.
    pub data: &'a Path,
    /// Where its blobs go.
    pub blobs: Arc<dyn Blobs>,
    /// Time and chance.
    pub env: Arc<dyn Env>,
}

/// A data folder that can be served.
#[derive(Debug)]
pub struct Restored {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// The timeline that all sessions are on now.
    pub timeline: u64,
}

/// Restores it, or changes nothing that a server would look at: the database
/// comes into its place last. Tells of each session.
pub async fn restore(what: Restore<'_>, told: impl FnMut(Begun)) -> Result<Restored, Error> {
    let Restore { from, data, blobs, env } = what;
    let (manifest, key) = manifest(from, data)?;
    open_folder(data).map_err(at(data))?;
    let _own = OwnFolder::lock(data)?;
    let place = data.join(DATABASE);
    if place.exists() {
        return Err(Error::Occupied(data.to_owned()));
    }
    let stage = data.join(STAGE);
    match fs::remove_dir_all(&stage) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(at(&stage)(error));
        }
        _ => open_folder(&stage).map_err(at(&stage))?,
    }
    let staged = stage.join(DATABASE);
    copy_database(&from.join(DATABASE), &staged, &manifest.database)?;
    put_blobs(from, &manifest, &*blobs).await?;
    let timeline = begin(&stage, key, &env, told).await?;

    // From here on a server finds it.
    if let Some(key) = key_to_keep(from, data)? {
        master_key::write(&master_key::path(data), &key)?;
    }
    fs::rename(&staged, &place).and_then(|()| sync_folder(&place)).map_err(at(&place))?;
    // Nothing is left in it that anybody needs.
    drop(fs::remove_dir_all(&stage));
    Ok(Restored { manifest, timeline })
}

/// The manifest, and the key that it is signed with.
fn manifest(from: &Path, data: &Path) -> Result<(Manifest, Option<MasterKey>), Error> {
    let path = from.join(MANIFEST);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Unfinished(from.to_owned()));
        }
        file => file.map_err(at(&path))?,
    };
    let mut text = Vec::new();
    file.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(at(&path))?;
    let manifest = Manifest::read(&text)?;
    let Some(id) = &manifest.master_key else { return Ok((manifest, None)) };
    let own = master_key::present(data)?.filter(|key| key.id() == id);
    let key = match own {
        Some(key) => Some(key),
        None => master_key::read(&from.join(MASTER_KEY))?.filter(|key| key.id() == id),
    };
    let key = key.ok_or_else(|| Error::NoKey(id.clone()))?;
    let signature = from.join(SIGNATURE);
    let signed = fs::read_to_string(&signature).map_err(at(&signature))?;
    if !same(signed.trim().as_bytes(), hex(&key.sign(&text)).as_bytes()) {
        let why = "its signature is not of the master key that it names";
        return Err(Error::Changed { what: MANIFEST.to_owned(), why });
    }
    Ok((manifest, Some(key)))
}

/// Takes as long whatever differs.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The key of the backup, where the data folder has none.
fn key_to_keep(from: &Path, data: &Path) -> Result<Option<MasterKey>, Error> {
    match master_key::present(data)? {
        Some(_) => Ok(None),
        None => Ok(master_key::read(&from.join(MASTER_KEY))?),
    }
}

fn copy_database(from: &Path, to: &Path, as_taken: &Part) -> Result<(), Error> {
    let mut file = NewFile::create(to)?;
    let found = read(from, |part| file.add(part))?;
    file.close()?;
    expect(DATABASE, &found, as_taken)?;
    Ok(check_copy(to)?)
}

fn expect(what: &str, found: &Part, as_taken: &Part) -> Result<(), Error> {
    let why = if found.bytes != as_taken.bytes {
        "its length is another"
    } else if found.sha256 != as_taken.sha256 {
        "its hash is another"
    } else {
        return Ok(());
    };
    Err(Error::Changed { what: what.to_owned(), why })
}

async fn put_blobs(from: &Path, manifest: &Manifest, blobs: &dyn Blobs) -> Result<(), Error> {
    let path = from.join(BLOBS);
    expect(BLOBS, &read(&path, |_| Ok(()))?, &manifest.blobs)?;
    let mut lines = BufReader::new(File::open(&path).map_err(at(&path))?);
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(at(&path))? == 0 {
            return Ok(());
        }
        let bad = |why| Error::Changed { what: BLOBS.to_owned(), why };
        let line: BlobLine =
            serde_json::from_slice(&line).map_err(|_| bad("a line of it cannot be read"))?;
        let name: BlobName = line.name.parse().map_err(|_| bad("a name in it is none"))?;
        let place = from.join("blobs").join(&line.name);
        let mut content = Vec::new();
        let file = File::open(&place).map_err(at(&place))?;
        let most = BLOB_BYTES_MAX as u64 + 1;
        file.take(most).read_to_end(&mut content).map_err(at(&place))?;
        expect(&line.name, &part(&content), &line.part)?;
        blobs.put(&name, content.into()).await?;
    }
}

/// Brings the database up to this version and every session onto a timeline
/// of its own, so that nothing that was lost is taken for what comes instead.
async fn begin(
    stage: &Path,
    key: Option<MasterKey>,
    env: &Arc<dyn Env>,
    told: impl FnMut(Begun),
) -> Result<u64, Error> {
    let db = Arc::new(Sqlite::open(&SqliteOptions::new(stage))?);
    let timeline = timeline(&**env);
    let begun = async {
        if let Some(key) = key {
            Keyring::open(Arc::clone(&db) as Arc<dyn Db>, Arc::clone(env), key).await?;
        }
        timelines::begin_all(&*db, timeline, told).await.map_err(Error::from)
    };
    let begun = begun.await;
    // Closing moves all of the log into the file.
    db.close();
    begun.map(|()| timeline)
}

/// The number of a timeline that begins now.
pub fn timeline(env: &dyn Env) -> u64 {
    u64::try_from(env.now().as_microsecond()).unwrap_or(0)
}
