//! A stream fed in pieces, in other framings, and cut off.

use freehold_llm::model::Event;
use freehold_llm::{DecodeError, Dialect};

use super::{Outcome, codec};
use crate::recordings::frames::{self, Frame};
use crate::recordings::wire::Folded;

/// The longest piece, and so the most passes: lines that are longer are cut
/// every so many bytes in one pass.
const STRIDE: usize = 512;

/// About how many bytes all passes over one stream may feed.
const PASSES_LIMIT: usize = 12 << 20;

/// Streams up to this size are also cut into exactly two pieces everywhere.
const TWO_PIECES_LIMIT: usize = 4 << 10;

/// What a decoder made of a body.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) events: Vec<Event>,
    pub(super) end: Result<(), DecodeError>,
}

/// Feeds a decoder.
pub(super) fn decode<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = codec(dialect).stream_decoder();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return Decoded { events, end: Err(error) };
        }
    }
    let end = decoder.finish(&mut events);
    Decoded { events, end }
}

/// Checks that neither splits nor framing change what is decoded.
pub(super) fn check(
    dialect: Dialect,
    body: &[u8],
    frames: &[Frame],
    whole: &Decoded,
    outcome: &mut Outcome,
) {
    outcome.resplit = true;
    let mut fed = |field: &str, at: usize, got: Decoded| {
        if got == *whole {
            return true;
        }
        let first = got.events.iter().zip(&whole.events).position(|(a, b)| a != b);
        let detail = format!("at {at}: event {first:?}, ends {:?}, not {:?}", got.end, whole.end);
        outcome.fail(field, detail);
        false
    };
    if !fed("resplit.bytes", 0, decode(dialect, body.chunks(1))) {
        return;
    }
    if body.len() <= TWO_PIECES_LIMIT {
        for at in 0..=body.len() {
            let (a, b) = body.split_at(at);
            if !fed("resplit.two", at, decode(dialect, [a, b])) {
                return;
            }
        }
    }
    let longest = body.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap_or(0) + 2;
    let stride = (PASSES_LIMIT / body.len().max(1)).clamp(16, STRIDE);
    for pass in 0..longest.min(stride) {
        if !fed("resplit.lines", pass, decode(dialect, pieces(body, pass, stride))) {
            return;
        }
    }
    for (name, bytes) in framings(frames) {
        fed(&format!("reframed.{name}"), 0, decode(dialect, [bytes.as_slice()]));
        fed(&format!("reframed.{name}.bytes"), 0, decode(dialect, bytes.chunks(1)));
    }
}

/// Cuts every line once, at its byte `pass`, and again each `stride` bytes.
/// All passes together cut at every byte.
fn pieces(body: &[u8], pass: usize, stride: usize) -> impl Iterator<Item = &[u8]> {
    let mut cuts = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        cuts.extend((start + pass..start + line.len()).step_by(stride));
        start += line.len();
    }
    cuts.push(body.len());
    let mut from = 0;
    cuts.into_iter().map(move |to| {
        let piece = body.get(from..to).unwrap_or_default();
        from = to;
        piece
    })
}

fn framings(frames: &[Frame]) -> Vec<(&'static str, Vec<u8>)> {
    let bom = [&b"\xEF\xBB\xBF"[..], &frames::write(frames, "\n", false, true)].concat();
    vec![
        ("crlf", frames::write(frames, "\r\n", false, true)),
        ("cr", frames::write(frames, "\r", false, true)),
        ("comments", frames::write(frames, "\n", true, true)),
        ("no-space", frames::write(frames, "\r\n", true, false)),
        ("bom", bom),
    ]
}

/// Checks that a stream cut off after any event is an error, not an answer.
pub(super) fn check_cuts(
    dialect: Dialect,
    frames: &[Frame],
    folded: &Folded,
    outcome: &mut Outcome,
) {
    for count in 0..frames.len() {
        let bytes = frames::write(frames.get(..count).unwrap_or_default(), "\n", false, true);
        let got = decode(dialect, [bytes.as_slice()]);
        let ended = got.end.is_ok() && !matches!(got.events.last(), Some(Event::Error(_)));
        let may_end = folded.stopped_at.is_some_and(|at| count > at);
        if ended && !may_end {
            return outcome
                .fail("cut", format!("after {count} of {} events it is complete", frames.len()));
        }
    }
}
