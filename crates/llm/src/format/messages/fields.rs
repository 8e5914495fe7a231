//! What this dialect can say, for the loss table.

use crate::codec::{FieldSupport, Support};

const fn full(field: &'static str) -> FieldSupport {
    FieldSupport { field, support: Support::Full }
}

const fn mapped(field: &'static str, note: &'static str) -> FieldSupport {
    FieldSupport { field, support: Support::Mapped(note) }
}

/// By name; what is not here cannot be said.
pub(super) const FIELDS: &[FieldSupport] = &[
    full("instructions"),
    mapped("max_tokens", "compulsory in messages: the route's default where it is not given"),
    mapped("temperature", "above 1 is sent as 1; left out beside thinking"),
    mapped("top_p", "left out beside thinking"),
    mapped("top_k", "left out beside thinking"),
    mapped("stop", "blank stop strings are left out"),
    full("format.json_schema"),
    mapped("format.name", "not sent: messages needs no name for the schema"),
    mapped("format.description", "the schema's description"),
    mapped("format.strict", "not sent: a schema always binds in messages"),
    mapped("reasoning.effort", "adaptive thinking and output_config.effort, or a token budget"),
    full("reasoning.budget_tokens"),
    full("reasoning.enabled"),
    mapped("reasoning.summary", "any summary is thinking.display summarized"),
    mapped("reasoning.want_seal", "thinking is always signed in messages"),
    full("tool.strict"),
    full("tool.native"),
    full("tool_choice"),
    full("tool_choice.native"),
    mapped("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
    mapped("stream_usage", "a messages stream always has usage"),
    mapped("user", "metadata.user_id"),
    mapped("service_tier", "auto stays, default is standard_only, others are left out"),
    full("cache_mark"),
    full("cache_mark.ttl"),
    mapped("role.system", "joins the system prompt at the top"),
    mapped("role.developer", "joins the system prompt at the top"),
    full("item.native"),
    mapped("part.refusal", "a text"),
    full("part.image.url"),
    full("part.image.inline"),
    full("part.image.file_id"),
    full("part.file.url"),
    full("part.file.inline"),
    full("part.file.file_id"),
    full("part.file.text"),
    mapped("part.file.name", "the document's title"),
    full("part.native"),
    full("annotation.url"),
    full("annotation.native"),
    full("item.reasoning.text"),
    mapped("item.reasoning.summary", "the text of a thinking block"),
    mapped("item.reasoning.seal", "only the issuer gets it; clients of others carry it sealed"),
    mapped("tool_call.custom", "an object with the text as input"),
    full("tool_result.is_error"),
    full("tool_result.image"),
    full("tool_result.file"),
    full("tool_result.native"),
    full("answer.service_tier"),
    full("answer.stop_sequence"),
    full("answer.stop.pause"),
    full("usage.cache_read"),
    full("usage.cache_write"),
    full("usage.cache_write_long"),
    full("usage.reasoning"),
];

/// Fields that only this dialect knows.
pub(super) const OWN_FIELDS: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "speed",
    "stop_details",
    "user_profile_id",
    "content.caller",
    "content.citations",
    "content.context",
    "content.toolset_name",
    "content.transformations",
    "tools.allowed_callers",
    "tools.defer_loading",
    "tools.eager_input_streaming",
    "tools.input_examples",
];
