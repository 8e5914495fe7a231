//! The right to run one exchange, and the duty to account for it.

use std::sync::Arc;

use freehold_store::exchanges::Opened;
use freehold_types::{ExchangeId, Money};
use jiff::Timestamp;

use crate::Refusal;
use crate::admission::hold::Hold;
use crate::admission::{Admission, Ask};
use crate::identity::Principal;
use crate::usage::{Ending, Flush, How, Place, Settlement};

/// An admitted exchange. It holds a slot, tokens and money at every scope that
/// it is in until it is settled; one that is dropped gives them back by
/// itself, so that nothing leaks whichever way an exchange ends:
///
/// - before [`Ticket::begin`] has succeeded it costs nothing;
/// - after it, the upstream may have worked and nobody knows how much: it is
///   settled at its reservation and recorded as interrupted.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    exchange: ExchangeId,
    opened_at: Timestamp,
    route: Arc<str>,
    dialect: Arc<str>,
    stream: bool,
    principal: Arc<Principal>,
    /// Taken when the ticket ends.
    hold: Option<Hold>,
    /// Its place in the books, once it has asked for one.
    place: Option<Place>,
    begun: bool,
}

/// A settled exchange.
#[derive(Debug)]
pub struct Settled {
    /// What it cost beyond its reservation: a provider ignored the limit that
    /// it was sent.
    pub excess: Option<Money>,
    /// Its record; the answer's end is held back until it is done.
    pub flush: Flush,
}

impl Ticket {
    pub(super) fn new(
        admission: Arc<Admission>,
        principal: Arc<Principal>,
        ask: &Ask<'_>,
        opened_at: Timestamp,
        hold: Hold,
    ) -> Self {
        Self {
            exchange: ExchangeId::new(&*admission.env),
            admission,
            opened_at,
            route: Arc::clone(ask.route),
            dialect: Arc::clone(ask.dialect),
            stream: ask.stream,
            principal,
            hold: Some(hold),
            place: None,
            begun: false,
        }
    }

    /// The exchange's id in records, logs and traces.
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Who is behind it.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// When it was admitted.
    pub fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// What is reserved for it in every budget; `None` if it has no known
    /// price.
    pub fn reserved(&self) -> Option<Money> {
        self.hold.as_ref().and_then(Hold::reserved)
    }

    /// Reserves more: for a further attempt beside or after one that may have
    /// to be paid. Nothing changes if a budget cannot pay for it.
    pub fn extend(&mut self, more: Money) -> Result<(), Refusal> {
        let env = &*self.admission.env;
        self.hold.as_mut().map_or(Ok(()), |hold| hold.extend(env, more))
    }

    /// To be called before each attempt is sent; the first call records that
    /// the exchange begins, and with durability `Sync` waits for the record.
    pub async fn begin(&mut self) -> Result<(), Refusal> {
        if self.place.is_none() {
            let (place, flush) = self.admission.books.open(self.opened())?;
            self.place = Some(place);
            flush.done().await?;
        }
        self.begun = true;
        Ok(())
    }

    /// Ends the exchange with what it used.
    pub fn settle(mut self, settlement: Settlement) -> Settled {
        let cost = settlement.total_cost();
        let excess = self
            .reserved()
            .filter(|&reserved| cost > reserved)
            .map(|reserved| cost.saturating_sub(reserved));
        if excess.is_some() {
            self.admission.counts.overspent();
        }
        self.admission.counts.settled();
        let tokens = settlement.total_tokens();
        let closed = settlement.into_closed(self.admission.env.now());
        let flush = self.end(How::Closed(closed), tokens, cost);
        Settled { excess, flush }
    }

    fn opened(&self) -> Opened {
        let key = self.principal.key();
        Opened {
            tenant: key.tenant.clone(),
            id: self.exchange,
            group: key.group.clone(),
            key: key.id,
            route: Arc::clone(&self.route),
            dialect: Arc::clone(&self.dialect),
            stream: self.stream,
            opened_at: self.opened_at,
            reserved: self.reserved().unwrap_or(Money::ZERO),
        }
    }

    /// Gives everything back and records the end, once.
    fn end(&mut self, how: How, tokens: u64, cost: Money) -> Flush {
        let opened = match &self.place {
            Some(Place::Kept(opened)) if opened.reserved == self.reserved().unwrap_or_default() => {
                Some(Arc::clone(opened))
            }
            Some(Place::Unkept) => None,
            // Not opened, or reserved more since.
            Some(Place::Kept(_)) | None => Some(Arc::new(self.opened())),
        };
        let Some(hold) = self.hold.take() else { return Flush::NONE };
        let posts = hold.posts();
        hold.release(&*self.admission.env, tokens, cost);
        self.admission.in_flight.release();
        let books = &self.admission.books;
        match (opened, &self.place) {
            (Some(opened), Some(_)) => books.end(Ending { opened, how, posts }),
            (Some(opened), None) => books.end_unopened(Ending { opened, how, posts }),
            (None, _) => Flush::NONE,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(hold) = &self.hold else { return };
        let (tokens, reserved) = (hold.tokens(), hold.reserved().unwrap_or(Money::ZERO));
        // Nobody is left who could wait for the record.
        if self.begun {
            self.admission.counts.interrupted();
            drop(self.end(How::Interrupted, tokens, reserved));
        } else if self.place.is_some() {
            self.admission.counts.abandoned();
            let closed = Settlement::abandoned().into_closed(self.admission.env.now());
            drop(self.end(How::Closed(closed), 0, Money::ZERO));
        } else {
            // It never asked for a record and gets none.
            self.admission.counts.abandoned();
            if let Some(hold) = self.hold.take() {
                hold.release(&*self.admission.env, 0, Money::ZERO);
                self.admission.in_flight.release();
            }
        }
    }
}
