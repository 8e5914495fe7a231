//! The books of one exchange: opened at admission, finished exactly once.
//!
//! Whatever becomes of an exchange (answered, failed, the client gone, its
//! future dropped), its [`Book`] ends in `finish` or in its drop: the ticket
//! is settled, the metrics count it, and one log line tells of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_control::{Flush, Lost, Principal, Settlement, Ticket};
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Request, Usage};
use freehold_llm::{AnswerContext, Dialect, IdSource, StreamEncoder, estimate};
use freehold_types::{BoxFuture, Money, Rounding};

use crate::Gateway;
use crate::attempt::{Failed, Trying};
use crate::metrics::Outcome;
use crate::plan::{Deployment, Route};
use crate::retry::Fault;
use crate::trace::Trace;

/// What a book is opened with.
pub(crate) struct Opening {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) route: Arc<Route>,
    pub(crate) request_id: Arc<str>,
    pub(crate) principal: Arc<Principal>,
    /// What was asked for: a dialect's word, or an endpoint's.
    pub(crate) endpoint: &'static Arc<str>,
    /// The name that the client asked for.
    pub(crate) model: Box<str>,
    /// The lane that the client asked for.
    pub(crate) tier: Option<Box<str>>,
    pub(crate) stream: bool,
    pub(crate) input_estimate: u64,
    pub(crate) trace: Option<Arc<Trace>>,
}

/// Books that are closed.
#[derive(Default)]
pub(crate) struct Spent {
    /// What the end of the answer waits for.
    pub(crate) flush: Option<Flush>,
    /// What the exchange cost, lost attempts included.
    pub(crate) cost: Money,
}

/// The books of one exchange.
pub(crate) struct Book {
    opening: Opening,
    /// Taken when the books are closed.
    ticket: Option<Ticket>,
    began: Duration,
    first_byte: Option<Duration>,
    attempts: u32,
    /// The deployment tried last.
    deployment: Option<Arc<Deployment>>,
    /// The model's name there.
    model_there: Arc<str>,
    /// Keeps the deployment's place until the answer has ended.
    trying: Option<Trying>,
    /// An attempt beside it, in a hedge.
    beside: Option<(Arc<Deployment>, Arc<str>)>,
    /// Whether nobody knows yet how the one tried last went.
    under_way: bool,
    /// Attempts that gave no answer and may be billed all the same.
    lost: Vec<Lost>,
    /// What rounding did to their cost.
    lost_rounding: Rounding,
    /// What is reserved for them, beside the reservation for one attempt.
    covered: Money,
    usage: Option<Usage>,
    request: Option<Arc<Request>>,
}

impl Book {
    /// Opens the books of an admitted exchange.
    pub(crate) fn open(opening: Opening, ticket: Ticket) -> Box<Self> {
        let began = opening.gateway.env.monotonic();
        opening.route.cell.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Box::new(Self {
            opening,
            ticket: Some(ticket),
            began,
            first_byte: None,
            attempts: 0,
            deployment: None,
            model_there: Arc::default(),
            trying: None,
            beside: None,
            under_way: false,
            lost: Vec::new(),
            lost_rounding: Rounding::default(),
            covered: Money::ZERO,
            usage: None,
            request: None,
        })
    }

    /// From here on the exchange may cost something. Resolves when its record
    /// is where the operator wants it before anything is sent.
    pub(crate) async fn begin(&mut self) -> Result<(), Box<ApiError>> {
        let Some(ticket) = &mut self.ticket else { return Ok(()) };
        let Err(refusal) = ticket.begin().await else { return Ok(()) };
        let error = crate::refuse::refusal(&refusal);
        self.close(error.status, Outcome::Refused, Some(&error));
        Err(error)
    }

    /// Begins an attempt.
    pub(crate) fn attempt(
        &mut self,
        deployment: &Arc<Deployment>,
        model: &str,
    ) -> Result<Trying, Failed> {
        let trying = Trying::enter(deployment, model, self.opening.gateway.env.monotonic())?;
        self.attempts += 1;
        self.under_way = true;
        self.deployment = Some(Arc::clone(deployment));
        self.model_there = Arc::clone(trying.model());
        Ok(trying)
    }

