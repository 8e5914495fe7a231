//! `session_search`: recall over the session's own journal, the parts that a
//! compaction took out of the context included.

use freehold_llm::model::{ItemBody, PartBody};
use freehold_types::{Offset, SessionId, TenantId};
use serde_json::{Map, Value, json};

use super::super::Performed;
use super::super::records::Records;
use super::{failed, ok};
use crate::content::{Input, output};
use crate::event::{Content, Event, Fact, Outcome};

pub(super) const DESCRIPTION: &str = "Search everything that was said and done in this session, \
    also what is no longer in the conversation. Finds messages, answers and tool results that \
    hold the words.";

/// Events that are read at once.
const BATCH: usize = 512;

/// Events that one search reads at most, newest first would need an index.
const EVENTS_MAX: usize = 200_000;

/// Blobs that one search reads at most.
const BLOBS_MAX: usize = 200;

/// What is shown around a find, in characters.
const AROUND: usize = 160;

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "query": { "type": "string", "description": "Words to look for." },
            "limit": { "type": "integer", "description": "How many finds; 10 if not said, at most 50." }
        },
        "required": ["query"],
        "additionalProperties": false
    })
}

/// Something that holds words of the query.
struct Find {
    offset: Offset,
    words: usize,
    what: &'static str,
    excerpt: String,
}

/// The best finds: those with the most words first, of these the latest.
pub(in crate::tools) async fn search(
    records: &dyn Records,
    tenant: &TenantId,
    session: SessionId,
    arguments: &Map<String, Value>,
) -> Performed {
    let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default();
    let words: Vec<String> = query.split_whitespace().take(16).map(str::to_lowercase).collect();
    if words.is_empty() {
        return failed("`query` holds the words to look for");
    }
    let limit = arguments.get("limit").and_then(Value::as_u64).unwrap_or(10).clamp(1, 50);
    let limit = usize::try_from(limit).unwrap_or(10);
    let mut finds: Vec<Find> = Vec::new();
    let (mut after, mut events, mut blobs) = (Offset::START, 0, 0);
    loop {
        let batch = match records.read(tenant, session, after, BATCH).await {
            Ok(batch) => batch,
            Err(note) => return failed(format!("the session cannot be read now: {note}")),
        };
        let Some(last) = batch.last() else { break };
        after = last.offset;
        events += batch.len();
        for event in &batch {
            let Some((what, content)) = told(event) else { continue };
            let is_blob = matches!(content, Content::Blob { .. });
            if is_blob && blobs == BLOBS_MAX {
                continue;
            }
            blobs += usize::from(is_blob);
            let Ok(value) = records.content(tenant, session, content).await else { continue };
            if let Some((words, excerpt)) = look(&text_of(event, &value), &words) {
                finds.push(Find { offset: event.offset, words, what, excerpt });
            }
        }
        finds.sort_by_key(|find| (std::cmp::Reverse(find.words), std::cmp::Reverse(find.offset)));
        finds.truncate(limit);
        if events >= EVENTS_MAX {
            break;
        }
    }
    ok(shown(&finds, events))
}

fn shown(finds: &[Find], events: usize) -> String {
    if finds.is_empty() {
        return format!("Nothing in {events} events holds any of these words.");
    }
    let mut text = String::new();
    for find in finds {
        for piece in ["[", find.what, " at ", &find.offset.to_string(), "] ", &find.excerpt, "\n"] {
            text.push_str(piece);
        }
    }
    text
}

/// The content of an event that says something.
fn told(event: &Event) -> Option<(&'static str, &Content)> {
    match &event.fact {
        Fact::InputAccepted(input) => Some(("input", &input.content)),
        Fact::ModelAnswered(answer) => Some(("answer", &answer.content)),
        Fact::ToolOutcome(ended) => match &ended.outcome {
            Outcome::Ok(content) | Outcome::Failed(content) => Some(("tool result", content)),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        },
        Fact::SignalReceived(signal) => Some(("signal", &signal.content)),
        _ => None,
    }
}

/// What is said in a content, without its JSON.
fn text_of(event: &Event, value: &Value) -> String {
    let mut text = String::new();
    let mut add = |more: &str| {
        text.push_str(more);
        text.push('\n');
    };
    match &event.fact {
        Fact::InputAccepted(_) => {
            let input: Input = serde_json::from_value(value.clone()).unwrap_or_default();
            for item in &input.items {
                of_item(&item.body, &mut add);
            }
        }
        Fact::ModelAnswered(_) => {
            let choices = value.get("choices").and_then(Value::as_array);
            let items = choices.into_iter().flatten().filter_map(|choice| choice.get("items"));
            for items in items {
                let items: Vec<freehold_llm::model::Item> =
                    serde_json::from_value(items.clone()).unwrap_or_default();
                for item in &items {
                    of_item(&item.body, &mut add);
                }
            }
        }
        _ => output(value).iter().for_each(|part| {
            if let Some(text) = part.as_text() {
                add(text);
            }
        }),
    }
    text
}

fn of_item(body: &ItemBody, add: &mut impl FnMut(&str)) {
    match body {
        ItemBody::Message(message) => message.parts.iter().for_each(|part| match &part.body {
            PartBody::Text { text, .. } | PartBody::Refusal(text) => add(text),
            _ => {}
        }),
        ItemBody::ToolCall(call) => {
            add(&call.name);
            add(&call.input);
        }
        ItemBody::ToolResult(result) => {
            result.output.iter().filter_map(|part| part.as_text()).for_each(add);
        }
        ItemBody::Reasoning(_) | ItemBody::Native { .. } => {}
    }
}

/// How many of the words a text holds, and the text around the first.
fn look(text: &str, words: &[String]) -> Option<(usize, String)> {
    let lower = text.to_lowercase();
    let found: Vec<usize> = words.iter().filter_map(|word| lower.find(word.as_str())).collect();
    let first = *found.iter().min()?;
    // Lower case may have other lengths; characters are counted, not bytes.
    let before = lower.get(..first).map_or(0, |before| before.chars().count());
    let from = before.saturating_sub(AROUND);
    let excerpt: String = text
        .chars()
        .skip(from)
        .take(2 * AROUND)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let (start, end) = (if from > 0 { "…" } else { "" }, "…");
    let cut = text.chars().nth(from + 2 * AROUND).is_some();
    Some((found.len(), format!("{start}{excerpt}{}", if cut { end } else { "" })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_find_shows_the_words_and_what_stands_around_them() {
        let words = ["invoice".to_owned(), "4711".to_owned()];
        let text = format!("{} Invoice 4711 is paid. {}", "x".repeat(500), "y".repeat(500));
        let (count, excerpt) = look(&text, &words).expect("it is there");
        assert_eq!(count, 2);
        assert!(excerpt.contains("Invoice 4711") && excerpt.starts_with('…'));
        assert!(excerpt.chars().count() <= 2 * AROUND + 2);
        assert!(look("nothing of it", &words).is_none());
        // A letter whose lower case is longer than itself moves nothing out of reach.
        assert!(look(&format!("{} 4711", "İ".repeat(300)), &words).is_some());
    }
}
