//! Which deployment is asked next: the one way in which a request moves on,
//! whatever it asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_llm::Dialect;
use freehold_llm::model::ApiError;
use freehold_types::{Code, Money};
use http::HeaderMap;

use crate::attempt::{Failed, Raw};
use crate::book::Book;
use crate::call::{Reply, ReplyBody};
use crate::health::Verdict;
use crate::metrics::Outcome;
use crate::plan::{Deployment, Route};
use crate::reply_headers::copy_headers;
use crate::retry::Fault;
use crate::route::{Candidate, order};
use crate::{Gateway, refuse};

/// A request's way over the deployments that may answer it. It ends when
/// [`Walk::next`] has none left or [`Walk::failed`] says so; then
/// [`Walk::end`] tells the client.
pub(crate) struct Walk<'a> {
    gateway: &'a Gateway,
    route: &'a Route,
    candidates: &'a [Arc<Deployment>],
    /// Places in `candidates`; those that were passed over or asked in a hedge
    /// are taken out.
    order: Vec<usize>,
    /// The place in `order` of the one that is asked now.
    place: usize,
    /// Retries of that one.
    nth: u32,
    last: Option<Failed>,
    /// How long the last resorts are held back.
    held_for: Option<Duration>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        gateway: &'a Gateway,
        route: &'a Route,
        candidates: &'a [Arc<Deployment>],
        order: Vec<usize>,
    ) -> Self {
        route.first_attempt();
        Self { gateway, route, candidates, order, place: 0, nth: 0, last: None, held_for: None }
    }

    /// The deployment to ask now, after `attempts`.
    pub(crate) fn next(&mut self, attempts: u32) -> Option<&'a Arc<Deployment>> {
        if attempts > self.route.retry.most {
            return None;
        }
        while let Some(deployment) = self.at(self.place) {
            if self.gateway.may_try(deployment) {
                return Some(deployment);
            }
            self.place += 1;
            self.nth = 0;
        }
        if self.last.is_some() { None } else { self.last_resort() }
    }

    /// Nothing was tried at all, as all are held back: the first that may be
    /// tried nevertheless.
    fn last_resort(&mut self) -> Option<&'a Arc<Deployment>> {
        let now = self.gateway.env.monotonic();
        for place in 0..self.order.len() {
            let deployment = self.at(place)?;
            match deployment.cell.health().ask_last(now) {
                Verdict::No(wait) => {
                    self.held_for = Some(self.held_for.map_or(wait, |least| least.min(wait)));
                }
                Verdict::Yes | Verdict::Probe => {
                    self.place = place;
                    return Some(deployment);
                }
            }
        }
        None
    }

    /// The deployment that a hedge may ask beside the one that is asked now.
    pub(crate) fn spare(&self) -> Option<&'a Arc<Deployment>> {
        self.at(self.place + 1)
    }

    /// The spare one was asked and failed: it is not asked again.
    pub(crate) fn spare_failed(&mut self) {
        if self.place + 1 < self.order.len() {
            self.order.remove(self.place + 1);
        }
    }

    /// Takes in that the deployment asked now has failed. Gives how long to
    /// wait before the next one is asked; `None` if that is the end.
    pub(crate) fn failed(&mut self, failed: Failed, attempts: u32) -> Option<Duration> {
        let (fault, asked) = (failed.fault, failed.wait);
        self.last = Some(failed);
        if fault == Fault::Client {
            return None;
        }
        let mut others = (self.place + 1..self.order.len()).filter_map(|place| self.at(place));
        if self.route.falls_back_on(fault) && others.any(|other| self.gateway.is_well(other)) {
            self.place += 1;
            self.nth = 0;
            return Some(Duration::ZERO);
        }
        if !fault.retries_same() || attempts > self.route.retry.most {
            return None;
        }
        let rest = self.gateway.rest_of(self.at(self.place)?)?;
        let wait = asked.unwrap_or_default().max(rest);
        let wait = self.route.retry.wait(self.nth, Some(wait), self.gateway.chance())?;
        if !self.route.may_retry() {
            return None;
        }
        self.nth += 1;
        Some(wait)
    }

    /// No deployment answered: the last failure is the client's to hear.
    pub(crate) fn end(self, book: Box<Book>, dialect: Dialect, request_id: &str) -> Reply {
        let (error, raw, _) = self.close(book);
        if let Some(raw) = raw {
            let Raw { status, headers: upstream, body } = *raw;
            let mut headers = HeaderMap::new();
            copy_headers(&upstream, &mut headers);
            return Reply { status, headers, body: ReplyBody::Full(body) };
        }
        refuse::reply(dialect, &error, request_id)
    }

    /// The same for one who wants the error itself; and what was spent.
    pub(crate) fn close(self, book: Box<Book>) -> (ApiError, Option<Box<Raw>>, Money) {
        let Some(failed) = self.last else {
            let error = self.none_to_ask();
            let spent = book.settle(error.status, Outcome::UpstreamError, Some(&error));
            return (error, None, spent.cost);
        };
        let outcome = match failed.fault {
            Fault::Client | Fault::TooLong | Fault::Unfit => Outcome::ClientError,
            Fault::Full => Outcome::Shed,
            _ => Outcome::UpstreamError,
        };
        let error = refuse::upstream(&failed);
        let status = failed.raw.as_ref().map_or(error.status, |raw| raw.status.as_u16());
        let spent = book.settle(status, outcome, Some(&error));
        (error, failed.raw, spent.cost)
    }

    fn none_to_ask(&self) -> ApiError {
        let name = &self.route.name;
        let wait = self.held_for.unwrap_or(Duration::from_secs(1));
        let mut error = ApiError::new(
            Code::NoDeployment,
            format!(
                "nothing that the route {name} leads to answers: all requests of the last seconds \
                 failed. One a second is let through to see whether that is over; try again"
            ),
        );
        error.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(1_000).max(1));
        error
    }

    fn at(&self, place: usize) -> Option<&'a Arc<Deployment>> {
        self.candidates.get(*self.order.get(place)?)
    }
}

