//! Watches a streamed answer while its bytes are relayed.

mod event;
mod text;

use std::ops::Range;

use memchr::memmem::Finder;

use self::event::{ChatChunk, ErrorEvent, ErrorObject, MessagesEvent, ResponsesEvent, type_word};
use self::text::{starts_after, text_after, text_of};
use super::usage::MessagesUsage;
use crate::model::{Dialect, Usage};

/// The most bytes of one unfinished event that a tap holds. Beyond it the
/// tap goes blind: the relay goes on, what is not seen is estimated.
const HELD_LIMIT: usize = 16 << 20;

/// What to relay of the bytes fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// All of them, as they are.
    Pass,
    /// These instead: something was cut out or is held back until its event
    /// is complete.
    Instead(Vec<u8>),
}

/// An error object met in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapFault {
    /// The provider's word for it (`overloaded_error`).
    pub kind: Option<String>,
    /// The provider's sentence.
    pub message: String,
}

/// Collects what the books need from a stream of one dialect. Bytes may be
/// split anywhere.
#[derive(Debug)]
pub struct UsageTap {
    dialect: Dialect,
    cutting: bool,
    held: Vec<u8>,
    cursor: Cursor,
    begun: bool,
    blind: bool,
    cut_cr: bool,
    find: Finders,
    messages: MessagesUsage,
    seen: Seen,
}

/// What a tap has seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    usage: Option<Usage>,
    complete: bool,
    text_bytes: u64,
    fault: Option<TapFault>,
}

#[derive(Debug)]
struct Finders {
    usage: Finder<'static>,
    finish: Finder<'static>,
    error: Finder<'static>,
    delta: Finder<'static>,
}

/// Where the search for the end of an event stands.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Start of the line looked at.
    line: usize,
    /// Up to where that line has no end.
    searched: usize,
}

