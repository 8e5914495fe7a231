//! Server-sent events, as bytes come.
//!
//! The grammar is WHATWG's (HTML, section "Server-sent events"): lines end
//! in LF, CR or CRLF, one leading BOM is skipped, a line that begins with a
//! colon is a comment, one space after the colon of a field is not part of
//! its value, data lines of one event are joined with LF.

use crate::DecodeError;

/// The most bytes of one event that a decoder holds. A chunk of a model's
/// answer is small; a terminal Responses event repeats the whole answer with
/// inline images.
pub const EVENT_LIMIT: usize = 64 << 20;

/// One event: its name (empty if it had none) and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The `event:` field.
    pub name: &'a str,
    /// The `data:` fields, joined.
    pub data: &'a str,
}

/// An incremental decoder. Bytes go in split anywhere; complete events come
/// out through a callback, so that nothing is copied twice.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    started: bool,
}

impl SseDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; calls `on_frame` for each event complete with
    /// them. Stops at the first error, of its own or of the callback.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if let Some(rest) = bytes.strip_prefix(b"\n") {
                    bytes = rest;
                    continue;
                }
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.hold(bytes)?;
                break;
            };
            let (line, rest) = bytes.split_at(end);
            self.after_cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(line, on_frame)?;
            } else {
                self.hold(line)?;
                let held = std::mem::take(&mut self.line);
                let taken = self.take_line(&held, on_frame);
                self.line = held;
                self.line.clear();
                taken?;
            }
        }
        Ok(())
    }

    /// The stream has ended. An event without its empty line is complete all
    /// the same: several providers leave out the last one.
    pub fn finish(
        &mut self,
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let held = std::mem::take(&mut self.line);
        if !held.is_empty() {
            self.take_line(&held, on_frame)?;
        }
        self.dispatch(on_frame)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.line.extend_from_slice(bytes);
        self.check_size()
    }

    fn check_size(&self) -> Result<(), DecodeError> {
        if self.line.len() + self.data.len() > EVENT_LIMIT {
            return Err(DecodeError::TooLarge { limit: EVENT_LIMIT });
        }
        Ok(())
    }

    fn take_line(
        &mut self,
        mut line: &[u8],
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.started {
            self.started = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(on_frame);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(at) => {
                let (field, rest) = line.split_at(at);
                let value = rest.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
                self.check_size()?;
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let done = if self.has_data {
            match (std::str::from_utf8(&self.name), std::str::from_utf8(&self.data)) {
                (Ok(name), Ok(data)) => on_frame(Frame { name, data }),
                (Err(e), _) | (_, Err(e)) => Err(DecodeError::Json {
                    what: "stream event",
                    detail: "not UTF-8".to_owned(),
                    offset: e.valid_up_to(),
                }),
            }
        } else {
            Ok(())
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        done
    }
}

/// Appends one event. `data` must have no line ends, as serialised JSON has
/// none; an empty `name` writes no `event:` line.
pub fn write_frame(name: &str, data: &[u8], out: &mut Vec<u8>) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut frames = Vec::new();
        let mut decoder = SseDecoder::new();
        let mut on = |f: Frame<'_>| {
            frames.push((f.name.to_owned(), f.data.to_owned()));
            Ok(())
        };
        for chunk in chunks {
            decoder.feed(chunk, &mut on).unwrap();
        }
        decoder.finish(&mut on).unwrap();
        frames
    }

    const MIXED: &[u8] = "\u{feff}: hello\r\nevent:a\r\ndata:1\r\rdata: zwei\u{e4}\ndata\ndata:  x\n\nid: 4\nretry: 1\n\nevent: lone\n\ndata: last".as_bytes();

    #[test]
    fn every_line_end_bom_comment_and_missing_space() {
        assert_eq!(
            decode(&[MIXED]),
            [
                ("a".to_owned(), "1".to_owned()),
                (String::new(), "zwei\u{e4}\n\n x".to_owned()),
                (String::new(), "last".to_owned()),
            ]
        );
    }

    #[test]
    fn splits_do_not_matter() {
        let whole = decode(&[MIXED]);
        for at in 0..=MIXED.len() {
            let (a, b) = MIXED.split_at(at);
            assert_eq!(decode(&[a, b]), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = MIXED.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }

    #[test]
    fn broken_utf8_is_an_error() {
        let mut decoder = SseDecoder::new();
        let got = decoder.feed(b"data: \xff\n\n", &mut |_| Ok(()));
        assert!(matches!(got, Err(DecodeError::Json { offset: 0, .. })));
    }
}
