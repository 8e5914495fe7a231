//! Who speaks for a session while it is taken, and after it was taken away.

use std::sync::Arc;
use std::time::Duration;

use freehold_runtime::decide::{ClientAnswer, Cue};
use freehold_runtime::event::{Busy, Content, Hash};
use freehold_runtime::sessions::{By, Error, Key, Parts, Receipt, Sessions};
use freehold_store::membership::{Membership, MembershipOptions};
use freehold_types::{BoxFuture, CallId, Db, DbError, Row, SessionId, Unit, UnitReceipt, Value};

use super::desk::{Desk, Line, Real, input, parts};

/// How late the answer comes that tells how a session stands.
const LATE: Duration = Duration::from_millis(200);

/// A store that is slow to tell how a session stands.
struct Slow(Arc<dyn Db>);

impl Db for Slow {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        self.0.write(unit)
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        Box::pin(async move {
            let rows = self.0.read(sql, args).await;
            if sql.contains("sealed_for FROM sessions WHERE tenant = $1 AND id = $2") {
                tokio::time::sleep(LATE).await;
            }
            rows
        })
    }
}

#[tokio::test]
async fn who_comes_while_a_session_is_taken_waits_for_its_worker() {
    let mut desk = Desk::new("taking");
    desk.says([Line::Says("one", 1), Line::Says("two", 1), Line::Says("three", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    life.until(session, "turn_ended").await;
    life.sessions.stop().await;
    let before = life.sessions.view(&life.tenant, session).await.unwrap().row;
    let slow = Arc::new(Slow(Arc::clone(&life.db) as _));
    let sessions = Sessions::start(parts(&desk.script, slow, 9), desk.options.clone());
    let give = async |words, after| {
        tokio::time::sleep(after).await;
        let cues = vec![input(words, Busy::Enqueue)];
        sessions.give(&life.tenant, session, By::default(), cues, None).await
    };
    // The second finds the session claimed, and its worker not yet there.
    let (one, two) = tokio::join!(give("one", Duration::ZERO), give("two", LATE + LATE / 2),);
    assert!(one.unwrap().first < two.unwrap().first);
    let after = sessions.view(&life.tenant, session).await.unwrap().row;
    assert_eq!(after.epoch, before.epoch + 1, "it was taken once");
    sessions.stop().await;
    life.stops().await;
}

/// A node among others, which is at its own name.
async fn node(desk: &Desk, db: &Arc<dyn Db>, number: u64) -> (Arc<Sessions>, Arc<Membership>) {
    let env = Arc::new(Real::new(number));
    let options = MembershipOptions {
        beat_every: Duration::from_millis(20),
        dead_after: Duration::from_millis(200),
    };
    let name: Arc<str> = format!("n{number}").into();
    let joined = Membership::join(Arc::clone(db), env, options, Arc::clone(&name), name).await;
    let members = Arc::new(joined.unwrap());
    let parts = parts(&desk.script, Arc::clone(db), number);
    let parts = Parts { members: Some(Arc::clone(&members)), ..parts };
    (Sessions::start(parts, desk.options.clone()), members)
}

#[tokio::test]
async fn a_worker_whose_session_was_taken_says_nothing_for_it() {
    let mut desk = Desk::new("taken");
    desk.says((0..8).map(|_| Line::Says("well", 1)));
    let life = desk.life();
    let db: Arc<dyn Db> = Arc::clone(&life.db) as _;
    let mut taken: Vec<SessionId> = Vec::new();
    for _ in 0..2 {
        let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
        life.until(session, "turn_ended").await;
        taken.push(session);
    }
    life.sessions.stop().await;
    let (silent, _no_heart) = node(&desk, &db, 21).await;
    let give = async |at: &Sessions, session: SessionId, cue: Cue, key: Option<&str>| {
        let key = key.map(|name| Key { name: name.into(), request: Hash::of(b"a request") });
        at.give(&life.tenant, session, By::default(), vec![cue], key).await
    };
    for session in &taken {
        give(&silent, *session, input("to the silent one", Busy::Enqueue), None).await.unwrap();
    }
    let (heir, heart) = node(&desk, &db, 22).await;
    let beats = tokio::spawn(async move {
        loop {
            tokio::time::sleep(heart.beat_every()).await;
            heart.beat().await.unwrap();
        }
    });
    for session in &taken {
        let is_heirs = async || {
            let row = heir.view(&life.tenant, *session).await.unwrap().row;
            row.node == Some(heir.node())
        };
        while !is_heirs().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let said = give(&heir, taken[0], input("to the heir", Busy::Enqueue), Some("key")).await;
    let said: Receipt = said.unwrap();
    assert!(!said.repeated);
    // The silent one knows of nothing: what it held goes on elsewhere.
    let call = CallId::from_parts(jiff::Timestamp::UNIX_EPOCH, &[1; 10]);
    let answers = vec![ClientAnswer { call, content: Content::text("late"), is_error: false }];
    let repeated = input("to the heir", Busy::Enqueue);
    let tries = [(repeated, Some("key")), (Cue::ClientAnswers { answers }, None)];
    for (session, (cue, key)) in taken.iter().zip(tries) {
        let first = give(&silent, *session, cue.clone(), key).await;
        assert!(matches!(first, Err(Error::Moving)), "{first:?}");
        let again = give(&silent, *session, cue, key).await;
        let is_shown = matches!(&again, Err(Error::Elsewhere { address }) if &**address == "n22");
        assert!(is_shown, "{again:?}");
    }
    beats.abort();
    silent.stop().await;
    heir.stop().await;
    life.stops().await;
}
