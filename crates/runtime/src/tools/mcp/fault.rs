//! What a failure of the protocol means for a call.

use rmcp::model::ErrorCode;
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::wire::WireError;

/// Why a server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Fault {
    /// It said so: it is known what happened.
    Said(String),
    /// It was never asked.
    Unreached(String),
    /// It wants a credential, or another one; what it says of which.
    Unauthorized(String),
    /// Nobody knows what it did.
    Lost(String),
}

impl Fault {
    /// For people and models.
    pub(in crate::tools) fn message(&self) -> String {
        match self {
            Self::Said(message) | Self::Lost(message) => message.clone(),
            Self::Unreached(message) => {
                format!("It was not called, for it cannot be reached: {message}")
            }
            Self::Unauthorized(_) => "The server wants a credential, or another one.".to_owned(),
        }
    }

    /// Of a connection that did not come about.
    pub(in crate::tools) fn of_start(error: &ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::TransportError { error, .. } => match Self::of_wire(error) {
                // Nothing of a call was in it.
                Self::Lost(message) | Self::Said(message) => Self::Unreached(message),
                other => other,
            },
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
                Self::of_start(fallback)
            }
            other => Self::Unreached(cut(&other.to_string())),
        }
    }

    /// Of a request on a connection.
    pub(in crate::tools) fn of_request(error: &ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) if is_lost(error) => Self::Lost(cut(&error.message)),
            ServiceError::McpError(error) => {
                Self::Said(cut(&format!("error {}: {}", error.code.0, error.message)))
            }
            ServiceError::TransportSend(error) => Self::of_wire(error),
            ServiceError::InputRequiredRoundsExceeded { .. } => {
                Self::Said("the server asks again and again and does not begin".to_owned())
            }
            other => Self::Lost(cut(&other.to_string())),
        }
    }

    fn of_wire(error: &DynamicTransportError) -> Self {
        match error.error.downcast_ref::<StreamableHttpError<WireError>>() {
            Some(StreamableHttpError::Client(error)) if error.reached => {
                Self::Lost(error.message.clone())
            }
            // A status that is an error is the server's word; but what was
            // never sent has the same form.
            Some(StreamableHttpError::Client(error)) => {
                if error.message.starts_with("HTTP ") {
                    Self::Said(cut(&error.message))
                } else {
                    Self::Unreached(cut(&error.message))
                }
            }
            Some(StreamableHttpError::AuthRequired(error)) => {
                Self::Unauthorized(error.www_authenticate_header.clone())
            }
            Some(StreamableHttpError::InsufficientScope(error)) => {
                Self::Unauthorized(error.www_authenticate_header.clone())
            }
            // A server that knows no such session runs nothing in it.
            Some(StreamableHttpError::SessionExpired) => {
                Self::Unreached("the server forgot the session".to_owned())
            }
            _ => Self::Lost(cut(&error.to_string())),
        }
    }
}

/// An error that `rmcp` itself makes where an answer will not come; others of
/// its own it tells apart.
fn is_lost(error: &rmcp::ErrorData) -> bool {
    error.code == ErrorCode::INTERNAL_ERROR && error.message.contains("was re-initialized")
}

fn cut(message: &str) -> String {
    message.chars().take(2_000).collect()
}
