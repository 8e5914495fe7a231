//! Everything that one exchange has taken, at every scope that it is in.

use std::sync::Arc;

use freehold_types::{Code, Env, Money};
use jiff::Timestamp;

use crate::Refusal;
use crate::admission::{Ask, Unpriced};
use crate::budget::{Account, Exhausted, Reservation};
use crate::identity::{GATES_MAX, Principal};
use crate::limits::{Meter, MeterHold};
use crate::usage::Post;

/// What an exchange has taken. It does not give back by itself: it ends in
/// [`Hold::undo`] or [`Hold::release`], once.
#[derive(Debug)]
pub(super) struct Hold {
    principal: Arc<Principal>,
    tokens: u64,
    /// One for each gate, as far as `meters_taken`.
    meters: [MeterHold; GATES_MAX],
    meters_taken: usize,
    funds: Vec<Fund>,
    /// `None` for an exchange without a known price.
    reserved: Option<Money>,
}

/// What is set aside in one account: at admission, and for more attempts.
#[derive(Debug)]
struct Fund {
    account: Arc<Account>,
    first: Reservation,
    more: Vec<Reservation>,
}

impl Hold {
    /// Takes at every gate, or nothing.
    pub(super) fn take(
        env: &dyn Env,
        now: Timestamp,
        principal: &Arc<Principal>,
        ask: &Ask<'_>,
        unpriced: Unpriced,
    ) -> Result<Self, Refusal> {
        let mut hold = Self {
            principal: Arc::clone(principal),
            tokens: ask.input_tokens_upper.saturating_add(ask.output_tokens_upper),
            meters: [MeterHold::default(); GATES_MAX],
            meters_taken: 0,
            funds: Vec::new(),
            reserved: ask.reserve,
        };
        let taken = hold.take_meters(env).and_then(|()| hold.take_funds(now, ask, unpriced));
        match taken {
            Ok(()) => Ok(hold),
            Err(refusal) => {
                hold.undo(env);
                Err(refusal)
            }
        }
    }

    fn take_meters(&mut self, env: &dyn Env) -> Result<(), Refusal> {
        let now = env.monotonic();
        for (gate, held) in self.principal.gates().iter().zip(&mut self.meters) {
            *held = gate.meter().take(now, self.tokens)?;
            self.meters_taken += 1;
        }
        Ok(())
    }

    fn take_funds(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        unpriced: Unpriced,
    ) -> Result<(), Refusal> {
        for gate in self.principal.gates() {
            for account in &**gate.accounts() {
                if ask.reserve.is_none() && unpriced == Unpriced::Refuse {
                    return Err(refuse_unpriced(ask.route, account));
                }
                // What has no price holds its accounts with nothing in them,
                // for a cost that turns up after all.
                let amount = ask.reserve.unwrap_or(Money::ZERO);
                let first = account
                    .reserve(now, amount)
                    .map_err(|exhausted| refuse_exhausted(account, amount, &exhausted, now))?;
                let account = Arc::clone(account);
                self.funds.push(Fund { account, first, more: Vec::new() });
            }
        }
        Ok(())
    }

    /// Sets more aside in every account, or in none.
    pub(super) fn extend(&mut self, env: &dyn Env, more: Money) -> Result<(), Refusal> {
        let now = env.now();
        for index in 0..self.funds.len() {
            let account = &self.funds[index].account;
            match account.reserve(now, more) {
                Ok(reservation) => self.funds[index].more.push(reservation),
                Err(exhausted) => {
                    let refusal = refuse_exhausted(account, more, &exhausted, now);
                    for fund in &mut self.funds[..index] {
                        if let Some(reservation) = fund.more.pop() {
                            fund.account.settle(now, reservation, Money::ZERO);
                        }
                    }
                    return Err(refusal);
                }
            }
        }
        self.reserved = self.reserved.map(|reserved| reserved.saturating_add(more));
        Ok(())
    }

    /// Gives everything back as if it had not been taken.
    pub(super) fn undo(self, env: &dyn Env) {
        let now = env.monotonic();
        for (gate, held) in self.meters() {
            gate.untake(now, held, self.tokens);
        }
        self.settle_funds(env, Money::ZERO, false);
    }

    /// Replaces what was taken by what was used.
    pub(super) fn release(self, env: &dyn Env, tokens: u64, cost: Money) {
        let now = env.monotonic();
        for (gate, held) in self.meters() {
            gate.release(now, held, self.tokens, tokens);
        }
        let overspent = self.reserved.is_some_and(|reserved| cost > reserved);
        self.settle_funds(env, cost, overspent);
    }

    fn settle_funds(&self, env: &dyn Env, cost: Money, overspent: bool) {
        if self.funds.is_empty() {
            return;
        }
        let now = env.now();
        for fund in &self.funds {
            // The cost goes to the period in which the exchange began, first,
            // so that no one can reserve it in between.
            fund.account.settle(now, fund.first, cost);
            for &reservation in &fund.more {
                fund.account.settle(now, reservation, Money::ZERO);
            }
            if overspent {
                fund.account.note_overspend(now);
            }
        }
    }

    fn meters(&self) -> impl Iterator<Item = (&Meter, MeterHold)> {
        let gates = self.principal.gates().iter().map(|gate| gate.meter());
        gates.zip(self.meters).take(self.meters_taken)
    }

    /// The budgets that it is charged to.
    pub(super) fn posts(&self) -> Vec<Post> {
        let post =
            |fund: &Fund| Post { budget: fund.account.id(), period_start: fund.first.window_start };
        self.funds.iter().map(post).collect()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn reserved(&self) -> Option<Money> {
        self.reserved
    }
}

fn refuse_unpriced(route: &str, account: &Account) -> Refusal {
    let message = format!(
        "the route `{route}` has no price, and {} has a budget that asks for one; add a price or \
         use another route",
        account.scope()
    );
    Refusal::new(Code::BudgetUnpriced, message)
}

fn refuse_exhausted(
    account: &Account,
    asked: Money,
    exhausted: &Exhausted,
    now: Timestamp,
) -> Refusal {
    let Exhausted { amount, period, free, renews } = exhausted;
    let message = format!(
        "{} has a budget of {amount} ({period}), of which {free} is free, and this request may \
         cost up to {asked}; lower its output limit, or ask an administrator for a larger budget",
        account.scope()
    );
    let refusal = Refusal::new(Code::BudgetExhausted, message);
    match renews.map(|at| std::time::Duration::try_from(at.duration_since(now))) {
        Some(Ok(wait)) => refusal.retry_after(wait),
        _ => refusal,
    }
}
