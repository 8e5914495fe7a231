//! Blobs that lie there, and to which nothing refers.

use freehold_types::{BlobScope, Blobs, Db, args};

use super::{Error, Finding, Problem};

/// Names in one batch.
const BATCH: usize = 1_000;

const REFERRED: &str =
    "SELECT size FROM blob_refs WHERE tenant = $1 AND session = $2 AND hash = $3";

/// Looks for them. A crash between a blob and the event that names it leaves
/// one, and so does a step under way: they take room, and nothing else.
pub(super) async fn unnamed(
    db: &dyn Db,
    blobs: &dyn Blobs,
    found: &mut impl FnMut(Finding),
) -> Result<(), Error> {
    let mut last = None;
    loop {
        let page = blobs.list(&BlobScope::All, last.as_ref(), BATCH).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = Some(end.name.clone());
        for entry in page {
            let name = &entry.name;
            let hash = &name.hash[..];
            let args = args![name.tenant.shared(), name.session.to_string(), hash];
            if db.read(REFERRED, args).await?.is_empty() {
                let problem = Problem::Unnamed { hash: super::rows::hex(hash), size: entry.size };
                let (tenant, session) = (name.tenant.clone(), name.session);
                found(Finding { tenant, session, problem, repaired: false });
            }
        }
    }
}
