//! `GET cell`: what this cell is called, and what others know it by.

use axum::Json;
use axum::extract::{Extension, State};
use serde_json::{Value, json};

use super::Admin;
use super::caller::Caller;
use crate::problem::Problem;

/// The cell's name and public key, and the cells that it trusts.
pub(super) async fn show(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage_all()?;
    let cell = admin.app()?.cell();
    let trust = cell.trust.iter();
    let trust = trust.map(|peer| json!({"name": peer.name, "key": peer.key.to_string()}));
    Ok(Json(json!({
        "name": cell.name,
        "key": cell.key.public().to_string(),
        "trust": trust.collect::<Vec<_>>(),
    })))
}