impl UsageTap {
    /// A tap for a stream that is relayed whole. An event is held back until
    /// it is whole, so that one which is cut off never reaches the client.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            cutting: false,
            held: Vec::new(),
            cursor: Cursor::default(),
            begun: false,
            blind: false,
            cut_cr: false,
            find: Finders {
                usage: Finder::new(b"\"usage\""),
                finish: Finder::new(b"\"finish_reason\""),
                error: Finder::new(b"\"error\""),
                delta: Finder::new(b"\"delta\""),
            },
            messages: MessagesUsage::default(),
            seen: Seen::default(),
        }
    }

    /// A tap that also cuts chat's usage-only chunk out of the relay, for a
    /// client that did not ask for it.
    pub fn cutting_usage(dialect: Dialect) -> Self {
        Self { cutting: dialect == Dialect::Chat, ..Self::new(dialect) }
    }

    /// The last usage stated, without the dialect's extras.
    pub fn usage(&self) -> Option<&Usage> {
        self.seen.usage.as_ref()
    }

    /// True once the answer is complete: a finish reason or `[DONE]`, a
    /// terminal response event, `message_stop`.
    pub fn is_complete(&self) -> bool {
        self.seen.complete
    }

    /// True if an event was too large to look at; nothing is known of what
    /// came after.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Bytes of generated text, thinking and tool input relayed so far, as
    /// written in JSON (an escape counts as its bytes); for estimates.
    pub fn text_bytes(&self) -> u64 {
        self.seen.text_bytes
    }

    /// The error object that came in the stream, if one did.
    pub fn fault(&self) -> Option<&TapFault> {
        self.seen.fault.as_ref()
    }

    /// Looks at the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Relay {
        if self.blind {
            return Relay::Pass;
        }
        if self.held.is_empty() {
            let (done, out) = self.events(bytes);
            let rest = bytes.get(done..).unwrap_or_default();
            self.held.extend_from_slice(rest);
            let relayed = match (out, rest.is_empty()) {
                (None, true) => Relay::Pass,
                (None, false) => Relay::Instead(bytes.get(..done).unwrap_or_default().to_vec()),
                (Some(out), _) => Relay::Instead(out),
            };
            return self.check_held(relayed);
        }
        let mut buffer = std::mem::take(&mut self.held);
        buffer.extend_from_slice(bytes);
        let (done, out) = self.events(&buffer);
        let relayed = out.unwrap_or_else(|| buffer.get(..done).unwrap_or_default().to_vec());
        let relayed = Relay::Instead(relayed);
        buffer.drain(..done);
        self.held = buffer;
        self.check_held(relayed)
    }

    /// The stream has ended: looks at an event without its empty line, and
    /// gives what was held back and must still be relayed.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() || self.blind {
            return Vec::new();
        }
        let cut = self.event(&held);
        if self.cutting && cut { Vec::new() } else { held }
    }

    fn check_held(&mut self, relayed: Relay) -> Relay {
        if self.held.len() <= HELD_LIMIT {
            return relayed;
        }
        self.blind = true;
        let held = std::mem::take(&mut self.held);
        match relayed {
            Relay::Instead(mut out) => {
                out.extend_from_slice(&held);
                Relay::Instead(out)
            }
            Relay::Pass => Relay::Pass,
        }
    }

    /// Looks at each whole event of `buffer`; gives how far they reach, and
    /// if something was cut, what remains of them.
    fn events(&mut self, buffer: &[u8]) -> (usize, Option<Vec<u8>>) {
        let mut start = 0;
        let mut kept = 0;
        let mut out: Option<Vec<u8>> = None;
        while let Some(end) = self.cursor.event_end(buffer, start) {
            let event = buffer.get(start..end).unwrap_or_default();
            // A cut event's last CRLF may be split: its LF goes too.
            let cut = self.event(event) || (self.cut_cr && event == b"\n");
            self.cut_cr = cut && event.ends_with(b"\r");
            if cut && self.cutting {
                let before = buffer.get(kept..start).unwrap_or_default();
                out.get_or_insert_default().extend_from_slice(before);
                kept = end;
            }
            start = end;
        }
        self.cursor.line -= start;
        self.cursor.searched -= start;
        if let Some(out) = &mut out {
            out.extend_from_slice(buffer.get(kept..start).unwrap_or_default());
        }
        (start, out)
    }

    /// Looks at one event. True if it is chat's usage-only chunk.
    fn event(&mut self, mut event: &[u8]) -> bool {
        if !self.begun {
            self.begun = true;
            event = event.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(event);
        }
        let mut data = event.split(|b| *b == b'\n' || *b == b'\r').filter_map(|line| {
            let value = line.strip_prefix(b"data:")?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        });
        let Some(first) = data.next() else { return false };
        match data.next() {
            None => self.payload(first),
            Some(second) => {
                let mut joined = [first, second].join(&b'\n');
                for line in data {
                    joined.push(b'\n');
                    joined.extend_from_slice(line);
                }
                self.payload(&joined)
            }
        }
    }

    fn payload(&mut self, data: &[u8]) -> bool {
        match self.dialect {
            Dialect::Chat => return self.chat(data),
            // After the last event nothing belongs to the answer.
            _ if self.seen.complete => {}
            Dialect::Responses => self.responses(data),
            Dialect::Messages => self.messages(data),
        }
        false
    }

    fn chat(&mut self, data: &[u8]) -> bool {
        if data.trim_ascii() == b"[DONE]" {
            self.seen.complete = true;
            return false;
        }
        if starts_after(data, self.find.finish.find_iter(data), 15, b'"') {
            self.seen.complete = true;
        }
        let has_error = self.find.error.find(data).is_some();
        let has_usage = starts_after(data, self.find.usage.find_iter(data), 7, b'{');
        let mut deltas = 0;
        for at in self.find.delta.find_iter(data) {
            deltas += 1;
            self.seen.text_bytes += text_after(data, at + 7);
        }
        if deltas == 0 {
            self.seen.text_bytes += text_of(data, 0);
        }
        if !has_error && !has_usage {
            return false;
        }
        let Ok(chunk) = serde_json::from_slice::<ChatChunk>(data) else { return false };
        self.take_fault(chunk.error);
        let alone = chunk.usage.is_some() && chunk.choices.is_some_and(|c| c.is_empty());
        if let Some(usage) = chunk.usage {
            self.seen.usage = Some(usage.into());
        }
        alone
    }

    fn responses(&mut self, data: &[u8]) {
        let mut word = [0; 48];
        match type_word(data, &mut word) {
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                let Ok(event) = serde_json::from_slice::<ResponsesEvent>(data) else { return };
                self.seen.complete = true;
                let Some(response) = event.response else { return };
                self.take_fault(response.error);
                if let Some(usage) = response.usage {
                    self.seen.usage = Some(usage.into());
                }
            }
            b"error" => self.take_error_event(data),
            word if word.ends_with(b".delta") => {
                if let Some(at) = self.find.delta.find(data) {
                    self.seen.text_bytes += text_after(data, at + 7);
                }
            }
            _ => {}
        }
    }

    fn messages(&mut self, data: &[u8]) {
        let mut word = [0; 48];
        match type_word(data, &mut word) {
            b"content_block_delta" => {
                if let Some(at) = self.find.delta.find(data) {
                    self.seen.text_bytes += text_after(data, at + 7);
                }
            }
            b"message_start" | b"message_delta" => {
                let Ok(event) = serde_json::from_slice::<MessagesEvent>(data) else { return };
                let usage = event.usage.or(event.message.and_then(|m| m.usage));
                if let Some(usage) = usage {
                    self.messages.update(usage);
                    self.seen.usage = Some(self.messages.clone().into());
                }
            }
            b"message_stop" => self.seen.complete = true,
            b"error" => self.take_error_event(data),
            _ => {}
        }
    }

    fn take_error_event(&mut self, data: &[u8]) {
        let Ok(event) = serde_json::from_slice::<ErrorEvent>(data) else { return };
        let flat = ErrorObject { r#type: None, code: event.code, message: event.message };
        self.take_fault(event.error.or(Some(flat)));
    }

    fn take_fault(&mut self, error: Option<ErrorObject>) {
        if let Some(error) = error {
            let code = error.code.and_then(|c| c.as_str().map(str::to_owned));
            self.seen.fault = Some(TapFault {
                kind: error.r#type.or(code),
                message: error.message.unwrap_or_default(),
            });
        }
    }
}

