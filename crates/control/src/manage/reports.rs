//! What was used, for those who ask.

use freehold_store::exchanges::{self, Exchange, State};
use freehold_store::usage::{self, Query, Report};
use freehold_types::{ExchangeId, KeyId, Page, PageRequest, TenantId};

use crate::{Control, Error};

impl Control {
    /// Sums of usage by day and by whatever else is asked for. What ended
    /// within the flush window may be missing.
    pub async fn usage(&self, query: &Query) -> Result<Report, Error> {
        Ok(usage::report(&*self.db, query).await?)
    }

    /// A tenant's exchanges in a state and of a key, or in any and of any,
    /// newest first; a page goes on after an id.
    pub async fn exchanges(
        &self,
        tenant: &TenantId,
        state: Option<State>,
        key: Option<KeyId>,
        page: &PageRequest,
    ) -> Result<Page<Exchange>, Error> {
        Ok(exchanges::list(&*self.db, tenant, state, key, page).await?)
    }

    /// One exchange.
    pub async fn exchange(
        &self,
        tenant: &TenantId,
        id: ExchangeId,
    ) -> Result<Option<Exchange>, Error> {
        Ok(exchanges::get(&*self.db, tenant, id).await?)
    }
}
