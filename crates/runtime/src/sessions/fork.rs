//! Forks: another session that begins with this one's events, without a copy
//! of them. And rewinds: the same session, without what came after.

use std::sync::Arc;

use freehold_store::forks::{self, ForkError};
use freehold_store::journal::{self, Append, Due};
use freehold_store::sessions::NewSession as NewRow;
use freehold_types::{DbError, Offset, SessionId, TenantId, Unit, UnitId};

use super::door::fork_of_key;
use super::{By, Error, Key, Receipt, Sessions, Standing};
use crate::archive::{self, Id, Reader};
use crate::content::About;
use crate::decide::{Cue, Decision, Refused};
use crate::event::Fact;
use crate::worker::{self, Projections};

impl Sessions {
    /// Forks a session after its event at an offset. What was under way there
    /// goes on in the session; in the fork it is over. `about` is what the
    /// fork is said to be; `None` is the session's own. One that was made
    /// before under the same key is given back.
    pub async fn fork(
        &self,
        tenant: &TenantId,
        session: SessionId,
        at: Offset,
        by: By,
        about: Option<About>,
        key: Option<Key>,
    ) -> Result<Receipt, Error> {
        let (inner, env) = (&self.inner, self.inner.env());
        let reader = self.reader(tenant, session).await?;
        let row = reader.row().await?;
        if at == Offset::START || at.0 > row.head {
            return Err(Refused::BadPlace("the journal has no such offset to fork at").into());
        }
        let child = key.as_ref().map(|key| fork_of_key(tenant, session, key));
        let (child, token) = (child.unwrap_or_else(|| SessionId::new(env)), UnitId::new(env));
        fork_of(&reader, at, token)?;
        let about = match about {
            Some(about) => about,
            None => About::clone(&reader.about()),
        };
        let noted = vec![Cue::Fork { child, at }];
        let noted = inner.give(&reader.id, by.clone(), noted, key).await?;
        let at = if noted.repeated { noted_at(&reader, noted.first, child).await? } else { at };
        if noted.repeated
            && let Some(made) = self.made(tenant, child).await?
        {
            return Ok(made);
        }
        let fork = fork_of(&reader, at, token)?;
        let (state, _) = reader.load(at).await?;
        let standing = Standing { epoch: NewRow::EPOCH, timeline: inner.parts.timeline };
        let decision =
            self.decided(child, &state, standing, Cue::ForkedFrom { parent: session }, by)?;
        let id = Id { tenant: tenant.clone(), session: child };
        let unit = self.birth_of_fork(&id, &fork, token, &about, &decision).await?;
        match freehold_store::settle(inner.db(), unit).await {
            Ok(()) => {}
            // Under its key somebody else made it at the same time.
            Err(DbError::GuardFailed { .. }) => {
                return self.made(tenant, child).await?.ok_or(Error::NotFound);
            }
            Err(error) => return Err(error.into()),
        }
        // Only now it is there: the parent keeps what it begins with.
        let at = env.now();
        forks::lineage(inner.db(), tenant, child, at).await?.ok_or(Error::NotFound)?;
        Ok(Receipt {
            session: child,
            first: decision.events.first().map_or(decision.state.head, |event| event.offset),
            head: decision.state.head,
            repeated: false,
            state: Arc::new(decision.state),
        })
    }

    /// Has the model of a session forget what came after an offset, the end of
    /// a turn. The events stay, and so does what was done in the world.
    pub async fn rewind(
        &self,
        tenant: &TenantId,
        session: SessionId,
        to: Offset,
        by: By,
    ) -> Result<Receipt, Error> {
        let reader = self.reader(tenant, session).await?;
        if to == Offset::START || to.0 > reader.row().await?.head {
            return Err(Refused::BadPlace("the journal has no such offset to rewind to").into());
        }
        let (state, _) = reader.load(to).await?;
        if state.turn.is_some() {
            return Err(Refused::BadPlace("a turn runs at that offset: rewind to its end").into());
        }
        let context = state.context.up_to(to);
        self.give(tenant, session, by, vec![Cue::Rewind { to, context }], None).await
    }

    /// A fork that is there already.
    async fn made(&self, tenant: &TenantId, child: SessionId) -> Result<Option<Receipt>, Error> {
        let reader = match self.reader(tenant, child).await {
            Ok(reader) => reader,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let head = Offset(reader.row().await?.head);
        let (state, _) = reader.load(head).await?;
        let first = Offset(reader.lineage().base()).next();
        Ok(Some(Receipt { session: child, first, head, repeated: true, state: Arc::new(state) }))
    }

    async fn birth_of_fork(
        &self,
        id: &Id,
        fork: &forks::Fork,
        token: UnitId,
        about: &About,
        decision: &Decision,
    ) -> Result<Unit, Error> {
        let now = self.inner.env().now();
        let env = self.inner.env();
        let (key, wrapped) = archive::new_key(&self.inner.parts.archive, id).await?;
        let new = NewRow {
            tenant: id.tenant.clone(),
            id: id.session,
            created_at: now,
            timeline: self.inner.parts.timeline,
            phase: worker::phase(&decision.state),
            due_at: None,
            node: None,
            about: archive::seal_about(env, id.session, &key, about)?,
            content_key: Some(wrapped),
        };
        let mut unit = Unit::new("sessions.fork");
        forks::create(&mut unit, &new, fork);
        let events = decision.events.iter();
        let events = events.map(|event| archive::seal_event(env, id.session, &key, event));
        let events: Vec<_> = events.collect::<Result<_, _>>()?;
        let append = Append {
            tenant: &id.tenant,
            session: id.session,
            after: fork.base,
            epoch: NewRow::EPOCH,
            id: decision.events.first().map_or(token, |event| event.unit),
            at: now,
            phase: None,
            due: Due::AsBefore,
            events: &events,
            snapshot: archive::seal_snapshot(env, id.session, &key, &decision.state),
        };
        journal::append(&mut unit, &append)?;
        let rows = worker::projections(&decision.state);
        worker::project(&mut unit, id, &Projections::default(), &rows, now);
        Ok(unit)
    }
}

/// What a fork of a session at an offset begins with.
fn fork_of(reader: &Reader, at: Offset, token: UnitId) -> Result<forks::Fork, Error> {
    let fork = reader.lineage().fork(at.0, Some(reader.wrapped()), token);
    fork.map_err(|error| match error {
        ForkError::Empty => Refused::BadPlace("there is nothing to fork").into(),
        ForkError::TooDeep => Refused::Full("forks of forks").into(),
    })
}

/// Where a fork was made that its parent has noted before.
async fn noted_at(reader: &Reader, noted: Offset, child: SessionId) -> Result<Offset, Error> {
    let events = reader.events(noted.before(), noted, 1).await?;
    match events.first().map(|event| &event.fact) {
        Some(Fact::Forked(fact)) if fact.child == child => Ok(fact.at),
        // The key came with something else.
        _ => Err(Error::KeyReused),
    }
}
