//! Tools of MCP servers.
//!
//! A connection belongs to one session and one server, since a server may keep
//! a state by connection; a list of tools is shared by all who see the same
//! server with the same credentials. Both are kept within bounds and made anew
//! when they are gone.

mod challenge;
mod elicit;
mod fault;
mod handler;
mod limit;
mod link;
mod list;
mod oauth;
mod probe;
mod result;
mod server;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use freehold_types::{Env, Secret, SessionId, TenantId, Transport};
use futures_util::future::{Either, select};
use rmcp::model::{CallToolRequestParams, RequestMetaObject};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex as AsyncMutex;

use self::fault::Fault;
use self::link::Link;
use self::wire::Wire;
use super::offer::{Offer, Offers, Target};
use super::{Performing, builtin, rules};
use crate::decide::{Ended, Found};
use crate::event::{Content, Hash, Name};

pub use self::oauth::Client as OAuthClient;
pub use self::probe::{Found as Probed, Probe};

pub(super) use self::list::List;
pub(super) use self::server::Server;

/// How long a list may take to be read.
const LIST: Duration = Duration::from_secs(30);

/// How long a server that could not be listed is not asked again.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// How long a list that is no longer fresh is used while no newer one can be
/// had.
const STALE_FOR: Duration = Duration::from_secs(3_600);

/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_secs(120);

/// The most connections at one time.
const LINKS_MAX: usize = 4_096;

/// The most lists that are kept.
const LISTS_MAX: usize = 1_024;

/// The key in `_meta` under which a server finds the idempotency key.
const META_KEY: &str = "dev.freehold/idempotency-key";

/// Whose connection to which server.
type Whose = (TenantId, SessionId, Hash);

/// A place for a connection; held while it is made, so that it is made once.
type Slot = Arc<AsyncMutex<Option<Arc<Link>>>>;

/// All MCP servers.
pub(super) struct Mcp {
    transport: Arc<dyn Transport>,
    env: Arc<dyn Env>,
    version: &'static str,
    links: Mutex<HashMap<Whose, Slot>>,
    lists: Mutex<HashMap<Hash, Known>>,
    me: Weak<Self>,
}

/// What is known of a server's list.
#[derive(Clone)]
struct Known {
    list: Result<Arc<List>, String>,
    /// On the monotonic clock.
    read_at: Duration,
}

impl Mcp {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        env: Arc<dyn Env>,
        version: &'static str,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            transport,
            env,
            version,
            links: Mutex::default(),
            lists: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Adds a server's tools to what is on offer, or says why it has none.
    pub(super) fn offer(server: &Arc<Server>, list: &Result<Arc<List>, String>, to: &mut Offers) {
        let label = Name::cut(&server.label);
        let list = match list {
            Ok(list) => list,
            Err(message) => return to.tell(label, Vec::new(), Some(message.clone())),
        };
        let mut shown = Vec::new();
        let mut left_out = list.left_out.clone();
        for tool in &list.tools {
            let options = server.rules_of(&tool.name);
            let about = json!({ "url": server.shown_url(), "label": server.label });
            let rules = rules::of_worker(tool.version.clone(), tool.hints, &options, &about);
            let target = Target::Mcp(Arc::clone(server), tool.name.clone());
            let offer = Offer::new(tool.body.clone(), rules, target, &options);
            if to.add(tool.called.clone(), offer) {
                shown.push(tool.described.clone());
            } else {
                left_out = Some(format!("there is another tool called `{}`", tool.called));
            }
        }
        to.tell(label, shown, left_out);
    }

    /// A server's list: the one that is known, or a newer one.
    pub(super) async fn list(
        &self,
        server: &Server,
        tenant: &TenantId,
        session: SessionId,
    ) -> Result<Arc<List>, String> {
        let identity = list_identity(server);
        let known = self.known(identity);
        let now = self.env.monotonic();
        if let Some(known) = &known {
            let age = now.saturating_sub(known.read_at);
            let changed = self.open(&(tenant.clone(), session, server.identity()));
            let changed = changed.is_some_and(|link| link.heard().take_changed());
            let good = known.list.as_ref().map_or(FAILED_FOR, |list| list.fresh);
            if age < good && !changed {
                return known.list.clone();
            }
        }
        let read = Box::pin(async {
            let link = self.link(server, tenant, session).await?;
            let token = token(server);
            let mut list = List::read(&link, server).await;
            if self.is_renewed(server, token, list.as_ref().err()).await {
                list = List::read(&link, server).await;
            }
            if list.is_err() {
                self.forget(&(tenant.clone(), session, server.identity()));
            }
            list
        });
        let read = match select(read, self.env.sleep(LIST)).await {
            Either::Left((read, _)) => read.map_err(|fault| fault.message()),
            Either::Right(_) => Err(format!("it did not list its tools within {LIST:?}")),
        };
        let list = match (read, known) {
            (Ok(list), _) => Ok(Arc::new(list)),
            (Err(_), Some(Known { list: Ok(list), read_at }))
                if now.saturating_sub(read_at) < STALE_FOR =>
            {
                return Ok(list);
            }
            (Err(message), _) => Err(message),
        };
        self.learn(identity, Known { list: list.clone(), read_at: self.env.monotonic() });
        list
    }

