//! `/v1/freehold/routes`, `losses`, `status` and `reload`.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use freehold_llm::format::CODECS;
use freehold_llm::losses;
use freehold_types::Code;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::Admin;
use super::caller::Caller;
use crate::ops;
use crate::problem::Problem;

/// The routes in force, and how each deployment does.
pub(super) async fn routes(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage_all()?;
    let app = admin.app()?;
    let plan = app.gateway.plan();
    let routes: Vec<Value> = plan
        .routes()
        .map(|route| {
            let deployments: Vec<Value> = route
                .deployments
                .iter()
                .map(|deployment| {
                    json!({
                        "name": &*deployment.name,
                        "provider": &*deployment.provider.name,
                        "model": &*deployment.model,
                        "weight": deployment.weight,
                        "context": deployment.context,
                        "max_output": deployment.max_output,
                        "in_flight": deployment.cell.in_flight.load(std::sync::atomic::Ordering::Relaxed),
                    })
                })
                .collect();
            json!({ "name": &*route.name, "deployments": deployments })
        })
        .collect();
    Ok(Json(json!({ "data": routes })))
}

/// What cannot cross between each two dialects.
pub(super) async fn losses() -> Response {
    ([(CONTENT_TYPE, "application/json")], losses::table(CODECS).to_json()).into_response()
}

/// How the server does; the same as `/readyz`, with its address.
pub(super) async fn status(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage_all()?;
    let app = admin.app()?;
    let mut status = ops::readiness(app).await.detail;
    status["version"] = env!("CARGO_PKG_VERSION").into();
    status["url"] = app.url.clone().into();
    status["node"] = app.sessions.node().to_string().into();
    status["sessions"] = app.sessions.in_hand().into();
    status["process"] = std::process::id().into();
    status["uptime_seconds"] = app.env.monotonic().saturating_sub(app.started).as_secs().into();
    Ok(Json(status))
}

/// Reads the configuration again, now.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage_all()?;
    let watcher = &admin.app()?.watcher;
    watcher.reload();
    match watcher.state().error {
        None => Ok(Json(json!({ "reloaded": true }))),
        Some(error) => Err(Problem::new(Code::ConfigInvalid, error)),
    }
}
