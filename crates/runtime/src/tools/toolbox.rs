//! All tools behind one door: what settings come to, and who performs a call.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_types::{BoxFuture, Env, SessionId, TenantId, Transport};
use futures_util::future::{Either, join_all, select};
use serde_json::Value;

use super::builtin::{self, Builtin};
use super::http::Api;
use super::mcp::{List, Mcp, Server};
use super::offer::{Offer, Offers, Target};
use super::options::RuleOptions;
use super::overflow::{self, Sized};
use super::plan::{Plan, Source};
use super::records::Records;
use super::secrets::Secrets;
use super::{Performed, Performing, ToolSpec, Tools, Toolset, name};
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
    /// Credentials that clients gave.
    pub secrets: Arc<dyn Secrets>,
    /// Freehold's version, which servers are told.
    pub version: &'static str,
}

/// The most sources of tools of one set.
const SOURCES_MAX: usize = 64;

/// Which MCP servers matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Servers<'a> {
    All,
    /// The one whose label stands so in the names of its tools.
    Labelled(&'a str),
    None,
}

impl<'a> Servers<'a> {
    /// Those among which a tool of a name is.
    fn of(tool: Option<&'a Name>) -> Self {
        match tool.map(|name| name::parse(name.as_str())) {
            None => Self::All,
            Some(Some((label, _))) => Self::Labelled(label),
            Some(None) => Self::None,
        }
    }

    fn matter(self, label: &str) -> bool {
        match self {
            Self::All => true,
            Self::Labelled(wanted) => name::label_part(label) == wanted,
            Self::None => false,
        }
    }
}

/// What a source has.
enum Sourced {
    Nothing,
    Builtin(Builtin, RuleOptions),
    Api(Arc<Api>),
    Mcp(Arc<Server>, Result<Arc<List>, String>),
    Missing(Name, String),
}

/// Performs tools. Cheap to clone.
#[derive(Clone)]
pub struct Toolbox(Arc<Inner>);

struct Inner {
    parts: Parts,
    mcp: Arc<Mcp>,
    plan: ArcSwap<Plan>,
}

impl Toolbox {
    /// A toolbox with what is configured.
    pub fn new(parts: Parts, plan: Plan) -> Self {
        let mcp = Mcp::new(Arc::clone(&parts.transport), Arc::clone(&parts.env), parts.version);
        Self(Arc::new(Inner { parts, mcp, plan: ArcSwap::from_pointee(plan) }))
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
    /// The tools of some settings; for a call, only those among which it is.
    async fn offers(
        &self,
        tenant: &TenantId,
        session: SessionId,
        settings: &Settings,
        only: Option<&Name>,
    ) -> Offers {
        let plan = self.plan.load_full();
        let mut offers = Offers::default();
        for tool in &settings.request.tools {
            offers.add_client(tool);
        }
        let servers = Servers::of(only);
        let sources: Vec<_> = settings.tools.iter().take(SOURCES_MAX).collect();
        let sources = join_all(
            sources.into_iter().map(|spec| self.found(&plan, spec, tenant, session, servers)),
        );
        for found in sources.await {
            match found {
                Sourced::Nothing => {}
                Sourced::Builtin(builtin, options) => offers.add_builtin(builtin, &options),
                Sourced::Api(api) => api.offer(&mut offers),
                Sourced::Mcp(server, list) => Mcp::offer(&server, &list, &mut offers),
                Sourced::Missing(name, why) => offers.tell(name, Vec::new(), Some(why)),
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

    /// What a source has.
    async fn found(
        &self,
        plan: &Plan,
        spec: &ToolSpec,
        tenant: &TenantId,
        session: SessionId,
        servers: Servers<'_>,
    ) -> Sourced {
        let server = match spec {
            ToolSpec::Configured(name) => {
                let Some(source) = plan.source(name.as_str()) else {
                    let why = "no tools of this name are configured".to_owned();
                    return Sourced::Missing(name.clone(), why);
                };
                match source.into_owned() {
                    Source::Builtin(builtin, options) => return Sourced::Builtin(builtin, options),
                    Source::Http(api) => return Sourced::Api(api),
                    Source::Mcp(server) => server,
                }
            }
            ToolSpec::Mcp(named) if !plan.client.mcp => {
                let why = "this installation reaches no MCP servers that clients name".to_owned();
                return Sourced::Missing(named.label.clone(), why);
            }
            ToolSpec::Mcp(named) => {
                let headers = match &named.secret {
                    None => None,
                    Some(name) => match self.parts.secrets.get(tenant, session, name).await {
                        Ok(Some(secret)) => Some(secret),
                        Ok(None) => {
                            let why = "the credentials for this server are gone".to_owned();
                            return Sourced::Missing(named.label.clone(), why);
                        }
                        Err(why) => {
                            return Sourced::Missing(named.label.clone(), why.to_string());
                        }
                    },
                };
                Arc::new(Server::of_client(named, headers.as_ref(), &plan.client))
            }
        };
        if !servers.matter(&server.label) {
            return Sourced::Nothing;
        }
        let list = self.mcp.list(&server, tenant, session).await;
        Sourced::Mcp(server, list)
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
            Target::Mcp(server, tool) => Performed::Ended(self.mcp.call(server, tool, call).await),
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
                Target::Mcp(server, tool) => self.mcp.query(server, tool, call).await,
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
