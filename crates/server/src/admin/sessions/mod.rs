//! `/v1/freehold/sessions`: what no vendor's surface offers of a session. Any
//! key may use those of its own tenant; keys that manage, those of others.
//!
//! | | |
//! |---|---|
//! | `POST GET sessions`, `GET POST DELETE sessions/{id}` | sessions and their metadata |
//! | `GET sessions/{id}/journal`, `stats` | every event; bytes a turn |
//! | `GET sessions/{id}/stream` | events as they are committed: SSE, long poll (`?wait=`), WebSocket |
//! | `POST sessions/{id}/input`, `answers`, `signals`, `cancel`, `limits`, `compact` | what happens in it |
//! | `POST sessions/{id}/fork`, `rewind` | another one from an event on; forgetting |
//! | `GET POST sessions/{id}/export`, `POST sessions/import` | a copy as a bundle, or the session moved to another cell |
//! | `POST sessions/refusals`, `sessions/{id}/unseal` | a bundle that is never taken, and its session taken back |
//! | `GET approvals`, `sessions/{id}/approvals`, `POST sessions/{id}/approvals/{approval}` | the inbox |
//! | `POST GET sessions/{id}/timers`, `DELETE sessions/{id}/timers/{timer}` | timers |
//! | `PUT DELETE sessions/{id}/pins/{offset}` | events that no compaction drops |
//! | `POST GET DELETE sessions/{id}/webhooks`, `POST webhooks/{token}` | signals from outside |

mod access;
mod approvals;
mod body;
mod bundles;
mod create;
mod cursor;
mod happen;
mod journal;
mod manage;
mod shape;
mod stats;
mod stream;
mod timers;
mod webhooks;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};

use super::Admin;

/// The routes below `/v1/freehold`.
pub(super) fn routes(admin: &Admin) -> Router<Admin> {
    Router::new()
        .route("/sessions", post(create::create).get(manage::list))
        .route("/sessions/{id}", get(manage::get).post(manage::describe).delete(manage::delete))
        .route("/sessions/{id}/journal", get(journal::page))
        .route("/sessions/{id}/stats", get(stats::stats))
        .route("/sessions/{id}/stream", get(stream::stream))
        .route("/sessions/{id}/input", post(happen::input))
        .route("/sessions/{id}/answers", post(happen::answers))
        .route("/sessions/{id}/signals", post(happen::signal))
        .route("/sessions/{id}/cancel", post(happen::cancel))
        .route("/sessions/{id}/limits", post(happen::limits))
        .route("/sessions/{id}/compact", post(happen::compact))
        .route("/sessions/{id}/fork", post(manage::fork))
        .route("/sessions/{id}/rewind", post(manage::rewind))
        .route("/sessions/{id}/export", get(bundles::copy).post(bundles::leave))
        .route("/sessions/{id}/unseal", post(bundles::unseal))
        .route("/sessions/refusals", post(bundles::refuse))
        .route("/sessions/{id}/pins/{offset}", put(happen::pin).delete(happen::unpin))
        .route("/sessions/{id}/approvals", get(approvals::of_session))
        .route("/sessions/{id}/approvals/{approval}", post(approvals::decide))
        .route("/sessions/{id}/timers", post(timers::set).get(timers::list))
        .route("/sessions/{id}/timers/{timer}", delete(timers::cancel))
        .route("/sessions/{id}/webhooks", post(webhooks::make).get(webhooks::list))
        .route("/sessions/{id}/webhooks/{name}", delete(webhooks::unmake))
        .route("/approvals", get(approvals::inbox))
        .layer(from_fn_with_state(admin.clone(), body::at_its_node))
        // After the layers: this body is not read whole before it is looked at.
        .route("/sessions/import", post(bundles::import))
}

/// What needs no key: the token in the path is one.
pub(super) fn open(admin: &Admin) -> Router<Admin> {
    Router::new()
        .route("/webhooks/{token}", post(webhooks::receive))
        .layer(from_fn_with_state(admin.clone(), body::at_its_node))
}
