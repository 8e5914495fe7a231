//! Sessions that leave for other cells, and that come from there: as bundles,
//! which are neither held in memory nor on disk here.

use std::time::Duration;

use axum::Json as Shown;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use freehold_runtime::bundle::{Error, Export, Imported, Importing, SignedRefusal, Source};
use freehold_runtime::event::{Hash, Name};
use freehold_types::{BoxFuture, Code, SessionId};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input::{Params, TenantName};
use super::access::{Access, Found, Refused};
use super::body::Json;
use super::{create, happen, shape};
use crate::problem::Problem;

/// How long a client may be silent in the middle of a bundle.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the bundle is named by, in the head of an answer that is one.
const BUNDLE: HeaderName = HeaderName::from_static("x-freehold-bundle");

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match (error.code(), error) {
            (_, Error::Session(error)) => error.into(),
            (code, error) => {
                let code = code.unwrap_or(Code::ManagementFailed);
                Problem::new(code, error.to_string()).into()
            }
        }
    }
}

/// What only those may do who manage the tenant.
fn managing(access: &Access) -> Result<(), Problem> {
    if access.key.is_none() || access.manages() {
        return Ok(());
    }
    let message = "sessions move between cells with a key that manages their tenant";
    Err(Problem::new(Code::AdminRequired, message))
}

/// A copy, as a bundle.
pub(super) async fn copy(found: Found) -> Result<Response, Refused> {
    let access = &found.access;
    let cell = access.app.cell();
    Ok(sent(access.sessions().export(&cell, &access.tenant, found.session).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leave {
    /// The cell that it moves to; without it, a copy is made.
    #[serde(default)]
    move_to: Option<String>,
}

/// Seals the session for a cell, and gives it as a bundle.
pub(super) async fn leave(found: Found, Json(leave): Json<Leave>) -> Result<Response, Refused> {
    let Some(to) = leave.move_to else { return copy(found).await };
    let access = &found.access;
    managing(access)?;
    let (cell, to) = (access.app.cell(), happen::name("move_to", &to)?);
    let (tenant, by) = (&access.tenant, access.by());
    Ok(sent(access.sessions().move_out(&cell, tenant, found.session, &to, by).await?))
}

fn sent(export: Export) -> Response {
    let head = export.head();
    let (file, bundle) = (format!("attachment; filename=\"{}.bundle\"", head.session), head.bundle);
    let pieces = futures_util::stream::unfold(Next::Piece(Box::new(export)), next);
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    for (name, value) in [(CONTENT_DISPOSITION, file), (BUNDLE, bundle.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// What comes next of a bundle that is sent.
enum Next {
    Piece(Box<Export>),
    /// It broke off, and that was told.
    Broken(Error),
    Nothing,
}

async fn next(next: Next) -> Option<(Result<Bytes, Error>, Next)> {
    match next {
        Next::Piece(mut export) => match export.next().await {
            Ok(piece) => piece.map(|piece| (Ok(piece), Next::Piece(export))),
            Err(error) => {
                tracing::error!(%error, session = %export.head().session, "an export failed");
                Some((Ok(Export::failed(&error)), Next::Broken(error)))
            }
        },
        // The connection breaks: what was sent is no whole answer.
        Next::Broken(error) => Some((Err(error), Next::Nothing)),
        Next::Nothing => None,
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// The id of the key that pays from now on; the caller's own where it is
    /// left out.
    #[serde(default)]
    payer: Option<String>,
    /// A copy, although the session was moved here.
    #[serde(default)]
    copy: bool,
}

/// Takes a bundle in, which is the body.
pub(super) async fn import(
    access: Access,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
    body: Body,
) -> Result<(StatusCode, Shown<Value>), Refused> {
    managing(&access)?;
    let payer: Option<Name> = match &asked.payer {
        Some(named) => Some(access.payer(Some(named))?),
        None => access.key.clone(),
    };
    let importing = Importing {
        by: access.by(),
        payer,
        // The bundle itself tells one request from another.
        key: create::key(&headers, || "import".to_owned())?,
        copy: asked.copy,
        bytes_max: access.app.config.load().cell.import_bytes_max,
    };
    let (cell, mut source) = (access.app.cell(), Arriving(body));
    let sessions = access.sessions();
    let imported = sessions.import(&cell, &access.tenant, importing, &mut source).await;
    let status = match &imported {
        Ok(imported) if imported.repeated => StatusCode::OK,
        Ok(_) => StatusCode::CREATED,
        Err(_) => {
            // Who still sends hears the answer, unless there is very much more.
            source.drain().await;
            StatusCode::OK
        }
    };
    Ok((status, Shown(imported_shape(&imported?))))
}

fn imported_shape(imported: &Imported) -> Value {
    json!({
        "session": imported.session.to_string(),
        "bundle": imported.bundle,
        "head": imported.head.0,
        "moved": imported.moved,
        "repeated": imported.repeated,
    })
}

/// A body as it arrives.
struct Arriving(Body);

impl Arriving {
    /// Takes some of what is left.
    async fn drain(&mut self) {
        let mut left = 16_usize << 20;
        while let Ok(Some(bytes)) = self.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    }
}

impl Source for Arriving {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, String>> {
        Box::pin(async move {
            loop {
                let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await;
                let frame = frame.map_err(|_| format!("nothing came for {PATIENCE:?}"))?;
                match frame {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(error.to_string()),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Ok(Some(bytes));
                        }
                    }
                }
            }
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refuse {
    /// The session in the bundle.
    session: SessionId,
    /// The bundle's name.
    bundle: Hash,
}

/// Refuses a bundle for good, and says so, signed.
pub(super) async fn refuse(
    access: Access,
    Json(refuse): Json<Refuse>,
) -> Result<Shown<SignedRefusal>, Refused> {
    managing(&access)?;
    let (cell, Refuse { session, bundle }) = (access.app.cell(), refuse);
    Ok(Shown(access.sessions().refuse(&cell, &access.tenant, session, bundle).await?))
}

/// Takes a session back that its cell has refused; the refusal is the body.
pub(super) async fn unseal(
    found: Found,
    Json(refusal): Json<SignedRefusal>,
) -> Result<Shown<Value>, Refused> {
    let access = &found.access;
    managing(access)?;
    let (cell, tenant, by) = (access.app.cell(), &access.tenant, access.by());
    let receipt = access.sessions().unseal(&cell, tenant, found.session, &refusal, by).await?;
    Ok(Shown(shape::receipt(&receipt)))
}
