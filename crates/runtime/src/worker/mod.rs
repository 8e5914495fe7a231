//! What works on one session: happenings come in, `decide` says what follows,
//! that is committed, and only then performed.
//!
//! One task a session, so that its state needs no lock; `mod` is its loop,
//! `load` reads it back, `commit` makes units of decisions, `perform` and
//! `ask` do what is owed, `project` says which rows lie beside the journal.

mod ask;
mod batch;
mod commit;
mod hold;
mod listed;
mod mail;
mod perform;
mod project;
mod settle;
mod stow;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freehold_store::leases::{self, Claim};
use freehold_store::sessions::{NewSession, Session};
use freehold_types::{DbError, ErrorKind, NodeId, Offset, Unit, UnitId};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

pub(crate) use mail::{Accepted, Birth, Mail};
pub(crate) use project::project;
pub use project::{Projections, Waiting, phase, projections};
pub(crate) use stow::are_large;

use crate::archive::{Id, Reader};
use crate::content::Settings;
use crate::decide::{Cue, Rules};
use crate::sessions::{Ear, Error, Inner, Live};
use crate::state::State;
use crate::tools::Toolset;
use ask::Attempt;
use perform::{Done, Running};

/// The most requests that wait for one session.
pub(crate) const INBOX: usize = 64;
/// The longest that a worker sleeps: a wall clock may be set.
const NAP: Duration = Duration::from_secs(30);

/// How soon a session is looked at again when nothing came of its time.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_millis(250);

/// A session in hand.
pub(crate) struct Handle {
    pub(crate) mail: mpsc::Sender<Mail>,
    pub(crate) tag: Tag,
    pub(crate) task: tokio::task::AbortHandle,
    /// Set when what the session is said to be has changed.
    pub(crate) stale: Arc<AtomicBool>,
}

/// Tells one worker of a session from the next.
#[derive(Clone, Default)]
pub(crate) struct Tag(Arc<()>);

