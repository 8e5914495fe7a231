//! What is fuzzed, and what must hold of any input.

use freehold_llm::format::codec;
use freehold_llm::model::{Event, Fold, Request};
use freehold_llm::scan::{UsageTap, scan, splice};
use freehold_llm::sse::SseDecoder;
use freehold_llm::{AnswerContext, DecodeError, Dialect, IdSource, Losses, RequestTarget};

use super::random::Random;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A client's request.
    Request(Dialect),
    /// A provider's complete answer.
    Answer(Dialect),
    /// A provider's stream.
    Stream(Dialect),
    /// A provider's error.
    Error(Dialect),
    /// Server-sent events.
    Sse,
    /// The one-pass scan of the byte lane.
    Scan,
    /// The watch over a relayed stream.
    Tap(Dialect),
}

impl Target {
    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        let of = |make: fn(Dialect) -> Self| Dialect::ALL.map(make);
        let mut all = vec![Self::Sse, Self::Scan];
        for make in [Self::Request, Self::Answer, Self::Stream, Self::Error, Self::Tap] {
            all.extend(of(make));
        }
        all
    }

    /// Its name on the command line and under `testdata/fuzz`.
    pub(super) fn name(self) -> String {
        match self {
            Self::Request(dialect) => format!("request-{}", dialect.word()),
            Self::Answer(dialect) => format!("answer-{}", dialect.word()),
            Self::Stream(dialect) => format!("stream-{}", dialect.word()),
            Self::Error(dialect) => format!("error-{}", dialect.word()),
            Self::Tap(dialect) => format!("tap-{}", dialect.word()),
            Self::Sse => "sse".to_owned(),
            Self::Scan => "scan".to_owned(),
        }
    }

    /// Puts an input through the code. What must hold and does not is an
    /// error; a panic is caught outside.
    pub(super) fn run(self, input: &[u8], random: &mut Random) -> Result<(), String> {
        match self {
            Self::Request(dialect) => request(dialect, input),
            Self::Answer(dialect) => answer(dialect, input),
            Self::Stream(dialect) => stream(dialect, input, random),
            Self::Error(dialect) => error(dialect, input, random),
            Self::Sse => sse(input, random),
            Self::Scan => scanned(input),
            Self::Tap(dialect) => tap(dialect, input, random),
        }
    }
}

/// A request that is taken is encoded in every dialect, and what was encoded
/// is taken there.
fn request(dialect: Dialect, input: &[u8]) -> Result<(), String> {
    let Ok(request) = codec(dialect).decode_request(input) else { return Ok(()) };
    for to in Dialect::ALL {
        let target = RequestTarget { model: "m", quirks: &[], default_max_tokens: 1000 };
        let mut losses = Losses::default();
        let Ok(bytes) = codec(to).encode_request(&request, &target, &mut losses) else { continue };
        if let Err(error) = codec(to).decode_request(&bytes) {
            return Err(format!("its own encoding in {} is refused: {error}", to.word()));
        }
    }
    Ok(())
}

/// The same of answers.
fn answer(dialect: Dialect, input: &[u8]) -> Result<(), String> {
    let Ok(answer) = codec(dialect).decode_answer(input) else { return Ok(()) };
    for to in Dialect::ALL {
        let asked = Request::new(to, "m");
        let bytes = codec(to).encode_answer(&answer, &context(&asked));
        if let Err(error) = codec(to).decode_answer(&bytes) {
            return Err(format!("its own encoding in {} is refused: {error}", to.word()));
        }
    }
    Ok(())
}

fn context(asked: &Request) -> AnswerContext<'_> {
    AnswerContext { request: asked, model: "m", ids: IdSource::new(3), created: 1 }
}