impl Cursor {
    /// The end of the event that begins at `start`, its empty line included.
    fn event_end(&mut self, buffer: &[u8], start: usize) -> Option<usize> {
        loop {
            // The LF of a CRLF that was split between two chunks.
            if self.line > start
                && self.line == self.searched
                && buffer.get(self.line - 1) == Some(&b'\r')
                && buffer.get(self.line) == Some(&b'\n')
            {
                self.line += 1;
                self.searched = self.line;
            }
            let rest = buffer.get(self.searched..)?;
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.searched = buffer.len();
                return None;
            };
            let Range { start: line, end } = self.line..self.searched + found;
            let crlf = buffer.get(end..end + 2) == Some(b"\r\n");
            self.line = end + if crlf { 2 } else { 1 };
            self.searched = self.line;
            if line == end {
                return Some(self.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &[u8] = b": hi\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"finish_reason\":null}],\"usage\":null}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"lo\\n\"},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n\
data: [DONE]\n\n";

    fn relay(tap: &mut UsageTap, chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            match tap.feed(chunk) {
                Relay::Pass => out.extend_from_slice(chunk),
                Relay::Instead(bytes) => out.extend(bytes),
            }
        }
        out.extend(tap.finish());
        out
    }

    fn with_ends(text: &[u8], end: &str) -> Vec<u8> {
        std::str::from_utf8(text).unwrap().replace('\n', end).into_bytes()
    }

    #[test]
    fn the_usage_only_chunk_is_cut_wherever_the_bytes_are_split() {
        for end in ["\n", "\r\n", "\r"] {
            let wire = with_ends(CHAT, end);
            let text = String::from_utf8(wire.clone()).unwrap();
            let from = text.find("data: {\"choices\":[],").unwrap();
            let to = text.find("data: [DONE]").unwrap();
            let want = text.replacen(text.get(from..to).unwrap(), "", 1);
            for at in 0..=wire.len() {
                let mut tap = UsageTap::cutting_usage(Dialect::Chat);
                let got = relay(&mut tap, &[&wire[..at], &wire[at..]]);
                assert_eq!(String::from_utf8(got).unwrap(), want, "split at {at} of {end:?}");
                assert_eq!(tap.usage().map(|u| (u.input, u.output)), Some((3, 2)));
                assert!(tap.is_complete());
                assert_eq!(tap.text_bytes(), 7, "split at {at}");
            }
            let mut tap = UsageTap::cutting_usage(Dialect::Chat);
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(String::from_utf8(relay(&mut tap, &bytes)).unwrap(), want);
        }
    }

    #[test]
    fn without_cutting_all_bytes_pass_by_whole_events() {
        for at in 0..=CHAT.len() {
            let mut tap = UsageTap::new(Dialect::Chat);
            let mut out = match tap.feed(&CHAT[..at]) {
                Relay::Pass => CHAT[..at].to_vec(),
                Relay::Instead(bytes) => bytes,
            };
            assert!(out.is_empty() || out.ends_with(b"\n\n"), "split at {at}");
            out.extend(relay(&mut tap, &[&CHAT[at..]]));
            assert_eq!(out, CHAT, "split at {at}");
            assert_eq!(tap.usage().map(|u| u.input), Some(3));
        }
        let mut tap = UsageTap::new(Dialect::Chat);
        assert_eq!(tap.feed(CHAT), Relay::Pass);
    }

    #[test]
    fn messages_usage_is_merged_from_start_and_delta() {
        let wire = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":6,\"output_tokens\":1}}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"abc\"}}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":12}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}";
        for at in 0..=wire.len() {
            let mut tap = UsageTap::new(Dialect::Messages);
            relay(&mut tap, &[&wire[..at], &wire[at..]]);
            assert_eq!(tap.usage().map(|u| (u.input, u.output)), Some((10, 12)));
            assert!(tap.is_complete());
            assert_eq!(tap.text_bytes(), 3);
        }
    }

