//! What comes to a session from outside, and how it is accepted.

use std::sync::Arc;

use freehold_store::idempotency::{self, Accepted as Noted};
use freehold_store::sessions::{self, NewSession};
use freehold_types::{Offset, Unit};
use tokio::sync::oneshot;

use super::batch::Batch;
use super::hold::Hold;
use super::settle::Doom;
use super::{Over, Worker, phase};
use crate::content::{About, Input};
use crate::decide::{Cue, Rules};
use crate::event::{Content, Limits, Request};
use crate::sessions::{By, Error, Key, Receipt};

/// Cues that are accepted together, or not at all.
pub(crate) struct Mail {
    pub(crate) by: By,
    pub(crate) cues: Vec<Cue>,
    pub(crate) key: Option<Key>,
    pub(crate) reply: oneshot::Sender<Result<Receipt, Error>>,
}

/// A session that is to be, and its first mail.
pub(crate) struct Birth {
    pub(crate) about: About,
    pub(crate) mail: Mail,
}

/// What became of mail.
pub(crate) type Accepted = oneshot::Receiver<Result<Receipt, Error>>;

impl Mail {
    /// Mail, and where its answer comes.
    pub(crate) fn new(by: By, cues: Vec<Cue>, key: Option<Key>) -> (Self, Accepted) {
        let (reply, accepted) = oneshot::channel();
        (Self { by, cues, key, reply }, accepted)
    }

    /// Answers; whoever went away does not hear it.
    pub(crate) fn answer(self, answer: Result<Receipt, Error>) {
        drop(self.reply.send(answer));
    }
}

