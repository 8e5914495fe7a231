//! What an error of the database says about the work that it ended, and what
//! comes next. Plain functions: no connection is needed to try them.

use std::error::Error as _;

use freehold_types::DbError;

use super::value::Unfit;

/// What an error means. But for the first two, nothing of the statement's
/// transaction took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The connection is gone or of no use. A transaction whose commit was
    /// sent over it may have taken effect.
    Lost,
    /// The engine itself does not know whether it committed (CockroachDB).
    Ambiguous,
    /// It stood in the way of another transaction; the same may work at once.
    Conflict,
    /// What was prepared on this connection is stale; it works on a new one.
    Stale,
    /// The server takes no writes: a standby, perhaps a primary before.
    ReadOnly,
    /// The server cannot take it now.
    Busy,
    /// There is no room.
    Full,
    /// What is stored is damaged.
    Corrupt,
    /// A defect, or a constraint that it broke.
    Refused,
}

/// Sorts an error by its SQLSTATE; without one it did not come from the
/// server. A fatal error ends the connection, whatever its code. `routine` is
/// where in the server it arose.
pub(super) fn class(code: Option<&str>, fatal: bool, routine: Option<&str>) -> Class {
    match code {
        // Fatal is also a server that has too many connections, or starts: no
        // more than busy, but there is no connection to go on with.
        None => Class::Lost,
        Some(_) if fatal => Class::Lost,
        Some("40003") => Class::Ambiguous,
        Some("40001" | "40P01" | "55P03") => Class::Conflict,
        Some(code) if code.starts_with("08") || code.starts_with("57P") => Class::Lost,
        Some("26000") => Class::Stale,
        // A plan whose columns changed with the schema: it shares its code
        // with all that an engine does not have.
        Some("0A000") if routine == Some("RevalidateCachedQuery") => Class::Stale,
        Some("25006") => Class::ReadOnly,
        Some("53100") => Class::Full,
        Some("57014" | "58030") => Class::Busy,
        Some(code) if code.starts_with("53") => Class::Busy,
        Some("XX001" | "XX002") => Class::Corrupt,
        Some(_) => Class::Refused,
    }
}

/// Why something did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) class: Class,
    /// In the server's own words.
    pub(super) text: String,
}

impl Fault {
    /// The connection gave no answer in time, or is closed.
    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self { class: Class::Lost, text: text.into() }
    }

    /// A statement that we do not even send.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { class: Class::Refused, text: text.into() }
    }

    /// The error for a caller, if nothing took effect.
    pub(super) fn into_error(self) -> DbError {
        match self.class {
            Class::Lost
            | Class::Ambiguous
            | Class::Conflict
            | Class::Stale
            | Class::ReadOnly
            | Class::Busy => DbError::Unavailable(self.text),
            Class::Full => DbError::Full(self.text),
            Class::Corrupt => DbError::Corrupt(self.text),
            Class::Refused => DbError::Other(self.text),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let told = error.as_db_error();
        let fatal = told.is_some_and(|told| matches!(told.severity(), "FATAL" | "PANIC"));
        let code = told.map(|told| told.code().code());
        let class = class(code, fatal, told.and_then(|told| told.routine()));
        // A value that cannot be sent or read is a defect of ours.
        let ours =
            told.is_none() && error.source().is_some_and(<dyn std::error::Error>::is::<Unfit>);
        Self { class: if ours { Class::Refused } else { class }, text: words(&error) }
    }
}

/// An error with its causes: the outermost alone says no more than `db error`.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("{} ({})", told.message(), told.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How far a unit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The commit was not sent, so nothing took effect nor will.
    Statements,
    /// The commit was sent.
    Commit,
}

/// What comes after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same again.
    Again {
        /// Over a new connection.
        fresh: bool,
        /// From here on a commit is without its answer.
        doubt: bool,
    },
    /// See whether an earlier sending took effect after all.
    Prove,
    /// Tell the caller what went wrong; nothing took effect.
    Fail,
    /// Tell the caller that nobody knows.
    Doubt,
}

/// What is known of a unit when a fault comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// How far this sending came.
    pub(super) reached: Reached,
    /// It has a proof, so it cannot take effect twice.
    pub(super) provable: bool,
    /// An earlier sending's commit is without an answer.
    pub(super) doubt: bool,
    /// Its time is up.
    pub(super) late: bool,
}

