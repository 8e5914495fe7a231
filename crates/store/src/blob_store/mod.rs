//! Where blobs lie: a local folder, or the object store of a cloud, over the
//! door [`Transport`].

#[cfg(feature = "cloud")]
mod cloud;
#[cfg(feature = "cloud")]
mod connector;
mod folder;
mod options;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freehold_types::{Blobs, Transport};

#[cfg(feature = "cloud")]
pub use cloud::CloudBlobs;
pub use folder::FolderBlobs;
pub use options::{BlobOptions, Bucket, Cloud, UrlError};

/// Why a blob store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or used.
    #[error("the blobs' folder {} cannot be used", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// What is configured does not make a client.
    #[error("blobs.url: {0}")]
    Cloud(String),
    /// This build has no clouds in it.
    #[error("blobs.url: this freehold is built without the feature `cloud`: only file:// will do")]
    NotBuilt,
}

/// Opens what is configured; of a cloud's bucket nothing is asked yet.
pub fn open(
    options: &BlobOptions,
    transport: &Arc<dyn Transport>,
) -> Result<Arc<dyn Blobs>, OpenError> {
    let folder = |path: &Path, opened: io::Result<FolderBlobs>| {
        let opened = opened.map_err(|error| OpenError::Folder(path.to_owned(), error));
        opened.map(|blobs| Arc::new(blobs) as _)
    };
    match options {
        BlobOptions::Own(path) => folder(path, FolderBlobs::open_own(path)),
        BlobOptions::Folder(path) => folder(path, FolderBlobs::open(path)),
        #[cfg(feature = "cloud")]
        BlobOptions::Cloud(bucket) => Ok(Arc::new(CloudBlobs::open(bucket, transport)?)),
        #[cfg(not(feature = "cloud"))]
        BlobOptions::Cloud(_) => {
            let _ = transport;
            Err(OpenError::NotBuilt)
        }
    }
}
