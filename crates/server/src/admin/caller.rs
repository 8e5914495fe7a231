//! Who manages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use freehold_control::{Control, Principal};
use freehold_types::{Code, TenantId};
use http::{HeaderMap, header};

use super::Admin;
use crate::problem::Problem;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Over the network: an admin key is asked for.
    Network,
    /// From whoever may open the data folder, who could read the admin key
    /// there as well.
    DataFolder,
}

/// Who manages.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Whoever may open the data folder.
    Owner,
    /// The holder of a key.
    Key(Arc<Principal>),
}

impl Caller {
    /// Whether the caller may manage this tenant.
    pub(super) fn may_manage(&self, tenant: &TenantId) -> Result<(), Problem> {
        match self {
            Self::Owner => Ok(()),
            Self::Key(principal) => Ok(principal.may_manage(tenant)?),
        }
    }

    /// The tenant that the caller is bound to; `None` if to none.
    pub(super) fn own_tenant(&self) -> Option<TenantId> {
        match self {
            Self::Key(principal) if *principal.tenant() != TenantId::main() => {
                Some(principal.tenant().clone())
            }
            _ => None,
        }
    }

    /// Whether the caller may manage the server and all tenants.
    pub(super) fn may_manage_all(&self) -> Result<(), Problem> {
        let main = TenantId::main();
        match self {
            Self::Key(principal) if *principal.tenant() != main => Err(Problem::new(
                Code::AdminRequired,
                "this needs an admin key of the tenant `main`",
            )),
            _ => self.may_manage(&main),
        }
    }
}

/// Finds out who it is before anything else. What follows goes on when the caller
/// has gone: a change that is in the store must come into memory too, or a key that
/// was revoked would stay good.
pub(super) async fn identify(
    State((admin, via)): State<(Admin, Via)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match via {
        Via::DataFolder => Caller::Owner,
        Via::Network => {
            match admin.control.authenticate_anywhere(presented(request.headers())).await {
                Ok(principal) => Caller::Key(principal),
                Err(refusal) => return Problem::from(refusal).into_response(),
            }
        }
    };
    request.extensions_mut().insert(caller);
    tokio::spawn(next.run(request)).await.unwrap_or_else(|_| {
        let message = "it failed half-way; see the log";
        Problem::new(Code::ManagementFailed, message).into_response()
    })
}

/// Whether the request comes with a key that may manage the server.
pub(crate) fn manages_all(control: &Control, headers: &HeaderMap) -> bool {
    let principal = control.authenticate(presented(headers));
    principal.is_ok_and(|principal| Caller::Key(principal).may_manage_all().is_ok())
}

/// The key in the request's headers, or nothing.
fn presented(headers: &HeaderMap) -> &str {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let own = || headers.get("x-api-key").and_then(|value| value.to_str().ok());
    bearer.or_else(own).unwrap_or_default()
}
