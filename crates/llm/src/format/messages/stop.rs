//! `stop_reason` and `stop_sequence`.

use serde_json::Value;

use super::OURS;
use crate::model::{Stop, StopReason};

/// Why an answer ended; `None` where it did not.
pub(super) fn decode(word: Option<String>, sequence: Option<String>) -> Option<Stop> {
    let word = word?;
    let reason = match word.as_str() {
        "end_turn" => StopReason::End,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolCalls,
        "pause_turn" => StopReason::Pause,
        "refusal" => StopReason::Refusal,
        _ => StopReason::Other,
    };
    Some(Stop { reason, native: Some((OURS, word)), sequence })
}

/// `stop_reason` and `stop_sequence`.
pub(super) fn encode(stop: Option<&Stop>) -> (Value, Value) {
    let Some(stop) = stop else { return (Value::Null, Value::Null) };
    let sequence = stop.sequence.as_deref().map_or(Value::Null, Value::from);
    if let Some((OURS, word)) = &stop.native {
        return (word.as_str().into(), sequence);
    }
    let word = match stop.reason {
        StopReason::End | StopReason::Other => "end_turn",
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolCalls => "tool_use",
        StopReason::Pause => "pause_turn",
        StopReason::Refusal => "refusal",
        // A failure is no end: a stream says it as an error event, and a
        // whole answer says that it did not end.
        StopReason::Failed => return (Value::Null, Value::Null),
    };
    (word.into(), sequence)
}
