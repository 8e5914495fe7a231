//! The management API, `/v1/freehold/...`: a file per resource.
//!
//! It is reached over the network with an admin key, and over a socket in the
//! data folder by whoever may open that. Bodies and answers are JSON, errors
//! as RFC 9457 has them. A list has `data` and, if there is more, `next`,
//! which goes into `after`.
//!
//! | | |
//! |---|---|
//! | `POST GET keys`, `GET PATCH DELETE keys/{id}` | virtual keys |
//! | `GET groups`, `GET PUT DELETE groups/{name}` | groups of keys |
//! | `POST GET budgets`, `GET PATCH DELETE budgets/{id}` | budgets and where they stand |
//! | `GET usage`, `GET exchanges` | what was used |
//! | `sessions/...`, `approvals` | agents' sessions: see `sessions/` |
//! | `GET cell` | what this cell is called among others |
//! | `GET routes`, `GET losses`, `GET status`, `POST reload` | the server itself |

mod budgets;
mod caller;
mod cell;
mod exchanges;
mod groups;
mod input;
mod keys;
mod server;
mod sessions;
mod shape;
mod socket;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use freehold_control::Control;
use freehold_types::{Code, Env};

use crate::app::App;
use crate::problem::Problem;

pub use caller::Via;
pub(crate) use caller::manages_all;
pub use socket::{serve as serve_socket, socket_path};

/// What all paths begin with.
pub const PREFIX: &str = "/v1/freehold/";

/// What the handlers work on.
#[derive(Clone)]
pub struct Admin {
    control: Arc<Control>,
    env: Arc<dyn Env>,
    /// The server, if one runs.
    app: Option<Arc<App>>,
}

impl Admin {
    /// Over a store that no server has open.
    pub fn offline(control: Arc<Control>, env: Arc<dyn Env>) -> Self {
        Self { control, env, app: None }
    }

    fn app(&self) -> Result<&Arc<App>, Problem> {
        self.app
            .as_ref()
            .ok_or_else(|| Problem::new(Code::ServerOffline, "no server runs on this data folder"))
    }
}

impl From<&Arc<App>> for Admin {
    fn from(app: &Arc<App>) -> Self {
        Self {
            control: Arc::clone(&app.control),
            env: Arc::clone(&app.env),
            app: Some(Arc::clone(app)),
        }
    }
}

/// The API as it is reached this way.
pub fn router(admin: Admin, via: Via) -> Router {
    let resources = Router::new()
        .route("/keys", post(keys::create).get(keys::list))
        .route("/keys/{id}", get(keys::get).patch(keys::update).delete(keys::revoke))
        .route("/groups", get(groups::list))
        .route("/groups/{name}", get(groups::get).put(groups::put).delete(groups::delete))
        .route("/budgets", post(budgets::create).get(budgets::list))
        .route("/budgets/{id}", get(budgets::get).patch(budgets::update).delete(budgets::delete))
        .route("/usage", get(usage::report))
        .route("/exchanges", get(exchanges::list))
        .route("/cell", get(cell::show))
        .route("/routes", get(server::routes))
        .route("/losses", get(server::losses))
        .route("/status", get(server::status))
        .route("/reload", post(server::reload))
        .merge(sessions::routes(&admin))
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .layer(from_fn_with_state((admin.clone(), via), caller::identify))
        .with_state(admin.clone());
    let open = sessions::open(&admin).with_state(admin);
    Router::new().nest("/v1/freehold", resources.merge(open))
}

async fn wrong_path() -> Problem {
    Problem::new(Code::UnknownPath, "the management API has no such path")
}

async fn wrong_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "the management API has this path, but not with this method",
    )
}

/// A text as a part of a path or query.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            for digit in [byte >> 4, byte & 15] {
                escaped.extend(char::from_digit(u32::from(digit), 16));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
