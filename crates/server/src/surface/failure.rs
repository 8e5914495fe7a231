//! Why a request about sessions has no answer here.

use std::sync::Arc;

use freehold_llm::model::ApiError;
use freehold_runtime::decide::Refused;
use freehold_runtime::sessions::Error;
use freehold_types::{Code, ErrorKind};

/// Why there is no answer here.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused.
    Api(Box<ApiError>),
    /// Not by this node, or not now.
    Away(Away),
}

/// Where a request is answered that is not answered here.
#[derive(Clone, Debug)]
pub(crate) enum Away {
    /// The node at this address has the session.
    At(Arc<str>),
    /// The session is changing hands: here, in a moment.
    Soon,
    /// This node stops: by any other.
    Neighbour,
}

impl Away {
    /// If that is what an error says. Nothing of the request was recorded.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Elsewhere { address } => Some(Self::At(Arc::clone(address))),
            Error::Moving => Some(Self::Soon),
            Error::Stopping => Some(Self::Neighbour),
            _ => None,
        }
    }
}

impl Failure {
    /// A refusal.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Api(Box::new(ApiError::new(code, message)))
    }

    /// A refusal of one field.
    pub(crate) fn of_field(code: Code, field: &str, message: impl Into<String>) -> Self {
        let param = Some(field.to_owned());
        Self::Api(Box::new(ApiError { param, ..ApiError::new(code, message) }))
    }

    /// A field that cannot be used.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::of_field(Code::InvalidRequest, field, message)
    }

    /// There is nothing of this id, or it is not the caller's.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let shown: String = id.chars().take(100).collect();
        Self::new(Code::SessionNotFound, format!("{what} with id '{shown}' not found."))
    }
}

impl From<Box<ApiError>> for Failure {
    fn from(error: Box<ApiError>) -> Self {
        Self::Api(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(away) = Away::of(&error) {
            return Self::Away(away);
        }
        let (code, message) = told(&error);
        let mut told = ApiError::new(code, message);
        if told.kind == ErrorKind::Unavailable {
            told.retry_after_ms = Some(1_000);
        }
        Self::Api(Box::new(told))
    }
}

/// What callers hear of an error. What is the server's own fault stands in
/// the log.
pub(crate) fn told(error: &Error) -> (Code, String) {
    let code = match error {
        Error::NotFound => Code::SessionNotFound,
        Error::Refused(refused) => code_of(refused),
        Error::Elsewhere { .. } | Error::Moving => Code::SessionUnreachable,
        Error::Store(store) if store.kind() == ErrorKind::Internal => Code::StoreDamaged,
        Error::Store(_) => Code::StoreFailed,
        Error::KeyReused => Code::IdempotencyReused,
        Error::Crowded => Code::SessionFull,
        Error::Stopping => Code::Stopping,
        _ if error.kind() == ErrorKind::Internal => Code::StoreDamaged,
        _ => Code::StoreFailed,
    };
    if code.kind() == ErrorKind::Internal {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, cause, "session");
        return (code, "the session cannot be read; see the server's log".to_owned());
    }
    (code, error.to_string())
}

fn code_of(refused: &Refused) -> Code {
    match refused {
        Refused::NoSession => Code::SessionNotFound,
        Refused::Sealed(_) => Code::SessionSealed,
        Refused::Busy(_) => Code::SessionBusy,
        Refused::QueueFull | Refused::Full(_) => Code::SessionFull,
        Refused::NotWaiting(_) | Refused::Stale => Code::SessionNotWaiting,
        Refused::AlreadyDecided(_) | Refused::Lapsed => Code::ApprovalOver,
        Refused::NotYours => Code::ApprovalForbidden,
        Refused::ChangedArguments => Code::ApprovalChanged,
        _ if refused.kind() == ErrorKind::Internal => Code::ManagementFailed,
        _ => Code::InvalidRequest,
    }
}
