//! What a server may say to us by itself: questions, progress, changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationCapability,
    ErrorData, FormElicitationCapability, Implementation, ProgressNotificationParam,
    ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient};

use super::elicit;
use crate::tools::options::Elicitation;

/// Notes of one connection that wait to be told.
const NOTES_MAX: usize = 8;

/// Listens to one server.
#[derive(Clone)]
pub(in crate::tools) struct Handler {
    elicitation: Elicitation,
    version: &'static str,
    heard: Arc<Heard>,
}

/// What was heard.
#[derive(Default)]
pub(super) struct Heard {
    notes: Mutex<Vec<String>>,
    /// The list of tools changed since it was read.
    changed: AtomicBool,
    /// Notes of progress. They are counted and set no limit anew: a tool that
    /// only says that it works would have no end.
    progress: AtomicU64,
}

impl Heard {
    /// Takes what the model is to be told.
    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the list of tools changed since this was asked.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::SeqCst)
    }

    /// How often the server said that it gets on.
    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }
}

impl Handler {
    /// `version` is Freehold's own.
    pub(in crate::tools) fn new(elicitation: Elicitation, version: &'static str) -> Self {
        Self { elicitation, version, heard: Arc::default() }
    }

    pub(super) fn heard(&self) -> Arc<Heard> {
        Arc::clone(&self.heard)
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let form = FormElicitationCapability::new();
        let elicitation = ElicitationCapability::new().with_form(form);
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(elicitation);
        ClientConfig::new(capabilities, Implementation::new("freehold", self.version))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let (answer, note) = elicit::answer(&request, self.elicitation);
        let mut notes = self.heard.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX {
            notes.extend(note);
        }
        Ok(answer)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.changed.store(true, Ordering::SeqCst);
    }

    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.heard.progress.fetch_add(1, Ordering::Relaxed);
    }
}
