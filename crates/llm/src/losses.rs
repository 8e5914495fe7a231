//! What cannot cross from one dialect to another: the names, and the table.
//!
//! Every hub field that a dialect may lack has one stable name in [`FIELDS`].
//! A codec says in [`Codec::fields`] how far it carries each, and reports the
//! same names in [`crate::Losses`] when it meets one it cannot. Clients match
//! on these names in `strict` mode, so a name is never changed.
//!
//! To add a hub field that not every dialect has: a row here, a row in the
//! `fields()` of each dialect that can say it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::codec::{Codec, Support};

/// A hub field that some dialect may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The stable name.
    pub name: &'static str,
    /// What it is, in one line for the table.
    pub meaning: &'static str,
}

const fn field(name: &'static str, meaning: &'static str) -> Field {
    Field { name, meaning }
}

/// Every field by its stable name: the request's, then the conversation's,
/// then the answer's. Model, roles user and assistant, plain text, function
/// tools with calls and results, streaming and token counts are not here:
/// every dialect has them.
pub const FIELDS: &[Field] = &[
    // The request.
    field("instructions", "standing orders outside of the conversation"),
    field("max_tokens", "the most output tokens"),
    field("temperature", "sampling temperature"),
    field("top_p", "nucleus sampling"),
    field("top_k", "only the k likeliest tokens"),
    field("frequency_penalty", "penalty on repeated tokens by count"),
    field("presence_penalty", "penalty on repeated tokens"),
    field("seed", "repeatable sampling"),
    field("stop", "strings that end the answer"),
    field("n", "several alternative answers"),
    field("logprobs", "a request for token probabilities"),
    field("format.json_object", "output as some JSON object"),
    field("format.json_schema", "output as JSON by a schema"),
    field("format.name", "name of the output's schema"),
    field("format.description", "description of the output's schema"),
    field("format.strict", "whether the output's schema binds"),
    field("reasoning.effort", "how much to think, by word"),
    field("reasoning.budget_tokens", "how much to think, in tokens"),
    field("reasoning.enabled", "thinking switched on or off"),
    field("reasoning.summary", "which summary of the thinking is wanted"),
    field("reasoning.want_seal", "a request for sealed reasoning"),
    field("verbosity", "how much to say, by word"),
    field("tool.strict", "whether a call must fit the tool's schema"),
    field("tool.custom", "tools that take free text"),
    field("tool.native", "tools that the provider runs"),
    field("tool_choice", "whether and which tool must be called"),
    field("tool_choice.native", "a tool choice of the dialect's own form"),
    field("parallel_tool_calls", "whether several calls may come at once"),
    field("stream_usage", "a request for usage in the stream"),
    field("user", "the end user, for abuse detection"),
    field("metadata", "the client's own labels"),
    field("service_tier", "the provider's lane"),
    field("prompt_cache_key", "joins requests that share a prefix"),
    field("store", "whether the provider may keep the answer"),
    field("cache_mark", "prompt-cache breakpoints on parts, tools and results"),
    field("cache_mark.ttl", "lifetime of a prompt-cache breakpoint"),
    // The conversation.
    field("role.system", "system messages in the middle of the conversation"),
    field("role.developer", "the developer role apart from system"),
    field("item.id", "ids of items"),
    field("item.native", "items of the dialect's own kinds"),
    field("part.refusal", "a refusal in words"),
    field("part.image.url", "images by URL"),
    field("part.image.inline", "images in the request"),
    field("part.image.file_id", "images uploaded before"),
    field("part.image.detail", "how closely to look at an image"),
    field("part.image.assistant", "images said by the model"),
    field("part.file.url", "documents by URL"),
    field("part.file.inline", "documents in the request"),
    field("part.file.file_id", "documents uploaded before"),
    field("part.file.text", "plain text standing for a document"),
    field("part.file.name", "a document's name"),
    field("part.audio", "sound"),
    field("part.native", "parts of the dialect's own kinds"),
    field("annotation.url", "web pages that a text cites"),
    field("annotation.native", "citations of the dialect's own kinds"),
    field("item.reasoning.text", "the thinking itself"),
    field("item.reasoning.summary", "a summary of the thinking"),
    field("item.reasoning.seal", "signed or encrypted thinking, to be shown again"),
    field("tool_call.custom", "calls with free text"),
    field("tool_result.is_error", "a tool's failure apart from its text"),
    field("tool_result.image", "images in a tool's result"),
    field("tool_result.file", "documents in a tool's result"),
    field("tool_result.audio", "sound in a tool's result"),
    field("tool_result.native", "parts of the dialect's own kinds in a tool's result"),
    // The answer.
    field("answer.created", "when the answer was made"),
    field("answer.choices", "alternatives beyond the first"),
    field("answer.logprobs", "token probabilities"),
    field("answer.service_tier", "the lane that served it"),
    field("answer.stop_sequence", "which stop string was met"),
    field("answer.stop.pause", "a long turn paused by the provider"),
    field("usage.cache_read", "input tokens read from a prompt cache"),
    field("usage.cache_write", "input tokens written to a prompt cache"),
    field("usage.cache_write_long", "of those, with the long lifetime"),
    field("usage.reasoning", "output tokens spent on thinking"),
];