impl Gateway {
    /// The order in which a route's candidates are asked.
    pub(crate) fn order(
        &self,
        route: &Route,
        candidates: &[Arc<Deployment>],
        affinity: impl FnOnce() -> Option<u64>,
        price: impl Fn(&Deployment) -> Option<i128>,
    ) -> Vec<usize> {
        if candidates.len() == 1 {
            return vec![0];
        }
        let now = self.env.monotonic();
        let seen: Vec<Candidate> = candidates
            .iter()
            .enumerate()
            .map(|(index, d)| {
                let health = d.cell.health();
                Candidate {
                    index,
                    weight: d.weight,
                    latency: health.latency(now),
                    in_flight: d.cell.in_flight.load(Ordering::Relaxed),
                    price: price(d),
                    healthy: !matches!(health.peek(now), Verdict::No(_))
                        && !d.provider.cell.credential_is_down(now),
                }
            })
            .collect();
        order(route.strategy, &seen, affinity(), self.chance())
    }

    /// Whether a deployment could be tried.
    fn is_well(&self, deployment: &Deployment) -> bool {
        let now = self.env.monotonic();
        !deployment.provider.cell.credential_is_down(now)
            && !matches!(deployment.cell.health().peek(now), Verdict::No(_))
    }

    /// How long a deployment is to be left alone before it is tried again;
    /// `None` if its breaker is open, which is not waited for.
    fn rest_of(&self, deployment: &Deployment) -> Option<Duration> {
        let now = self.env.monotonic();
        let health = deployment.cell.health();
        match health.peek(now) {
            _ if health.is_open(now) => None,
            Verdict::No(rest) => Some(rest),
            Verdict::Yes | Verdict::Probe => Some(Duration::ZERO),
        }
    }

    /// Whether a deployment may be tried; takes its probe, if it is up for one.
    pub(crate) fn may_try(&self, deployment: &Deployment) -> bool {
        let now = self.env.monotonic();
        !deployment.provider.cell.credential_is_down(now)
            && !matches!(deployment.cell.health().ask(now), Verdict::No(_))
    }
}
