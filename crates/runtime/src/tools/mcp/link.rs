//! One connection to a server, and its beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, RoleClient, RunningService,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use freehold_types::Env;

use super::fault::Fault;
use super::handler::{Handler, Heard};
use super::server::Server;
use super::wire::Wire;
use crate::tools::options::Revision;

/// How long a server may take to say who it is.
const START: Duration = Duration::from_secs(20);

/// A connection that is open. Dropping it ends the session at the server.
pub(in crate::tools) struct Link {
    service: RunningService<RoleClient, Handler>,
    heard: Arc<Heard>,
    /// On the monotonic clock, in milliseconds.
    used: AtomicU64,
}

impl Link {
    /// Connects: negotiates the revision and, before 2026, a session.
    pub(in crate::tools) async fn start(
        server: &Server,
        wire: Wire,
        env: &dyn Env,
        version: &'static str,
    ) -> Result<Self, Fault> {
        let handler = Handler::new(server.elicitation, version);
        let heard = handler.heard();
        let config = || {
            StreamableHttpClientTransportConfig::with_uri(server.url.as_str())
                .max_sse_event_size(server.response_bytes_max)
        };
        let stateless = vec![ProtocolVersion::V_2026_07_28];
        let lifecycle = match server.revision {
            Revision::Sessions => ClientLifecycleMode::Initialize,
            Revision::Stateless => ClientLifecycleMode::Discover { preferred_versions: stateless },
            Revision::Auto => ClientLifecycleMode::Auto {
                preferred_versions: stateless,
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
        };
        let start = |lifecycle| {
            let transport = StreamableHttpClientTransport::with_client(wire.clone(), config());
            handler.clone().serve_with_lifecycle(transport, lifecycle)
        };
        let work = Box::pin(async {
            match start(lifecycle).await {
                // An older server may answer what it does not know with anything.
                Err(error) if server.revision == Revision::Auto && is_odd(&error) => {
                    start(ClientLifecycleMode::Initialize).await
                }
                started => started,
            }
        });
        let service = match select(work, env.sleep(START)).await {
            Either::Left((Ok(service), _)) => service,
            Either::Left((Err(error), _)) => return Err(Fault::of_start(&error)),
            Either::Right(_) => {
                return Err(Fault::Unreached(format!("it said nothing within {START:?}")));
            }
        };
        let link = Self { service, heard, used: AtomicU64::new(0) };
        link.touch(env);
        Ok(link)
    }

    /// The revision that is spoken.
    pub(super) fn revision(&self) -> String {
        let info = self.service.peer_info();
        info.map(|info| info.protocol_version.to_string()).unwrap_or_default()
    }

    /// Ends the session and waits for it.
    pub(super) async fn close(self) {
        if let Err(error) = self.service.cancel().await {
            tracing::debug!(%error, "a connection did not end well");
        }
    }

    /// Whether it can still be used.
    pub(in crate::tools) fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.is_transport_closed()
    }

    /// Notes that it is used.
    pub(in crate::tools) fn touch(&self, env: &dyn Env) {
        let now = u64::try_from(env.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    /// How long nobody used it.
    pub(in crate::tools) fn idle(&self, env: &dyn Env) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        env.monotonic().saturating_sub(used)
    }

    /// What was heard on it.
    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The service itself, to list with.
    pub(super) fn service(&self) -> &RunningService<RoleClient, Handler> {
        &self.service
    }

    /// Calls a tool. Dropping the future tells the server so.
    pub(in crate::tools) async fn call(
        &self,
        params: CallToolRequestParams,
    ) -> Result<(CallToolResult, Vec<String>), Fault> {
        let before = self.heard.progress();
        let called = self.service.call_tool(params).await;
        let notes = self.heard.take_notes();
        let progress = self.heard.progress() - before;
        if progress > 0 {
            tracing::debug!(progress, "the tool told of its progress");
        }
        called.map(|result| (result, notes)).map_err(|error| Fault::of_request(&error))
    }
}

/// Whether a server answered `server/discover`, but with nothing that is an
/// answer to it.
fn is_odd(error: &ClientInitializeError) -> bool {
    matches!(
        error,
        ClientInitializeError::ExpectedInitResult(_)
            | ClientInitializeError::ExpectedInitResponse(_)
            | ClientInitializeError::ConflictInitResponseId(..)
            | ClientInitializeError::UncorrelatedErrorResponse { .. }
            | ClientInitializeError::NoCompatibleProtocolVersion { .. }
    )
}
