//! The inbox of approvals.

use axum::Json as Shown;
use axum::extract::Path;
use freehold_runtime::decide::{ApprovalDecision, Cue};
use freehold_runtime::event::{Decider, Hash, Name, Note, Verdict};
use freehold_store::waits;
use freehold_types::ApprovalId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input::{self, Params, TenantName, parse};
use super::access::{Access, Found, Refused};
use super::body::Json;
use super::happen::{give, name};
use super::shape;

/// The role of whoever manages a tenant.
const ADMIN: &str = "admin";

/// Who decides where no key does: whoever may open the data folder.
const OWNER: &str = "owner";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// `approval` (the default) or `repeat`: may a call run again of which
    /// nobody knows whether it ran.
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// What a tenant's sessions ask, the longest waiting first.
pub(super) async fn inbox(
    access: Access,
    Params(asked): Params<Asked>,
) -> Result<Shown<Value>, Refused> {
    let page = input::page(asked.after, asked.limit);
    let kind = asked.kind.as_deref().unwrap_or("approval");
    let found = waits::list(&*access.app.store, &access.tenant, kind, &page).await?;
    let data: Vec<Value> = found
        .items
        .iter()
        .map(|wait| {
            json!({
                "id": &*wait.id,
                "session": wait.session.to_string(),
                "question": &*wait.kind,
                "since": wait.since.to_string(),
                "expires_at": wait.expires_at.map(|at| at.to_string()),
                "intended": wait.offset,
            })
        })
        .collect();
    Ok(Shown(json!({ "data": data, "next": found.next })))
}

/// What a session asks.
pub(super) async fn of_session(found: Found) -> Result<Shown<Value>, Refused> {
    let state = found.view().await?.state;
    let data: Vec<Value> =
        state.approvals.iter().map(|approval| shape::approval(approval, &state)).collect();
    Ok(Shown(json!({ "data": data, "next": null })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    verdict: Verdict,
    #[serde(default)]
    note: String,
    /// Of the arguments that the decider was shown; another one is refused.
    #[serde(default)]
    arguments_hash: Option<Hash>,
}

/// Decides. The same decision again changes nothing.
pub(super) async fn decide(
    found: Found,
    Path((_, approval)): Path<(String, String)>,
    Json(decide): Json<Decide>,
) -> Result<Shown<Value>, Refused> {
    let approval: ApprovalId = parse("the approval's id", &approval)?;
    let access = &found.access;
    let roles = if access.manages() { vec![Name::cut(ADMIN)] } else { Vec::new() };
    let principal = access.key.clone().map_or_else(|| name("owner", OWNER), Ok)?;
    let decision = ApprovalDecision {
        approval,
        verdict: decide.verdict,
        by: Decider { principal, roles },
        args: decide.arguments_hash,
        note: Note::cut(&decide.note),
    };
    give(&found, vec![Cue::Decide(decision)], None).await
}
