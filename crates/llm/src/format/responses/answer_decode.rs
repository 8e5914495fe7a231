//! A provider's complete answer into the hub.

use serde_json::{Map, Value};

use super::{OURS, error, item, status, usage};
use crate::DecodeError;
use crate::format::json::{Fields, parse};
use crate::model::{Answer, Choice, Extra, Item, ItemBody, Stop, Usage};

/// Reads a complete answer.
pub(super) fn decode(body: &[u8]) -> Result<Answer, DecodeError> {
    let value = parse("answer", body)?;
    let failed = value.get("status").and_then(Value::as_str) == Some("failed");
    let erroneous = value.get("error").is_some_and(|e| !e.is_null());
    if failed {
        return Err(DecodeError::Api(Box::new(error::of_failed(value))));
    }
    if erroneous && value.get("output").is_none() {
        return Err(DecodeError::Api(Box::new(error::under_good_status(value))));
    }
    let head = Head::decode(value, "")?;
    let items = match head.output {
        Some(values) => item::decode_all(values, "output")?,
        None => return Err(DecodeError::shape("output", "is required")),
    };
    let stop = stop(head.status.as_deref(), head.incomplete.as_ref(), &items);
    Ok(Answer {
        origin: OURS,
        id: head.id,
        model: head.model,
        created: head.created,
        choices: vec![Choice { items, stop, extra: Extra::default() }],
        usage: head.usage,
        service_tier: head.service_tier,
        extra: Extra::new(OURS, head.rest),
    })
}

fn stop(status: Option<&str>, incomplete: Option<&Value>, items: &[Item]) -> Option<Stop> {
    let calls = items.iter().any(|item| matches!(item.body, ItemBody::ToolCall(_)));
    status::decode(status, incomplete, calls)
}

/// A `response` object taken apart, its items still on the wire. Complete
/// answers and the events of a stream share it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: Option<i64>,
    pub(super) status: Option<String>,
    pub(super) incomplete: Option<Value>,
    pub(super) output: Option<Vec<Value>>,
    pub(super) usage: Option<Usage>,
    pub(super) service_tier: Option<String>,
    pub(super) rest: Map<String, Value>,
}

impl Head {
    pub(super) fn decode(value: Value, path: &str) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(value, path)?;
        fields.take("object");
        fields.take("error");
        let usage = fields.take_some("usage");
        let usage = usage.map(|v| usage::decode(v, &fields.at("usage"))).transpose()?;
        let output = match fields.take_some("output") {
            None => None,
            Some(Value::Array(values)) => Some(values),
            Some(_) => return Err(DecodeError::shape(fields.at("output"), "expected a list")),
        };
        let incomplete = fields.take_some("incomplete_details");
        let status = fields.string("status")?;
        let created = decode_created(&mut fields)?;
        let mut head = Self {
            id: fields.string("id")?.unwrap_or_default(),
            model: fields.string("model")?.unwrap_or_default(),
            created,
            status,
            incomplete,
            output,
            usage,
            service_tier: fields.string("service_tier")?,
            rest: fields.rest(),
        };
        head.keep_odd_status();
        Ok(head)
    }

    /// What the hub's stop cannot say again stays with the extras.
    fn keep_odd_status(&mut self) {
        if let Some(word) = self.status.as_deref().filter(|s| status::is_odd(s)) {
            self.rest.insert("status".into(), word.into());
        }
        let more = self.incomplete.as_ref().filter(|d| d.as_object().is_some_and(|d| d.len() > 1));
        if let Some(details) = more {
            self.rest.insert("incomplete_details".into(), details.clone());
        }
    }

    /// Why it ended, given whether it calls the client's tools.
    pub(super) fn stop(&self, calls: bool) -> Option<Stop> {
        status::decode(self.status.as_deref(), self.incomplete.as_ref(), calls)
    }
}

/// Some servers write seconds with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates")]
fn decode_created(fields: &mut Fields) -> Result<Option<i64>, DecodeError> {
    let number = fields.number("created_at")?;
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))))
}
