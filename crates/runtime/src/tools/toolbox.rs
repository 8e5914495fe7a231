//! All tools behind one door: what settings come to, and who performs a call.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_types::{BoxFuture, Env, SessionId, TenantId, Transport};
use futures_util::future::{Either, select};
use serde_json::Value;

use super::builtin::{self, Builtin};
use super::offer::{Offer, Offers, Target};
use super::overflow::{self, Sized};
use super::plan::{Plan, Source};
use super::records::Records;
use super::{Performed, Performing, ToolSpec, Tools, Toolset};
use crate::content::Settings;
use crate::decide::{Ended, Found};
use crate::event::{Content, Name, Note};

/// What a toolbox works with.
#[derive(Clone)]
pub struct Parts {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// Other machines.
    pub transport: Arc<dyn Transport>,
    /// The journal and the blobs.
    pub records: Arc<dyn Records>,
}

/// Performs tools. Cheap to clone.
#[derive(Clone)]
pub struct Toolbox(Arc<Inner>);

struct Inner {
    parts: Parts,
    plan: ArcSwap<Plan>,
}

impl Toolbox {
    /// A toolbox with what is configured.
    pub fn new(parts: Parts, plan: Plan) -> Self {
        Self(Arc::new(Inner { parts, plan: ArcSwap::from_pointee(plan) }))
    }

    /// Puts a new configuration in force; calls under way finish by the old.
    pub fn follow(&self, plan: Plan) {
        self.0.plan.store(Arc::new(plan));
    }
}

impl Tools for Toolbox {
    fn resolve(
        &self,
        tenant: TenantId,
        session: SessionId,
        settings: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let offers = inner.offers(&tenant, session, &settings, None).await;
            Ok(Arc::new(offers.into_set()))
        })
    }

    fn call(&self, performing: Performing) -> BoxFuture<'static, Performed> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.call(&performing).await })
    }

    fn query(&self, performing: Performing) -> BoxFuture<'static, Found> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.query(&performing).await })
    }
}

impl Inner {
    /// The tools of some settings; of a call, only what it needs.
    #[expect(clippy::unused_async, reason = "MCP servers come next")]
    async fn offers(
        &self,
        _tenant: &TenantId,
        _session: SessionId,
        settings: &Settings,
        _only: Option<&Name>,
    ) -> Offers {
        let plan = self.plan.load_full();
        let mut offers = Offers::default();
        for tool in &settings.request.tools {
            offers.add_client(tool);
        }
        for spec in &settings.tools {
            match spec {
                ToolSpec::Configured(name) => {
                    let Some(source) = plan.source(name.as_str()) else {
                        let error = "no tools of this name are configured".to_owned();
                        offers.tell(name.clone(), Vec::new(), Some(error));
                        continue;
                    };
                    match &*source {
                        Source::Builtin(builtin, options) => offers.add_builtin(*builtin, options),
                        Source::Http(api) => api.offer(&mut offers),
                    }
                }
                ToolSpec::Mcp(server) => {
                    let error = "MCP servers are not spoken to yet".to_owned();
                    offers.tell(server.label.clone(), Vec::new(), Some(error));
                }
            }
        }
        if offers.may_overflow()
            && let Some(source) = plan.source(builtin::READ_RESULT)
            && let Source::Builtin(read, options) = &*source
        {
            offers.add_builtin(*read, options);
        }
        offers
    }

    async fn call(&self, call: &Performing) -> Performed {
        let offers =
            self.offers(&call.tenant, call.session, &call.settings, Some(&call.tool)).await;
        let Some(offer) = offers.take(&call.tool) else {
            return builtin::failed(format!("there is no tool `{}` any more", call.tool));
        };
        let limit = Duration::from_millis(call.timeout_ms.max(1));
        let work = Box::pin(self.perform(call, &offer));
        let performed = match select(work, self.parts.env.sleep(limit)).await {
            Either::Left((performed, _)) => performed,
            // It may have run.
            Either::Right(_) => Performed::Ended(Ended::Lost),
        };
        match performed {
            Performed::Ended(Ended::Ok(content)) => {
                Performed::Ended(Ended::Ok(self.bounded(call, &offer, content).await))
            }
            Performed::Ended(Ended::Failed(content)) => {
                Performed::Ended(Ended::Failed(self.bounded(call, &offer, content).await))
            }
            other => other,
        }
    }

    async fn perform(&self, call: &Performing, offer: &Offer) -> Performed {
        let fields = || builtin::fields(&call.arguments);
        let records = &*self.parts.records;
        match &offer.target {
            Target::Elsewhere => builtin::failed("this tool is not performed here"),
            Target::Builtin(Builtin::WaitUntil) => builtin::until(&fields(), self.parts.env.now()),
            Target::Builtin(Builtin::SessionSearch) => {
                builtin::search(records, &call.tenant, call.session, &fields()).await
            }
            Target::Builtin(Builtin::ReadResult) => {
                // A page is never cut again: its end says where to go on.
                let most = offer.result_bytes_max.saturating_sub(128).max(1);
                builtin::read(records, &call.tenant, call.session, &fields(), most).await
            }
            Target::Builtin(Builtin::AskHuman) => builtin::failed("a person answers this"),
            Target::Http(api, index) => {
                Performed::Ended(api.call(&*self.parts.transport, *index, call).await)
            }
        }
    }

    async fn query(&self, call: &Performing) -> Found {
        let offers =
            self.offers(&call.tenant, call.session, &call.settings, Some(&call.tool)).await;
        let Some(offer) = offers.take(&call.tool) else { return Found::Unclear };
        let limit = Duration::from_millis(call.timeout_ms.max(1));
        let work = Box::pin(async {
            match &offer.target {
                Target::Http(api, index) => api.query(&*self.parts.transport, *index, call).await,
                // They change nothing, so that none is ever in doubt for long.
                Target::Elsewhere | Target::Builtin(_) => Found::Unclear,
            }
        });
        let found = match select(work, self.parts.env.sleep(limit)).await {
            Either::Left((found, _)) => found,
            Either::Right(_) => Found::Unclear,
        };
        match found {
            Found::Ok(content) => Found::Ok(self.bounded(call, &offer, content).await),
            Found::Failed(content) => Found::Failed(self.bounded(call, &offer, content).await),
            other => other,
        }
    }

    /// A result as the model is shown it; the whole of a large one is kept.
    async fn bounded(&self, call: &Performing, offer: &Offer, content: Content) -> Content {
        let Content::Inline(value) = content else { return content };
        match overflow::weigh(value, offer.result_bytes_max) {
            Sized::Fits(value) => Content::Inline(value),
            Sized::Over { whole, shown } => {
                let kept = Value::String(whole.clone());
                let kept = self.parts.records.keep(&call.tenant, call.session, kept).await;
                Content::Inline(match kept {
                    Ok(hash) => overflow::with_note(shown, &whole, hash),
                    Err(note) => overflow::not_kept(shown, &note),
                })
            }
        }
    }
}