/// A stream gives the same events however it is split, and an end in every
/// dialect it is encoded to.
fn stream(dialect: Dialect, input: &[u8], random: &mut Random) -> Result<(), String> {
    let whole = events(dialect, &[input]);
    let split = events(dialect, &pieces(input, random));
    if split != whole {
        return Err(format!("split it ends {:?}, whole {:?}", split.1, whole.1));
    }
    let mut fold = Fold::new(dialect);
    for event in &whole.0 {
        fold.event(event);
    }
    drop(fold.finish());
    for to in Dialect::ALL {
        let asked = Request::new(to, "m");
        let mut encoder = codec(to).stream_encoder(&context(&asked));
        let mut bytes = Vec::new();
        for event in &whole.0 {
            encoder.event(event, &mut bytes);
        }
        let (events, end) = events(to, &[&bytes]);
        let failed = matches!(events.last(), Some(Event::Error(_)));
        let whole_failed = matches!(whole.0.last(), Some(Event::Error(_)));
        if whole.1.is_ok() && !whole_failed && !failed && end.is_err() {
            return Err(format!("its own encoding in {} ends {end:?}", to.word()));
        }
    }
    Ok(())
}

fn events(dialect: Dialect, pieces: &[&[u8]]) -> (Vec<Event>, Result<(), DecodeError>) {
    let mut decoder = codec(dialect).stream_decoder();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return (events, Err(error));
        }
    }
    let end = decoder.finish(&mut events);
    (events, end)
}

fn pieces<'a>(mut input: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let most = [2, 20, 2000][random.below(3)];
        let (piece, rest) = input.split_at((1 + random.below(most)).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// An error has its words in every dialect, and never too many.
fn error(dialect: Dialect, input: &[u8], random: &mut Random) -> Result<(), String> {
    let status = 400 + u16::try_from(random.below(200)).unwrap_or(0);
    let error = codec(dialect).decode_error(status, input);
    if error.message.is_empty() {
        return Err("the error has no message".to_owned());
    }
    for to in Dialect::ALL {
        let bytes = codec(to).encode_error(&error, Some("r"));
        if serde_json::from_slice::<serde_json::Value>(&bytes).is_err() {
            return Err(format!("the error in {} is not JSON", to.word()));
        }
    }
    Ok(())
}

fn sse(input: &[u8], random: &mut Random) -> Result<(), String> {
    let frames = |pieces: &[&[u8]]| {
        let mut decoder = SseDecoder::new();
        let mut frames = Vec::new();
        let mut on_frame = |frame: freehold_llm::sse::Frame<'_>| {
            frames.push((frame.name.to_owned(), frame.data.to_owned()));
            Ok(())
        };
        for piece in pieces {
            if let Err(error) = decoder.feed(piece, &mut on_frame) {
                return (frames, Err(error));
            }
        }
        let end = decoder.finish(&mut on_frame);
        (frames, end)
    };
    if frames(&[input]) == frames(&pieces(input, random)) {
        Ok(())
    } else {
        Err("splits change the events".to_owned())
    }
}

/// The scan takes only JSON, and a model set by it is the model.
fn scanned(input: &[u8]) -> Result<(), String> {
    let Ok(found) = scan(input) else { return Ok(()) };
    let edited = splice(input, &mut [found.set_model("other")]);
    match serde_json::from_slice::<serde_json::Value>(&edited) {
        Ok(value) if value["model"] == "other" => Ok(()),
        Ok(value) => Err(format!("the model set is {}", value["model"])),
        Err(error) => Err(format!("what is spliced is not JSON: {error}")),
    }
}

/// The watch sees the same usage however the stream is split.
fn tap(dialect: Dialect, input: &[u8], random: &mut Random) -> Result<(), String> {
    let watch = |pieces: &[&[u8]]| {
        let mut tap = UsageTap::new(dialect);
        for piece in pieces {
            tap.feed(piece);
        }
        tap.finish();
        (tap.usage().cloned(), tap.is_complete(), tap.text_bytes())
    };
    let (whole, split) = (watch(&[input]), watch(&pieces(input, random)));
    if whole == split { Ok(()) } else { Err(format!("whole {whole:?}, split {split:?}")) }
}
