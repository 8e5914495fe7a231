//! The scan and the tap against a parser of trees, on any input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn ok(body: &str) -> Scan<'_> {
    scan(body.as_bytes()).unwrap()
}

fn edited(body: &str, mut edits: Vec<Edit<'_>>) -> Value {
    serde_json::from_slice(&splice(body.as_bytes(), &mut edits)).unwrap()
}

#[test]
fn fields_are_found_at_the_top_only() {
    let body = r#" {"messages":[{"model":"no","stream":true}], "model" : "gpt-5",
        "stream":true,"stream_options":{"include_usage":true,"x":[1]},"max_tokens":7,"n":2,
        "store":null,"tools":[{}],"metadata":{"a":"b"},"user":"u\u00e9"}"#;
    let scan = ok(body);
    assert_eq!(scan.model.as_ref().unwrap().value.as_deref(), Some("gpt-5"));
    assert!(matches!(scan.model.as_ref().unwrap().value, Some(Cow::Borrowed(_))));
    assert_eq!(body.get(scan.model.as_ref().unwrap().span.clone()), Some(r#""gpt-5""#));
    assert_eq!(scan.stream.as_ref().unwrap().value, Some(true));
    assert_eq!(scan.output_limit(), Some(7));
    assert_eq!(scan.n.as_ref().unwrap().value, Some(2));
    assert_eq!(scan.store.as_ref().unwrap().value, None);
    assert_eq!(scan.metadata.as_ref().unwrap().value, Some(Kind::Object));
    assert_eq!(scan.user.as_ref().unwrap().value.as_deref(), Some("u\u{e9}"));
    assert!(scan.tools && !scan.has_media());
    assert_eq!(scan.open_brace(), 1);
    assert_eq!(scan.ask_for_usage(body.as_bytes()), None);
}

#[test]
fn edits_replace_or_insert() {
    let body = r#"{"model":"a","max_tokens":null,"stream_options":{"x":1}}"#;
    let scan = ok(body);
    let edits = vec![
        scan.set("max_tokens", scan.max_tokens.as_ref(), "9"),
        scan.set("n", scan.n.as_ref(), "1"),
        scan.set_model("b\"c"),
        scan.ask_for_usage(body.as_bytes()).unwrap(),
    ];
    assert_eq!(
        edited(body, edits),
        json!({"n":1,"model":"b\"c","max_tokens":9,"stream_options":{"x":1,"include_usage":true}})
    );
    let empty = ok("{ }");
    assert_eq!(edited("{ }", vec![empty.set_model("m")]), json!({"model":"m"}));
}

#[test]
fn a_field_given_twice_is_refused() {
    for body in [r#"{"model":"a","model":"b"}"#, r#"{"model":"a","mod\u0065l":"b"}"#] {
        assert!(
            matches!(scan(body.as_bytes()), Err(DecodeError::Shape { path, .. }) if path == "model")
        );
    }
    ok(r#"{"temperature":1,"temperature":2}"#);
}

#[test]
fn wrong_kinds_name_the_field() {
    for (body, words) in [
        (r#"{"model":3}"#, "model: expected a string, found a number"),
        (r#"{"stream":"yes"}"#, "stream: expected a boolean, found a string"),
        (r#"{"max_tokens":-1}"#, "max_tokens: expected a whole number not below 0, found a number"),
        (r#"{"stream_options":[]}"#, "stream_options: expected an object, found an array"),
        ("[]", "body: expected an object"),
    ] {
        assert_eq!(scan(body.as_bytes()).unwrap_err().to_string(), words);
    }
}

#[test]
fn broken_json_has_a_position() {
    for (body, offset) in [
        (&b"{\"a\":}"[..], 5),
        (b"{\"a\":1", 6),
        (b"", 0),
        (b"{\"a\":\"\xff\"}", 6),
        (b"{\"a\":1}x", 7),
        (b"{\"a\":\"\n\"}", 6),
        (b"{\"a\":\"\\ud800\"}", 12),
    ] {
        match scan(body) {
            Err(DecodeError::Json { offset: at, what: WHAT, .. }) => assert_eq!(at, offset),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn text_and_media_are_told_apart() {
    let scan = ok(r#"{"m":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
        {"type":"document","source":{"type":"text","data":"plain words"}},
        {"type":"image","source":{"type":"base64","data":"/9j/AAAA"}}]}"#);
    assert_eq!(scan.media_count, 3);
    assert_eq!(scan.media_bytes, "data:image/png;base64,AAAA".len() + "/9j/AAAA".len());
    assert!(scan.text_bytes > "plain words".len());
}

#[test]
fn depth_is_limited_as_in_serde_json() {
    for depth in [126, 127, 128, 4000, 400_000] {
        let body = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let theirs = serde_json::from_str::<Value>(&body).is_ok();
        assert_eq!(scan(body.as_bytes()).is_ok(), theirs, "depth {depth}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\\\\\"\u{e9}\u{1f600}\n]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_body() -> impl Strategy<Value = String> {
    let known = prop_oneof![
        Just("model"),
        Just("stream"),
        Just("max_tokens"),
        Just("store"),
        Just("user"),
        Just("metadata"),
        Just("tools"),
        Just("x"),
        Just("messages"),
    ];
    let member = (known, any_json());
    (prop::collection::vec(member, 0..8), any::<bool>()).prop_map(|(members, pretty)| {
        let object = Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
        if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }
            .unwrap()
    })
}

/// Scan and serde_json agree: both refuse the JSON, or the fields are equal
/// (or of a kind that only the scan refuses).
fn agree(body: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(body);
    match (scan(body), theirs) {
        // A shape may be refused before the end of the text is seen.
        (Err(DecodeError::Json { .. } | DecodeError::Shape { .. }), Err(_)) => {}
        (Err(DecodeError::Shape { path, .. }), Ok(value)) => {
            assert!(!value.is_object() || value.get(&path).is_some());
        }
        (Ok(scan), Ok(value)) => {
            let text = |f: &Option<Field<Cow<'_, str>>>| {
                f.as_ref().and_then(|f| f.value.as_deref().map(str::to_owned))
            };
            assert_eq!(text(&scan.model), value["model"].as_str().map(str::to_owned));
            assert_eq!(text(&scan.user), value["user"].as_str().map(str::to_owned));
            assert_eq!(scan.stream.and_then(|f| f.value), value["stream"].as_bool());
            assert_eq!(scan.max_tokens.and_then(|f| f.value), value["max_tokens"].as_u64());
            if let Some(field) = scan.metadata {
                let there: Value = serde_json::from_slice(&body[field.span]).unwrap();
                assert_eq!(there, value["metadata"]);
            }
        }
        (ours, theirs) => {
            panic!("{:?}: {ours:?} but {theirs:?}", String::from_utf8_lossy(body))
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_any_object(body in any_body()) {
        agree(body.as_bytes());
    }

    #[test]
    fn agrees_with_serde_json_on_broken_objects(
        body in any_body(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut bytes = body.into_bytes();
        for (index, byte, what) in changes {
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"{}[],:\"\\u0e-+.tfn \n"[usize::from(byte) % 19]),
                _ if bytes.len() > 1 => { bytes.remove(at); }
                _ => {}
            }
        }
        agree(&bytes);
    }

    #[test]
    fn agrees_with_serde_json_on_numbers(text in "-?[0-9]{1,3}(\\.[0-9]{0,3})?([eE][-+]?[0-9]{0,5})?") {
        agree(format!("{{\"x\":{text}}}").as_bytes());
    }
}
