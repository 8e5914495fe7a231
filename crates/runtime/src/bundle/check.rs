//! What an import believes of a bundle: everything in it, but nothing before
//! it was looked at. Line by line, without a clock or a store.
//!
//! Whatever comes of a line may be laid down, where nobody finds it; that it
//! is a session shows at the last line.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_types::{BLOB_BYTES_MAX, Offset};
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::error::Wrong;
use super::format::{
    ABOUT_BYTES_MAX, AnyHead, END_PURPOSE, End, EventLine, FORMAT, HEAD_PURPOSE, Head, HeadLine,
    KeyLine, LINE_BYTES_MAX, Line, TimelineLine,
};
use super::{BLOBS_MAX, Cell, Error, references};
use crate::content::About;
use crate::event::{Event, Fact, Hash};
use crate::seal::OVERHEAD;
use crate::state::State;

/// The most timelines that a session comes with: each is a restored backup.
const TIMELINES_MAX: u64 = 10_000;
/// The most bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 512;

/// Looks at a bundle.
pub(super) struct Check<'c> {
    cell: &'c Cell,
    lines: u64,
    /// Of all lines so far.
    sum: Sha256,
    head: Option<Head>,
    stage: Stage,
    /// What comes in several lines.
    parts: Option<Parts>,
    blobs: BTreeMap<Hash, u64>,
    timelines: u64,
    state: State,
    digest: Digest,
    /// Of all events but the last.
    before_last: Digest,
    /// The last epoch in which something was started.
    epoch: u64,
    /// The seal, if that is the last event.
    seal: Option<crate::event::Sealed>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Head,
    About,
    Keys,
    Journal,
    Done,
}

/// Content of which not all is there yet.
struct Parts {
    /// `None` for what the session is said to be.
    hash: Option<Hash>,
    bytes: u64,
    plain: Vec<u8>,
}

/// What a line brings.
#[derive(Debug)]
pub(super) enum Piece {
    Head(Box<Head>),
    About(Box<About>),
    Timeline { timeline: u64, base: u64 },
    Key { name: String, request: Hash, at: Offset },
    Blob { hash: Hash, plain: Vec<u8> },
    Event { event: Box<Event>, body: Vec<u8> },
}

