//! Sessions as bundles, from one cell into another.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use freehold_control::vault::{CellKey, KeyBytes};
use freehold_runtime::bundle::{Cell, Error, Export, Imported, Importing, Peer, Source};
use freehold_runtime::decide::{ApprovalRule, ClientAnswer, Cue};
use freehold_runtime::event::{
    Busy, Content, Decider, Deciders, Fact, Name, Note, Outcome, Place, Repeat, RetryRule,
    TimerPurpose, UnknownReason, Verdict,
};
use freehold_runtime::fsck::Deriving;
use freehold_runtime::sessions::{By, Error as Unaccepted, Key};
use freehold_store::deletion;
use freehold_store::fsck::Fsck;
use freehold_types::{BoxFuture, Offset, PageRequest, SessionId};

use crate::desk::{Desk, Life, Line, fact, input, kinds, rules_of, until};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A cell that trusts the others of these.
fn cell(own: &str, all: &[(&str, u8)]) -> Cell {
    let key = |seed: u8| CellKey::from_seed(&KeyBytes::take(vec![seed; 32]).unwrap());
    let of = |name: &str| all.iter().find(|(of, _)| *of == name).unwrap().1;
    let others = all.iter().filter(|(name, _)| *name != own);
    Cell {
        name: name(own),
        key: Arc::new(key(of(own))),
        trust: others.map(|(of, seed)| Peer { name: name(of), key: key(*seed).public() }).collect(),
    }
}

const CELLS: &[(&str, u8)] = &[("a", 1), ("b", 2), ("c", 3)];

/// A bundle in pieces of some size.
struct Pieces<'b>(std::slice::Chunks<'b, u8>);

impl Source for Pieces<'_> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, String>> {
        let next = self.0.next().map(Bytes::copy_from_slice);
        Box::pin(std::future::ready(Ok(next)))
    }
}

fn importing() -> Importing {
    Importing {
        by: By::default(),
        payer: Some(name("key_there")),
        key: None,
        copy: false,
        bytes_max: 1 << 30,
    }
}

async fn take(
    life: &Life,
    cell: &Cell,
    importing: Importing,
    bundle: &[u8],
) -> Result<Imported, Error> {
    let mut source = Pieces(bundle.chunks(1000));
    life.sessions.import(cell, &life.tenant, importing, &mut source).await
}

async fn whole(mut export: Export) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    all
}

async fn copied(life: &Life, cell: &Cell, session: SessionId) -> Vec<u8> {
    whole(life.sessions.export(cell, &life.tenant, session).await.unwrap()).await
}

async fn moved(life: &Life, cell: &Cell, session: SessionId, to: &str) -> Vec<u8> {
    let (sessions, by) = (&life.sessions, By::default());
    whole(sessions.move_out(cell, &life.tenant, session, &name(to), by).await.unwrap()).await
}