    /// Begins an attempt beside the one that is under way.
    pub(crate) fn attempt_beside(
        &mut self,
        deployment: &Arc<Deployment>,
        model: &str,
    ) -> Result<Trying, Failed> {
        let first = self.deployment.clone().map(|d| (d, Arc::clone(&self.model_there)));
        let trying = self.attempt(deployment, model)?;
        self.beside = first;
        Ok(trying)
    }

    /// An attempt has failed. If it may be billed all the same, it is posted as
    /// a line of its own, once; gives the failure on.
    pub(crate) fn failed(
        &mut self,
        deployment: &Arc<Deployment>,
        model: &str,
        mut failed: Failed,
    ) -> Failed {
        self.ended(deployment);
        if let Some(bytes) = failed.billed.take() {
            self.post(deployment, model, estimate::estimate_tokens_of_len(bytes));
        }
        failed
    }

    /// An attempt was cancelled since another one was faster: the provider may
    /// bill the input that it read, so that is posted.
    pub(crate) fn hedge_lost(&mut self, deployment: &Arc<Deployment>, model: &str) {
        self.ended(deployment);
        self.post(deployment, model, 0);
    }

    /// It is known how an attempt went.
    fn ended(&mut self, deployment: &Arc<Deployment>) {
        if self.beside.take_if(|(beside, _)| Arc::ptr_eq(beside, deployment)).is_none() {
            self.under_way = false;
        }
    }

    /// Posts an attempt that gave no answer, by what it may have used.
    fn post(&mut self, deployment: &Deployment, model: &str, output: u64) {
        let (lost, rounding) = self.loss(deployment, model, output);
        self.lost_rounding.0 = self.lost_rounding.0.saturating_add(rounding.0);
        self.lost.push(lost);
    }

    fn loss(&self, deployment: &Deployment, model: &str, output: u64) -> (Lost, Rounding) {
        let opening = &self.opening;
        let usage =
            Usage { input: opening.input_estimate, output, estimated: true, ..Usage::default() };
        let cost = opening.gateway.cost(deployment, model, opening.tier.as_deref(), &usage);
        let lost = Lost {
            provider: Arc::clone(&deployment.provider.name),
            deployment: Arc::clone(&deployment.name),
            model: model.into(),
            input_tokens: usage.input,
            output_tokens: usage.output,
            cost: cost.map_or(Money::ZERO, |(cost, _)| cost),
            unpriced: cost.is_none(),
        };
        (lost, cost.map_or_else(Rounding::default, |(_, rounding)| rounding))
    }

    /// Reserves what lost attempts cost before a further one is sent, which the
    /// first reservation then pays for. False if a budget does not bear it.
    pub(crate) fn covers_lost(&mut self) -> bool {
        self.covers(Money::ZERO)
    }

    /// The same before one of two attempts is going to be lost.
    pub(crate) fn covers_hedge(&mut self, two: [(&Deployment, &str); 2]) -> bool {
        let costs = two.map(|(deployment, model)| self.loss(deployment, model, 0).0.cost);
        self.covers(costs.into_iter().max().unwrap_or(Money::ZERO))
    }

