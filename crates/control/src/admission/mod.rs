//! May this exchange begin? Decided in memory, at once, without waiting.

mod counts;
mod gate;
mod hold;
mod ticket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freehold_types::{Code, Env, Money};
use jiff::Timestamp;

pub use counts::AdmissionCounts;
pub(crate) use gate::Gate;
pub use ticket::{Settled, Ticket};

use crate::Refusal;
use crate::identity::Principal;
use crate::limits::Slots;
use crate::usage::Books;
use counts::Counts;
use hold::Hold;

/// How long a caller that was shed should stay away.
const SHED_WAIT: Duration = Duration::from_secs(1);

/// What may be admitted, beside the limits of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Exchanges in flight on this server; more are shed at once.
    pub max_in_flight: u32,
    /// Whether a route without a price may be called where a budget applies.
    pub unpriced: Unpriced,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { max_in_flight: 10_000, unpriced: Unpriced::Serve }
    }
}

/// What to do where a budget applies and nobody knows the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpriced {
    /// Serve, and post what turns out to have a price.
    Serve,
    /// Refuse.
    Refuse,
}

/// What an exchange would like to do.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The route, by the name that the client used.
    pub route: &'a Arc<str>,
    /// The client's dialect, or the endpoint that passes through.
    pub dialect: &'a Arc<str>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The input's tokens, no fewer than it has.
    pub input_tokens_upper: u64,
    /// The most output tokens that the upstream is told it may make.
    pub output_tokens_upper: u64,
    /// The most it can cost; `None` if that is not known.
    pub reserve: Option<Money>,
}

/// The desk that every exchange passes.
pub struct Admission {
    env: Arc<dyn Env>,
    settings: ArcSwap<AdmissionSettings>,
    in_flight: Slots,
    counts: Counts,
    books: Arc<Books>,
}

impl Admission {
    /// A desk with nothing in flight, and the books for what passes it.
    pub(crate) fn new(env: Arc<dyn Env>, settings: AdmissionSettings, books: Arc<Books>) -> Self {
        Self {
            env,
            settings: ArcSwap::from_pointee(settings),
            in_flight: Slots::default(),
            counts: Counts::default(),
            books,
        }
    }

    /// New settings, in force with the next exchange.
    pub fn set(&self, settings: AdmissionSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Reserves what the exchange may use at every scope that it is in, or
    /// nothing. The first limit that has no room is named.
    ///
    /// The order is: the route, the server, then for the key, its groups and
    /// the tenant concurrency, requests and tokens, then the budgets.
    pub fn admit(
        self: &Arc<Self>,
        principal: &Arc<Principal>,
        ask: &Ask<'_>,
    ) -> Result<Ticket, Refusal> {
        let now = self.env.now();
        match self.reserve(principal, ask, now) {
            Ok(hold) => {
                self.counts.admitted();
                Ok(Ticket::new(Arc::clone(self), Arc::clone(principal), ask, now, hold))
            }
            Err(refusal) => {
                self.counts.refused(refusal.code);
                Err(refusal)
            }
        }
    }

    fn reserve(
        &self,
        principal: &Arc<Principal>,
        ask: &Ask<'_>,
        now: Timestamp,
    ) -> Result<Hold, Refusal> {
        principal.may_call(ask.route)?;
        let settings = self.settings.load();
        if !self.in_flight.take(settings.max_in_flight) {
            return Err(shed(settings.max_in_flight));
        }
        Hold::take(&*self.env, now, principal, ask, settings.unpriced)
            .inspect_err(|_| self.in_flight.release())
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.taken()
    }

    /// What has happened here since the start.
    pub fn counts(&self) -> AdmissionCounts {
        self.counts.read()
    }
}

/// Without what it knows of others.
impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

fn shed(max: u32) -> Refusal {
    let message =
        format!("the server has {max} exchanges in flight, as many as it takes; send it again");
    Refusal::new(Code::OverloadShed, message).retry_after(SHED_WAIT)
}

#[cfg(test)]
mod tests;
