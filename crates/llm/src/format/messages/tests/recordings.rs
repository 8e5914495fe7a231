//! Recorded exchanges come out as they went in (sources: `NOTICE.md` beside
//! them).

use super::*;

const REQUESTS: [&[u8]; 4] = [
    include_bytes!("../../../../testdata/messages/redacted-thinking.request.json"),
    include_bytes!("../../../../testdata/messages/image-in-tool-result.request.json"),
    include_bytes!("../../../../testdata/messages/system-in-conversation.request.json"),
    include_bytes!("../../../../testdata/messages/tool-addition.request.json"),
];

const ANSWERS: [&[u8]; 2] = [
    include_bytes!("../../../../testdata/messages/redacted-thinking.answer.json"),
    include_bytes!("../../../../testdata/messages/server-tool.answer.json"),
];

pub(super) const STREAMS: [&[u8]; 4] = [
    include_bytes!("../../../../testdata/messages/server-tool.sse"),
    include_bytes!("../../../../testdata/messages/thinking.sse"),
    include_bytes!("../../../../testdata/messages/mcp.sse"),
    include_bytes!("../../../../testdata/messages/duplicate-start.sse"),
];

#[test]
fn requests_come_out_as_they_went_in() {
    for body in REQUESTS {
        let request = Messages.decode_request(body).unwrap();
        let (out, losses) = request_to(&request, &[]);
        assert_eq!(normal(&out), normal(&serde_json::from_slice(body).unwrap()));
        assert!(losses.is_empty());
    }
}

#[test]
fn answers_come_out_as_they_went_in_also_through_a_stream() {
    for body in ANSWERS {
        let answer = Messages.decode_answer(body).unwrap();
        let want = normal(&serde_json::from_slice(body).unwrap());
        assert_eq!(normal(&answer_of(&answer)), want);
        let streamed = stream_of(&crate::model::events_of(&answer));
        let mut again = fold(&events(&[&streamed]).unwrap());
        again.model.clone_from(&answer.model);
        assert_eq!(normal(&answer_of(&again)), want);
    }
}

#[test]
fn streams_come_out_as_they_went_in() {
    for body in STREAMS {
        let answer = fold(&events(&[body]).unwrap());
        let mut again = fold(&events(&[&stream_of(&events(&[body]).unwrap())]).unwrap());
        again.model.clone_from(&answer.model);
        assert_eq!(again, answer);
        assert!(answer.usage.is_some());
    }
}

#[test]
fn splits_and_line_ends_do_not_matter() {
    for body in STREAMS {
        let whole = events(&[body]).unwrap();
        for at in (0..body.len()).step_by(7) {
            assert_eq!(events(&[&body[..at], &body[at..]]).unwrap(), whole, "split at {at}");
        }
        let crlf = std::str::from_utf8(body).unwrap().replace('\n', "\r\n");
        assert_eq!(events(&[crlf.as_bytes()]).unwrap(), whole);
    }
    let small = STREAMS[3];
    let bytes: Vec<&[u8]> = small.chunks(1).collect();
    assert_eq!(events(&bytes), events(&[small]));
}

#[test]
fn a_repeated_start_is_ignored_and_a_second_message_is_an_error() {
    let starts = |body| {
        let all = events(&[body]).unwrap();
        all.iter().filter(|e| matches!(e, Event::Start { .. })).count()
    };
    assert_eq!(starts(STREAMS[3]), 1);
    let spliced = include_bytes!("../../../../testdata/messages/spliced-start.sse");
    let all = events(&[spliced]).unwrap();
    assert!(matches!(all.last(), Some(Event::Error(e)) if e.message.contains("msg_second")));
}

#[test]
fn a_stream_that_stops_early_is_truncated() {
    let body = STREAMS[3];
    let end = body.len() - b"event: message_delta".len() - 200;
    assert_eq!(events(&[&body[..end]]), Err(DecodeError::Truncated));
}

#[test]
fn a_recorded_error_is_understood() {
    let body = include_bytes!("../../../../testdata/messages/not-found.error.json");
    let error = Messages.decode_error(404, body);
    assert_eq!(error.kind, freehold_types::ErrorKind::NotFound);
    assert!(matches!(Messages.decode_answer(body), Err(DecodeError::Api(e)) if e.status == 404));
}
