//! A refusal: what a cell signs when it says that it never took a bundle over,
//! and never will. With it the session goes on where it came from.

use freehold_control::vault::{CellPublicKey, CellSignature};
use freehold_store::imports::{self, Outcome};
use freehold_types::{DbError, SessionId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::format::{parsed, text};
use super::{Cell, Error};
use crate::event::{Hash, Name};
use crate::sessions::Sessions;

const FORMAT: u32 = 1;
const PURPOSE: &str = "refusal";
/// The most bytes of a refusal.
const BYTES_MAX: usize = 16 << 10;

/// What a cell says when it refuses a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The format.
    pub freehold_refusal: u32,
    /// The cell that refuses.
    pub cell: Name,
    /// What it signs with.
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub key: CellPublicKey,
    /// Whose session it would have been.
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// The bundle.
    pub bundle: Hash,
    /// When this was signed.
    pub at: Timestamp,
}

/// A refusal as it is handed over: JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRefusal {
    refusal: Box<RawValue>,
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    signature: CellSignature,
}

impl SignedRefusal {
    fn sign(cell: &Cell, refusal: &Refusal) -> Result<Self, Error> {
        let refusal = serde_json::value::to_raw_value(refusal)
            .map_err(|error| Error::Refusal(error.to_string()))?;
        let signature = cell.key.sign(PURPOSE, refusal.get().as_bytes());
        Ok(Self { refusal, signature })
    }

    /// What it says, if the cell that it names is one that is trusted, and
    /// signed it.
    pub fn open(&self, cell: &Cell) -> Result<Refusal, Error> {
        let wrong = |why: &str| Error::Refusal(why.to_owned());
        if self.refusal.get().len() > BYTES_MAX {
            return Err(wrong("it is too long to be one"));
        }
        let refusal: Refusal = serde_json::from_str(self.refusal.get())
            .map_err(|error| Error::Refusal(format!("it cannot be read: {error}")))?;
        if refusal.freehold_refusal != FORMAT {
            let found = refusal.freehold_refusal;
            return Err(Error::Refusal(format!(
                "it has format {found}, this build reads {FORMAT}"
            )));
        }
        let peer = cell.peer(&refusal.cell);
        let peer = peer.ok_or_else(|| Error::UnknownCell(refusal.cell.clone()))?;
        if peer.key != refusal.key {
            return Err(wrong("the cell has another key in [[cell.trust]]"));
        }
        if !refusal.key.verifies(PURPOSE, self.refusal.get().as_bytes(), &self.signature) {
            return Err(wrong("its signature does not hold"));
        }
        Ok(refusal)
    }

    /// What it is named by in the journal.
    pub fn hash(&self) -> Hash {
        Hash::of(self.refusal.get().as_bytes())
    }
}

impl Sessions {
    /// Refuses a bundle for good, and says so, signed. Refused before, it is
    /// said again; imported, it cannot be refused any more.
    pub async fn refuse(
        &self,
        cell: &Cell,
        tenant: &TenantId,
        session: SessionId,
        bundle: Hash,
    ) -> Result<SignedRefusal, Error> {
        let (db, now) = (self.inner.db(), self.inner.env().now());
        let unit = imports::refuse(tenant, session, bundle.bytes(), now);
        // Whatever became of the unit, the row says it.
        match db.write(unit).await {
            Ok(_) | Err(DbError::GuardFailed { .. } | DbError::InDoubt(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match imports::outcome(db, tenant, session, bundle.bytes()).await? {
            Some(Outcome::Refused) => {}
            Some(Outcome::Imported) => return Err(Error::AlreadyImported(bundle)),
            None => {
                let words = "the refusal is in doubt; send it again".to_owned();
                return Err(DbError::Unavailable(words).into());
            }
        }
        let refusal = Refusal {
            freehold_refusal: FORMAT,
            cell: cell.name.clone(),
            key: cell.key.public(),
            tenant: tenant.clone(),
            session,
            bundle,
            at: now,
        };
        SignedRefusal::sign(cell, &refusal)
    }
}
