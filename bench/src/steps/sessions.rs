//! Steps of sessions, through the runtime: a cue, what `decide` says to it,
//! sealed, in one guarded unit, acknowledged after its commit.

use std::sync::Arc;
use std::time::Duration;

use freehold_llm::model::{Item, Role};
use freehold_runtime::content::{About, Input};
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Busy, Content, Limits, Name, Repeat, TimerPurpose};
use freehold_runtime::sessions::{By, NewSession, Sessions};
use freehold_types::{Db, SessionId, TenantId, TimerId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use super::{BODY, Failure, doors, env};

/// A timer is set, and cancelled again, once in so many steps: what a step
/// writes beside the journal.
pub(super) const TIMER_EVERY: u64 = 10;

/// One who takes steps of some sessions in turn.
pub struct Stepper {
    sessions: Arc<Sessions>,
    tenant: TenantId,
    own: Vec<Own>,
    turn: usize,
    content: Content,
    far: Timestamp,
}

struct Own {
    id: SessionId,
    steps: u64,
    timer: Option<TimerId>,
}

/// Begins sessions over a store and deals them out.
pub async fn begin_sessions<D: Db>(
    db: &Arc<D>,
    count: usize,
    steppers: usize,
) -> Result<(Arc<Sessions>, Vec<Stepper>), Failure> {
    let sessions = doors::open(Arc::clone(db) as Arc<dyn Db>);
    let tenant = TenantId::main();
    let items = vec![Item::text(Role::User, "x".repeat(BODY))];
    let input = Input { items, settings: None, about: Map::new() };
    let content = Content::Inline(serde_json::to_value(input)?);
    let far = env().now() + SignedDuration::from_hours(24 * 30);
    let mut dealt = Vec::new();
    for _ in 0..steppers {
        let (sessions, tenant, content) = (Arc::clone(&sessions), tenant.clone(), content.clone());
        dealt.push(Stepper { sessions, tenant, own: Vec::new(), turn: 0, content, far });
    }
    for n in 0..count {
        let new = NewSession {
            id: None,
            agent: Name::cut("bench"),
            about: About::default(),
            limits: Limits::default(),
            cues: Vec::new(),
            key: None,
        };
        let id = sessions.create(&tenant, By::default(), new).await?.session;
        dealt[n % steppers].own.push(Own { id, steps: 0, timer: None });
    }
    Ok((sessions, dealt))
}

impl Stepper {
    /// The first of its sessions.
    pub fn first(&self) -> SessionId {
        self.own[0].id
    }

    /// One step of the session whose turn it is.
    pub async fn step(&mut self) -> Result<(), Failure> {
        let count = self.own.len();
        let own = &mut self.own[self.turn % count];
        self.turn += 1;
        let content = self.content.clone();
        let sets = own.steps % TIMER_EVERY == TIMER_EVERY - 2;
        let cues = if sets {
            let purpose = TimerPurpose::Input(content);
            vec![Cue::SetTimer { due: self.far, repeat: Repeat::Once, purpose }]
        } else {
            let cancel = own.timer.take().map(|timer| Cue::CancelTimer { timer });
            let input = Cue::Input { content, busy: Busy::Quiet, key: None, settings: false };
            cancel.into_iter().chain([input]).collect()
        };
        own.steps += 1;
        let given = self.sessions.give(&self.tenant, own.id, By::default(), cues, None).await?;
        if sets {
            own.timer = given.state.timers.last().map(|timer| timer.id);
        }
        Ok(())
    }

    /// How long a node takes to read its first session back.
    pub async fn cold(&self) -> Result<(u64, Duration), Failure> {
        let start = super::now();
        let view = self.sessions.view(&self.tenant, self.first()).await?;
        Ok((view.row.head, start.elapsed()))
    }
}