/// Whether `name` is one of [`FIELDS`].
pub fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|f| f.name == name)
}

/// What each ordered pair of dialects loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LossTable {
    /// All fields with their meaning.
    pub fields: &'static [Field],
    /// Every ordered pair of two dialects.
    pub pairs: Vec<Pair>,
}

/// What is lost or changed from one dialect to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The client's dialect.
    pub from: &'static str,
    /// The provider's dialect.
    pub to: &'static str,
    /// Fields that `from` can say and `to` cannot.
    pub lost: Vec<&'static str>,
    /// Fields that cross in another form.
    pub mapped: Vec<Mapped>,
    /// Fields that only `from` knows, reported as `extra.` and their place.
    pub extra: &'static [&'static str],
}

/// A field that crosses in another form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// The field's stable name.
    pub field: &'static str,
    /// How it is said on the other side, or how it was said on this one.
    pub note: &'static str,
}

/// The table over `codecs`, in their order. Pure; the same codecs give the
/// same table.
pub fn table(codecs: &[&dyn Codec]) -> LossTable {
    let pairs = codecs
        .iter()
        .flat_map(|from| codecs.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from.dialect() != to.dialect())
        .map(|(from, to)| pair(from, to))
        .collect();
    LossTable { fields: FIELDS, pairs }
}

fn support(codec: &dyn Codec, field: &str) -> Support {
    codec.fields().iter().find(|row| row.field == field).map_or(Support::None, |row| row.support)
}

fn pair(from: &dyn Codec, to: &dyn Codec) -> Pair {
    let mut lost = Vec::new();
    let mut mapped = Vec::new();
    for field in FIELDS {
        match (support(from, field.name), support(to, field.name)) {
            (Support::None, _) | (Support::Full, Support::Full) => {}
            (_, Support::None) => lost.push(field.name),
            (_, Support::Mapped(note)) | (Support::Mapped(note), Support::Full) => {
                mapped.push(Mapped { field: field.name, note });
            }
        }
    }
    Pair {
        from: from.dialect().word(),
        to: to.dialect().word(),
        lost,
        mapped,
        extra: from.own_fields(),
    }
}

impl LossTable {
    /// The table as JSON, pretty, with a line end.
    pub fn to_json(&self) -> String {
        // Only strings and lists of them: this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The table as a Markdown page.
    pub fn to_markdown(&self) -> String {
        let mut page = String::from(
            "# What cannot cross\n\n\
             Generated; do not edit. One section per pair of dialects: the client's, then the\n\
             provider's. Inside one dialect nothing is lost. With `strict` a request that would\n\
             lose one of these is refused with status 400.\n",
        );
        for pair in &self.pairs {
            pair.write_markdown(&mut page);
        }
        page
    }
}

impl Pair {
    /// Writing to a `String` cannot fail, so results are dropped by `is_ok`.
    fn write_markdown(&self, page: &mut String) {
        let mut line = |text: std::fmt::Arguments<'_>| page.write_fmt(text).is_ok();
        line(format_args!("\n## {} to {}\n", self.from, self.to));
        line(format_args!("\nLost:\n\n| field | what it is |\n|---|---|\n"));
        for name in &self.lost {
            let meaning = FIELDS.iter().find(|f| f.name == *name).map_or("", |f| f.meaning);
            line(format_args!("| `{name}` | {meaning} |\n"));
        }
        if !self.mapped.is_empty() {
            line(format_args!("\nCarried in another form:\n\n| field | how |\n|---|---|\n"));
            for mapped in &self.mapped {
                line(format_args!("| `{}` | {} |\n", mapped.field, mapped.note));
            }
        }
        if !self.extra.is_empty() {
            let names: Vec<String> = self.extra.iter().map(|n| format!("`{n}`")).collect();
            line(format_args!(
                "\nFields that only {} knows, lost as `extra.NAME`: {}.\n",
                self.from,
                names.join(", ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_stands_once() {
        let names: BTreeSet<_> = FIELDS.iter().map(|f| f.name).collect();
        assert_eq!(names.len(), FIELDS.len());
        assert!(is_field("top_k"));
        assert!(!is_field("top-k"));
    }
}
