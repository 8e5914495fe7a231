//! The body of a stream event as it is written: one shape with every field
//! that some event has, so that a delta is serialised without building a tree.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

/// The fields of an event beside its type and number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire<'a> {
    pub(super) response: Option<&'a Value>,
    pub(super) item_id: Option<&'a str>,
    pub(super) output_index: Option<u32>,
    pub(super) content_index: Option<u32>,
    pub(super) summary_index: Option<u32>,
    pub(super) annotation_index: Option<u32>,
    pub(super) item: Option<&'a Value>,
    pub(super) part: Option<&'a Value>,
    pub(super) annotation: Option<&'a Value>,
    pub(super) delta: Option<&'a str>,
    pub(super) text: Option<&'a str>,
    pub(super) refusal: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) arguments: Option<&'a str>,
    pub(super) input: Option<&'a str>,
    pub(super) logprobs: Option<&'a [Value]>,
    pub(super) error: Option<&'a Value>,
    pub(super) code: Option<&'a Value>,
    pub(super) message: Option<&'a Value>,
    pub(super) param: Option<&'a Value>,
    /// All fields of an event that is passed on.
    pub(super) native: Option<&'a Map<String, Value>>,
}

struct Numbered<'a> {
    kind: &'a str,
    wire: &'a Wire<'a>,
    sequence: u64,
}

fn put<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &str,
    value: Option<T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(name, &value),
        None => Ok(()),
    }
}

impl Serialize for Numbered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = self.wire;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("sequence_number", &self.sequence)?;
        put(&mut map, "response", wire.response)?;
        put(&mut map, "item_id", wire.item_id)?;
        put(&mut map, "output_index", wire.output_index)?;
        put(&mut map, "content_index", wire.content_index)?;
        put(&mut map, "summary_index", wire.summary_index)?;
        put(&mut map, "annotation_index", wire.annotation_index)?;
        put(&mut map, "item", wire.item)?;
        put(&mut map, "part", wire.part)?;
        put(&mut map, "annotation", wire.annotation)?;
        put(&mut map, "delta", wire.delta)?;
        put(&mut map, "text", wire.text)?;
        put(&mut map, "refusal", wire.refusal)?;
        put(&mut map, "name", wire.name)?;
        put(&mut map, "arguments", wire.arguments)?;
        put(&mut map, "input", wire.input)?;
        put(&mut map, "logprobs", wire.logprobs)?;
        put(&mut map, "error", wire.error)?;
        put(&mut map, "code", wire.code)?;
        put(&mut map, "message", wire.message)?;
        put(&mut map, "param", wire.param)?;
        for (name, value) in wire.native.into_iter().flatten() {
            if name != "type" && name != "sequence_number" {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// Appends an event.
pub(super) fn write(kind: &str, wire: &Wire<'_>, sequence: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let start = out.len();
    if serde_json::to_writer(&mut *out, &Numbered { kind, wire, sequence }).is_err() {
        // Writing values to memory does not fail.
        out.truncate(start);
    }
    out.extend_from_slice(b"\n\n");
}
