//! Which session a request is about, and whose.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::response::{IntoResponse, Response};
use freehold_runtime::event::{Labels, Name};
use freehold_runtime::sessions::{By, Error, Sessions, View};
use freehold_types::{Code, SessionId, TenantId};
use http::request::Parts;
use serde::Deserialize;

use super::super::Admin;
use super::super::caller::Caller;
use super::super::input::{Params, TenantName};
use crate::app::App;
use crate::problem::Problem;
use crate::surface::failure::{Away, told};

/// Why there is no answer here.
#[derive(Debug)]
pub(super) enum Refused {
    /// It was refused.
    Problem(Problem),
    /// Not by this node, or not now. Found in a response that no client sees.
    Away(Away),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if let Some(away) = Away::of(&error) {
            return Self::Away(away);
        }
        let (code, detail) = told(&error);
        Self::Problem(Problem::new(code, detail))
    }
}

impl From<freehold_types::DbError> for Refused {
    fn from(error: freehold_types::DbError) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Away(away) => {
                let problem = Problem::new(Code::SessionUnreachable, "another node has it");
                let mut response = problem.into_response();
                response.extensions_mut().insert(away);
                response
            }
        }
    }
}

/// A tenant whose sessions the caller may use.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) app: Arc<App>,
    pub(super) tenant: TenantId,
    /// The caller's key; `None` is whoever may open the data folder.
    pub(super) key: Option<Name>,
    caller: Caller,
}

/// A session of such a tenant; whether it exists shows when it is used.
pub(super) struct Found {
    pub(super) access: Access,
    pub(super) session: SessionId,
}

impl Access {
    pub(super) fn sessions(&self) -> &Arc<Sessions> {
        &self.app.sessions
    }

    /// Who asks, for the journal.
    pub(super) fn by(&self) -> By {
        By { actor: self.key.clone(), on_behalf_of: None, labels: Labels::default() }
    }

    /// Who pays for what is asked of models. Whoever may open the data folder
    /// has no key to pay with and names one.
    pub(super) fn payer(&self, named: Option<&str>) -> Result<Name, Problem> {
        match (named, &self.key) {
            (Some(named), _) => {
                self.caller.may_manage(&self.tenant)?;
                let id = super::super::input::parse("payer", named)?;
                let key = self.app.control.key(&self.tenant, id)?;
                Ok(Name::cut(&key.id.to_string()))
            }
            (None, Some(key)) => Ok(key.clone()),
            (None, None) => {
                Err(Problem::invalid("payer: name the id of the key that pays for the models"))
            }
        }
    }

    /// Whether the caller manages the tenant.
    pub(super) fn manages(&self) -> bool {
        self.caller.may_manage(&self.tenant).is_ok()
    }
}

impl Found {
    pub(super) async fn view(&self) -> Result<View, Error> {
        self.access.sessions().view(&self.access.tenant, self.session).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access
where
    Admin: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Asked {
            #[serde(default)]
            tenant: Option<TenantName>,
        }
        let admin = Admin::from_ref(state);
        let app = Arc::clone(admin.app()?);
        let Params(Asked { tenant }) = Params::from_request_parts(parts, state).await?;
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::new(Code::AdminRequired, "who asks?"))?;
        let (own, key) = match &caller {
            Caller::Owner => (TenantId::main(), None),
            Caller::Key(principal) => {
                let id = principal.key().id.to_string();
                (principal.tenant().clone(), Some(Name::cut(&id)))
            }
        };
        let tenant = tenant.map_or_else(|| own.clone(), |named| named.0);
        if tenant != own {
            caller.may_manage(&tenant)?;
        }
        Ok(Self { app, tenant, key, caller })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Found
where
    Admin: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_request_parts(parts, state).await?;
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(|error| Problem::invalid(error.to_string()))?;
        let id = path.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned());
        // A conversation is a session under another surface's name.
        let text = id.unwrap_or_default();
        let named = text.strip_prefix("conv_").map(|digits| format!("sess_{digits}"));
        let session = named.as_ref().unwrap_or(&text).parse().map_err(|_| missing(&text))?;
        Ok(Self { access, session })
    }
}

fn missing(id: &str) -> Problem {
    let shown: String = id.chars().take(100).collect();
    Problem::new(Code::SessionNotFound, format!("there is no session `{shown}`"))
}