    fn known(&self, identity: Hash) -> Option<Known> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).get(&identity).cloned()
    }

    fn learn(&self, identity: Hash, known: Known) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= LISTS_MAX && !lists.contains_key(&identity) {
            let oldest = lists.iter().min_by_key(|(_, known)| known.read_at).map(|(key, _)| *key);
            oldest.map(|key| lists.remove(&key));
        }
        lists.insert(identity, known);
    }

    /// Calls a tool of a server.
    pub(super) async fn call(&self, server: &Server, tool: &str, call: &Performing) -> Ended {
        let mut arguments = builtin::fields(&call.arguments);
        if let Some(field) = server.rules_of(tool).key_argument {
            arguments.insert(field, Value::from(call.call.to_string()));
        }
        match self.ask(server, tool, arguments, call).await {
            Ok((ended, _)) => ended,
            Err(Fault::Lost(message)) => {
                tracing::info!(server = server.label, %message, "lost the answer of a tool");
                Ended::Lost
            }
            Err(fault) => Ended::Failed(Content::text(fault.message())),
        }
    }

    /// Asks a server by key what became of a call.
    pub(super) async fn query(&self, server: &Server, tool: &str, call: &Performing) -> Found {
        let Some(query) = server.rules_of(tool).query else { return Found::Unclear };
        let (Some(tool), Some(argument)) = (query.tool, query.argument) else {
            return Found::Unclear;
        };
        let key = Value::from(call.call.to_string());
        match self.ask(server, &tool, Map::from_iter([(argument, key)]), call).await {
            Ok((_, true)) => Found::Nothing,
            Ok((Ended::Ok(content), false)) => Found::Ok(content),
            Ok(_) | Err(_) => Found::Unclear,
        }
    }

    /// One request; also whether the result holds nothing.
    async fn ask(
        &self,
        server: &Server,
        tool: &str,
        arguments: Map<String, Value>,
        call: &Performing,
    ) -> Result<(Ended, bool), Fault> {
        let link = self.link(server, &call.tenant, call.session).await?;
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let mut meta = RequestMetaObject::default();
        meta.insert(META_KEY.to_owned(), Value::from(call.call.to_string()));
        params.meta = Some(meta);
        let token = token(server);
        let mut answered = link.call(params.clone()).await;
        // What was refused for its token was not begun.
        if self.is_renewed(server, token, answered.as_ref().err()).await {
            answered = link.call(params).await;
        }
        link.touch(&*self.env);
        let (result, notes) = answered.inspect_err(|fault| {
            if !matches!(fault, Fault::Said(_)) {
                self.forget(&(call.tenant.clone(), call.session, server.identity()));
            }
        })?;
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        let nothing =
            result.content.is_empty() && result.structured_content.as_ref().is_none_or(empty);
        Ok((result::ended(&result, &notes), nothing))
    }

    /// The session's connection to a server, opened if there is none.
    async fn link(
        &self,
        server: &Server,
        tenant: &TenantId,
        session: SessionId,
    ) -> Result<Arc<Link>, Fault> {
        if let Some(grant) = &server.grant {
            grant.ready(&self.transport, &self.env).await.map_err(Fault::Unreached)?;
        }
        let whose = (tenant.clone(), session, server.identity());
        let slot = self.slot(&whose)?;
        let mut slot = slot.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_open()) {
            link.touch(&*self.env);
            return Ok(Arc::clone(link));
        }
        let wire = Wire {
            transport: Arc::clone(&self.transport),
            target: server.target,
            headers: server.headers.clone(),
            bearer: server.grant.as_ref().map(|grant| grant.bearer()).unwrap_or_default(),
            response_bytes_max: server.response_bytes_max,
        };
        let token = token(server);
        let mut link = Link::start(server, wire.clone(), &*self.env, self.version).await;
        if self.is_renewed(server, token, link.as_ref().err()).await {
            link = Link::start(server, wire, &*self.env, self.version).await;
        }
        let link = Arc::new(link.inspect_err(|_| self.forget(&whose))?);
        *slot = Some(Arc::clone(&link));
        self.close_when_idle(whose, &link);
        Ok(link)
    }

    /// Whether the server wanted another token and we have one now.
    async fn is_renewed(
        &self,
        server: &Server,
        refused: Option<Arc<Secret>>,
        fault: Option<&Fault>,
    ) -> bool {
        let (Some(grant), Some(Fault::Unauthorized(_))) = (&server.grant, fault) else {
            return false;
        };
        match grant.renew(refused.as_ref(), &self.transport, &self.env).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(server = server.label, %error, "a server of tools wants a token");
                false
            }
        }
    }

    fn slot(&self, whose: &Whose) -> Result<Slot, Fault> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= LINKS_MAX && !links.contains_key(whose) {
            return Err(Fault::Unreached(format!(
                "this node has {LINKS_MAX} connections to MCP servers open, and opens no more"
            )));
        }
        Ok(Arc::clone(links.entry(whose.clone()).or_default()))
    }

    /// The connection, if it is open and nobody is at it.
    fn open(&self, whose: &Whose) -> Option<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = links.get(whose)?.try_lock().ok()?;
        slot.clone()
    }

    fn forget(&self, whose: &Whose) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(whose);
    }

    fn close_when_idle(&self, whose: Whose, link: &Arc<Link>) {
        let (me, link) = (self.me.clone(), Arc::downgrade(link));
        let env = Arc::clone(&self.env);
        tokio::spawn(async move {
            loop {
                env.sleep(IDLE).await;
                let (Some(me), Some(link)) = (me.upgrade(), link.upgrade()) else { return };
                // Somebody who calls holds it as well.
                let busy = Arc::strong_count(&link) > 2;
                if !busy && (link.idle(&*env) >= IDLE || !link.is_open()) {
                    me.forget(&whose);
                    return;
                }
            }
        });
    }
}

/// The token that a server is sent now.
fn token(server: &Server) -> Option<Arc<Secret>> {
    server.grant.as_ref().and_then(|grant| grant.current())
}

/// What tells a list from others: the server, what may be called of it and
/// under which label.
fn list_identity(server: &Server) -> Hash {
    let only = format!("{:?}\n{}", server.only, server.label);
    Hash::of_all(&[server.identity(), Hash::of(only.as_bytes())])
}
