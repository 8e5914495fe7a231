//! Which path is which endpoint.

use freehold_gateway::call::Endpoint;
use freehold_llm::Dialect;
use http::Method;
use http::request::Parts;

use super::{conversations, responses, style};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An endpoint of the gateway.
    Endpoint(Endpoint),
    /// The list of models.
    Models,
    /// One model.
    Model(String),
    /// Responses, of which some are kept.
    Responses(responses::Place),
    /// Conversations.
    Conversations(conversations::Place),
    /// An endpoint that takes POST only, asked otherwise; errors go back in
    /// this dialect.
    WrongMethod(Dialect),
    /// Nothing.
    Nothing,
}

impl Found {
    /// Whether it asks for work that a server with too much of it may refuse.
    pub(super) fn is_work(&self, method: &Method) -> bool {
        match self {
            Self::Endpoint(_) => true,
            Self::Responses(_) | Self::Conversations(_) => method == Method::POST,
            Self::Models | Self::Model(_) | Self::WrongMethod(_) | Self::Nothing => false,
        }
    }

    /// The dialect in which errors go back.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Endpoint(endpoint) => endpoint.dialect(),
            Self::WrongMethod(dialect) => *dialect,
            Self::Responses(_) | Self::Conversations(_) => Dialect::Responses,
            Self::Models | Self::Model(_) | Self::Nothing => Dialect::Chat,
        }
    }
}

/// Prefixes below `/v1` that providers may offer and that are passed through.
const OTHER: [&str; 9] = [
    "/files",
    "/batches",
    "/audio",
    "/images",
    "/moderations",
    "/uploads",
    "/fine_tuning",
    "/vector_stores",
    "/messages/batches",
];

/// What a request's path and method name.
pub(super) fn find(head: &Parts) -> Found {
    let path = head.uri.path();
    let Some(below) = path.strip_prefix("/v1") else { return Found::Nothing };
    let endpoint = match below {
        "/chat/completions" => Endpoint::Model(Dialect::Chat),
        "/messages" => Endpoint::Model(Dialect::Messages),
        "/messages/count_tokens" => Endpoint::CountTokens,
        "/completions" => Endpoint::Completions,
        "/embeddings" => Endpoint::Embeddings,
        "/models" if head.method == Method::GET => return Found::Models,
        _ => {
            if let Some(found) = kept(below) {
                return found;
            }
            if let Some(id) = below.strip_prefix("/models/")
                && head.method == Method::GET
            {
                return Found::Model(id.to_owned());
            }
            let known = |prefix: &&str| {
                below.strip_prefix(*prefix).is_some_and(|r| r.is_empty() || r.starts_with('/'))
            };
            if OTHER.iter().any(known) {
                let mut path = below.to_owned();
                if let Some(query) = head.uri.query() {
                    path.push('?');
                    path.push_str(query);
                }
                return Found::Endpoint(Endpoint::Other { method: head.method.clone(), path });
            }
            return Found::Nothing;
        }
    };
    if head.method != Method::POST {
        return Found::WrongMethod(match &endpoint {
            Endpoint::Model(_) | Endpoint::CountTokens => endpoint.dialect(),
            _ => style(head),
        });
    }
    Found::Endpoint(endpoint)
}

/// Whether a path names something that is kept between requests.
fn kept(below: &str) -> Option<Found> {
    if let Some(rest) = below.strip_prefix("/responses") {
        return responses::Place::of(rest).map(Found::Responses);
    }
    let rest = below.strip_prefix("/conversations")?;
    conversations::Place::of(rest).map(Found::Conversations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, uri: &str) -> Found {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        find(&request.into_parts().0)
    }

    #[test]
    fn paths_and_methods() {
        assert_eq!(
            found("POST", "/v1/chat/completions"),
            Found::Endpoint(Endpoint::Model(Dialect::Chat))
        );
        assert_eq!(found("GET", "/v1/messages"), Found::WrongMethod(Dialect::Messages));
        assert_eq!(found("GET", "/v1/models/a/b"), Found::Model("a/b".into()));
        assert_eq!(found("POST", "/v1/models"), Found::Nothing);
        assert_eq!(found("POST", "/v1/filesystem"), Found::Nothing);
        assert_eq!(
            found("DELETE", "/v1/files/file-1?x=1"),
            Found::Endpoint(Endpoint::Other {
                method: Method::DELETE,
                path: "/files/file-1?x=1".into()
            })
        );
        assert_eq!(
            found("GET", "/v1/messages/batches"),
            Found::Endpoint(Endpoint::Other {
                method: Method::GET,
                path: "/messages/batches".into()
            })
        );
        assert_eq!(found("POST", "/"), Found::Nothing);
    }
}
