//! Why an answer ended: `status` and `incomplete_details` of the wire against
//! the hub's [`Stop`].

use serde_json::{Value, json};

use super::OURS;
use crate::model::{Stop, StopReason};

/// Statuses that are no reason of incompleteness and that a stop can say.
const STATUSES: [&str; 3] = ["completed", "failed", "cancelled"];

/// True for a status that [`Stop`] cannot say again.
pub(super) fn is_odd(status: &str) -> bool {
    status != "incomplete" && !STATUSES.contains(&status)
}

/// What ended an answer. `calls`: it holds calls of the client's tools.
/// `None` while it has not ended.
pub(super) fn decode(status: Option<&str>, details: Option<&Value>, calls: bool) -> Option<Stop> {
    let reason = details.and_then(|d| d.get("reason")).and_then(Value::as_str);
    let (stop, word) = match (status, reason) {
        (Some("in_progress" | "queued"), _) => return None,
        (Some("incomplete"), reason) | (None, reason @ Some(_)) => match reason {
            Some(word @ "max_output_tokens") => (StopReason::MaxTokens, word),
            Some(word @ "content_filter") => (StopReason::Refusal, word),
            Some(word) => (StopReason::Other, word),
            None => (StopReason::Other, "incomplete"),
        },
        (Some("failed"), _) => (StopReason::Failed, "failed"),
        (Some("cancelled"), _) => (StopReason::Other, "cancelled"),
        _ if calls => (StopReason::ToolCalls, "completed"),
        _ => (StopReason::End, "completed"),
    };
    Some(Stop { reason: stop, native: Some((OURS, word.to_owned())), sequence: None })
}

/// The wire's `status` and `incomplete_details`.
///
/// A filter's or the model's refusal that another dialect reports is
/// `content_filter`. A paused turn is `max_output_tokens`: the nearest word
/// for "send it back to go on".
pub(super) fn encode(stop: Option<&Stop>) -> (String, Value) {
    let Some(stop) = stop else { return ("in_progress".to_owned(), Value::Null) };
    if let Some((OURS, word)) = &stop.native {
        return match word.as_str() {
            "incomplete" => (word.clone(), Value::Null),
            word if STATUSES.contains(&word) => (word.to_owned(), Value::Null),
            word => ("incomplete".to_owned(), json!({"reason": word})),
        };
    }
    let reason = match stop.reason {
        StopReason::MaxTokens | StopReason::Pause => "max_output_tokens",
        StopReason::Refusal => "content_filter",
        StopReason::Failed => return ("failed".to_owned(), Value::Null),
        StopReason::End | StopReason::StopSequence | StopReason::ToolCalls | StopReason::Other => {
            return ("completed".to_owned(), Value::Null);
        }
    };
    ("incomplete".to_owned(), json!({"reason": reason}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        for (status, details) in [
            ("completed", Value::Null),
            ("cancelled", Value::Null),
            ("incomplete", Value::Null),
            ("incomplete", json!({"reason": "max_output_tokens"})),
            ("incomplete", json!({"reason": "content_filter"})),
            ("incomplete", json!({"reason": "steered"})),
        ] {
            let stop = decode(Some(status), Some(&details), false);
            assert_eq!(encode(stop.as_ref()), (status.to_owned(), details));
        }
    }

    #[test]
    fn calls_make_a_completed_answer_wait_for_tools() {
        let reason = |calls| decode(Some("completed"), None, calls).map(|s| s.reason);
        assert_eq!(reason(true), Some(StopReason::ToolCalls));
        assert_eq!(reason(false), Some(StopReason::End));
    }

    #[test]
    fn an_answer_under_way_has_no_stop() {
        assert_eq!(decode(Some("queued"), None, false), None);
    }

    #[test]
    fn reasons_of_other_dialects_become_statuses() {
        let encoded = |reason| encode(Some(&Stop::new(reason)));
        assert_eq!(encoded(StopReason::Pause).1, json!({"reason": "max_output_tokens"}));
        assert_eq!(encoded(StopReason::Refusal).1, json!({"reason": "content_filter"}));
        assert_eq!(encoded(StopReason::StopSequence).0, "completed");
    }
}