impl Tag {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How a worker begins.
pub(crate) enum Start {
    /// With a session that was claimed; its row after the claim.
    Taken(Box<Session>),
    /// With one that does not exist yet.
    Born(Box<Birth>),
}

/// Why a worker ends.
enum Over {
    /// It let go of the session, or never had it.
    Released,
    /// It is done, and the session perhaps still this node's by name.
    Kept,
    /// Somebody else has it, or it is deleted.
    Lost,
    /// It cannot go on.
    Failed(Error),
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a worker is given.
pub(crate) struct Post {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: Id,
    pub(crate) live: Arc<Live>,
    pub(crate) inbox: mpsc::Receiver<Mail>,
    pub(crate) tag: Tag,
    pub(crate) stale: Arc<AtomicBool>,
}

/// Works on a session until it has nothing to do, or is somebody else's.
pub(crate) async fn run(mut post: Post, start: Start) {
    let epoch = match &start {
        Start::Taken(row) => row.epoch,
        Start::Born(_) => NewSession::EPOCH,
    };
    let over = work(&mut post, start).await;
    post.inner.retire(&post.id, &post.tag, || true);
    let is_adrift = || post.inner.adrift.add(&post.id, epoch, post.inner.env().monotonic());
    let is_settled = || post.inner.adrift.forget(&post.id, epoch, post.inner.env().monotonic());
    let broken = match over {
        Over::Released => return is_settled(),
        Over::Kept => return is_adrift(),
        Over::Lost => {
            // Most likely; whether it is, its row says.
            is_adrift();
            None
        }
        Over::Failed(error) if error.kind() == ErrorKind::Unavailable => {
            tracing::warn!(session = %post.id.session, %error, "a session waits to be taken up again");
            is_adrift();
            None
        }
        Over::Failed(error) => {
            let Id { tenant, session } = &post.id;
            tracing::error!(%session, tenant = tenant.as_str(), %error,
                "a session cannot be worked on");
            is_settled();
            Some(error.to_string())
        }
    };
    // Nothing of these was recorded.
    post.inbox.close();
    while let Some(mail) = post.inbox.recv().await {
        mail.answer(Err(broken.clone().map_or(Error::Moving, Error::Content)));
    }
}

async fn work(post: &mut Post, start: Start) -> Over {
    let (archive, id) = (&post.inner.parts.archive, &post.id);
    match start {
        Start::Taken(row) => match Reader::open(archive, id).await {
            Ok(reader) => Worker::new(post, reader).takes_over(&row).await,
            Err(error) => Over::Failed(error),
        },
        Start::Born(birth) => match Reader::of_new(archive, id, birth.about).await {
            Ok(reader) => Worker::new(post, reader).begins(birth.mail).await,
            Err(error) => {
                birth.mail.answer(Err(error));
                Over::Released
            }
        },
    }
}

/// One session in hand.
struct Worker<'p> {
    post: &'p mut Post,
    reader: Arc<Reader>,
    stop: Ear<bool>,
    /// When it lets go of the session at the latest, as the node stops.
    until: Option<Duration>,
    /// As it is committed.
    state: Arc<State>,
    epoch: u64,
    timeline: u64,
    /// From before the last commit, on the monotonic clock.
    since: Duration,
    /// The node in whose name the session is held.
    node: NodeId,
    /// The rows beside the journal.
    rows: Projections,
    phase: &'static str,
    /// The head of the newest snapshot.
    snapshot: Offset,
    /// When something is due by itself.
    wake: Option<Timestamp>,
    /// The rules in force, and the settings that they are made of.
    rules: Arc<Rules>,
    settings: Option<(Option<Offset>, Arc<Settings>)>,
    tools: Option<Arc<Toolset>>,
    running: Running,
    done: mpsc::Receiver<Done>,
}

/// What a worker does next.
enum Next {
    Mail(Option<Mail>),
    Done(Done),
    Chunk,
    Due,
    Idle,
    Stop,
}

impl<'p> Worker<'p> {
    fn new(post: &'p mut Post, reader: Arc<Reader>) -> Self {
        let (tell, done) = mpsc::channel(perform::RUNNING_MAX);
        let rules = Arc::new(post.inner.options.rules.clone());
        let stop = post.inner.stop.listen();
        let node = post.inner.me();
        let since = post.inner.env().monotonic();
        let timeline = post.inner.parts.timeline;
        Self {
            post,
            reader,
            stop,
            until: None,
            state: Arc::new(State::default()),
            epoch: NewSession::EPOCH,
            timeline,
            since,
            node,
            rows: Projections::default(),
            phase: "",
            snapshot: Offset::START,
            wake: None,
            rules,
            settings: None,
            tools: None,
            running: Running::new(tell),
            done,
        }
    }

    async fn begins(mut self, mail: Mail) -> Over {
        match self.birth(mail).await {
            Ok(()) => self.works().await,
            Err(over) => over,
        }
    }

    async fn takes_over(mut self, row: &Session) -> Over {
        match self.taken(row).await {
            Ok(()) => self.works().await,
            Err(over) => over,
        }
    }

    /// Reads the session back and closes what its last worker left open.
    async fn taken(&mut self, row: &Session) -> Result<(), Over> {
        self.epoch = row.epoch;
        self.timeline = row.timeline;
        self.node = row.node.unwrap_or(self.node);
        let (state, snapshot) = self.reader.load(Offset(row.head)).await?;
        self.rows = projections(&state);
        self.snapshot = snapshot;
        self.state = Arc::new(state);
        self.happened(vec![Cue::TakenOver]).await
    }

    async fn works(&mut self) -> Over {
        self.work().await.unwrap_or_else(|over| over)
    }

    fn inner(&self) -> &Inner {
        &self.post.inner
    }

    fn id(&self) -> &Id {
        &self.post.id
    }