    fn covers(&mut self, more: Money) -> bool {
        let need = self.lost.iter().fold(more, |sum, lost| sum.saturating_add(lost.cost));
        if need <= self.covered {
            return true;
        }
        let Some(ticket) = &mut self.ticket else { return false };
        let extended = ticket.extend(need.saturating_sub(self.covered)).is_ok();
        if extended {
            self.covered = need;
        }
        extended
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The answer comes from this attempt; its place is kept to the end.
    pub(crate) fn hold(&mut self, trying: Trying) {
        self.answers(&trying);
        self.trying = Some(trying);
    }

    /// The answer comes from this attempt.
    pub(crate) fn answers(&mut self, trying: &Trying) {
        self.beside = None;
        self.deployment = Some(Arc::clone(trying.deployment()));
        self.model_there = Arc::clone(trying.model());
        self.first_byte = Some(self.opening.gateway.env.monotonic());
    }

    /// The answer broke off by the provider's fault.
    pub(crate) fn broke(&mut self, fault: Fault) {
        if let Some(trying) = &mut self.trying {
            trying.failed(self.opening.gateway.env.monotonic(), fault, None);
        }
    }

    /// Whether the answer's usage is told already.
    pub(crate) fn has_usage(&self) -> bool {
        self.usage.is_some()
    }

    pub(crate) fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// The usage of a whole answer: what it says, else an estimate from its
    /// length.
    pub(crate) fn whole(&mut self, told: Option<Usage>, body: &[u8]) {
        self.usage = Some(told.unwrap_or_else(|| Usage {
            input: self.opening.input_estimate,
            output: estimate::estimate_tokens(body),
            estimated: true,
            ..Usage::default()
        }));
    }

    pub(crate) fn input_estimate(&self) -> u64 {
        self.opening.input_estimate
    }

    /// Keeps the request for an encoder that is needed late.
    pub(crate) fn keep_request(&mut self, request: Arc<Request>) {
        self.request = Some(request);
    }

    /// An encoder for an error event in a stream that was relayed as bytes.
    pub(crate) fn stream_encoder(&self, dialect: Dialect) -> Box<dyn StreamEncoder> {
        let gateway = &self.opening.gateway;
        let empty;
        let request = match &self.request {
            Some(request) => request,
            None => {
                empty = Request::new(dialect, &*self.opening.model);
                &empty
            }
        };
        let mut seed = [0; 16];
        gateway.env.fill_random(&mut seed);
        codec(dialect).stream_encoder(&AnswerContext {
            request,
            model: &self.opening.model,
            ids: IdSource::new(u128::from_le_bytes(seed)),
            created: gateway.env.now().as_second(),
        })
    }

    /// The time of day, in seconds since 1970.
    pub(crate) fn now_seconds(&self) -> i64 {
        self.opening.gateway.env.now().as_second()
    }

    /// A timer.
    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.opening.gateway.env.sleep(duration)
    }

    /// Closes the books of a request that turned out wrong before anything
    /// was sent; gives the error on.
    pub(crate) fn refuse(self: Box<Self>, error: Box<ApiError>) -> Box<ApiError> {
        self.finish(error.status, Outcome::ClientError, Some(&error));
        error
    }

    /// Closes the books of a request that its one deployment has no room for;
    /// gives the error on.
    pub(crate) fn shed(self: Box<Self>, failed: Failed) -> Box<ApiError> {
        self.finish(failed.error.status, Outcome::Shed, Some(&failed.error));
        failed.error
    }

    /// Closes the books; gives what the end of the answer waits for.
    pub(crate) fn finish(
        self: Box<Self>,
        status: u16,
        outcome: Outcome,
        error: Option<&ApiError>,
    ) -> Option<Flush> {
        self.settle(status, outcome, error).flush
    }

    /// The same, and what it cost in all.
    pub(crate) fn settle(
        mut self: Box<Self>,
        status: u16,
        outcome: Outcome,
        error: Option<&ApiError>,
    ) -> Spent {
        self.close(status, outcome, error)
    }

