//! What Chat can say, for the loss table.

use crate::codec::FieldSupport;
use crate::codec::Support::{Full, Mapped};

const fn full(field: &'static str) -> FieldSupport {
    FieldSupport { field, support: Full }
}

const fn mapped(field: &'static str, note: &'static str) -> FieldSupport {
    FieldSupport { field, support: Mapped(note) }
}

pub(super) const FIELDS: &[FieldSupport] = &[
    mapped("instructions", "the first system message"),
    full("max_tokens"),
    full("temperature"),
    full("top_p"),
    mapped("top_k", "only to servers whose catalogue row has the quirk `top_k`"),
    full("frequency_penalty"),
    full("presence_penalty"),
    full("seed"),
    full("stop"),
    full("n"),
    full("logprobs"),
    full("format.json_object"),
    mapped("format.json_schema", "`json_object` to servers with the quirk `no_json_schema`"),
    full("format.name"),
    full("format.description"),
    full("format.strict"),
    full("reasoning.effort"),
    mapped(
        "reasoning.budget_tokens",
        "an effort by size: up to 2048 low, up to 8192 medium, else high; as it is to servers that take a budget",
    ),
    mapped("reasoning.enabled", "only to servers with a switch for thinking"),
    full("verbosity"),
    full("tool.strict"),
    full("tool.custom"),
    full("tool.native"),
    full("tool_choice"),
    full("tool_choice.native"),
    full("parallel_tool_calls"),
    full("stream_usage"),
    full("user"),
    full("metadata"),
    mapped("service_tier", "in OpenAI's words; `standard_only` is `default`"),
    full("prompt_cache_key"),
    full("store"),
    mapped("cache_mark", "`cache_control` to servers with the quirk `cache_control`"),
    mapped("cache_mark.ttl", "with the mark"),
    full("role.system"),
    mapped("role.developer", "`system` to servers with the quirk `no_developer_role`"),
    mapped("item.id", "dropped: Chat's items have no ids, and nothing refers to them"),
    full("item.native"),
    full("part.refusal"),
    full("part.image.url"),
    full("part.image.inline"),
    full("part.image.detail"),
    mapped("part.image.assistant", "`images` on the message, in answers only"),
    mapped("part.file.url", "only to servers that fetch documents"),
    full("part.file.inline"),
    full("part.file.file_id"),
    mapped("part.file.text", "a text part"),
    full("part.file.name"),
    full("part.audio"),
    full("part.native"),
    full("annotation.url"),
    full("annotation.native"),
    mapped(
        "item.reasoning.text",
        "`reasoning_content` in answers, and to servers that want it back",
    ),
    mapped("item.reasoning.summary", "`reasoning_content` and `reasoning_details` in answers"),
    mapped("item.reasoning.seal", "`reasoning_details` in answers, from where clients return it"),
    full("tool_call.custom"),
    mapped("tool_result.image", "a user message after the results"),
    mapped("tool_result.file", "a user message after the results"),
    mapped("tool_result.audio", "a user message after the results"),
    full("tool_result.native"),
    full("answer.created"),
    full("answer.choices"),
    full("answer.logprobs"),
    full("answer.service_tier"),
    mapped("answer.stop_sequence", "read from vLLM and SGLang; a plain `stop` to clients"),
    mapped("answer.stop.pause", "a plain `stop`"),
    full("usage.cache_read"),
    full("usage.cache_write"),
    full("usage.reasoning"),
];

/// Known fields that only Chat has. Compatible servers have many more; they
/// ride along in the same way.
pub(super) const OWN_FIELDS: &[&str] = &[
    "audio",
    "logit_bias",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "stream_options.include_obfuscation",
    "web_search_options",
    "messages.name",
    "choices.content_filter_results",
    "system_fingerprint",
];
