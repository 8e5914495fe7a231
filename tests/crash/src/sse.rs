//! Server-sent events, out of pieces that end anywhere.

use std::io::Result;

use serde_json::Value;

use crate::http::Coming;

/// The events of one connection.
pub(crate) struct Events {
    coming: Coming,
    held: Vec<u8>,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) fn new(coming: Coming) -> Self {
        Self { coming, held: Vec::new() }
    }

    /// The next event; `None` at the end, an error where the stream is cut.
    pub(crate) fn next(&mut self) -> Result<Option<Told>> {
        loop {
            if let Some(end) = self.held.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.held.drain(..end + 2).collect();
                if let Some(told) = read(&String::from_utf8_lossy(&frame)) {
                    return Ok(Some(told));
                }
                continue;
            }
            match self.coming.piece()? {
                Some(piece) => self.held.extend(piece),
                None => return Ok(None),
            }
        }
    }
}

/// An event with data; comments have none.
fn read(frame: &str) -> Option<Told> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(field("data: ")?).ok()?;
    Some(Told { id: field("id: ").unwrap_or_default().to_owned(), data })
}