    async fn work(&mut self) -> Result<Over, Over> {
        loop {
            match self.next().await {
                Next::Mail(Some(mail)) => self.mail(mail).await?,
                // Its handle is gone: the session is deleted, or another
                // worker of this node has it.
                Next::Mail(None) => return Ok(Over::Lost),
                Next::Done(done) => self.ended(done).await?,
                Next::Chunk => self.chunk().await?,
                Next::Due => self.due().await?,
                Next::Idle | Next::Stop => {
                    if self.running.is_empty() && self.release().await? {
                        return Ok(Over::Released);
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Next {
        let env = Arc::clone(&self.inner().parts.archive.env);
        let now = env.now();
        let wake = self.wake.map(|wake| {
            Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO).min(NAP)
        });
        if wake.is_some_and(|wake| wake.is_zero()) {
            return Next::Due;
        }
        let stopping = self.stop.get();
        if stopping && self.running.is_empty() {
            // What came before it lets go is taken; nobody else would.
            return self.post.inbox.try_recv().map_or(Next::Stop, |mail| Next::Mail(Some(mail)));
        }
        let idle = if self.running.is_empty() { self.inner().options.idle } else { NAP };
        let drained = if stopping { self.drained() } else { NAP };
        let chunk = self.running.chunk();
        // Answers first: they make room; then what is due, then what is new.
        tokio::select! {
            biased;
            Some(done) = self.done.recv() => Next::Done(done),
            () = Attempt::rings(chunk) => Next::Chunk,
            mail = self.post.inbox.recv() => Next::Mail(mail),
            () = env.sleep(wake.unwrap_or(NAP)), if wake.is_some() => self.is_due(),
            () = self.stop.changed(), if !stopping => Next::Chunk,
            () = env.sleep(drained), if stopping => {
                // Time is up: what is under way is the next worker's.
                self.running.stop_all();
                Next::Stop
            }
            () = env.sleep(idle) => Next::Idle,
        }
    }

    /// How long what is under way may go on while the node stops.
    fn drained(&mut self) -> Duration {
        let (drain, now) = (self.inner().options.drain, self.inner().env().monotonic());
        let until = *self.until.get_or_insert(now + drain);
        until.saturating_sub(now)
    }

    /// The time has come for something. If nothing comes of it, that is not
    /// looked for again at once.
    async fn due(&mut self) -> Result<(), Over> {
        let head = self.state.head;
        self.happened(vec![Cue::Due]).await?;
        if self.state.head == head {
            let now = self.inner().env().now();
            let next = now.checked_add(LOOK_AGAIN).unwrap_or(now);
            self.wake = self.wake.map(|wake| wake.max(next));
        }
        Ok(())
    }

    fn is_due(&self) -> Next {
        let due = self.wake.is_some_and(|wake| wake <= self.inner().env().now());
        if due { Next::Due } else { Next::Chunk }
    }

    /// Lets go of the session, unless something came just now.
    async fn release(&mut self) -> Result<bool, Over> {
        let Post { inner, id, inbox, tag, .. } = &*self.post;
        if !inner.retire(id, tag, || inbox.is_empty()) {
            return Ok(false);
        }
        let owes = !crate::decide::owed(&self.state).is_empty();
        // What is not finished is to be taken up at once.
        let due = if owes { Some(inner.env().now()) } else { self.wake };
        let held = Claim {
            tenant: &id.tenant,
            session: id.session,
            epoch: self.epoch,
            node: self.node,
            id: UnitId::new(inner.env()),
        };
        let mut unit = Unit::new("leases.release");
        leases::release(&mut unit, &held, self.state.head.0, due);
        match inner.db().write(unit).await {
            Ok(_) => Ok(true),
            Err(DbError::GuardFailed { .. }) => Err(Over::Lost),
            Err(error) => {
                tracing::debug!(session = %id.session, %error, "a session is not let go of");
                Err(Over::Kept)
            }
        }
    }
}
