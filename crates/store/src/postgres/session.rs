//! One connection, and how a unit and a query go over it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_types::{Env, Guard, MAX_ROWS, Row, Unit, UnitReceipt, Value};
use futures_util::future::{Either, join, join_all, join3, select};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::connect::{Connector, Link, Purpose};
use super::fault::{Class, Fault, Reached};
use super::value::{Argument, Column, type_of};

/// Statements that are sent before any answer is awaited.
const PIPELINE: usize = 30;
/// How long a connection may take to be there.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection with what was prepared on it.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    /// By text, which is the program's own: there are as many as there are
    /// constants.
    statements: Mutex<HashMap<&'static str, Statement>>,
    env: Arc<dyn Env>,
    /// How long the server may take to answer.
    patience: Duration,
}

/// Why a unit did not come to its end, and how far it came.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) reached: Reached,
    pub(super) why: Why,
    /// What the statements did, once the commit was sent.
    pub(super) receipt: Option<UnitReceipt>,
}

/// Why a unit stopped.
#[derive(Debug)]
pub(super) enum Why {
    /// A guard did not hold: the statement, what it expected, what it found.
    Guard(usize, u64, u64),
    /// The database or the connection.
    Fault(Fault),
}

impl Session {
    /// Opens a connection. The error is for people.
    pub(super) async fn open(
        connector: &Connector,
        purpose: Purpose,
        env: Arc<dyn Env>,
        patience: Duration,
    ) -> Result<Self, String> {
        let Link { client, driver } = {
            let connecting = pin!(connector.connect(purpose));
            match select(connecting, env.sleep(CONNECT_PATIENCE)).await {
                Either::Left((link, _)) => link?,
                Either::Right(_) => return Err(format!("no answer within {CONNECT_PATIENCE:?}")),
            }
        };
        Ok(Self { client, driver, statements: Mutex::default(), env, patience })
    }

    /// Whether it is known to be of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Resolves when the connection ends, at once if it has.
    pub(super) async fn ended(&mut self) {
        // A panic in it is an end, too.
        drop((&mut self.driver).await);
    }

    /// Runs a unit in a transaction of its own.
    ///
    /// The statements go out in one flight, and the commit once their counts
    /// have come back and every guard holds; without guards it flies with them,
    /// for the server turns the commit of a failed transaction into its
    /// undoing.
    pub(super) async fn run(&self, unit: &Unit) -> Result<UnitReceipt, Stopped> {
        let before =
            |fault| Stopped { reached: Reached::Statements, why: Why::Fault(fault), receipt: None };
        let statements = self.prepare_all(unit).await.map_err(before)?;
        // A unit with a proof is one whose receipt may be needed after a doubt.
        let counted = unit.proof().is_some()
            || unit.statements().iter().any(|statement| statement.guard != Guard::None);
        if !counted && statements.len() <= PIPELINE {
            return self.run_unguarded(unit, &statements).await;
        }
        match self.run_statements(unit, &statements).await {
            Ok(changed) => self.commit(UnitReceipt { changed }).await,
            Err(stopped) => {
                // If this does not get through, the connection is at its end,
                // and the transaction with it; the next user will see.
                drop(self.within(self.client.batch_execute("ROLLBACK")).await);
                Err(stopped)
            }
        }
    }

    async fn run_unguarded(
        &self,
        unit: &Unit,
        statements: &[Statement],
    ) -> Result<UnitReceipt, Stopped> {
        let calls = unit.statements().iter().zip(statements);
        let all = join3(
            self.client.batch_execute("BEGIN"),
            join_all(calls.map(|(call, statement)| self.execute(statement, &call.args))),
            self.client.batch_execute("COMMIT"),
        );
        let stopped =
            |reached, fault, receipt| Stopped { reached, why: Why::Fault(fault), receipt };
        let answers = self.within(async { Ok::<_, Fault>(all.await) }).await;
        let (begun, changed, committed) =
            answers.map_err(|fault| stopped(Reached::Commit, fault, None))?;
        // An answer that is an error of the server is certain; an answer that
        // did not come is not, for the commit was on its way.
        let failed = |fault: Fault| {
            let certain = fault.class != Class::Lost;
            stopped(if certain { Reached::Statements } else { Reached::Commit }, fault, None)
        };
        begun.map_err(|error| not_begun(error.into()))?;
        let changed: Result<Vec<u64>, Fault> = changed.into_iter().collect();
        let receipt = UnitReceipt { changed: changed.map_err(failed)? };
        match committed {
            Ok(()) => Ok(receipt),
            Err(error) => Err(stopped(Reached::Commit, error.into(), Some(receipt))),
        }
    }