/// That whatever is in the store belongs together, and is what its journals
/// come to.
async fn sound(life: &Life) {
    let begin = Deriving::new(life.archive.clone());
    let blobs = &*life.archive.blobs;
    let now = jiff::Timestamp::now();
    let look = Fsck { db: &*life.db, begin: &begin, blobs: Some(blobs), now, repair: false };
    let mut found = Vec::new();
    look.run(|finding| found.push(finding)).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

async fn sessions_of(life: &Life) -> usize {
    let page = PageRequest::new(None, 100);
    life.sessions.list(&life.tenant, None, &page).await.unwrap().items.len()
}

/// A session that waits for an approval, and that has a timer and a blob.
async fn waiting(desk: &mut Desk, life: &Life, ms: i64) -> SessionId {
    let approval = Some(ApprovalRule { deciders: Deciders::Anyone, expires_ms: 3_600_000 });
    let rules = freehold_runtime::decide::ToolRules {
        approval,
        ..rules_of(Place::Worker, RetryRule::TellUnknown)
    };
    desk.script.rules.lock().unwrap().insert(name("pay"), rules);
    desk.says([Line::Calls(vec![("pay", "{\"sum\": 5}")])]);
    let long = "many words ".repeat(20_000);
    let session = life.create(&["weather"], vec![]).await.session;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(ms);
    let Cue::Input { content, .. } = input("it is time", Busy::Enqueue) else { unreachable!() };
    let purpose = TimerPurpose::Input(content);
    life.give(session, Cue::SetTimer { due, repeat: Repeat::Once, purpose }).await;
    life.give(session, input(&long, Busy::Enqueue)).await;
    life.until(session, "turn_waiting").await;
    session
}

fn yes(events: &[Arc<freehold_runtime::event::Event>]) -> Cue {
    let approval = fact(events, |fact| match fact {
        Fact::ApprovalAsked(asked) => Some(asked.approval),
        _ => None,
    });
    Cue::Decide(freehold_runtime::decide::ApprovalDecision {
        approval,
        verdict: Verdict::Approve,
        by: Decider { principal: name("key_b"), roles: Vec::new() },
        args: None,
        note: Note::cut(""),
    })
}

#[tokio::test]
async fn a_session_moves_with_all_that_waits_and_is_refused_where_it_was() {
    let (mut here, mut there) = (Desk::new("move-a"), Desk::new("move-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    let session = waiting(&mut here, &left, 1_500).await;
    let mut tail = left.sessions.tail(&left.tenant, session, Offset::START);
    until(&mut tail, "turn_waiting").await;

    let bundle = moved(&left, &a, session, "b").await;
    // Whoever listened hears where it went, and whoever comes later, too.
    let seen = until(&mut tail, "sealed").await.last().unwrap().offset;
    for mut tail in [tail, left.sessions.tail(&left.tenant, session, seen)] {
        let Err(Unaccepted::Refused(refused)) = tail.next().await else { panic!("it goes on") };
        assert!(refused.to_string().contains("`b`"), "{refused}");
    }
    let sessions = &left.sessions;
    let said = vec![input("still here?", Busy::Enqueue)];
    let refused = [
        sessions.give(&left.tenant, session, By::default(), said, None).await.map(|_| ()),
        sessions
            .describe(&left.tenant, session, |about| {
                about.metadata.insert("to".into(), "late".into());
            })
            .await,
        sessions.delete(&left.tenant, session).await,
        sessions
            .fork(&left.tenant, session, Offset(1), By::default(), None, None)
            .await
            .map(|_| ()),
        sessions.rewind(&left.tenant, session, Offset(1), By::default()).await.map(|_| ()),
    ];
    for refused in refused {
        let Err(Unaccepted::Refused(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.to_string().contains("`b`"), "{refused}");
    }
    // Nor is it found by what waited in it.
    let page = PageRequest::new(None, 10);
    let waits = freehold_store::waits::list(&*left.db, &left.tenant, "approval", &page);
    assert!(waits.await.unwrap().items.is_empty());
    assert_eq!(moved(&left, &a, session, "b").await, bundle, "the same to the last byte");
    let elsewhere = sessions.move_out(&a, &left.tenant, session, &name("c"), By::default()).await;
    assert!(elsewhere.err().unwrap().to_string().contains("moved to the cell `b`"));

    there.script.rules.lock().unwrap().clone_from(&here.script.rules.lock().unwrap());
    there.says([Line::Says("paid", 1), Line::Says("on time", 1)]);
    let imported = take(&right, &b, importing(), &bundle).await.unwrap();
    assert_eq!((imported.session, imported.moved, imported.repeated), (session, true, false));
    // A client that goes on with its cursor misses nothing and hears nothing twice.
    let mut tail = right.sessions.tail(&right.tenant, session, seen);
    let arrived = until(&mut tail, "arrived").await;
    assert_eq!(arrived.first().unwrap().offset, seen.next());
    let before: Vec<_> =
        left.sessions.read(&left.tenant, session, Offset(0), seen, 256).await.unwrap();
    let after = right.sessions.read(&right.tenant, session, Offset(0), seen, 256).await.unwrap();
    assert_eq!(before, after);
    let blob = fact(&right.until(session, "input_accepted").await, |fact| match fact {
        Fact::InputAccepted(input) => Some(input.content.clone()),
        _ => None,
    });
    assert!(matches!(blob, Content::Blob { .. }));
    let read = right.sessions.content(&right.tenant, session, &blob).await.unwrap();
    assert!(read.to_string().contains("many words"));

    // The approval is decided there, the timer fires there, once.
    let events = right.until(session, "arrived").await;
    right.give(session, yes(&events)).await;
    let events = right.until(session, "timer_fired").await;
    until(
        &mut right.sessions.tail(&right.tenant, session, events.last().unwrap().offset),
        "turn_ended",
    )
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let view = right.sessions.view(&right.tenant, session).await.unwrap();
    let all = right.sessions.read(&right.tenant, session, Offset(0), view.state.head, 256).await;
    let all: Vec<_> = all.unwrap().into_iter().map(Arc::new).collect();
    let count = |kind| kinds(&all).into_iter().filter(|found| *found == kind).count();
    assert_eq!((count("timer_fired"), count("approval_decided"), count("tool_started")), (1, 1, 1));
    assert_eq!(there.script.called.lock().unwrap().len(), 1);
    assert!(here.script.called.lock().unwrap().is_empty());

    let again = take(&right, &b, importing(), &bundle).await.unwrap();
    assert!(again.repeated && again.session == session && again.head >= view.state.head);
    sound(&left).await;
    sound(&right).await;
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn a_copy_is_another_session_in_which_nothing_waits() {
    let (mut here, mut there) = (Desk::new("copy-a"), Desk::new("copy-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    here.says([Line::Calls(vec![("weather", "{}")]), Line::Says("thanks", 1)]);
    let session = left.create(&["weather"], vec![input("hi", Busy::Enqueue)]).await.session;
    left.until(session, "turn_waiting").await;
    let bundle = copied(&left, &a, session).await;
    let imported = take(&right, &b, importing(), &bundle).await.unwrap();
    assert!(imported.session != session && !imported.moved);
    let view = right.sessions.view(&right.tenant, imported.session).await.unwrap();
    assert!(view.state.turn.is_none() && view.state.timers.is_empty());
    assert_eq!(view.about.payer.as_ref().unwrap().key, name("key_there"));
    let events = right.until(imported.session, "imported").await;
    let outcome = fact(&events, |fact| match fact {
        Fact::ToolOutcome(ended) => Some(ended.outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome, Outcome::Unknown(UnknownReason::Imported));
    // Each goes its own way.
    there.says([Line::Says("in the copy", 1)]);
    right.give(imported.session, input("and now?", Busy::Enqueue)).await;
    let mut tail = right.sessions.tail(&right.tenant, imported.session, imported.head);
    until(&mut tail, "turn_ended").await;
    let call = fact(&events, |fact| match fact {
        Fact::ToolIntended(intended) => Some(intended.call),
        _ => None,
    });
    let answer = ClientAnswer { call, content: Content::text("rain"), is_error: false };
    left.give(session, Cue::ClientAnswers { answers: vec![answer] }).await;
    left.until(session, "turn_ended").await;
    // Under a key it is the same copy; without one it is another.
    let key = |name: &str| {
        let request = freehold_runtime::event::Hash::of(b"import");
        Some(Key { name: name.to_owned(), request })
    };
    let keyed = |name| Importing { key: key(name), ..importing() };
    let one = take(&right, &b, keyed("k"), &bundle).await.unwrap();
    let two = take(&right, &b, keyed("k"), &bundle).await.unwrap();
    assert!(one.session == two.session && !one.repeated && two.repeated);
    assert_ne!(take(&right, &b, importing(), &bundle).await.unwrap().session, one.session);
    let other = copied(&left, &a, session).await;
    let reused = take(&right, &b, keyed("k"), &other).await;
    assert!(matches!(reused, Err(Error::Session(Unaccepted::KeyReused))), "{reused:?}");
    sound(&right).await;
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn a_bundle_of_a_fork_has_what_it_began_with_and_nothing_else_of_its_parent() {
    let (mut here, mut there) = (Desk::new("lineage-a"), Desk::new("lineage-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    here.says([Line::Says("one", 1), Line::Says("two", 1), Line::Says("three", 1)]);
    let long = "many words ".repeat(20_000);
    let parent = left.create(&[], vec![input(&long, Busy::Enqueue)]).await.session;
    let head = left.until(parent, "turn_ended").await.last().unwrap().offset;
    left.give(parent, input(&"a secret of the parent's ".repeat(9_000), Busy::Enqueue)).await;
    let fork =
        left.sessions.fork(&left.tenant, parent, head, By::default(), None, None).await.unwrap();
    left.give(fork.session, input("on", Busy::Enqueue)).await;
    let mut tail = left.sessions.tail(&left.tenant, fork.session, fork.head);
    until(&mut tail, "turn_ended").await;
    let bundle = moved(&left, &a, fork.session, "b").await;
    let blobs = bundle.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"blob\""));
    assert_eq!(blobs.count(), 1);
    let imported = take(&right, &b, importing(), &bundle).await.unwrap();
    assert_eq!(imported.session, fork.session);
    there.says([Line::Says("four", 1)]);
    right.give(fork.session, input("and on", Busy::Enqueue)).await;
    let mut tail = right.sessions.tail(&right.tenant, fork.session, imported.head);
    until(&mut tail, "turn_ended").await;
    let asked = format!("{:?}", there.script.asked.lock().unwrap().last().unwrap().items);
    assert!(asked.contains(&long) && asked.contains("and on") && !asked.contains("secret"));
    sound(&right).await;
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn a_session_is_unsealed_by_its_cells_refusal_and_nothing_less() {
    let (mut here, mut there) = (Desk::new("refusal-a"), Desk::new("refusal-b"));
    let (a, b, c) = (cell("a", CELLS), cell("b", CELLS), cell("c", CELLS));
    let (left, right) = (here.life(), there.life());
    let session = waiting(&mut here, &left, 800).await;
    let bundle = moved(&left, &a, session, "b").await;
    let head: serde_json::Value =
        serde_json::from_slice(bundle.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let named = head["head"]["bundle"].as_str().unwrap().parse().unwrap();
    let other = freehold_runtime::event::Hash::of(b"another");
    let refuse = |cell, bundle| {
        let (sessions, tenant) = (&right.sessions, &right.tenant);
        async move { sessions.refuse(cell, tenant, session, bundle).await.unwrap() }
    };
    let unseal = |refusal| {
        let (sessions, tenant, a) = (&left.sessions, &left.tenant, &a);
        async move { sessions.unseal(a, tenant, session, &refusal, By::default()).await }
    };
    // Another bundle's, another cell's, one of a cell that only says so.
    let lies = Cell { name: name("b"), ..c.clone() };
    for (wrong, why) in [
        (refuse(&b, other).await, "bundle"),
        (refuse(&c, named).await, "cell"),
        (refuse(&lies, named).await, "another key"),
    ] {
        let error = unseal(wrong).await.unwrap_err();
        assert!(matches!(error, Error::Refusal(_)) && error.to_string().contains(why), "{error}");
    }
    let refusal = refuse(&b, named).await;
    let mut changed = serde_json::to_value(&refusal).unwrap();
    changed["refusal"]["at"] = "2020-01-01T00:00:00Z".into();
    let changed = serde_json::from_str(&changed.to_string()).unwrap();
    assert!(unseal(changed).await.unwrap_err().to_string().contains("signature"));
    let text = serde_json::to_string(&refusal).unwrap();
    let receipt = unseal(serde_json::from_str(&text).unwrap()).await.unwrap();
    // All goes on here: the timer fires, the approval is decided.
    left.give(session, yes(&left.until(session, "unsealed").await)).await;
    let mut tail = left.sessions.tail(&left.tenant, session, receipt.head);
    until(&mut tail, "timer_fired").await;
    // There it is refused for good, as a copy too; and once is enough.
    for copy in [false, true] {
        let refused = take(&right, &b, Importing { copy, ..importing() }, &bundle).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    assert_eq!(sessions_of(&right).await, 0);
    let twice = unseal(serde_json::from_str(&text).unwrap()).await;
    assert!(twice.is_err());
    // It can move again, as another bundle; once taken, it cannot be refused.
    left.until(session, "turn_ended").await;
    let again = loop {
        let (sessions, by) = (&left.sessions, By::default());
        match sessions.move_out(&a, &left.tenant, session, &name("b"), by).await {
            Ok(export) => break whole(export).await,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    let imported = take(&right, &b, importing(), &again).await.unwrap();
    assert!(imported.moved && imported.session == session);
    let late = right.sessions.refuse(&b, &right.tenant, session, imported.bundle).await;
    assert!(matches!(late, Err(Error::AlreadyImported(_))), "{late:?}");
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn only_signers_on_the_list_are_believed_and_only_the_named_cell_takes_over() {
    let (mut here, mut there) = (Desk::new("trust-a"), Desk::new("trust-b"));
    let (a, b, c) = (cell("a", CELLS), cell("b", CELLS), cell("c", CELLS));
    let (left, right) = (here.life(), there.life());
    here.says([Line::Says("hello", 1)]);
    let session = left.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    left.until(session, "turn_ended").await;
    let stranger = Cell { trust: Vec::new(), ..b.clone() };
    let misled = Cell { trust: vec![Peer { name: name("a"), key: c.key.public() }], ..b.clone() };
    let unknown =
        left.sessions.move_out(&a, &left.tenant, session, &name("z"), By::default()).await;
    assert!(matches!(unknown, Err(Error::UnknownCell(_))));
    let itself = left.sessions.move_out(&a, &left.tenant, session, &name("a"), By::default()).await;
    assert!(matches!(itself, Err(Error::Here(_))));
    let bundle = moved(&left, &a, session, "b").await;
    for cell in [&stranger, &misled] {
        let refused = take(&right, cell, importing(), &bundle).await;
        assert!(matches!(refused, Err(Error::Untrusted { .. })), "{refused:?}");
    }
    // At another cell, and at one that only has the name, it is a copy.
    for cell in [&c, &Cell { name: name("b"), ..c.clone() }] {
        let imported = take(&right, cell, importing(), &bundle).await.unwrap();
        assert!(!imported.moved && imported.session != session);
    }
    let asked = Importing { copy: true, ..importing() };
    assert!(!take(&right, &b, asked, &bundle).await.unwrap().moved);
    let tenant = freehold_types::TenantId::new("acme").unwrap();
    let mut source = Pieces(bundle.chunks(1000));
    let other = right.sessions.import(&b, &tenant, importing(), &mut source).await;
    assert!(matches!(other, Err(Error::Tenant(_))), "{other:?}");
    let small = Importing { bytes_max: 500, ..importing() };
    assert!(matches!(take(&right, &b, small, &bundle).await, Err(Error::TooMuch(_))));
    assert!(take(&right, &b, importing(), &bundle).await.unwrap().moved);
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn a_session_comes_back_once_what_was_left_of_it_is_deleted() {
    let (mut here, mut there) = (Desk::new("back-a"), Desk::new("back-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    here.says([Line::Says("hello", 1)]);
    let session = left.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    left.until(session, "turn_ended").await;
    take(&right, &b, importing(), &moved(&left, &a, session, "b").await).await.unwrap();
    let back = moved(&right, &b, session, "a").await;
    let refused = take(&left, &a, importing(), &back).await;
    assert!(matches!(&refused, Err(Error::Exists(..))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("--moved"));
    left.sessions.forget(&left.tenant, session).await.unwrap();
    let imported = take(&left, &a, importing(), &back).await.unwrap();
    assert!(imported.moved);
    here.says([Line::Says("home", 1)]);
    left.give(session, input("home?", Busy::Enqueue)).await;
    let mut tail = left.sessions.tail(&left.tenant, session, imported.head);
    until(&mut tail, "turn_ended").await;
    sound(&left).await;
    left.stops().await;
    right.stops().await;
}

#[tokio::test]
async fn a_bundle_that_is_not_as_it_was_signed_is_refused_and_nothing_of_it_stays() {
    let (mut here, mut there) = (Desk::new("tamper-a"), Desk::new("tamper-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    let session = waiting(&mut here, &left, 3_600_000).await;
    let bundle = moved(&left, &a, session, "b").await;
    let lines: Vec<&[u8]> = bundle.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.len() > 8 && bundle.len() < 400_000, "{} {}", lines.len(), bundle.len());
    let mut wrong: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for n in 0..lines.len() {
        let without = [&lines[..n], &lines[n + 1..]].concat().concat();
        wrong.insert(format!("without line {n}"), without);
        let twice = [&lines[..=n], &lines[n..]].concat().concat();
        wrong.insert(format!("line {n} twice"), twice);
        wrong.insert(format!("cut after line {n}"), lines[..n].concat());
        let cut = [lines[..n].concat(), lines[n][..lines[n].len() / 2].to_vec()].concat();
        wrong.insert(format!("cut in line {n}"), cut);
        if n + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(n, n + 1);
            wrong.insert(format!("line {n} and the next swapped"), swapped.concat());
        }
        // Some bytes of each line, its ends among them.
        let start: usize = lines[..n].iter().map(|line| line.len()).sum();
        let length = lines[n].len();
        for at in (0..length).step_by((length / 12).max(1)).chain([length - 2, length - 1]) {
            let mut changed = bundle.clone();
            changed[start + at] ^= 0x01;
            wrong.insert(format!("byte {at} of line {n}"), changed);
        }
    }
    wrong.insert("more after the end".into(), [&bundle[..], b"{}\n"].concat());
    wrong.insert("a blank line".into(), [b"\n", &bundle[..]].concat());
    wrong.insert("a line without end".into(), [&bundle[..bundle.len() - 1], b""].concat());
    wrong.insert("nothing".into(), Vec::new());
    assert!(wrong.len() > 150, "{}", wrong.len());
    for (what, bundle) in &wrong {
        let error = match take(&right, &b, importing(), bundle).await {
            Err(error) => error,
            Ok(imported) => panic!("{what}: {imported:?}"),
        };
        let damaged = matches!(
            error,
            Error::Damaged { .. }
                | Error::Cut { .. }
                | Error::Newer { .. }
                | Error::Untrusted { .. }
        );
        assert!(damaged, "{what}: {error:?}");
        let left = deletion::rows_left(&*right.db, &right.tenant, session).await.unwrap();
        assert_eq!(left, 0, "{what}: {error}");
        assert!(there.script.blobs.lock().unwrap().is_empty(), "{what}: {error}");
    }
    assert_eq!(sessions_of(&right).await, 0);
    assert!(take(&right, &b, importing(), &bundle).await.unwrap().moved);
    left.stops().await;
    right.stops().await;
}

/// Breaks off in the middle as a crash would: without an undoing.
struct Stuck<'b>(std::slice::Chunks<'b, u8>, tokio::sync::oneshot::Sender<()>);

#[tokio::test]
async fn an_import_that_a_crash_cut_is_found_by_nobody_and_made_anew() {
    let (mut here, mut there) = (Desk::new("crash-a"), Desk::new("crash-b"));
    let (a, b) = (cell("a", CELLS), cell("b", CELLS));
    let (left, right) = (here.life(), there.life());
    let session = waiting(&mut here, &left, 3_600_000).await;
    let bundle = moved(&left, &a, session, "b").await;
    for share in [2, 5, 9, 10] {
        let (told, stuck) = tokio::sync::oneshot::channel();
        let part = bundle[..bundle.len() * share / 10 - 1].to_vec();
        let (sessions, tenant, b) = (Arc::clone(&right.sessions), right.tenant.clone(), b.clone());
        let task = tokio::spawn(async move {
            let mut source = Stuck(part.chunks(1000), told);
            drop(sessions.import(&b, &tenant, importing(), &mut Hangs(&mut source, None)).await);
        });
        stuck.await.unwrap();
        task.abort();
        drop(task.await);
        assert_eq!(sessions_of(&right).await, 0);
        let view = right.sessions.view(&right.tenant, session).await;
        assert!(matches!(view, Err(Unaccepted::NotFound)));
        sound(&right).await;
    }
    let imported = take(&right, &b, importing(), &bundle).await.unwrap();
    assert!(imported.moved && !imported.repeated);
    sound(&right).await;
    left.stops().await;
    right.stops().await;
}

/// Gives what a source has, and then waits for ever.
struct Hangs<'s, 'b>(&'s mut Stuck<'b>, Option<()>);

impl Source for Hangs<'_, '_> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, String>> {
        match self.0.0.next() {
            Some(bytes) => Box::pin(std::future::ready(Ok(Some(Bytes::copy_from_slice(bytes))))),
            None => {
                let (told, _) = tokio::sync::oneshot::channel();
                std::mem::replace(&mut self.0.1, told).send(()).unwrap_or(());
                self.1 = Some(());
                Box::pin(std::future::pending())
            }
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_missing_is_told_before_the_session_is_sealed() {
    let mut here = Desk::new("missing");
    let a = cell("a", CELLS);
    let life = here.life();
    let session = waiting(&mut here, &life, 3_600_000).await;
    here.script.blobs.lock().unwrap().clear();
    let refused =
        life.sessions.move_out(&a, &life.tenant, session, &name("b"), By::default()).await;
    assert!(matches!(refused.err().unwrap(), Error::Session(Unaccepted::MissingBlob(_))));
    let refused = life.sessions.export(&a, &life.tenant, session).await;
    assert!(matches!(refused.err().unwrap(), Error::Session(Unaccepted::MissingBlob(_))));
    let view = life.sessions.view(&life.tenant, session).await.unwrap();
    assert!(view.state.sealed.is_none());
    life.stops().await;
}

#[tokio::test]
async fn a_session_that_is_at_work_does_not_move() {
    let mut here = Desk::new("busy");
    here.says([Line::Hangs("working")]);
    let (a, life) = (cell("a", CELLS), here.life());
    let session = life.create(&[], vec![input("hi", Busy::Enqueue)]).await.session;
    life.until(session, "model_delta").await;
    let refused =
        life.sessions.move_out(&a, &life.tenant, session, &name("b"), By::default()).await;
    let error = refused.err().unwrap();
    assert!(error.to_string().contains("runs"), "{error}");
    life.stops().await;
}
