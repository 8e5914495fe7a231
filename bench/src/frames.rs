//! The frames of a server-sent event stream as they come out of a socket:
//! HTTP/1.1 with chunks, cut anywhere.

use std::io::{Error, Result};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub event: String,
    /// Its data.
    pub data: String,
}

impl Frame {
    /// The offset that a session's event says of itself: its first field.
    pub fn offset(&self) -> Option<u64> {
        let digits = self.data.strip_prefix("{\"offset\":")?;
        digits.split(',').next()?.parse().ok()
    }
}

/// Takes what a socket gives and cuts it into frames.
#[derive(Debug, Default)]
pub struct Frames {
    /// What was not understood yet: of the head, or of a chunk.
    wire: Vec<u8>,
    past_head: bool,
    /// Of a frame that has not ended.
    text: Vec<u8>,
}

/// More than a head or a frame of these benches ever has.
const WAITING_MAX: usize = 1 << 20;

impl Frames {
    /// Takes bytes, and gives the frames that end in them.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>> {
        self.wire.extend_from_slice(bytes);
        if !self.past_head {
            let Some(end) = memchr::memmem::find(&self.wire, b"\r\n\r\n") else {
                return Ok(Vec::new());
            };
            if !self.wire.starts_with(b"HTTP/1.1 200 ") {
                let said = String::from_utf8_lossy(&self.wire).into_owned();
                return Err(Error::other(format!("no stream: {said}")));
            }
            self.wire.drain(..end + 4);
            self.past_head = true;
        }
        while let Some((from, to)) = self.chunk()? {
            if from == to {
                return Err(Error::other("the stream ended"));
            }
            self.text.extend_from_slice(self.wire.get(from..to).unwrap_or_default());
            self.wire.drain(..to + 2);
        }
        if self.wire.len().max(self.text.len()) > WAITING_MAX {
            return Err(Error::other("a frame that does not end"));
        }
        let mut frames = Vec::new();
        while let Some(end) = memchr::memmem::find(&self.text, b"\n\n") {
            let frame = String::from_utf8_lossy(self.text.get(..end).unwrap_or_default());
            frames.extend(frame_of(&frame));
            self.text.drain(..end + 2);
        }
        Ok(frames)
    }

    /// Where the next whole chunk lies.
    fn chunk(&self) -> Result<Option<(usize, usize)>> {
        let Some(line) = memchr::memmem::find(&self.wire, b"\r\n") else { return Ok(None) };
        let size = self.wire.get(..line).and_then(|size| std::str::from_utf8(size).ok());
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.filter(|size| *size <= WAITING_MAX);
        let size = size.ok_or_else(|| Error::other("a chunk without a size"))?;
        let (from, to) = (line + 2, line + 2 + size);
        Ok((self.wire.len() >= to + 2).then_some((from, to)))
    }
}

/// `None` for a comment.
fn frame_of(text: &str) -> Option<Frame> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?.to_owned();
    Some(Frame { event: field("event: ").unwrap_or_default().to_owned(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        21\r\nevent: a\ndata: {\"offset\":7,\"v\":1}\r\n8\r\n\n\n: hey\n\r\n\
        1\r\n\n\r\n13\r\nevent: b\ndata: {}\n\n\r\n";

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        for size in 1..WIRE.len() {
            let mut frames = Frames::default();
            let parts = WIRE.chunks(size).flat_map(|part| frames.push(part).unwrap());
            let got: Vec<Frame> = parts.collect();
            let kinds: Vec<&str> = got.iter().map(|frame| frame.event.as_str()).collect();
            assert_eq!(kinds, ["a", "b"], "in parts of {size}");
            assert_eq!(got[0].offset(), Some(7));
            assert_eq!(got[1].offset(), None);
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        assert!(Frames::default().push(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
        let ended = b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n";
        assert!(Frames::default().push(ended).is_err());
    }
}