    async fn run_statements(
        &self,
        unit: &Unit,
        statements: &[Statement],
    ) -> Result<Vec<u64>, Stopped> {
        let before = |why| Stopped { reached: Reached::Statements, why, receipt: None };
        let fault = |fault| before(Why::Fault(fault));
        let mut changed = Vec::with_capacity(statements.len());
        let calls: Vec<_> = unit.statements().iter().zip(statements).collect();
        for (flight, calls) in calls.chunks(PIPELINE).enumerate() {
            let executed =
                join_all(calls.iter().map(|(call, statement)| self.execute(statement, &call.args)));
            let answers = if flight == 0 {
                let both = join(self.client.batch_execute("BEGIN"), executed);
                let answers = self.within(async { Ok::<_, Fault>(both.await) }).await;
                let (begun, answers) = answers.map_err(fault)?;
                begun.map_err(|error| not_begun(error.into()))?;
                answers
            } else {
                self.within(async { Ok::<_, Fault>(executed.await) }).await.map_err(fault)?
            };
            for ((call, _), answer) in calls.iter().zip(answers) {
                let found = answer.map_err(fault)?;
                match call.guard {
                    Guard::Exactly(expected) if expected != found => {
                        return Err(before(Why::Guard(changed.len(), expected, found)));
                    }
                    Guard::Exactly(_) | Guard::None => changed.push(found),
                }
            }
        }
        Ok(changed)
    }

    async fn commit(&self, receipt: UnitReceipt) -> Result<UnitReceipt, Stopped> {
        match self.within(self.client.batch_execute("COMMIT")).await {
            Ok(()) => Ok(receipt),
            Err(fault) => Err(Stopped {
                reached: Reached::Commit,
                why: Why::Fault(fault),
                receipt: Some(receipt),
            }),
        }
    }

    /// Runs a query and takes all its rows.
    pub(super) async fn query(&self, sql: &'static str, args: &[Value]) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(sql, args).await?;
        let running = async {
            let rows = self.client.query_raw(&statement, args.iter().map(Argument)).await?;
            let found: Vec<_> = rows.take(MAX_ROWS + 1).try_collect().await?;
            Ok::<_, tokio_postgres::Error>(found)
        };
        let found = self.within(running).await?;
        if found.len() > MAX_ROWS {
            // Its other rows, perhaps without end, would keep the line busy.
            self.driver.abort();
            return Err(Fault::refused(format!("a query found more than {MAX_ROWS} rows")));
        }
        let width = statement.columns().len();
        let read = |row: tokio_postgres::Row| {
            let columns = (0..width).map(|at| Ok(row.try_get::<_, Column>(at)?.0));
            columns.collect::<Result<Vec<_>, tokio_postgres::Error>>().map(Row::new)
        };
        found.into_iter().map(read).collect::<Result<_, _>>().map_err(Fault::from)
    }

    async fn execute(&self, statement: &Statement, args: &[Value]) -> Result<u64, Fault> {
        Ok(self.client.execute_raw(statement, args.iter().map(Argument)).await?)
    }

    /// Prepares what is not prepared yet, before the transaction begins.
    async fn prepare_all(&self, unit: &Unit) -> Result<Vec<Statement>, Fault> {
        let mut prepared = Vec::with_capacity(unit.statements().len());
        for statement in unit.statements() {
            prepared.push(self.prepare(statement.sql, &statement.args).await?);
        }
        Ok(prepared)
    }

    async fn prepare(&self, sql: &'static str, args: &[Value]) -> Result<Statement, Fault> {
        let known =
            self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let types: Vec<Type> = args.iter().map(type_of).collect();
                let made = self.within(self.client.prepare_typed(sql, &types)).await?;
                let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
                statements.insert(sql, made.clone());
                made
            }
        };
        let wanted = statement.params();
        if wanted.len() != args.len() {
            let (given, wanted) = (args.len(), wanted.len());
            return Err(Fault::refused(format!("{given} arguments for {wanted} placeholders")));
        }
        Ok(statement)
    }

    /// Waits for an answer, but not for ever: the other side may be paused, or
    /// the network cut, without a word.
    async fn within<T, E>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Fault>
    where
        Fault: From<E>,
    {
        match select(pin!(answer), self.env.sleep(self.patience)).await {
            Either::Left((answer, _)) => Ok(answer?),
            Either::Right(_) => {
                // What it would say now, nobody can tell from later answers.
                self.driver.abort();
                Err(Fault::lost(format!("no answer within {:?}", self.patience)))
            }
        }
    }
}

/// If the server refuses to begin, what flies behind runs as transactions of
/// their own. It does so only out of memory or cancelled in that very moment,
/// but then nobody knows what took effect.
fn not_begun(fault: Fault) -> Stopped {
    let (reached, fault) = match fault.class {
        Class::Lost => (Reached::Statements, fault),
        _ => (Reached::Commit, Fault::lost(format!("no transaction began: {}", fault.text))),
    };
    Stopped { reached, why: Why::Fault(fault), receipt: None }
}
