//! The bytes of the journal: fixtures of every released version, and bodies
//! that are refused.

use std::collections::BTreeMap;
use std::path::Path;

use crate::event::{BODY_BYTES_MAX, DecodeError, EncodeError, Event, KINDS};
use freehold_types::Offset;

fn fixtures(version: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/journal").join(version);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap().trim_end().to_owned())
        })
        .collect()
}

fn decode(body: &str) -> Result<Event, DecodeError> {
    Event::decode(Offset(7), body.as_bytes())
}

#[test]
fn every_kind_has_a_fixture() {
    let fixtures = fixtures("v2");
    for kind in KINDS {
        assert!(fixtures.contains_key(*kind), "testdata/journal/v2/{kind}.json is missing");
    }
}

#[test]
fn every_fixture_decodes_and_encodes_to_the_same_bytes() {
    for (name, body) in fixtures("v2") {
        let event = decode(&body).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(event.fact.kind(), name.split('.').next().unwrap());
        assert_eq!(event.offset, Offset(7));
        assert_eq!(String::from_utf8(event.encode().unwrap()).unwrap(), body, "{name}");
    }
}

#[test]
fn bodies_of_the_first_version_are_read_as_those_of_this_one() {
    let now = fixtures("v2");
    for (name, body) in fixtures("v1") {
        let event = decode(&body).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(String::from_utf8(event.encode().unwrap()).unwrap(), now[&name], "{name}");
    }
}

#[test]
fn a_newer_version_is_named() {
    let body = fixtures("v2")["pinned"].replace("\"v\":2", "\"v\":3");
    let newer = body.replace("\"unit\"", "\"shiny\":[],\"unit\"");
    for body in [body, newer] {
        let error = decode(&body).unwrap_err();
        assert!(matches!(&error, DecodeError::Version { found: 3, kind } if kind == "pinned"));
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}

#[test]
fn an_unknown_kind_is_named() {
    let body = fixtures("v2")["pinned"].replace("\"pinned\"", "\"teleported\"");
    let error = decode(&body).unwrap_err();
    assert!(matches!(&error, DecodeError::Kind { kind, .. } if kind == "teleported"), "{error}");
}

#[test]
fn unknown_fields_are_refused() {
    let pinned = &fixtures("v2")["pinned"];
    for body in [
        pinned.replace("\"at\":7", "\"at\":7,\"why\":1"),
        pinned.replace("\"v\":2", "\"v\":2,\"why\":1"),
    ] {
        assert!(matches!(decode(&body), Err(DecodeError::Json { .. })), "{body}");
    }
}

#[test]
fn size_and_depth_are_bounded_in_both_directions() {
    let signal = &fixtures("v2")["signal_received"];
    let with = |json: &str| signal.replace("{\"id\":\"p_1\",\"amount\":\"12.50\"}", json);
    let deep = with(&format!("{}{}", "[".repeat(100), "]".repeat(100)));
    assert!(matches!(decode(&deep), Err(DecodeError::TooDeep { .. })));
    let absurd = with(&"[".repeat(60_000));
    assert!(matches!(decode(&absurd), Err(DecodeError::TooDeep { .. })));
    let large = with(&format!("\"{}\"", "x".repeat(BODY_BYTES_MAX)));
    assert!(matches!(decode(&large), Err(DecodeError::TooLarge { .. })));
    let brackets_in_text = with(&format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200)));
    let mut event = decode(&brackets_in_text).unwrap();
    let crate::event::Fact::SignalReceived(signal) = &mut event.fact else { panic!() };
    signal.content = crate::event::Content::text("x".repeat(BODY_BYTES_MAX));
    assert!(matches!(event.encode(), Err(EncodeError::TooLarge { .. })));
    let nested = serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100)));
    let crate::event::Fact::SignalReceived(signal) = &mut event.fact else { panic!() };
    signal.content = crate::event::Content::Inline(nested.unwrap());
    assert!(matches!(event.encode(), Err(EncodeError::TooDeep)));
}
