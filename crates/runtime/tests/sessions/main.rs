//! Sessions over a real embedded store: turns, tools, crashes, listening.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "the world of these tests is the real one")]

mod bundle;
mod desk;
mod fsck;
mod taking;

#[path = "../../../store/tests/server/launch.rs"]
#[expect(dead_code, reason = "the store's tests tell a server more")]
mod launch;

use desk::{Desk, Line, fact, input, kinds, rules_of, until};
use freehold_llm::model::ApiError;
use freehold_runtime::decide::{ClientAnswer, Cue, Ended};
use freehold_runtime::event::{Busy, Content, Fact, Hash, Name, Outcome, Place, RetryRule};
use freehold_runtime::sessions::{By, Error, Key, NewSession};
use freehold_runtime::tools::Performed;
use freehold_types::{Code, Offset, SessionId};

const ONE_TURN: [&str; 7] = [
    "session_created",
    "input_accepted",
    "turn_started",
    "input_taken",
    "model_asked",
    "model_answered",
    "turn_ended",
];

#[tokio::test]
async fn a_turn_is_asked_answered_and_over() {
    let mut desk = Desk::new("turn");
    desk.says([Line::Says("hello there", 4)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let events = life.until(session, "turn_ended").await;
    assert_eq!(kinds(&events), ONE_TURN);
    assert!(events.iter().zip(1..).all(|(event, n)| event.offset == Offset(n)));
    let view = life.sessions.view(&life.tenant, session).await.unwrap();
    assert_eq!(&*view.row.phase, "idle");
    assert_eq!(view.state.usage.tokens(), 15);
    life.stops().await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash_and_the_session_goes_on() {
    let mut desk = Desk::new("after");
    desk.says([Line::Says("one", 1), Line::Says("two", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    life.until(session, "turn_ended").await;
    life.dies().await;
    let life = desk.life();
    let receipt = life.give(session, input("again", Busy::Enqueue)).await;
    let mut tail = life.sessions.tail(&life.tenant, session, receipt.first);
    until(&mut tail, "turn_ended").await;
    let asked = desk.script.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].items.len(), 3, "both inputs and the answer between them");
    life.stops().await;
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_is_closed_and_made_anew() {
    let mut desk = Desk::new("cut");
    desk.says([Line::Hangs("half of an ans"), Line::Says("whole", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    life.until(session, "model_delta").await;
    life.dies().await;
    let life = desk.life();
    // Nobody asks for it: the node finds it by itself.
    let events = life.until(session, "turn_ended").await;
    let kinds = kinds(&events);
    assert_eq!(kinds[4..8], ["model_asked", "model_aborted", "model_asked", "model_answered"]);
    life.stops().await;
}

#[tokio::test]
async fn a_client_tool_is_waited_for_over_a_restart() {
    let mut desk = Desk::new("client");
    desk.says([Line::Calls(vec![("weather", "{\"city\": \"Oslo\"}")]), Line::Says("cold", 1)]);
    let life = desk.life();
    let session = life.create(&["weather"], vec![input("hi", Busy::Enqueue)]).await.session;
    let events = life.until(session, "turn_waiting").await;
    let call = fact(&events, |fact| match fact {
        Fact::ToolStarted(started) => Some(started.call),
        _ => None,
    });
    let page = freehold_types::PageRequest::default();
    let waits = freehold_store::waits::list(&*life.db, &life.tenant, "client", &page);
    assert_eq!(waits.await.unwrap().items.len(), 1);
    life.stops().await;
    let life = desk.life();
    let answer = ClientAnswer { call, content: Content::text("minus two"), is_error: false };
    life.give(session, Cue::ClientAnswers { answers: vec![answer.clone()] }).await;
    life.until(session, "turn_ended").await;
    let again = life
        .sessions
        .give(
            &life.tenant,
            session,
            By::default(),
            vec![Cue::ClientAnswers { answers: vec![answer] }],
            None,
        )
        .await;
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
    life.stops().await;
}

#[tokio::test]
async fn a_tool_in_doubt_after_a_crash_is_not_called_again() {
    let mut desk = Desk::new("doubt");
    let pay = Name::cut("pay");
    let rules = rules_of(Place::Worker, RetryRule::TellUnknown);
    desk.script.rules.lock().unwrap().insert(pay, rules);
    desk.script.results.lock().unwrap().push_back(None);
    desk.says([Line::Calls(vec![("pay", "{}")]), Line::Says("I do not know", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("pay", Busy::Enqueue)]).await.session;
    life.until(session, "tool_started").await;
    while desk.script.called.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    life.dies().await;
    let life = desk.life();
    let events = life.until(session, "turn_ended").await;
    let outcome = fact(&events, |fact| match fact {
        Fact::ToolOutcome(outcome) => Some(outcome.outcome.clone()),
        _ => None,
    });
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(desk.script.called.lock().unwrap().len(), 1);
    life.stops().await;
}

#[tokio::test]
async fn tools_are_called_with_canonical_arguments_and_a_key_and_told() {
    let mut desk = Desk::new("tool");
    let rules = rules_of(Place::Worker, RetryRule::Idempotent);
    desk.script.rules.lock().unwrap().insert(Name::cut("look"), rules);
    let failed = Performed::Ended(Ended::Failed(Content::text("no such row")));
    desk.script.results.lock().unwrap().push_back(Some(failed));
    let calls = vec![("look", "{\"b\": 1.0, \"a\": 2}")];
    desk.says([Line::Calls(calls), Line::Says("it is not there", 2)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("look", Busy::Enqueue)]).await.session;
    life.until(session, "turn_ended").await;
    let called = desk.script.called.lock().unwrap().clone();
    assert_eq!(&*called[0].arguments, "{\"a\":2,\"b\":1}");
    assert_eq!(desk.script.asked.lock().unwrap()[1].items.len(), 3);
    life.stops().await;
}

#[tokio::test]
async fn a_cancelled_answer_is_stopped_and_what_it_said_is_kept() {
    let mut desk = Desk::new("cancel");
    desk.says([Line::Hangs("so far so good")]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    life.until(session, "model_delta").await;
    life.give(session, Cue::Cancel { turn: None }).await;
    let events = life.until(session, "turn_ended").await;
    let kept = fact(&events, |fact| match fact {
        Fact::ModelAborted(aborted) => Some(aborted.kept),
        _ => None,
    });
    assert!(kept);
    life.stops().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_had_is_asked_again_and_then_the_turn_fails() {
    let mut desk = Desk::new("fails");
    desk.options.rules.failures_max = 3;
    let error = || Line::Fails(ApiError::new(Code::UpstreamError, "no"));
    desk.says([error(), error(), error()]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let events = life.until(session, "turn_ended").await;
    let asked = events.iter().filter(|event| matches!(event.fact, Fact::ModelAsked(_))).count();
    assert_eq!(asked, 3);
    life.stops().await;
}

#[tokio::test]
async fn the_same_request_is_accepted_once() {
    let mut desk = Desk::new("once");
    desk.says([Line::Says("a", 1), Line::Says("b", 1)]);
    let life = desk.life();
    let key = |request: &[u8]| {
        let request = Hash::of(request);
        Some(Key { name: "k".into(), request })
    };
    let new = |request: &[u8]| NewSession {
        id: None,
        agent: Name::cut("test"),
        about: freehold_runtime::content::About {
            settings: Some(Box::new(desk::settings(&[]))),
            ..Default::default()
        },
        limits: freehold_runtime::event::Limits::default(),
        cues: vec![input("hi", Busy::Enqueue)],
        key: key(request),
    };
    let create = |request| life.sessions.create(&life.tenant, By::default(), new(request));
    let first = create(b"1").await.unwrap();
    let again = create(b"1").await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.session, again.first), (first.session, first.first));
    assert!(matches!(create(b"2").await, Err(Error::KeyReused)));
    life.stops().await;
}

#[tokio::test]
async fn who_listens_gets_each_event_once_from_any_offset() {
    let mut desk = Desk::new("tail");
    desk.says([Line::Says("a long answer in many pieces, one after the other", 40)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let mut readers = Vec::new();
    for after in [0, 1, 3, 5] {
        let mut tail = life.sessions.tail(&life.tenant, session, Offset(after));
        readers.push((after, tokio::spawn(async move { until(&mut tail, "turn_ended").await })));
    }
    for (after, reader) in readers {
        let events = reader.await.unwrap();
        assert!(events.iter().zip(after + 1..).all(|(event, n)| event.offset == Offset(n)));
    }
    life.stops().await;
}

#[tokio::test]
async fn a_fork_goes_its_own_way() {
    let mut desk = Desk::new("fork");
    desk.says([Line::Says("one", 1), Line::Says("two", 1), Line::Says("three", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let head = life.until(session, "turn_ended").await.last().unwrap().offset;
    life.give(session, input("in the parent", Busy::Enqueue)).await;
    let fork =
        life.sessions.fork(&life.tenant, session, head, By::default(), None, None).await.unwrap();
    life.give(fork.session, input("in the fork", Busy::Enqueue)).await;
    let mut tail = life.sessions.tail(&life.tenant, fork.session, fork.head);
    until(&mut tail, "turn_ended").await;
    let whole = life.until(fork.session, "turn_ended").await;
    assert!(whole.iter().zip(1..).all(|(event, n)| event.offset == Offset(n)));
    let asked = desk.script.asked.lock().unwrap().clone();
    let last = asked.last().unwrap();
    assert!(format!("{:?}", last.items).contains("in the fork"));
    assert!(!format!("{:?}", last.items).contains("in the parent"));
    life.stops().await;
}

#[tokio::test]
async fn a_fork_under_a_key_is_made_once() {
    let mut desk = Desk::new("fork-once");
    desk.says([Line::Says("one", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let head = life.until(session, "turn_ended").await.last().unwrap().offset;
    let fork = async |at: Offset, name: &str, request: &[u8]| {
        let key = Key { name: name.into(), request: Hash::of(request) };
        life.sessions.fork(&life.tenant, session, at, By::default(), None, Some(key)).await
    };
    let (first, second) = tokio::join!(fork(head, "k", b"fork"), fork(head, "k", b"fork"));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.session, second.session);
    assert!(first.repeated != second.repeated);
    // The session has come further since; the fork is where it was.
    let third = fork(head.next(), "k", b"fork").await.unwrap();
    assert_eq!((third.session, third.head), (first.session, first.head));
    assert!(matches!(fork(head, "k", b"another").await, Err(Error::KeyReused)));
    assert_ne!(fork(head, "other", b"fork").await.unwrap().session, first.session);
    let forks = life.until(session, "forked").await;
    let forks = forks.iter().filter(|event| event.fact.kind() == "forked").count();
    assert!((1..=2).contains(&forks), "{forks}");
    life.stops().await;
}

#[tokio::test]
async fn of_many_who_describe_at_once_no_change_is_lost() {
    let mut desk = Desk::new("describe");
    let life = desk.life();
    let session = life.create(&[], vec![]).await.session;
    let described = (0..16).map(|n| {
        life.sessions.describe(&life.tenant, session, move |about| {
            about.metadata.insert(format!("n{n}"), n.into()).is_none()
        })
    });
    for said in futures_util::future::join_all(described).await {
        assert!(said.unwrap());
    }
    let view = life.sessions.view(&life.tenant, session).await.unwrap();
    assert_eq!(view.about.metadata.len(), 16);
    life.sessions.delete(&life.tenant, session).await.unwrap();
    let gone = life.sessions.describe(&life.tenant, session, |about| about.metadata.clear()).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
    life.stops().await;
}

#[tokio::test]
async fn a_session_that_is_let_go_of_is_found_again_by_its_timer() {
    let mut desk = Desk::new("timer");
    desk.options.idle = std::time::Duration::from_millis(20);
    desk.says([Line::Says("awake", 1)]);
    let life = desk.life();
    let session = life.create(&[], vec![]).await.session;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let purpose = match input("wake up", Busy::Enqueue) {
        Cue::Input { content, .. } => freehold_runtime::event::TimerPurpose::Input(content),
        _ => unreachable!(),
    };
    let repeat = freehold_runtime::event::Repeat::Once;
    life.give(session, Cue::SetTimer { due, repeat, purpose }).await;
    while life.sessions.in_hand() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    life.until(session, "turn_ended").await;
    life.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_takes_what_waits_and_lets_go_of_the_rest() {
    let mut desk = Desk::new("stopping");
    let life = desk.life();
    let session = life.create(&[], vec![]).await.session;
    let mut given = Vec::new();
    for n in 0..20 {
        let (sessions, tenant) = (std::sync::Arc::clone(&life.sessions), life.tenant.clone());
        given.push(tokio::spawn(async move {
            let cues = vec![input(&format!("input {n}"), Busy::Enqueue)];
            sessions.give(&tenant, session, By::default(), cues, None).await
        }));
    }
    // Some are taken by now, some wait, some come only when it stops.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let stops = tokio::time::timeout(std::time::Duration::from_secs(4), life.stops());
    stops.await.expect("it lets go of its sessions at once");
    let mut accepted = 0;
    for one in given {
        match one.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(Error::Stopping | Error::Moving) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let life = desk.life();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let view = life.sessions.view(&life.tenant, session).await.unwrap();
        if view.state.turn.is_none() && view.state.queue.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < until, "the next life does what is left");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let journal = life.sessions.read(&life.tenant, session, Offset::START, Offset(9_999), 256);
    let journal = journal.await.unwrap();
    let count = |kind: &str| journal.iter().filter(|event| event.fact.kind() == kind).count();
    assert_eq!(count("input_accepted"), accepted, "what was accepted is kept, and no more");
    assert!(count("turn_ended") > 0 || accepted == 0);
    life.stops().await;
}

#[tokio::test]
async fn a_deleted_session_is_gone_for_those_who_ask_and_those_who_listen() {
    let mut desk = Desk::new("deleted");
    desk.says([Line::Hangs("never")]);
    let life = desk.life();
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    let mut tail = life.sessions.tail(&life.tenant, session, Offset(100));
    let listening = tokio::spawn(async move { tail.next().await.map(|_| ()) });
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    life.sessions.delete(&life.tenant, session).await.unwrap();
    assert!(matches!(listening.await.unwrap(), Err(Error::NotFound)));
    let view = life.sessions.view(&life.tenant, session).await;
    assert!(matches!(view, Err(Error::NotFound)));
    let nobodys = SessionId::from_parts(jiff::Timestamp::now(), &[1; 10]);
    let view = life.sessions.view(&life.tenant, nobodys).await;
    assert!(matches!(view, Err(Error::NotFound)));
    life.stops().await;
}

#[tokio::test]
async fn what_is_too_large_for_an_event_lies_in_a_blob_and_is_asked_whole() {
    let mut desk = Desk::new("blob");
    desk.says([Line::Says("that is much", 1)]);
    let life = desk.life();
    let long = "many words ".repeat(20_000);
    let session = life.create(&[], vec![input(&long, Busy::Enqueue)]).await.session;
    let events = life.until(session, "turn_ended").await;
    let content = fact(&events, |fact| match fact {
        Fact::InputAccepted(input) => Some(input.content.clone()),
        _ => None,
    });
    assert!(matches!(content, Content::Blob { .. }));
    let read = life.sessions.content(&life.tenant, session, &content).await.unwrap();
    assert!(read.to_string().contains(&long));
    assert!(format!("{:?}", desk.script.asked.lock().unwrap()[0].items).contains(&long));
    let sealed = desk.script.blobs.lock().unwrap().values().next().unwrap().clone();
    assert!(!sealed.windows(10).any(|bytes| bytes == b"many words"), "it lies there in the clear");
    life.stops().await;
}