    #[test]
    fn responses_usage_comes_with_the_terminal_event() {
        let wire = b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"abcd\",\"obfuscation\":\"zz\"}\n\n\
data: {\"response\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":1}}},\"type\":\"response.completed\"}\n\n";
        let mut tap = UsageTap::new(Dialect::Responses);
        relay(&mut tap, &[wire]);
        assert_eq!(tap.usage().and_then(|u| u.reasoning), Some(1));
        assert!(tap.is_complete());
        assert_eq!(tap.text_bytes(), 4);
    }

    #[test]
    fn errors_in_the_stream_are_seen() {
        for (dialect, data) in [
            (Dialect::Messages, r#"{"type":"error","error":{"type":"k","message":"m"}}"#),
            (Dialect::Responses, r#"{"type":"error","code":"k","message":"m"}"#),
            (
                Dialect::Responses,
                r#"{"type":"response.failed","response":{"error":{"code":"k","message":"m"}}}"#,
            ),
            (Dialect::Chat, r#"{"error":{"type":"k","message":"m","code":502}}"#),
        ] {
            let mut tap = UsageTap::new(dialect);
            tap.feed(format!("data:{data}\n\n").as_bytes());
            let fault = tap.fault().unwrap();
            assert_eq!((fault.kind.as_deref(), fault.message.as_str()), (Some("k"), "m"));
        }
    }

    #[test]
    fn text_that_speaks_of_usage_is_text() {
        let wire = br#"data: {"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}, \"finish_reason\":\"x\""}}]}

"#;
        let mut tap = UsageTap::new(Dialect::Chat);
        tap.feed(wire);
        assert_eq!((tap.usage(), tap.is_complete()), (None, false));
    }

    #[test]
    fn an_event_without_end_makes_it_blind_and_relays_all() {
        let mut tap = UsageTap::cutting_usage(Dialect::Chat);
        let chunk = vec![b'x'; 1 << 20];
        let mut out = 0;
        for _ in 0..20 {
            out += match tap.feed(&chunk) {
                Relay::Pass => chunk.len(),
                Relay::Instead(bytes) => bytes.len(),
            };
        }
        assert!(tap.is_blind());
        assert_eq!(out + tap.finish().len(), 20 << 20);
    }
}
