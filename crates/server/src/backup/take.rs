//! Takes a backup while the server runs, or while none does.

use std::fs;
use std::path::Path;

use freehold_control::vault::MasterKey;
use freehold_store::DatabaseCopy;
use freehold_types::{BlobError, BlobName, BlobScope, Blobs, Env};
use jiff::Timestamp;

use super::files::{NewFile, at, hex, part, read};
use super::manifest::{BlobLine, FORMAT};
use super::{BLOBS, DATABASE, Error, MANIFEST, MASTER_KEY, Manifest, SIGNATURE};
use crate::data_folder::{open as open_folder, sync_folder, write_private};
use crate::master_key;

/// Names that are read together.
const BATCH: u32 = 1000;

/// What to back up, and where to.
pub struct Take<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// Where its blobs lie; `None` leaves them out.
    pub blobs: Option<&'a dyn Blobs>,
    /// A new folder, or an empty one.
    pub to: &'a Path,
    /// Whether the master key goes along.
    pub with_key: bool,
    /// Time.
    pub env: &'a dyn Env,
}

/// A backup that is complete and on disk.
#[derive(Debug)]
pub struct Taken {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Blobs of sessions that were deleted while it was taken.
    pub gone: u64,
}

/// Takes it. First the database, under one snapshot; then the blobs that it
/// names, which never change. So all of it is as of one moment.
pub async fn take(what: Take<'_>) -> Result<Taken, Error> {
    let folder = what.to;
    open_folder(folder).map_err(at(folder))?;
    if fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
        return Err(Error::NotEmpty(folder.to_owned()));
    }
    let taken_at: Timestamp = what.env.now();
    let place = folder.join(DATABASE);
    let copy = DatabaseCopy::take(what.data, &place)?;
    let key = signing_key(&copy, what.data)?;
    let database = read(&place, |_| Ok(()))?;

    let mut list = NewFile::create(&folder.join(BLOBS))?;
    let mut copied = Copied::default();
    if let Some(blobs) = what.blobs {
        copied.all(&copy, blobs, folder, &mut list).await?;
    }
    let manifest = Manifest {
        format: FORMAT,
        freehold: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: taken_at.to_string(),
        schema: copy.schema()?,
        sessions: copy.sessions()?,
        database,
        blobs: list.close()?,
        blob_count: copied.count,
        without_blobs: what.blobs.is_none(),
        missing: copied.missing,
        master_key: key.as_ref().map(|key| key.id().to_owned()),
    };
    drop(copy);
    finish(&manifest, key.as_ref(), folder, what.with_key)?;
    Ok(Taken { manifest, gone: copied.gone })
}

/// The key that the database is sealed with, if anything is.
fn signing_key(copy: &DatabaseCopy, data: &Path) -> Result<Option<MasterKey>, Error> {
    let Some(sealed_with) = copy.master()? else { return Ok(None) };
    let key = master_key::present(data)?.filter(|key| *key.id() == *sealed_with);
    key.map(Some).ok_or(Error::NoKey(sealed_with))
}

/// The manifest comes last: with it the backup is complete.
fn finish(
    manifest: &Manifest,
    key: Option<&MasterKey>,
    folder: &Path,
    with_key: bool,
) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(manifest);
    let text = text.map_err(|error| Error::Manifest(error.to_string()))?;
    if let Some(key) = key {
        let signature = folder.join(SIGNATURE);
        let line = format!("{}\n", hex(&key.sign(&text)));
        write_private(&signature, line.as_bytes()).map_err(at(&signature))?;
        if with_key {
            master_key::write(&folder.join(MASTER_KEY), key)?;
        }
    }
    let place = folder.join(MANIFEST);
    write_private(&place, &text).map_err(at(&place))?;
    sync_folder(folder).map_err(at(folder))
}

#[derive(Default)]
struct Copied {
    count: u64,
    gone: u64,
    missing: Vec<String>,
}

impl Copied {
    async fn all(
        &mut self,
        copy: &DatabaseCopy,
        blobs: &dyn Blobs,
        folder: &Path,
        list: &mut NewFile,
    ) -> Result<(), Error> {
        let mut after: Option<BlobName> = None;
        loop {
            let names = copy.blobs(after.as_ref(), BATCH)?;
            for name in &names {
                match blobs.get(name).await {
                    Ok(content) => self.one(name, &content, folder, list)?,
                    Err(BlobError::Missing(_)) if copy.is_gone(&name.tenant, name.session)? => {
                        self.gone += 1;
                    }
                    Err(BlobError::Missing(_)) => self.missing.push(name.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
            match names.into_iter().last() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn one(
        &mut self,
        name: &BlobName,
        content: &[u8],
        folder: &Path,
        list: &mut NewFile,
    ) -> Result<(), Error> {
        let place = folder.join("blobs").join(name.to_string());
        let session = place.parent().unwrap_or(folder);
        if !session.is_dir() {
            open_folder(session).map_err(at(session))?;
            // The session's name, and its tenant's.
            sync_folder(session).map_err(at(session))?;
            let tenant = folder
                .join("blobs")
                .join(BlobScope::Tenant(name.tenant.clone()).prefix().trim_end_matches('/'));
            sync_folder(&tenant).map_err(at(&tenant))?;
            sync_folder(&folder.join("blobs")).map_err(at(folder))?;
        }
        let mut file = NewFile::create(&place)?;
        file.add(content)?;
        let line = BlobLine { name: name.to_string(), part: file.close()? };
        debug_assert_eq!(line.part, part(content));
        sync_folder(&place).map_err(at(&place))?;
        let line = serde_json::to_string(&line);
        let line = line.map_err(|error| Error::Manifest(error.to_string()))?;
        list.add(line.as_bytes())?;
        list.add(b"\n")?;
        self.count += 1;
        Ok(())
    }
}
