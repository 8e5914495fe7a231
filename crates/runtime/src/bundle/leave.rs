//! How a session leaves for another cell, and how it stays after all.

use freehold_store::journal::{self, Append, Due};
use freehold_store::sessions as rows;
use freehold_types::{DbError, Offset, SessionId, TenantId, Unit, UnitId};
use jiff::Timestamp;

use super::export::Survey;
use super::{Cell, Error, Export, Recipient, SignedRefusal};
use crate::archive::{Id, Reader};
use crate::decide::{Cue, Decision, Refused, owed};
use crate::event::{Fact, Hash, Name, Sealed};
use crate::sessions::{self, By, Receipt, Sessions, Standing};

use crate::worker::{self, Projections};

/// How often a session is tried to be sealed in which something happens all
/// the time.
const TRIES: u32 = 20;

impl Sessions {
    /// Seals a session for another cell, and gives its bundle: from then on
    /// everything is refused here. A session that is sealed for that cell
    /// already is given again, as the same bundle to the last byte.
    pub async fn move_out(
        &self,
        cell: &Cell,
        tenant: &TenantId,
        session: SessionId,
        to: &Name,
        by: By,
    ) -> Result<Export, Error> {
        if *to == cell.name {
            return Err(Error::Here(to.clone()));
        }
        let peer = cell.peer(to).ok_or_else(|| Error::UnknownCell(to.clone()))?;
        let recipient = Recipient { cell: to.clone(), key: peer.key };
        let id = Id { tenant: tenant.clone(), session };
        let permit = self.bundle_permit()?;
        let reader = Reader::open(&self.inner.parts.archive, &id).await?;
        let row = reader.row().await?;
        let mut survey = Survey::begin(&reader).await?;
        let bundle = match &row.sealed_for {
            Some(there) if **there != *to.as_str() => {
                return Err(sessions::Error::from(Refused::Sealed(Name::cut(there))).into());
            }
            Some(_) => {
                survey.read(&reader, Offset(row.head).before()).await?;
                sealed(&reader, Offset(row.head)).await?.bundle
            }
            None => self.seal(&reader, &mut survey, to, by).await?,
        };
        // What it is said to be may have changed until the seal.
        let reader = Reader::open(&self.inner.parts.archive, &id).await?;
        let row = reader.row().await?;
        Export::new(cell, reader, row, survey, bundle, Some(recipient), permit).await
    }

    /// Seals it as it stands; what happens meanwhile is in it.
    async fn seal(
        &self,
        reader: &Reader,
        survey: &mut Survey,
        to: &Name,
        by: By,
    ) -> Result<Hash, Error> {
        for _ in 0..TRIES {
            let at = Offset(reader.row().await?.head);
            survey.read(reader, at).await?;
            survey.all_there(reader).await?;
            let bundle = survey.name();
            let cue = Cue::Seal { cell: to.clone(), bundle, at };
            match self.inner.give(&reader.id, by.clone(), vec![cue], None).await {
                Ok(_) => return Ok(bundle),
                Err(sessions::Error::Refused(Refused::Stale)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(sessions::Error::Crowded.into())
    }

    /// Takes a session back that was sealed for another cell, which has
    /// refused it.
    pub async fn unseal(
        &self,
        cell: &Cell,
        tenant: &TenantId,
        session: SessionId,
        refusal: &SignedRefusal,
        by: By,
    ) -> Result<Receipt, Error> {
        let id = Id { tenant: tenant.clone(), session };
        let reader = Reader::open(&self.inner.parts.archive, &id).await?;
        let row = reader.row().await?;
        let Some(there) = &row.sealed_for else {
            return Err(sessions::Error::from(Refused::NotWaiting("the seal")).into());
        };
        let said = refusal.open(cell)?;
        let seal = sealed(&reader, Offset(row.head)).await?;
        let what = if *said.cell.as_str() != **there {
            Some(format!("it is of the cell `{}`, the session was moved to `{there}`", said.cell))
        } else if (&said.tenant, said.session) != (tenant, session) {
            Some(format!("it is about the session {} of `{}`", said.session, said.tenant))
        } else if said.bundle != seal.bundle {
            Some(format!("it is about the bundle {}, and not {}", said.bundle, seal.bundle))
        } else {
            None
        };
        if let Some(why) = what {
            return Err(Error::Refusal(why));
        }
        let (state, _) = reader.load(Offset(row.head)).await?;
        let cue = Cue::Unseal { refusal: refusal.hash() };
        let standing = Standing { epoch: row.epoch + 1, timeline: row.timeline };
        let decision = self.decided(session, &state, standing, cue, by)?;
        let unit = self.unsealed(&reader, &row, there, &decision)?;
        match freehold_store::settle(self.inner.db(), unit).await {
            Ok(()) => {}
            Err(DbError::GuardFailed { .. }) => return Err(sessions::Error::Moving.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(receipt(session, decision))
    }

    fn unsealed(
        &self,
        reader: &Reader,
        row: &rows::Session,
        cell: &str,
        decision: &Decision,
    ) -> Result<Unit, Error> {
        let Id { tenant, session } = &reader.id;
        let now = at(self, decision);
        let mut unit = Unit::new("sessions.unseal");
        rows::unseal(&mut unit, tenant, *session, row.epoch, cell, self.due(decision));
        let events = decision.events.iter().map(|event| reader.sealed(event));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let append = Append {
            tenant,
            session: *session,
            after: row.head,
            epoch: row.epoch + 1,
            id: unit_of(self, decision),
            at: now,
            phase: Some(worker::phase(&decision.state)),
            due: Due::AsBefore,
            events: &events,
            snapshot: reader.sealed_snapshot(&decision.state),
        };
        journal::append(&mut unit, &append).map_err(sessions::Error::from)?;
        let waiting = worker::projections(&decision.state);
        worker::project(&mut unit, &reader.id, &Projections::default(), &waiting, now);
        Ok(unit)
    }

    /// When a worker should look at the session.
    pub(super) fn due(&self, decision: &Decision) -> Option<Timestamp> {
        let owes = !owed(&decision.state).is_empty();
        if owes { Some(self.inner.env().now()) } else { decision.wake }
    }
}

/// When a decision was made, by its events: what waits since then says the
/// same.
pub(super) fn at(sessions: &Sessions, decision: &Decision) -> Timestamp {
    let first = decision.events.first().map(|event| event.at);
    first.unwrap_or_else(|| sessions.inner.env().now())
}

/// The write that a decision's events come with.
pub(super) fn unit_of(sessions: &Sessions, decision: &Decision) -> UnitId {
    let first = decision.events.first().map(|event| event.unit);
    first.unwrap_or_else(|| UnitId::new(sessions.inner.env()))
}

pub(super) fn receipt(session: SessionId, decision: Decision) -> Receipt {
    Receipt {
        session,
        first: decision.events.first().map_or(decision.state.head, |event| event.offset),
        head: decision.state.head,
        repeated: false,
        state: std::sync::Arc::new(decision.state),
    }
}

/// The seal of a sealed session, its last event.
async fn sealed(reader: &Reader, head: Offset) -> Result<Sealed, Error> {
    let events = reader.events(head.before(), head, 1).await?;
    match events.into_iter().next().map(|event| event.fact) {
        Some(Fact::Sealed(sealed)) => Ok(sealed),
        _ => {
            let words = format!("the session is sealed, and its event {head} does not say so");
            Err(sessions::Error::Content(words).into())
        }
    }
}
