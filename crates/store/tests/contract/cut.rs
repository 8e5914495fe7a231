//! A way to a server that can be cut where it hurts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The bytes of a commit on its way to the server.
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// They get there, and their answers do not come back.
    After,
    /// They do not get there.
    Before,
}

/// A socket in a folder of its own that leads to a server's.
pub(crate) struct Way {
    folder: tempfile::TempDir,
    /// The commits that are still to be cut.
    pub(crate) left: Arc<AtomicUsize>,
}

impl Way {
    /// Leads to the server at `to`, and cuts connections at so many commits.
    pub(crate) fn open(to: &Path, cut: Cut, commits: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let left = Arc::new(AtomicUsize::new(commits));
        let (to, counter): (PathBuf, _) = (to.join(".s.PGSQL.5432"), Arc::clone(&left));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&to).await.unwrap();
                tokio::spawn(carry(client, server, cut, Arc::clone(&counter)));
            }
        });
        Self { folder, left }
    }

    pub(crate) fn url(&self) -> String {
        crate::server::url_at(self.folder.path())
    }
}

async fn carry(client: UnixStream, server: UnixStream, cut: Cut, left: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        let bytes = &bytes[..read];
        let commit = bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
        let take = |n: usize| n.checked_sub(1);
        if commit && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            back.abort();
            if cut == Cut::After {
                drop(to_server.write_all(bytes).await);
                // The server is done with it before anything can come again.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            return;
        }
        if to_server.write_all(bytes).await.is_err() {
            return;
        }
    }
    back.abort();
}
