//! The right to run one exchange, and the duty to account for it.

use std::sync::Arc;

use freehold_types::{ExchangeId, Money};

use crate::Refusal;
use crate::admission::Admission;
use crate::admission::hold::Hold;
use crate::identity::Principal;
use crate::usage::{Flush, Settlement};

/// An admitted exchange. It holds a slot, tokens and money at every scope that
/// it is in until it is settled; one that is dropped gives them back by
/// itself, so that nothing leaks whichever way an exchange ends:
///
/// - before [`Ticket::begin`] it costs nothing;
/// - after it, the upstream may have worked and nobody knows how much: it is
///   settled at its reservation and recorded as interrupted.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    exchange: ExchangeId,
    /// Taken when the ticket ends.
    hold: Option<Hold>,
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
    pub(super) fn new(admission: Arc<Admission>, hold: Hold) -> Self {
        let exchange = ExchangeId::new(&*admission.env);
        Self { admission, exchange, hold: Some(hold), begun: false }
    }

    /// The exchange's id in records, logs and traces.
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Who is behind it.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.hold.as_ref().map(Hold::principal)
    }

    /// What is reserved for it in every budget; `None` if it has no known
    /// price.
    pub fn reserved(&self) -> Option<Money> {
        self.hold.as_ref().and_then(Hold::reserved)
    }

    /// Reserves more: for a further attempt beside or after one that may have
    /// to be paid.
    pub fn extend(&mut self, more: Money) -> Result<(), Refusal> {
        let env = &*self.admission.env;
        self.hold.as_mut().map_or(Ok(()), |hold| hold.extend(env, more))
    }

    /// To be called before the first attempt is sent, which waits for the
    /// record.
    pub fn begin(&mut self) -> Result<Flush, Refusal> {
        self.begun = true;
        Ok(Flush::none())
    }

    /// Ends the exchange with what it used.
    pub fn settle(mut self, settlement: &Settlement) -> Settled {
        let Some(hold) = self.hold.take() else {
            return Settled { excess: None, flush: Flush::none() };
        };
        let cost = settlement.cost.unwrap_or(Money::ZERO);
        let excess = hold
            .reserved()
            .filter(|&reserved| cost > reserved)
            .map(|reserved| cost.saturating_sub(reserved));
        if excess.is_some() {
            self.admission.counts.overspent();
        }
        self.admission.counts.settled();
        self.end(hold, settlement.tokens.total(), cost);
        Settled { excess, flush: Flush::none() }
    }

    fn end(&self, hold: Hold, tokens: u64, cost: Money) {
        hold.release(&*self.admission.env, tokens, cost);
        self.admission.in_flight.release();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        if self.begun {
            self.admission.counts.interrupted();
            let (tokens, cost) = (hold.tokens(), hold.reserved().unwrap_or(Money::ZERO));
            self.end(hold, tokens, cost);
        } else {
            self.admission.counts.abandoned();
            self.end(hold, 0, Money::ZERO);
        }
    }
}
