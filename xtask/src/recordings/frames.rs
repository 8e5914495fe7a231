//! Server-sent events read a second time, without the code under test.

use serde_json::Value;

/// One event: its name, and its data as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Frame {
    /// The data as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// The events of a complete body, whatever its line ends.
pub(crate) fn read(body: &[u8]) -> Vec<Frame> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.split("\n\n").filter_map(frame).collect()
}

fn frame(block: &str) -> Option<Frame> {
    let values = |field: &'static str| {
        block.lines().filter_map(move |line| {
            let rest = line.strip_prefix(field)?;
            let value = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
            Some(value.strip_prefix(' ').unwrap_or(value))
        })
    };
    let data: Vec<&str> = values("data").collect();
    if data.is_empty() {
        return None;
    }
    Some(Frame {
        name: values("event").next_back().unwrap_or_default().to_owned(),
        data: data.join("\n"),
    })
}

/// Writes events in another framing: `end` as line end, `comment` before
/// each, a space after colons or none.
pub(crate) fn write(frames: &[Frame], end: &str, comment: bool, space: bool) -> Vec<u8> {
    let colon = if space { ": " } else { ":" };
    let mut out = String::new();
    for frame in frames {
        if comment {
            out.extend([": keep-alive", end, end]);
        }
        if !frame.name.is_empty() {
            out.extend(["event", colon, &frame.name, end]);
        }
        for line in frame.data.split('\n') {
            out.extend(["data", colon, line, end]);
        }
        out.push_str(end);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_framing_reads_back() {
        let frames = read(b"\xEF\xBB\xBF: c\n\nevent: a\ndata: {}\n\ndata:1\r\rdata: x\r\ndata: y");
        let shown: Vec<_> = frames.iter().map(|f| (f.name.as_str(), f.data.as_str())).collect();
        assert_eq!(shown, [("a", "{}"), ("", "1"), ("", "x\ny")]);
        for end in ["\n", "\r", "\r\n"] {
            assert_eq!(read(&write(&frames, end, true, false)), frames);
        }
    }
}
