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
/// and its own id tells whether it was the one that stood in the way. Each
/// refusal is looked into, for the earlier self may be of an earlier call.
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
            (Err(error @ (DbError::GuardFailed { .. } | DbError::Other(_))), _) => error,
            (Err(error), None) => return Err(error),
            // It says nothing about the sending before.
            (Err(_), Some(_)) => break,
        };
        return match db.read(proof.sql, proof.args).await {
            Ok(rows) if rows.is_empty() => Err(refusal),
            Ok(_) => Ok(()),
            Err(error) => Err(doubt.unwrap_or_else(|| DbError::InDoubt(error.to_string()))),
        };
    }
    Err(doubt.unwrap_or_else(|| DbError::Other("nothing was sent".into())))
}

#[cfg(test)]
mod tests {
    use freehold_types::{BoxFuture, Row, UnitReceipt, Value, args};
    use futures_util::FutureExt;

    use super::*;
    use crate::Memory;

    /// A store whose answers to writes are not heard for a while.
    struct Deaf {
        memory: Memory,
        unheard: std::sync::Mutex<u32>,
    }

    impl Db for Deaf {
        fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
            let outcome = self.memory.run(&unit);
            let mut unheard = self.unheard.lock().unwrap();
            let heard = *unheard == 0;
            *unheard = unheard.saturating_sub(1);
            let outcome = if heard { outcome } else { Err(DbError::InDoubt("deaf".into())) };
            Box::pin(std::future::ready(outcome))
        }

        fn read(
            &self,
            sql: &'static str,
            args: Vec<Value>,
        ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
            self.memory.read(sql, args)
        }
    }

    fn beat(by: &str) -> Unit {
        let mut unit = Unit::new("beat");
        let sql = "UPDATE nodes SET beat = 1, name = $1 WHERE id = 'n' AND beat = 0";
        unit.expect(1, sql, args![by]);
        unit.proven_by("SELECT id FROM nodes WHERE name = $1", args![by]);
        unit
    }

    fn deaf_for(unheard: u32) -> Deaf {
        let memory = Memory::open().unwrap();
        let mut unit = Unit::new("join");
        let sql = "INSERT INTO nodes (id, name, address, started_at, beat)
            VALUES ('n', 'n', 'a', 0, 0)";
        unit.expect(1, sql, args![]);
        memory.run(&unit).unwrap();
        Deaf { memory, unheard: std::sync::Mutex::new(unheard) }
    }

    #[test]
    fn a_doubt_of_an_earlier_call_is_settled_by_a_later_one() {
        let store = deaf_for(SENDINGS);
        let first = settle(&store, beat("us")).now_or_never().unwrap();
        assert!(matches!(first, Err(DbError::InDoubt(_))));
        assert_eq!(settle(&store, beat("us")).now_or_never().unwrap(), Ok(()));
    }

    #[test]
    fn a_refusal_stays_one_where_others_were_first() {
        let store = deaf_for(0);
        assert_eq!(settle(&store, beat("others")).now_or_never().unwrap(), Ok(()));
        let refused = settle(&store, beat("us")).now_or_never().unwrap();
        assert!(matches!(refused, Err(DbError::GuardFailed { .. })));
    }
}