impl<'c> Check<'c> {
    pub(super) fn new(cell: &'c Cell) -> Self {
        Self {
            cell,
            lines: 0,
            sum: Sha256::new(),
            head: None,
            stage: Stage::Head,
            parts: None,
            blobs: BTreeMap::new(),
            timelines: 0,
            state: State::default(),
            digest: Digest::new(),
            before_last: Digest::new(),
            epoch: 0,
            seal: None,
        }
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Option<Piece>, Error> {
        self.lines += 1;
        let at = self.lines;
        let piece = self.look(line).map_err(|wrong| match wrong {
            Wrong::Line(why) => Error::Damaged { line: at, why },
            Wrong::Whole(error) => error,
        })?;
        self.sum.update(line);
        self.sum.update(b"\n");
        Ok(piece)
    }

    /// There are no more lines; gives what the journal comes to, and the epoch
    /// that comes after those in it.
    pub(super) fn finish(self) -> Result<(State, u64), Error> {
        match (self.stage, self.epoch.checked_add(1)) {
            (Stage::Done, Some(epoch)) if epoch < u64::MAX >> 2 => Ok((self.state, epoch)),
            (Stage::Done, _) => {
                let why = "its epochs are more than can be".to_owned();
                Err(Error::Damaged { line: self.lines, why })
            }
            _ => Err(Error::Cut { lines: self.lines }),
        }
    }

    fn look(&mut self, line: &[u8]) -> Result<Option<Piece>, Wrong> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Wrong::Line(format!("it has more than {LINE_BYTES_MAX} bytes")));
        }
        match self.stage {
            Stage::Head => return self.head(line).map(Some),
            Stage::Done => return Err("there is more after the end".into()),
            Stage::About | Stage::Keys | Stage::Journal => {}
        }
        let line: Line<'_> = serde_json::from_slice(line)?;
        let goes_on = match (&line, &self.parts) {
            (Line::About(_), Some(parts)) => parts.hash.is_none(),
            (Line::Blob(part), Some(parts)) => parts.hash == Some(part.hash),
            (Line::Failed(_), _) | (_, None) => true,
            (_, Some(_)) => false,
        };
        if !goes_on {
            return Err("a part of the content before it is missing".into());
        }
        match line {
            Line::About(part) => self.about(part.bytes, &part.data),
            Line::Timeline(line) => self.timeline(&line).map(Some),
            Line::Key(line) => self.key(line).map(Some),
            Line::Blob(part) => self.blob(part.hash, part.bytes, &part.data),
            Line::Event(line) => self.event(&line).map(Some),
            Line::End(end) => self.end(&end).map(|()| None),
            Line::Failed(why) => Err(Error::Unfinished(why.chars().take(500).collect()).into()),
        }
    }

    fn head(&mut self, line: &[u8]) -> Result<Piece, Wrong> {
        let line: HeadLine<'_> = serde_json::from_slice(line)
            .map_err(|error| Wrong::Line(format!("it is no bundle's first line: {error}")))?;
        let AnyHead { freehold_bundle: found } = serde_json::from_str(line.head.get())?;
        if found != FORMAT {
            return Err(Error::Newer { found, known: FORMAT }.into());
        }
        let head: Head = serde_json::from_str(line.head.get())?;
        if !self.cell.trusts(&head.cell, head.key) {
            let (cell, key) = (head.cell, head.key.to_string());
            return Err(Error::Untrusted { cell, key }.into());
        }
        if !head.key.verifies(HEAD_PURPOSE, line.head.get().as_bytes(), &line.signature) {
            return Err("its signature does not hold".into());
        }
        if head.head == Offset::START || head.head.0 > u64::MAX >> 2 {
            return Err("it says that there are no events, or more than can be".into());
        }
        self.head = Some(head.clone());
        self.stage = Stage::About;
        Ok(Piece::Head(Box::new(head)))
    }

    fn about(&mut self, bytes: u64, data: &str) -> Result<Option<Piece>, Wrong> {
        self.at(Stage::About)?;
        let Some(plain) = self.part(None, bytes, ABOUT_BYTES_MAX, data)? else { return Ok(None) };
        self.stage = Stage::Keys;
        Ok(Some(Piece::About(Box::new(serde_json::from_slice(&plain)?))))
    }

    fn timeline(&mut self, line: &TimelineLine) -> Result<Piece, Wrong> {
        self.at(Stage::Keys)?;
        self.timelines += 1;
        if self.timelines > TIMELINES_MAX {
            return Err(Wrong::Line(format!("there are more than {TIMELINES_MAX} timelines")));
        }
        Ok(Piece::Timeline { timeline: line.timeline, base: line.base })
    }

    fn key(&mut self, line: KeyLine) -> Result<Piece, Wrong> {
        self.at(Stage::Keys)?;
        let KeyLine { name, request, at } = line;
        if name.len() > KEY_BYTES_MAX || name.contains('\0') || at > self.last() {
            return Err("it is no idempotency key of this session".into());
        }
        Ok(Piece::Key { name, request, at })
    }

    fn blob(&mut self, hash: Hash, bytes: u64, data: &str) -> Result<Option<Piece>, Wrong> {
        self.journal()?;
        if self.blobs.contains_key(&hash) {
            return Err("the blob is there already".into());
        }
        let max = (BLOB_BYTES_MAX - OVERHEAD) as u64;
        let Some(plain) = self.part(Some(hash), bytes, max, data)? else { return Ok(None) };
        if Hash::of(&plain) != hash {
            return Err("the blob is not what its hash says".into());
        }
        if self.blobs.len() >= BLOBS_MAX {
            return Err(Wrong::Line(format!("there are more than {BLOBS_MAX} blobs")));
        }
        self.blobs.insert(hash, bytes);
        Ok(Some(Piece::Blob { hash, plain }))
    }

    fn event(&mut self, line: &EventLine<'_>) -> Result<Piece, Wrong> {
        self.journal()?;
        if line.at != self.state.head.next() || line.at > self.last() {
            return Err(Wrong::Line(format!(
                "the event {} comes after the event {} of {}",
                line.at,
                self.state.head,
                self.last()
            )));
        }
        let body = line.body.get().as_bytes();
        let event = Event::decode(line.at, body)?;
        if let Some(hash) = references::held(&event)
            && !self.blobs.contains_key(&hash)
        {
            return Err(Wrong::Line(format!("its blob {hash} does not come before it")));
        }
        self.state.apply(&event)?;
        self.before_last = self.digest.clone();
        self.digest.event(line.at, body);
        self.seal = match &event.fact {
            Fact::Sealed(sealed) => Some(sealed.clone()),
            Fact::ToolStarted(started) => {
                self.epoch = self.epoch.max(started.epoch);
                None
            }
            _ => None,
        };
        Ok(Piece::Event { event: Box::new(event), body: body.to_vec() })
    }

    fn end(&mut self, end: &End) -> Result<(), Wrong> {
        self.at(Stage::Journal)?;
        let Some(head) = &self.head else { return Err("there was no head".into()) };
        let sum = Hash::from_bytes(self.sum.clone().finalize().into());
        if end.lines + 1 != self.lines || end.sha256 != sum {
            return Err("the lines before are not those that were signed".into());
        }
        if !head.key.verifies(END_PURPOSE, sum.bytes(), &end.signature) {
            return Err("its signature does not hold".into());
        }
        if self.state.head != head.head || self.state.labels != head.labels {
            return Err("the events are not those that the head tells of".into());
        }
        let named = match (&head.moves_to, &self.seal) {
            (None, _) => self.digest.name(),
            (Some(to), Some(seal)) if seal.cell == to.cell && seal.bundle == head.bundle => {
                self.before_last.name()
            }
            (Some(_), _) => return Err("the last event does not seal it for its cell".into()),
        };
        if named != head.bundle {
            return Err("the events are not those that the bundle is named by".into());
        }
        self.stage = Stage::Done;
        Ok(())
    }

    /// Whether the journal may begin now, or go on.
    fn journal(&mut self) -> Result<(), Wrong> {
        if self.stage == Stage::Keys {
            self.stage = Stage::Journal;
        }
        self.at(Stage::Journal)
    }

    /// Whether this may come now.
    fn at(&self, stage: Stage) -> Result<(), Wrong> {
        if self.stage == stage { Ok(()) } else { Err("it is out of order".into()) }
    }

    fn last(&self) -> Offset {
        self.head.as_ref().map_or(Offset::START, |head| head.head)
    }

    /// One more part; all of it once that is there.
    fn part(
        &mut self,
        hash: Option<Hash>,
        bytes: u64,
        max: u64,
        data: &str,
    ) -> Result<Option<Vec<u8>>, Wrong> {
        if bytes > max {
            return Err(Wrong::Line(format!("a content of {bytes} bytes; the most is {max}")));
        }
        let data = STANDARD.decode(data).map_err(|error| Wrong::Line(error.to_string()))?;
        let mut parts = self.parts.take().unwrap_or(Parts { hash, bytes, plain: Vec::new() });
        parts.plain.extend_from_slice(&data);
        let there = parts.plain.len() as u64;
        if parts.bytes != bytes || there > bytes || (data.is_empty() && there < bytes) {
            return Err("the parts of a content do not fit together".into());
        }
        if there == bytes {
            return Ok(Some(parts.plain));
        }
        self.parts = Some(parts);
        Ok(None)
    }
}
