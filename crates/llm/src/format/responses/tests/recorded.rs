//! Recorded answers of real servers (`testdata/recordings`, with its
//! licences): read, written and read again.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{context, data_of, decode_stream, encode_answer, encode_stream, fold};
use crate::format::responses::Responses;
use crate::model::{Answer, Dialect, Event, Extra, Item, ItemBody, Request, Stop, events_of};
use crate::{Codec, DecodeError};

/// The recordings of this dialect that are kept as plain JSON.
fn fixtures(ending: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/recordings");
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.to_string_lossy().into_owned();
                if name.contains("responses/__fixtures__") && name.ends_with(ending) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no recordings ending in {ending}");
    found
}

/// One event a line, as the recorder kept them.
fn stream_of(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.flat_map(|line| format!("data: {line}\n\n").into_bytes()).collect()
}

/// Recordings of several streams in one file, and one of an error.
fn is_plain(stream: &[u8]) -> bool {
    let data = data_of(stream);
    let ends = data.iter().filter(|e| e["type"] == "response.completed").count();
    ends == 1 && data.iter().all(|e| e["type"] != "error")
}

/// Every value of `wanted` that says something is in `got`.
fn assert_holds(wanted: &Value, got: &Value, at: &str) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, value) in wanted {
                let empty = value.is_null() || *value == json!([]) || *value == json!({});
                let there = got.get(name).unwrap_or(&Value::Null);
                if !(empty && there.is_null()) {
                    assert_holds(value, there, &format!("{at}.{name}"));
                }
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (n, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                assert_holds(wanted, got, &format!("{at}[{n}]"));
            }
        }
        (Value::Number(a), Value::Number(b)) => assert_eq!(a.as_f64(), b.as_f64(), "{at}"),
        _ => assert_eq!(wanted, got, "{at}"),
    }
}

fn model_of(answer: &Answer) -> Request {
    Request::new(Dialect::Responses, answer.model.clone())
}

fn encode_as_its_own(answer: &Answer) -> Value {
    let request = model_of(answer);
    let context = crate::AnswerContext { model: &answer.model, ..context(&request) };
    serde_json::from_slice(&Responses.encode_answer(answer, &context)).unwrap()
}

#[test]
fn answers_come_back_whole() {
    let mut read = 0;
    for path in fixtures(".json") {
        let body = std::fs::read(&path).unwrap();
        let answer = match Responses.decode_answer(&body) {
            Err(DecodeError::Api(_)) => continue,
            answer => answer.unwrap(),
        };
        let original = serde_json::from_slice(&body).unwrap();
        assert_holds(&original, &encode_as_its_own(&answer), &path.to_string_lossy());
        read += 1;
    }
    assert!(read >= 5, "{read}");
}

#[test]
fn streams_hold_what_their_terminal_event_says() {
    for path in fixtures(".chunks.txt") {
        let stream = stream_of(&path);
        // One recording was edited by hand: its deltas lack a space.
        if !is_plain(&stream) || path.ends_with("openai-shell-container.1.chunks.txt") {
            continue;
        }
        let answer = fold(&decode_stream(&[&stream]).unwrap());
        let mut wanted = data_of(&stream).pop().unwrap()["response"].take();
        let mut got = encode_as_its_own(&answer);
        for side in [&mut wanted, &mut got] {
            // Told with each item; providers make ids and seals anew when
            // they repeat an item, and some the answer's id too.
            for item in side["output"].as_array_mut().unwrap() {
                for name in ["id", "encrypted_content", "fingerprint"] {
                    item.as_object_mut().unwrap().shift_remove(name);
                }
            }
            side.as_object_mut().unwrap().shift_remove("id");
        }
        assert_holds(&wanted, &got, &path.to_string_lossy());
    }
}

#[test]
fn written_streams_are_read_the_same() {
    for path in fixtures(".chunks.txt") {
        let stream = stream_of(&path);
        if !is_plain(&stream) {
            continue;
        }
        let events = decode_stream(&[&stream]).unwrap();
        let answer = fold(&events);
        let request = model_of(&answer);
        let again = fold(&decode_stream(&[&encode_stream(&events, &request)]).unwrap());
        assert_eq!(
            encode_answer(&again, &request),
            encode_answer(&answer, &request),
            "{}",
            path.display()
        );
    }
}

/// The answer as if it had come from a dialect with none of our own forms.
fn crossed(mut answer: Answer) -> Answer {
    answer.origin = Dialect::Chat;
    answer.extra = Extra::default();
    for choice in &mut answer.choices {
        choice.items.retain(|item| !matches!(item.body, ItemBody::Native { .. }));
        choice.stop = choice.stop.as_ref().map(|s| Stop::new(s.reason));
        for item in &mut choice.items {
            *item = Item::new(item.body.clone());
            if let ItemBody::Reasoning(reasoning) = &mut item.body {
                reasoning.seal = None;
                let summary = std::mem::take(&mut reasoning.summary);
                reasoning.text.splice(0..0, summary);
            }
        }
    }
    answer
}

fn told(answer: &Answer) -> Vec<String> {
    let mut told = Vec::new();
    for item in &answer.choices[0].items {
        match &item.body {
            ItemBody::Message(message) => {
                told.extend(message.parts.iter().filter_map(|p| p.as_text()).map(str::to_owned));
            }
            other => told.push(format!("{other:?}")),
        }
    }
    let usage = answer.usage.as_ref();
    told.push(format!("{:?}", usage.map(|u| (u.input, u.output))));
    told.push(format!("{:?}", answer.choices[0].stop.as_ref().map(|s| s.reason)));
    told
}

#[test]
fn crossed_answers_say_the_same_streamed_or_not() {
    for path in fixtures(".chunks.txt") {
        let stream = stream_of(&path);
        if !is_plain(&stream) {
            continue;
        }
        let answer = crossed(fold(&decode_stream(&[&stream]).unwrap()));
        let request = model_of(&answer);
        let whole = Responses.encode_answer(&answer, &context(&request));
        let whole = Responses.decode_answer(&whole).unwrap();
        assert_eq!(told(&whole), told(&answer), "{}", path.display());
        let stream = encode_stream(&events_of(&answer), &request);
        let streamed = fold(&decode_stream(&[&stream]).unwrap());
        assert_eq!(told(&streamed), told(&answer), "{}", path.display());
    }
}

#[test]
fn splits_do_not_matter() {
    let smallest = fixtures(".chunks.txt").into_iter().map(|p| stream_of(&p)).min_by_key(Vec::len);
    let stream = smallest.unwrap();
    let whole: Vec<Event> = decode_stream(&[&stream]).unwrap();
    for at in 0..=stream.len() {
        let (a, b) = stream.split_at(at);
        assert_eq!(decode_stream(&[a, b]).unwrap(), whole, "split at {at}");
    }
    for path in fixtures(".chunks.txt") {
        let mut stream = stream_of(&path);
        stream.truncate(40_000);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode_stream(&bytes), decode_stream(&[&stream]), "{}", path.display());
    }
}

#[test]
fn a_stream_cut_after_any_event_is_never_taken_for_whole() {
    for path in fixtures(".chunks.txt") {
        let stream = stream_of(&path);
        if !is_plain(&stream) {
            continue;
        }
        let events: Vec<&[u8]> = stream.split_inclusive(|b| *b == b'\n').collect();
        let end = events.len() - 2;
        for cut in (0..end).step_by(1 + end / 20) {
            assert_eq!(decode_stream(&events[..cut]), Err(DecodeError::Truncated), "at {cut}");
        }
    }
}
