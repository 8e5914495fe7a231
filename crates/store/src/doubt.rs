//! Settles the doubt about a write whose answer was lost.

use freehold_types::{Db, DbError, Unit};

/// Sendings until a doubt is given back to the caller.
const SENDINGS: u32 = 3;

/// Writes a unit that can be proven, and does not leave it in doubt if that
/// can be helped: `Ok` means that it took effect once, a refusal that it did
/// not and will not. A store that still cannot be heard leaves the doubt;
/// send the same unit here again, later, and in a new process after raising
/// the epoch that the unit is guarded by.
///
/// Looking is not enough, for what is in doubt may yet take effect. Sending it
/// again waits for its earlier self; if then it is refused, that one is over,
/// and its own id tells whether it was the one that stood in the way.
pub async fn settle(db: &dyn Db, unit: Unit) -> Result<(), DbError> {
    let Some(proof) = unit.proof().cloned() else {
        return Err(DbError::Other(format!("the unit `{}` has no proof", unit.label())));
    };
    let mut doubt = None;
    for _ in 0..SENDINGS {
        let refusal = match (db.write(unit.clone()).await, &doubt) {
            (Ok(_), _) => return Ok(()),
            (Err(error @ DbError::InDoubt(_)), _) => {
                doubt = Some(error);
                continue;
            }
            (Err(error), None) => return Err(error),
            (Err(error @ (DbError::GuardFailed { .. } | DbError::Other(_))), Some(_)) => error,
            // It says nothing about the sending before.
            (Err(_), Some(_)) => break,
        };
        return match db.read(proof.sql, proof.args).await {
            Ok(rows) if rows.is_empty() => Err(refusal),
            Ok(_) => Ok(()),
            Err(_) => Err(doubt.unwrap_or(refusal)),
        };
    }
    Err(doubt.unwrap_or_else(|| DbError::Other("nothing was sent".into())))
}
