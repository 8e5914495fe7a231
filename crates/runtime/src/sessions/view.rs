//! Sessions as they are read.

use std::sync::Arc;

use freehold_store::sessions::{self, Session};
use freehold_types::{Offset, Page, PageRequest, SessionId, TenantId};
use serde_json::Value;

use super::{Error, Receipt, Sessions};
use crate::archive::{Id, Reader};
use crate::content::About;
use crate::event::{Content, Event};
use crate::state::State;

/// A session as it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Its row.
    pub row: Session,
    /// What its journal folds to, up to the row's head.
    pub state: Arc<State>,
    /// What it is said to be.
    pub about: Arc<About>,
}

impl Sessions {
    /// A session as it stands. What another node has just added may be missing
    /// from it for as long as a read takes.
    pub async fn view(&self, tenant: &TenantId, session: SessionId) -> Result<View, Error> {
        let reader = self.reader(tenant, session).await?;
        let row = reader.row().await?;
        let (state, _) = reader.load(Offset(row.head)).await?;
        Ok(View { row, state: Arc::new(state), about: reader.about() })
    }

    /// The same of a session that was made just now, of which all but the row
    /// is known.
    pub async fn view_of_new(
        &self,
        tenant: &TenantId,
        receipt: &Receipt,
        about: About,
    ) -> Result<View, Error> {
        let row = sessions::get(self.inner.db(), tenant, receipt.session).await?;
        let row = row.ok_or(Error::NotFound)?;
        if receipt.repeated || row.head != receipt.head.0 {
            return self.view(tenant, receipt.session).await;
        }
        Ok(View { row, state: Arc::clone(&receipt.state), about: Arc::new(about) })
    }

    /// A tenant's sessions, newest first; in one phase, or in any.
    pub async fn list(
        &self,
        tenant: &TenantId,
        phase: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Session>, Error> {
        Ok(sessions::list(self.inner.db(), tenant, phase, page).await?)
    }

    /// Events of a journal: after one offset, up to another, at most `limit`
    /// and never more than 256.
    pub async fn read(
        &self,
        tenant: &TenantId,
        session: SessionId,
        after: Offset,
        up_to: Offset,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        self.reader(tenant, session).await?.events(after, up_to, limit).await
    }

    /// The content of an event: what it holds, or the blob that it names.
    pub async fn content(
        &self,
        tenant: &TenantId,
        session: SessionId,
        content: &Content,
    ) -> Result<Value, Error> {
        self.reader(tenant, session).await?.content(content).await
    }

    pub(super) async fn reader(
        &self,
        tenant: &TenantId,
        session: SessionId,
    ) -> Result<Arc<Reader>, Error> {
        Reader::open(&self.inner.parts.archive, &Id { tenant: tenant.clone(), session }).await
    }
}