/// Decides what becomes of a unit.
///
/// Only two things can leave a doubt: a connection that breaks between the
/// commit and its answer, and an engine that says so itself. A unit that cannot
/// take effect twice is then sent again. If it goes through, it took effect
/// once. If it is refused, that is either by its own earlier self, which its
/// proof shows, or by somebody else.
pub(super) fn next(class: Class, known: Known) -> Next {
    let Known { reached, provable, doubt, late } = known;
    let unanswered = match class {
        Class::Ambiguous => true,
        Class::Lost => reached == Reached::Commit,
        _ => false,
    };
    let give_up = if doubt || unanswered { Next::Doubt } else { Next::Fail };
    match class {
        _ if unanswered && !provable => Next::Doubt,
        Class::Refused if doubt => Next::Prove,
        Class::Refused => Next::Fail,
        _ if late => give_up,
        Class::Lost | Class::Stale | Class::ReadOnly => {
            Next::Again { fresh: true, doubt: unanswered }
        }
        Class::Ambiguous => Next::Again { fresh: false, doubt: true },
        Class::Conflict => Next::Again { fresh: false, doubt: false },
        Class::Busy if doubt => Next::Again { fresh: false, doubt: false },
        Class::Busy | Class::Full | Class::Corrupt => give_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Known =
        Known { reached: Reached::Statements, provable: false, doubt: false, late: false };

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        let of = |code| class(Some(code), false, None);
        assert_eq!(of("40001"), Class::Conflict);
        assert_eq!(of("40P01"), Class::Conflict);
        assert_eq!(of("40003"), Class::Ambiguous);
        assert_eq!(of("08006"), Class::Lost);
        assert_eq!(of("57P01"), Class::Lost);
        assert_eq!(of("23505"), Class::Refused);
        assert_eq!(of("53100"), Class::Full);
        assert_eq!(of("53200"), Class::Busy);
        assert_eq!(of("25006"), Class::ReadOnly);
        assert_eq!(of("XX001"), Class::Corrupt);
        assert_eq!(of("0A000"), Class::Refused);
        let stale = class(Some("0A000"), false, Some("RevalidateCachedQuery"));
        assert_eq!(stale, Class::Stale);
        assert_eq!(class(None, false, None), Class::Lost);
        assert_eq!(class(Some("53300"), true, None), Class::Lost, "there is no connection left");
    }

    #[test]
    fn a_conflict_is_tried_again_until_it_is_late() {
        let again = Next::Again { fresh: false, doubt: false };
        assert_eq!(next(Class::Conflict, FIRST), again);
        let committing = Known { reached: Reached::Commit, ..FIRST };
        assert_eq!(next(Class::Conflict, committing), again, "a refused commit is no doubt");
        assert_eq!(next(Class::Conflict, Known { late: true, ..FIRST }), Next::Fail);
    }

    #[test]
    fn a_connection_lost_before_the_commit_leaves_no_doubt() {
        assert_eq!(next(Class::Lost, FIRST), Next::Again { fresh: true, doubt: false });
        assert_eq!(next(Class::Lost, Known { late: true, ..FIRST }), Next::Fail);
    }

    #[test]
    fn a_lost_answer_is_a_doubt_unless_the_unit_can_be_proven() {
        let committing = Known { reached: Reached::Commit, ..FIRST };
        assert_eq!(next(Class::Lost, committing), Next::Doubt);
        let provable = Known { provable: true, ..committing };
        assert_eq!(next(Class::Lost, provable), Next::Again { fresh: true, doubt: true });
        assert_eq!(next(Class::Lost, Known { late: true, ..provable }), Next::Doubt);
    }

    #[test]
    fn after_a_doubt_a_refusal_is_looked_into_and_nothing_else_is_certain() {
        let doubt = Known { provable: true, doubt: true, ..FIRST };
        assert_eq!(next(Class::Refused, doubt), Next::Prove);
        assert_eq!(next(Class::Lost, doubt), Next::Again { fresh: true, doubt: false });
        assert_eq!(next(Class::Full, doubt), Next::Doubt);
        assert_eq!(next(Class::Conflict, Known { late: true, ..doubt }), Next::Doubt);
        assert_eq!(next(Class::Refused, FIRST), Next::Fail);
    }
}
