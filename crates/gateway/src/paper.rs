//! What a request is written on, held no longer than it may be needed.
//!
//! A request of a megabyte is a megabyte of the client's bytes, another of the
//! hub's values and a third of what goes to the provider. Only one of them is
//! held while the answer is waited for: the client's own bytes as long as
//! another deployment may have to be asked, else what goes to the one that is
//! left, for another try.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Request};
use freehold_llm::{Dialect, Losses};
use freehold_types::WireBody;

use crate::refuse;

/// A request in the forms that are held of it.
#[derive(Debug)]
pub(crate) struct Paper {
    dialect: Dialect,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// As the client sent it.
    bytes: Bytes,
    /// In the hub.
    decoded: Option<Arc<Request>>,
    /// The same without its conversation: what an answer's encoder asks for.
    terms: Option<Arc<Request>>,
    /// As it went to the only deployment that there is.
    written: Option<(WireBody, Losses)>,
}

impl Paper {
    /// One that came as bytes.
    pub(crate) fn of(dialect: Dialect, bytes: Bytes) -> Self {
        Self { dialect, held: Mutex::new(Held { bytes, ..Held::default() }) }
    }

    /// One that came as a value of the hub's.
    pub(crate) fn in_process(request: &Arc<Request>) -> Self {
        let held = Held { decoded: Some(Arc::clone(request)), ..Held::default() };
        Self { dialect: request.origin, held: Mutex::new(held) }
    }

    /// The client's bytes, where they are still held.
    pub(crate) fn bytes(&self) -> Bytes {
        self.held().bytes.clone()
    }

    /// The request in the hub.
    pub(crate) fn request(&self) -> Result<Arc<Request>, Box<ApiError>> {
        let mut held = self.held();
        if let Some(request) = &held.decoded {
            return Ok(Arc::clone(request));
        }
        let decoded = codec(self.dialect).decode_request(&held.bytes);
        let request = Arc::new(decoded.map_err(|error| refuse::bad_body(&error))?);
        held.decoded = Some(Arc::clone(&request));
        Ok(request)
    }

    /// What the request says beside its conversation.
    pub(crate) fn terms(&self) -> Result<Arc<Request>, Box<ApiError>> {
        let terms = self.held().terms.clone();
        terms.map_or_else(|| self.request(), Ok)
    }

    /// As it went out before, if that is all that is held.
    pub(crate) fn written(&self) -> Option<(WireBody, Losses)> {
        self.held().written.clone()
    }

    /// The request in the hub for one who gives it back when it goes out. What
    /// has bytes is decoded anew if it is needed before.
    pub(crate) fn lend(&self) -> Result<Arc<Request>, Box<ApiError>> {
        let request = self.request()?;
        let mut held = self.held();
        if !held.bytes.is_empty() {
            held.decoded = None;
        }
        Ok(request)
    }

    /// The request goes out as this. Its form in the hub is let go of, which
    /// can be made again from the client's bytes; those too, if there is
    /// nobody else to ask.
    pub(crate) fn goes_out(
        &self,
        request: Arc<Request>,
        (body, losses): (&WireBody, &Losses),
        sole: bool,
    ) {
        let mut held = self.held();
        if held.bytes.is_empty() {
            return;
        }
        // What was lent was a changed one if there is another still.
        let mut request = held.decoded.take().unwrap_or(request);
        let Some(terms) = Arc::get_mut(&mut request) else {
            // Another attempt reads it at the same time.
            held.decoded = Some(request);
            return;
        };
        terms.items = Vec::new();
        held.terms = Some(request);
        if sole {
            held.bytes = Bytes::new();
            held.written = Some((body.clone(), losses.clone()));
        }
    }

    /// Nothing can fail while it is held but memory.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"model":"m","user":"u","messages":[{"role":"user","content":"hey"}]}"#;

    fn paper() -> (Paper, Bytes) {
        let bytes = Bytes::from(BODY.as_bytes().to_vec());
        (Paper::of(Dialect::Chat, bytes.clone()), bytes)
    }

    fn out() -> WireBody {
        WireBody::from(Bytes::from_static(b"written"))
    }

    #[test]
    fn with_others_to_ask_the_clients_bytes_are_held_and_no_more() {
        let (paper, bytes) = paper();
        let request = paper.lend().unwrap();
        assert_eq!(request.items.len(), 1);
        paper.goes_out(request, (&out(), &Losses::default()), false);
        assert!(paper.written().is_none());
        assert_eq!(paper.bytes(), bytes);
        let terms = paper.terms().unwrap();
        assert_eq!((terms.items.len(), terms.user.as_deref()), (0, Some("u")));
        assert_eq!(paper.request().unwrap().items.len(), 1, "made again for the next one");
    }

    #[test]
    fn with_nobody_else_to_ask_only_what_went_out_is_held() {
        let (paper, bytes) = paper();
        let request = paper.lend().unwrap();
        paper.goes_out(request, (&out(), &Losses::default()), true);
        assert!(bytes.is_unique(), "the client's bytes are let go of");
        assert_eq!(paper.written().unwrap().0.to_bytes(), "written");
        assert_eq!(paper.terms().unwrap().user.as_deref(), Some("u"));
    }

    #[test]
    fn what_another_attempt_reads_stays() {
        let (paper, bytes) = paper();
        let (read, lent) = (paper.request().unwrap(), paper.lend().unwrap());
        paper.goes_out(lent, (&out(), &Losses::default()), true);
        assert_eq!((read.items.len(), paper.bytes()), (1, bytes));
        assert!(paper.written().is_none());
    }

    #[test]
    fn what_has_no_bytes_is_never_let_go_of() {
        let request = Arc::new(codec(Dialect::Chat).decode_request(BODY.as_bytes()).unwrap());
        let paper = Paper::in_process(&request);
        let lent = paper.lend().unwrap();
        drop(request);
        paper.goes_out(lent, (&out(), &Losses::default()), true);
        assert_eq!(paper.request().unwrap().items.len(), 1);
    }
}
