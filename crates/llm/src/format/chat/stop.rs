//! `finish_reason`, in OpenAI's words and in those of compatible servers.

use crate::model::{Dialect, Item, ItemBody, PartBody, Stop, StopReason};

const ME: Dialect = Dialect::Chat;

/// A finish reason. Several servers say `stop` also where the model called a
/// tool; a client that waits for tools must hear of it.
pub(super) fn decode(word: String, has_calls: bool) -> Stop {
    let reason = match word.as_str() {
        "" | "stop" | "eos" | "eos_token" | "end_turn" if has_calls => StopReason::ToolCalls,
        "" | "stop" | "eos" | "eos_token" | "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::StopSequence,
        "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" | "tool_use" => StopReason::ToolCalls,
        "content_filter" | "refusal" => StopReason::Refusal,
        "error" | "abort" | "insufficient_system_resource" => StopReason::Failed,
        _ => StopReason::Other,
    };
    Stop { reason, native: Some((ME, word)), sequence: None }
}

/// The word for a stop. `refused` is true where a refusal in words came
/// before it: OpenAI ends those with a plain `stop`.
pub(super) fn encode(stop: &Stop, refused: bool, legacy_call: bool) -> &str {
    if let Some((ME, word)) = &stop.native {
        return word;
    }
    match stop.reason {
        StopReason::ToolCalls if legacy_call => "function_call",
        StopReason::ToolCalls => "tool_calls",
        StopReason::MaxTokens => "length",
        StopReason::Refusal if !refused => "content_filter",
        StopReason::Failed => "error",
        StopReason::End
        | StopReason::StopSequence
        | StopReason::Refusal
        | StopReason::Pause
        | StopReason::Other => "stop",
    }
}

/// Whether items hold a refusal in words.
pub(super) fn refused(items: &[Item]) -> bool {
    items.iter().any(|item| match &item.body {
        ItemBody::Message(m) => m.parts.iter().any(|p| matches!(p.body, PartBody::Refusal(_))),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ended_with_stop_still_waits_for_tools() {
        let stop = decode("stop".into(), true);
        assert_eq!(stop.reason, StopReason::ToolCalls);
        assert_eq!(encode(&stop, false, false), "stop");
    }

    #[test]
    fn words_of_compatible_servers() {
        assert_eq!(decode("model_length".into(), false).reason, StopReason::MaxTokens);
        assert_eq!(decode("eos".into(), false).reason, StopReason::End);
        assert_eq!(decode("banana".into(), false).reason, StopReason::Other);
    }

    #[test]
    fn foreign_stops_get_openais_words() {
        assert_eq!(encode(&Stop::new(StopReason::Refusal), false, false), "content_filter");
        assert_eq!(encode(&Stop::new(StopReason::Refusal), true, false), "stop");
        assert_eq!(encode(&Stop::new(StopReason::ToolCalls), false, true), "function_call");
        let native = Some((Dialect::Messages, "max_tokens".to_owned()));
        let stop = Stop { reason: StopReason::MaxTokens, native, sequence: None };
        assert_eq!(encode(&stop, false, false), "length");
    }
}