impl Worker<'_> {
    /// Makes the session.
    pub(super) async fn birth(&mut self, mut mail: Mail) -> Result<(), Over> {
        let about = self.reader.profiled();
        let cues = std::mem::take(&mut mail.cues);
        let batch = match self.decided(&mail.by, cues).await {
            Ok(batch) => batch,
            Err(error) => {
                mail.answer(Err(error));
                return Err(Over::Released);
            }
        };
        let new = NewSession {
            tenant: self.id().tenant.clone(),
            id: self.id().session,
            created_at: batch.now,
            timeline: self.timeline,
            phase: phase(&batch.state),
            due_at: None,
            node: Some(self.node),
            about,
            content_key: Some(self.reader.wrapped()),
        };
        let mut unit = Unit::new("sessions.create");
        sessions::create(&mut unit, &new);
        match self.accept(unit, batch, mail).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Over::Released),
            Err(over) => Err(over),
        }
    }

    /// Takes what came from outside.
    pub(super) async fn mail(&mut self, mut mail: Mail) -> Result<(), Over> {
        if let Some(key) = &mail.key {
            match self.seen(key).await {
                Ok(None) => {}
                Ok(Some(receipt)) => return self.answer(mail, Ok(receipt)).await,
                Err(error) => return self.answer(mail, Err(error)).await,
            }
        }
        let cues = std::mem::take(&mut mail.cues);
        match self.decided(&mail.by, cues).await {
            Ok(batch) if batch.events.is_empty() => {
                let receipt = self.receipt(self.state.head, false);
                self.answer(mail, Ok(receipt)).await
            }
            Ok(batch) => self.accept(Unit::new("sessions.step"), batch, mail).await.map(|_| ()),
            Err(error) => self.answer(mail, Err(error)).await,
        }
    }

    /// Answers without a commit, which would tell whether the session is still
    /// this worker's. If it may not be, its row is asked: what a worker of before
    /// knows says nothing of the session as it is.
    async fn answer(&self, mail: Mail, answer: Result<Receipt, Error>) -> Result<(), Over> {
        // A key's event that is not known here was added by others.
        let ahead = answer.as_ref().is_ok_and(|receipt| receipt.first > receipt.head);
        let hold = Hold { epoch: self.epoch, since: self.since };
        let ours = match hold.is_there(self.inner(), self.id()).await {
            Ok(is_there) => is_there && !ahead,
            Err(error) => {
                mail.answer(Err(error.into()));
                return Ok(());
            }
        };
        mail.answer(if ours { answer } else { Err(Error::Moving) });
        if ours { Ok(()) } else { Err(Over::Lost) }
    }

    async fn decided(&mut self, by: &By, mut cues: Vec<Cue>) -> Result<Batch, Error> {
        self.ready().await?;
        let rules = rules_for(&self.rules, self.inner().options.rules.turn_limits, &cues)?;
        let blobs = self.stow(&mut cues).await?;
        let mut batch = self.batch(by);
        batch.blobs = blobs;
        if let Some(rules) = rules {
            batch.rules = Arc::new(rules);
        }
        for cue in cues {
            batch.cue(cue)?;
        }
        Ok(batch)
    }

    /// Commits, and answers. False if nothing was committed.
    async fn accept(&mut self, mut unit: Unit, mut batch: Batch, mail: Mail) -> Result<bool, Over> {
        let first = self.state.head.next();
        let noted = mail.key.as_ref().map(|key| {
            let request_hash = (*key.request.bytes()).into();
            if let Some(event) = batch.events.first_mut() {
                event.request = Some(Request { key: key.name.clone(), hash: key.request });
            }
            (key.name.as_str(), Noted { request_hash, offset: first.0 })
        });
        if let Err(error) = self.append(&mut unit, &batch) {
            mail.answer(Err(error));
            return Ok(false);
        }
        if let Some((name, accepted)) = &noted {
            idempotency::accept(&mut unit, &self.id().tenant, self.id().session, name, accepted);
        }
        match self.settle_once(unit).await {
            Ok(()) => {
                let events = self.committed(batch);
                let receipt = self.receipt(first, false);
                // Before a thousand listeners are woken.
                mail.answer(Ok(receipt));
                self.tell(events);
                if self.state.sealed.is_some() {
                    // It was let go of with the seal.
                    return Err(Over::Lost);
                }
                self.perform();
                Ok(true)
            }
            Err(Doom::Not(error)) => {
                mail.answer(Err(error.into()));
                Ok(false)
            }
            Err(Doom::Lost) => {
                mail.answer(Err(Error::Moving));
                Err(Over::Lost)
            }
            Err(Doom::Broken(error)) => {
                let words = error.to_string();
                mail.answer(Err(error.into()));
                Err(Over::Failed(Error::Defect(words)))
            }
        }
    }

    fn receipt(&self, first: Offset, repeated: bool) -> Receipt {
        Receipt {
            session: self.id().session,
            first,
            head: self.state.head,
            repeated,
            state: Arc::clone(&self.state),
        }
    }

    /// What became of a request with this key, if there was one.
    async fn seen(&self, key: &Key) -> Result<Option<Receipt>, Error> {
        let (inner, id) = (self.inner(), self.id());
        let found = idempotency::find(inner.db(), &id.tenant, id.session, &key.name).await?;
        let Some(found) = found else { return Ok(None) };
        if *found.request_hash != *key.request.bytes() {
            return Err(Error::KeyReused);
        }
        Ok(Some(self.receipt(Offset(found.offset), true)))
    }
}

/// The rules with the limits that the last of these inputs sets, if one does.
fn rules_for(rules: &Rules, usual: Limits, cues: &[Cue]) -> Result<Option<Rules>, Error> {
    let mut limits: Option<Limits> = None;
    for cue in cues {
        if let Cue::Input { content: Content::Inline(value), settings: true, .. } = cue {
            let input: Input = serde_json::from_value(value.clone())
                .map_err(|error| Error::Content(format!("an input cannot be read: {error}")))?;
            limits = input.settings.map(|settings| settings.limits);
        }
    }
    Ok(limits.map(|limits| Rules { turn_limits: limits.or(usual), ..rules.clone() }))
}