    fn close(&mut self, status: u16, outcome: Outcome, error: Option<&ApiError>) -> Spent {
        let Some(ticket) = self.ticket.take() else { return Spent::default() };
        // The place at the deployment is given back before anything is told.
        self.trying = None;
        if let Some((beside, model)) = self.beside.take() {
            // Both attempts of a hedge were under way when the client left.
            self.post(&beside, &model, 0);
        }
        let lost = std::mem::take(&mut self.lost);
        let gateway = &self.opening.gateway;
        let usage = self.settled_usage(outcome);
        let deployment = self.deployment.as_deref();
        let cost = deployment.and_then(|deployment| {
            gateway.cost(deployment, &self.model_there, self.opening.tier.as_deref(), &usage)
        });
        let rounding = cost.map_or(0, |(_, rounding)| rounding.0);
        let rounding = Rounding(rounding.saturating_add(self.lost_rounding.0));
        let cost = cost.map(|(cost, _)| cost);
        let total = lost
            .iter()
            .fold(cost.unwrap_or(Money::ZERO), |sum, lost| sum.saturating_add(lost.cost));
        let trace = self.opening.trace.as_deref();
        let cancelled = outcome == Outcome::Gone;
        let exchange = ticket.exchange();
        let settled = ticket.settle(Settlement {
            provider: deployment.map(|d| Arc::clone(&d.provider.name)),
            deployment: deployment.map(|d| Arc::clone(&d.name)),
            model: deployment.map(|_| Arc::clone(&self.model_there)),
            status,
            error: match error {
                Some(error) => Some(error.kind.word().into()),
                None => cancelled.then(|| "cancelled".into()),
            },
            attempts: self.attempts,
            tokens: crate::money::tokens(&usage),
            cost,
            rounding,
            estimated: usage.estimated,
            lost,
        });
        let took = self.count(outcome, &usage, total);
        tracing::info!(
            target: "freehold::exchange",
            request_id = &*self.opening.request_id,
            exchange = %exchange,
            trace = trace.map(|trace| tracing::field::display(trace.span)),
            trace_parent = trace.and_then(|t| t.parent).map(tracing::field::display),
            tenant = self.opening.principal.tenant().as_str(),
            key = self.opening.principal.key().name.as_str(),
            endpoint = &**self.opening.endpoint,
            route = &*self.opening.route.name,
            deployment = deployment.map_or("", |d| &d.name),
            model = &*self.opening.model,
            stream = self.opening.stream,
            status,
            outcome = outcome.word(),
            code = error.and_then(|e| e.code.as_deref()).unwrap_or(""),
            attempts = self.attempts,
            input_tokens = usage.input,
            output_tokens = usage.output,
            cached_tokens = usage.cache_read.unwrap_or(0),
            estimated = usage.estimated,
            cost = %total,
            excess = %settled.excess.unwrap_or(Money::ZERO),
            ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "exchange"
        );
        Spent { flush: Some(settled.flush), cost: total }
    }

    /// Counts the exchange; gives how long it took.
    fn count(&self, outcome: Outcome, usage: &Usage, cost: Money) -> Duration {
        let metrics = &self.opening.route.cell.metrics;
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        metrics.ended(outcome);
        metrics.input_tokens.fetch_add(usage.input, Ordering::Relaxed);
        metrics.output_tokens.fetch_add(usage.output, Ordering::Relaxed);
        metrics.cached_tokens.fetch_add(usage.cache_read.unwrap_or(0), Ordering::Relaxed);
        if usage.estimated {
            metrics.estimated.fetch_add(1, Ordering::Relaxed);
        }
        let micros = cost.nanos() / 1_000;
        metrics.cost_micros.fetch_add(u64::try_from(micros).unwrap_or(0), Ordering::Relaxed);
        let total = self.opening.gateway.env.monotonic().saturating_sub(self.began);
        metrics.total.observe(total);
        if let Some(at) = self.first_byte {
            metrics.first_byte.observe(at.saturating_sub(self.began));
        }
        total
    }

    /// What to settle beside lost attempts: what was told or estimated; nothing
    /// where there is no answer; the input where the client went away before it
    /// began.
    fn settled_usage(&self, outcome: Outcome) -> Usage {
        if let Some(usage) = &self.usage {
            return usage.clone();
        }
        match outcome {
            Outcome::Gone if self.under_way => {
                Usage { input: self.opening.input_estimate, estimated: true, ..Usage::default() }
            }
            _ => Usage::default(),
        }
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // 499, as others log a client that closed its request.
        drop(self.close(499, Outcome::Gone, None));
    }
}
