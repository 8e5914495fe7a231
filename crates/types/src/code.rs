//! The stable words for everything that Freehold itself can find wrong.

use std::fmt;

use crate::ErrorKind;

/// Writes the enum, its list, its words and its kinds from one table, so that
/// none of them can lack a code.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $kind:ident;)*) => {
        /// Why Freehold did not do it: a word for programs, that stays. A new
        /// one needs a client that would act on it, and a page in
        /// `docs/errors/`, which `xtask tidy` asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, in order: each stands at its discriminant.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word as clients, logs and metrics see it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What a caller can do about it, where nothing else is said.
            pub fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

codes! {
    /// No key was presented.
    KeyMissing = "key.missing", Unauthenticated;
    /// The key was never issued here.
    KeyUnknown = "key.unknown", Unauthenticated;
    /// The key's time is over.
    KeyExpired = "key.expired", Unauthenticated;
    /// The key was taken back.
    KeyRevoked = "key.revoked", Unauthenticated;
    /// The key may not use this route.
    RouteForbidden = "route.forbidden", Forbidden;
    /// The key may not manage this.
    AdminRequired = "admin.required", Forbidden;

    /// Requests per minute.
    LimitRequests = "limit.requests", OverLimit;
    /// Tokens per minute.
    LimitTokens = "limit.tokens", OverLimit;
    /// Exchanges at once.
    LimitConcurrency = "limit.concurrency", OverLimit;
    /// A budget cannot pay for it.
    BudgetExhausted = "budget.exhausted", OutOfBudget;
    /// The route has no price, and a budget asks for one.
    BudgetUnpriced = "budget.unpriced", Forbidden;
    /// The server has as much in flight as it may.
    OverloadShed = "overload.shed", Unavailable;
    /// The upstream answers more slowly the more it gets.
    OverloadUpstream = "overload.upstream", Unavailable;
    /// Usage can no longer be recorded, and serving without is not allowed.
    UsageUnrecordable = "usage.unrecordable", Unavailable;
    /// The server is going down.
    Stopping = "stopping", Unavailable;

    /// The path is none of ours.
    UnknownPath = "unknown_path", NotFound;
    /// The path is ours, but not with this method.
    MethodNotAllowed = "method_not_allowed", Invalid;
    /// The body is larger than the server takes.
    BodyTooLarge = "body_too_large", TooLarge;
    /// The body did not arrive whole.
    BodyIncomplete = "body_incomplete", Invalid;
    /// The body is no JSON.
    InvalidJson = "invalid_json", Invalid;
    /// The body is JSON, but not what the endpoint takes.
    InvalidRequest = "invalid_request", Invalid;
    /// The request names no model.
    MissingModel = "missing_model", Invalid;
    /// No route has the model's name.
    ModelNotFound = "model_not_found", NotFound;
    /// No deployment of the route has so long a context.
    ContextLengthExceeded = "context_length_exceeded", Invalid;
    /// Nothing behind the route can do what the request asks for.
    UnsupportedFeature = "unsupported_feature", Invalid;
    /// The crossing loses something, and the caller asked for `strict`.
    StrictLoss = "strict_loss", Invalid;
    /// The request needs state that is kept between requests.
    StateNotAvailable = "state_not_available", Invalid;
    /// A URL in the request may not or could not be fetched.
    UrlNotFetched = "url_not_fetched", Invalid;
    /// The route's or the named provider does not have the endpoint.
    EndpointNotOffered = "endpoint_not_offered", NotFound;
    /// The route to pass through leads nowhere.
    NotAnEndpoint = "not_an_endpoint", Invalid;
    /// `x-freehold-provider` names no provider.
    ProviderUnknown = "provider_unknown", Invalid;
    /// Several providers offer the endpoint and none is named.
    ProviderAmbiguous = "provider_ambiguous", Invalid;

    /// No deployment takes requests just now.
    NoDeployment = "no_deployment", Unavailable;
    /// The provider refused the server's own credential.
    UpstreamCredential = "upstream_credential", Upstream;
    /// The provider cannot be reached.
    UpstreamUnreachable = "upstream_unreachable", Upstream;
    /// The provider did not answer, or stopped answering, in time.
    UpstreamTimeout = "upstream_timeout", Timeout;
    /// The connection to the provider broke while it answered.
    UpstreamBroken = "upstream_broken", Upstream;
    /// The provider's stream ended before the answer did.
    UpstreamTruncated = "upstream_truncated", Upstream;
    /// The provider's answer cannot be read.
    UpstreamGarbage = "upstream_garbage", Upstream;
    /// The provider reported an error in the middle of its stream.
    UpstreamError = "upstream_error", Upstream;
    /// The provider said that its answer failed, and not why.
    AnswerFailed = "answer_failed", Upstream;
    /// The provider's stream holds more than one answer.
    SplicedStream = "spliced_stream", Upstream;
    /// The provider's stream has parts over each other that the client's
    /// dialect can only have one after the other.
    StreamOverlap = "stream_overlap", Upstream;
    /// A provider's configured address and path make no URL.
    BadUpstreamUrl = "bad_upstream_url", Internal;

    /// This build has no local engine.
    LocalNotBuilt = "local_not_built", NotFound;
    /// The local model's weights are not there.
    WeightsMissing = "weights_missing", NotFound;
    /// The local model's weights cannot be used.
    ModelNotLoaded = "model_not_loaded", Unavailable;
    /// The local model's queue is full.
    ModelBusy = "model_busy", Unavailable;
    /// The local model failed.
    LocalEngine = "local_engine", Internal;
    /// The local engine went away in the middle.
    EngineStopped = "engine_stopped", Internal;

    /// No session, response, conversation or item has this id.
    SessionNotFound = "session.not_found", NotFound;
    /// The session is at work, and the request did not want to wait.
    SessionBusy = "session.busy", Conflict;
    /// The session went to another cell.
    SessionSealed = "session.sealed", Conflict;
    /// The session holds as much of something as it may.
    SessionFull = "session.full", OverLimit;
    /// The session does not wait for what was brought.
    SessionNotWaiting = "session.not_waiting", Conflict;
    /// The node that has the session cannot be reached.
    SessionUnreachable = "session.unreachable", Unavailable;
    /// Nothing has the id in `previous_response_id`.
    PreviousResponseNotFound = "previous_response_not_found", Invalid;
    /// A call of a tool has no result, or a result no call.
    ToolResultMissing = "tool_result_missing", Invalid;
    /// The question was decided otherwise, or nobody decided it in time.
    ApprovalOver = "approval.over", Conflict;
    /// The question is for others to decide.
    ApprovalForbidden = "approval.forbidden", Forbidden;
    /// The decision is about other arguments than the question.
    ApprovalChanged = "approval.changed", Conflict;
    /// The idempotency key was used for another request.
    IdempotencyReused = "idempotency.reused", Conflict;
    /// A session of this id is here already, or what is left of one.
    SessionExists = "session.exists", Conflict;
    /// The bundle is not as it was signed, not whole, or no bundle.
    BundleDamaged = "bundle.damaged", Invalid;
    /// Nobody whom this cell trusts signed the bundle.
    BundleUntrusted = "bundle.untrusted", Forbidden;
    /// This cell has refused the bundle for good.
    BundleRefused = "bundle.refused", Conflict;
    /// The bundle was imported here already.
    BundleImported = "bundle.imported", Conflict;
    /// The refusal is not the one that would unseal the session.
    RefusalInvalid = "refusal.invalid", Invalid;
    /// The cell is not among those that this one trusts.
    CellUnknown = "cell.unknown", Invalid;
    /// The cursor is of a time of the session that was lost.
    CursorLost = "cursor.lost", Conflict;

    /// No key has this id.
    KeyNotFound = "key.not_found", NotFound;
    /// No group has this name.
    GroupNotFound = "group.not_found", NotFound;
    /// No budget has this id.
    BudgetNotFound = "budget.not_found", NotFound;
    /// A group would be above itself.
    GroupCycle = "group.cycle", Invalid;
    /// Groups would be too deep in each other.
    GroupTooDeep = "group.too_deep", Invalid;
    /// Something is still in the group.
    GroupInUse = "group.in_use", Conflict;
    /// A name, amount or the like cannot be used.
    ValueInvalid = "value.invalid", Invalid;
    /// The configuration has a mistake.
    ConfigInvalid = "config.invalid", Invalid;
    /// No server runs on the data folder.
    ServerOffline = "server.offline", Unavailable;
    /// The store did not take a change.
    StoreFailed = "store.failed", Unavailable;
    /// A session's blob is not in the blob store.
    BlobMissing = "blob.missing", Internal;
    /// A session's blob is not what was put into the blob store.
    BlobDamaged = "blob.damaged", Internal;
    /// The blob store cannot be used now.
    BlobsFailed = "blobs.failed", Unavailable;
    /// This node's master key is not the one that the store was used with.
    MasterKeyWrong = "master_key.wrong", Unavailable;
    /// What is stored cannot be right.
    StoreDamaged = "store.damaged", Internal;
    /// Freehold itself failed in the middle of a change.
    ManagementFailed = "management.failed", Internal;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_distinct_and_fit_for_a_label_and_a_file() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        let plain = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
        assert!(words.iter().all(|word| !word.is_empty() && word.chars().all(plain)));
    }

    #[test]
    fn each_stands_at_its_discriminant() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
        }
    }
}
