//! The errors of this room, all of them [`ApiError`]s: they go to a client.

use std::fmt::Display;
use std::path::Path;

use freehold_llm::model::ApiError;
use freehold_types::Code;

/// The request is wrong at `param`.
pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Box<ApiError> {
    let mut error = ApiError::new(Code::InvalidRequest, message);
    error.param = Some(param.to_owned());
    Box::new(error)
}

/// The weights at `path` cannot be used; `hint` says what to do.
pub(crate) fn load(path: &Path, what: impl Display, hint: &str) -> Box<ApiError> {
    Box::new(ApiError::new(
        Code::ModelNotLoaded,
        format!("the local model at {} cannot be loaded: {what}. {hint}", path.display()),
    ))
}

/// The weights at `path` do not fit this engine.
pub(crate) fn unsupported(path: &Path, what: impl Display) -> Box<ApiError> {
    load(path, what, "Use another GGUF file: `freehold models list` names some that work.")
}

/// The numbers failed: a defect of ours or of a library.
pub(crate) fn internal(what: impl Display) -> Box<ApiError> {
    let message = format!("the local model failed: {what}");
    Box::new(ApiError::new(Code::LocalEngine, message))
}

/// The queue is full.
pub(crate) fn busy(model: &str, queue: usize) -> Box<ApiError> {
    let mut error = ApiError::new(
        Code::ModelBusy,
        format!("the local model {model} is busy and {queue} requests wait already; try again"),
    );
    error.retry_after_ms = Some(1000);
    Box::new(error)
}
