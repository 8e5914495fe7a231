//! What requests may hold.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use freehold_types::{Code, PageRequest, TenantId};
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::caller::Caller;
use crate::problem::Problem;

/// No resource is larger.
const BODY_BYTES_MAX: usize = 256 << 10;

/// How long the whole of one may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 30_000 });

/// A JSON body.
pub(super) struct Input<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
        let body = tokio::time::timeout(BODY_PATIENCE, body).await.map_err(|_| {
            Problem::invalid(format!("the body did not arrive within {BODY_PATIENCE:?}"))
        })?;
        let bytes = body
            .map_err(|error| {
                let detail = format!("the body cannot be read: {error}");
                Problem::new(Code::BodyTooLarge, detail)
            })?
            .to_bytes();
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::invalid(format!("the body cannot be used: {error}")))
    }
}

/// Parameters of the query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(params)| Self(params))
            .map_err(|error| Problem::invalid(format!("the query cannot be used: {error}")))
    }
}

/// The tenant that a request is about, which its caller may manage: the
/// query's `tenant`, else `main`.
pub(super) struct Managed(pub(super) TenantId);

impl<S: Send + Sync> FromRequestParts<S> for Managed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            #[serde(default = "TenantName::main")]
            tenant: TenantName,
        }
        let Params(Asked { tenant }) = Params::from_request_parts(parts, state).await?;
        Ok(Self(managed(parts, tenant)?))
    }
}

/// The same of a list, and which page of it: `after` and `limit`.
pub(super) struct ManagedList {
    pub(super) tenant: TenantId,
    pub(super) page: PageRequest,
}

impl<S: Send + Sync> FromRequestParts<S> for ManagedList {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            #[serde(default = "TenantName::main")]
            tenant: TenantName,
            #[serde(default)]
            after: Option<String>,
            #[serde(default)]
            limit: Option<u32>,
        }
        let Params(Asked { tenant, after, limit }) =
            Params::from_request_parts(parts, state).await?;
        Ok(Self { tenant: managed(parts, tenant)?, page: page(after, limit) })
    }
}

/// The tenant, if the caller may manage it. Nobody manages without a name:
/// [`super::caller::identify`] comes before every handler.
fn managed(parts: &Parts, tenant: TenantName) -> Result<TenantId, Problem> {
    let caller = parts.extensions.get::<Caller>();
    let caller = caller.ok_or_else(|| Problem::new(Code::AdminRequired, "who manages?"))?;
    caller.may_manage(&tenant.0)?;
    Ok(tenant.0)
}

pub(super) fn page(after: Option<String>, limit: Option<u32>) -> PageRequest {
    let after = after.filter(|after| !after.is_empty());
    PageRequest::new(after, limit.unwrap_or(PageRequest::DEFAULT_LIMIT))
}

/// A tenant's name; `main` where nothing is said.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TenantName(pub(super) TenantId);

impl TenantName {
    pub(super) fn main() -> Self {
        Self(TenantId::main())
    }
}

impl TryFrom<String> for TenantName {
    type Error = freehold_types::NameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        TenantId::new(name).map(Self)
    }
}

/// Something that is written as text.
pub(super) fn parse<T>(what: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error| Problem::invalid(format!("{what} cannot be used: {error}")))
}
