//! An exchange in this process: a request of the hub's in, events of the hub
//! out. Admission, routes, fallback, hedging and books are those of any
//! exchange; only the client's bytes are missing on both sides.

use std::sync::Arc;

use bytes::Bytes;
use freehold_control::Principal;
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Event, Request, events_of};
use freehold_types::{Code, Money};
use http::HeaderMap;

use crate::Gateway;
use crate::attempt::{Answered, Content, Failed, Trying};
use crate::book::Book;
use crate::call::{Call, Endpoint};
use crate::eligible::{affinity, eligible, unknown_model};
use crate::exchange::Back;
use crate::fallback::Walk;
use crate::plan::Deployment;
use crate::say::Saying;
use crate::trace::Trace;
use crate::wire::Asked;

/// What an exchange in this process brings.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and none is kept")]
pub enum Said {
    /// An event of the answer.
    Event(Event),
    /// What the exchange cost so far as the books have it, attempts that gave
    /// no answer included; the last counts. Comes before the answer's end.
    Cost(Money),
}

impl From<Event> for Said {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// A request of this process's own.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What is asked. It is answered as a stream, whatever it says.
    pub request: Arc<Request>,
    /// Who pays, and whose routes and limits hold.
    pub principal: Arc<Principal>,
    /// Names the exchange in logs and errors.
    pub request_id: Arc<str>,
    /// The trace that it belongs to, which providers hear of.
    pub trace: Option<Arc<Trace>>,
}

impl Gateway {
    /// Has a model answer. An error is told before anything was spent; else it
    /// is the stream's last event. Dropping the future, or the stream, cancels
    /// the upstream and settles the exchange.
    pub async fn ask(&self, asking: Asking) -> Result<Saying, Box<ApiError>> {
        let Asking { request, principal, request_id, trace } = asking;
        let plan = self.plan.load_full();
        if request.model.is_empty() {
            return Err(Box::new(ApiError::new(Code::MissingModel, "model: is required")));
        }
        let (route, star) = plan
            .route(&request.model)
            .ok_or_else(|| unknown_model(&plan, &principal, &request.model))?;
        let call = Call {
            endpoint: Endpoint::Model(request.origin),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            principal,
            request_id,
            strict: false,
            trace,
        };
        let asked = Asked::in_process(&call, &request, (Arc::clone(route), star));
        let candidates = eligible(&asked)?;
        let (asked, mut book) = self.admit(asked, &candidates)?;
        book.begin().await?;
        let price = |d: &Deployment| self.price_of(&asked, d);
        let order = self.order(&asked.route, &candidates, || affinity(&asked), price);
        let mut walk = Walk::new(self, &asked.route, &candidates, order);
        while let Some((trying, answered)) = self.answered(&asked, &mut walk, &mut book).await {
            match self.say(trying, answered, book) {
                Ok(saying) => return Ok(saying),
                Err(back) => {
                    let (failed, returned) = *back;
                    book = returned;
                    if !self.moves_on(&mut walk, &mut book, failed).await {
                        break;
                    }
                }
            }
        }
        let (error, _, spent) = walk.close(book);
        if spent == Money::ZERO {
            return Err(Box::new(error));
        }
        Ok(Saying::failed(spent, error))
    }

    /// An answer as it is said here. A whole one that cannot be read gives the
    /// book back, so that another deployment may be tried.
    fn say(&self, trying: Trying, answered: Answered, mut book: Box<Book>) -> Result<Saying, Back> {
        match answered.content {
            Content::Stream { dialect, first, rest, .. } => {
                book.hold(trying);
                Ok(Saying::stream(book, dialect, &first, rest))
            }
            Content::Events { first, rest } => {
                book.hold(trying);
                Ok(Saying::events(book, *first, rest))
            }
            Content::Whole { dialect, body } => match codec(dialect).decode_answer(&body) {
                Ok(answer) => {
                    book.whole(answer.usage.clone(), &body);
                    book.answers(&trying);
                    Ok(Saying::whole(book, events_of(&answer)))
                }
                Err(error) => self.back(trying, Failed::unreadable(&error).after(body.len()), book),
            },
        }
    }
}
