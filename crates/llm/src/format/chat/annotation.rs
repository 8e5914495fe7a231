//! What stands beside a text: the pages it cites, its tokens' probabilities.

use serde_json::{Map, Value, json};

use crate::model::{Annotation, Dialect, Extra, Logprob};

const ME: Dialect = Dialect::Chat;

/// One of a message's `annotations`.
pub(super) fn decode(json: Value) -> Annotation {
    match url_citation(&json) {
        Some(citation) => citation,
        None => Annotation::Native { dialect: ME, json },
    }
}

fn url_citation(json: &Value) -> Option<Annotation> {
    let outer = json.as_object()?;
    let is_plain = outer.keys().all(|k| k == "type" || k == "url_citation");
    if !is_plain || outer.get("type")?.as_str()? != "url_citation" {
        return None;
    }
    let mut inner = outer.get("url_citation")?.as_object()?.clone();
    let url = inner.shift_remove("url")?.as_str()?.to_owned();
    let title = match inner.shift_remove("title") {
        None => String::new(),
        Some(title) => title.as_str()?.to_owned(),
    };
    let mut index = |name| match inner.shift_remove(name) {
        None => Some(None),
        Some(at) => at.as_u64().map(Some),
    };
    let (start, end) = (index("start_index")?, index("end_index")?);
    Some(Annotation::Url { url, title, start, end, extra: Extra::new(ME, inner) })
}

/// One of a message's `annotations`; `None` for another dialect's own kind.
pub(super) fn encode(annotation: &Annotation) -> Option<Value> {
    match annotation {
        Annotation::Url { url, title, start, end, extra } => {
            let mut inner = Map::new();
            inner.insert("url".into(), url.as_str().into());
            inner.insert("title".into(), title.as_str().into());
            if let Some(start) = start {
                inner.insert("start_index".into(), (*start).into());
            }
            if let Some(end) = end {
                inner.insert("end_index".into(), (*end).into());
            }
            if extra.origin == Some(ME) {
                inner.extend(extra.fields.clone());
            }
            Some(json!({"type": "url_citation", "url_citation": inner}))
        }
        Annotation::Native { dialect: ME, json } => Some(json.clone()),
        Annotation::Native { .. } => None,
    }
}

/// A list of token probabilities; `None` if it has anything the hub has no
/// place for.
pub(super) fn decode_logprobs(value: &Value) -> Option<Vec<Logprob>> {
    value.as_array()?.iter().map(|entry| logprob(entry, true)).collect()
}

fn logprob(value: &Value, outer: bool) -> Option<Logprob> {
    let map = value.as_object()?;
    let known = ["token", "logprob", "bytes"];
    let is_known = |key: &str| known.contains(&key) || outer && key == "top_logprobs";
    if !map.keys().all(|key| is_known(key)) {
        return None;
    }
    let bytes = match map.get("bytes") {
        None | Some(Value::Null) => None,
        Some(bytes) => Some(
            bytes
                .as_array()?
                .iter()
                .map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok()))
                .collect::<Option<Vec<u8>>>()?,
        ),
    };
    let top = match map.get("top_logprobs") {
        None | Some(Value::Null) => Vec::new(),
        Some(top) => top.as_array()?.iter().map(|t| logprob(t, false)).collect::<Option<_>>()?,
    };
    let Value::Number(number) = map.get("logprob")? else { return None };
    Some(Logprob {
        token: map.get("token")?.as_str()?.to_owned(),
        logprob: number.clone(),
        bytes,
        top,
    })
}

/// Token probabilities as Chat's list.
pub(super) fn encode_logprobs(logprobs: &[Logprob]) -> Value {
    let entry = |l: &Logprob| {
        let mut map = Map::new();
        map.insert("token".into(), l.token.as_str().into());
        map.insert("logprob".into(), Value::Number(l.logprob.clone()));
        map.insert("bytes".into(), l.bytes.clone().map_or(Value::Null, Value::from));
        map
    };
    let list = logprobs.iter().map(|l| {
        let mut map = entry(l);
        let top = l.top.iter().map(|t| Value::Object(entry(t))).collect();
        map.insert("top_logprobs".into(), Value::Array(top));
        Value::Object(map)
    });
    Value::Array(list.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_comes_back_with_what_a_router_adds() {
        let json = json!({"type": "url_citation", "url_citation": {
            "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 3,
            "content": "quoted",
        }});
        let annotation = decode(json.clone());
        assert!(matches!(&annotation, Annotation::Url { end: Some(3), .. }));
        assert_eq!(encode(&annotation), Some(json));
    }

    #[test]
    fn other_annotations_stay_native() {
        let json = json!({"type": "file", "file": {"hash": "x"}});
        assert_eq!(encode(&decode(json.clone())), Some(json));
    }

    #[test]
    fn logprobs_both_ways() {
        let json = json!([{"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": [
            {"token": "b", "logprob": -1.5, "bytes": null},
        ]}]);
        let logprobs = decode_logprobs(&json).unwrap();
        assert_eq!(encode_logprobs(&logprobs), json);
        assert_eq!(decode_logprobs(&json!([{"token": "a", "logprob": -1, "odd": 1}])), None);
    }
}
