//! Blobs in a local folder, each a file that only its owner may read.
//!
//! A blob is written beside its place and moved there once it is on the disk,
//! so what lies in a place is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use freehold_types::{BLOB_BYTES_MAX, BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture};

/// Where blobs are written before they are in their places. No tenant is
/// called so.
const NEW: &str = ".new";
/// Tries to put a blob into a folder that is removed at the same time.
const TRIES: usize = 10;

/// A folder with blobs.
#[derive(Clone)]
pub struct FolderBlobs(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// Names what is being written.
    written: AtomicU64,
}

impl FolderBlobs {
    /// Makes the folder if there is none. Other processes may use it, too.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_folder(&root.join(NEW))?;
        Ok(Self(Arc::new(Inner { root: root.to_owned(), written: AtomicU64::new(0) })))
    }

    /// The same for a folder that is this process's alone: clears what a crash
    /// left half written.
    pub fn open_own(root: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(root.join(NEW)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::open(root),
        }
    }

    /// Runs what blocks where it may.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, BlobError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&inner)).await;
            done.unwrap_or_else(|error| Err(BlobError::Unavailable(error.to_string())))
        })
    }
}

impl Blobs for FolderBlobs {
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        let name = name.clone();
        self.run(move |inner| {
            if content.len() > BLOB_BYTES_MAX {
                return Err(BlobError::TooLarge(content.len() as u64));
            }
            inner.put(&name, &content).map_err(|error| told(&error, &inner.root))
        })
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        let name = name.clone();
        self.run(move |inner| match inner.get(&name) {
            Ok(content) if content.len() > BLOB_BYTES_MAX => {
                Err(BlobError::TooLarge(content.len() as u64))
            }
            Ok(content) => Ok(content.into()),
            Err(error) if is_absent(&error) => Err(BlobError::Missing(name)),
            Err(error) => Err(told(&error, &inner.root)),
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        let name = name.clone();
        self.run(move |inner| inner.delete(&name).map_err(|error| told(&error, &inner.root)))
    }

    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        after: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        let prefix = scope.prefix();
        let after = after.map_or_else(String::new, ToString::to_string);
        self.run(move |inner| {
            let walk = Walk { prefix: &prefix, after: &after, limit, found: Vec::new() };
            walk.whole(&inner.root).map_err(|error| told(&error, &inner.root))
        })
    }
}

impl Inner {
    fn path(&self, name: &BlobName) -> PathBuf {
        self.root.join(name.to_string())
    }

    fn put(&self, name: &BlobName, content: &[u8]) -> io::Result<()> {
        let (new, file) = self.create()?;
        let put = write(file, content).and_then(|()| self.put_in_place(&new, &self.path(name)));
        if put.is_err() {
            // It may not be there, and the next start clears it.
            drop(fs::remove_file(&new));
        }
        put
    }

    /// A new file to write to. A process of another machine may have the same
    /// number, and files of one that died may be left.
    fn create(&self) -> io::Result<(PathBuf, File)> {
        loop {
            let number = self.written.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(NEW).join(format!("{}-{number}", std::process::id()));
            match private().open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return Ok((path, opened?)),
            }
        }
    }

    fn put_in_place(&self, new: &Path, place: &Path) -> io::Result<()> {
        let folder = place.parent().unwrap_or(&self.root);
        for _ in 0..TRIES {
            self.make_folders(folder)?;
            match fs::rename(new, place).and_then(|()| sync(folder)) {
                // The last blob beside it was removed, and the folder with it.
                Err(error) if is_absent(&error) => {}
                done => return done,
            }
        }
        Err(io::Error::other("its folder is removed all the time"))
    }

    /// Makes a session's folder and its tenant's, durably.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let tenant = folder.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        for changed in [tenant, &self.root] {
            match sync(changed) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn get(&self, name: &BlobName) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(name))?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut content = Vec::with_capacity(size.min(BLOB_BYTES_MAX));
        // One more than it may have, so that it is seen.
        file.take(BLOB_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
        Ok(content)
    }

    fn delete(&self, name: &BlobName) -> io::Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if is_absent(&error) => return Ok(()),
            removed => removed?,
        }
        let Some(folder) = path.parent() else { return Ok(()) };
        // Only if that was the last one.
        if fs::remove_dir(folder).is_ok() {
            return folder.parent().map_or(Ok(()), sync);
        }
        match sync(folder) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A walk over the folder in the order of names.
struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<BlobEntry>,
}

impl Walk<'_> {
    fn whole(mut self, root: &Path) -> io::Result<Vec<BlobEntry>> {
        self.folder(root, "")?;
        Ok(self.found)
    }

    /// `at` is the folder's part of the names in it: three levels, for deeper
    /// ones have no names of blobs.
    fn folder(&mut self, folder: &Path, at: &str) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        let deeper = at.matches('/').count() < 2;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
                names.push(if deeper { format!("{at}{name}/") } else { format!("{at}{name}") });
            }
        }
        names.sort_unstable();
        for name in names {
            if self.found.len() >= self.limit {
                break;
            }
            let part = name.get(at.len()..).unwrap_or_default();
            if deeper && self.may_hold(&name) {
                self.folder(&folder.join(part), &name)?;
            } else if !deeper && name.starts_with(self.prefix) && *name > *self.after {
                self.file(&folder.join(part), &name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let Ok(name) = name.parse::<BlobName>() else { return Ok(()) };
        match fs::metadata(path) {
            // It was removed meanwhile.
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(metadata) => {
                self.found.push(BlobEntry { name, size: metadata.len() });
                Ok(())
            }
        }
    }

    /// Whether names that begin with this may be asked for.
    fn may_hold(&self, start: &str) -> bool {
        let asked = start.starts_with(self.prefix) || self.prefix.starts_with(start);
        asked && (*start > *self.after || self.after.starts_with(start))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn write(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Sees to it that the names in a folder outlive a loss of power.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn told(error: &io::Error, root: &Path) -> BlobError {
    let why = format!("{}: {error}", root.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full(why),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BlobError::Denied(why)
        }
        _ => BlobError::Unavailable(why),
    }
}
