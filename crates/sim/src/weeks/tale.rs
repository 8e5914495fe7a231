//! What happens to the agent in these weeks, and what its journal tells of it
//! to somebody who does not care who was at work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_llm::model::{Dialect, Item, Request, Role};
use freehold_runtime::content::{About, Input, Settings};
use freehold_runtime::decide::{ApprovalDecision, Cue};
use freehold_runtime::event::{
    Busy, Content, Decider, Event, Fact, Limits, Name, Note, Repeat, TimerPurpose, Verdict,
};
use freehold_runtime::fsck::Deriving;
use freehold_runtime::seal::{ContentKey, Place};
use freehold_runtime::sessions::{By, Error, NewSession, Receipt, Sessions};
use freehold_store::fsck::Fsck;
use freehold_store::{Memory, journal, sessions};
use freehold_types::{Env, Offset, SessionId, TenantId};
use jiff::Timestamp;
use serde_json::Value;

use super::node::{DayEnv, Shared};
use super::{DAY, HOUR, Weeks};
use crate::journal::{OpenKeys, at_once};
use crate::world::lock;

/// The story up to an hour; what is before now is told already.
pub(super) async fn tell(
    shared: Arc<Shared>,
    session: Arc<Mutex<Option<SessionId>>>,
    until_hour: u64,
) -> Result<(), String> {
    let clients = Clients { env: DayEnv::new(&shared.clock, 0, 0), shared };
    let steps: [(u64, Step); 5] = [
        (0, Step::Begin),
        (7 * 24, Step::Approve),
        (12 * 24, Step::Signal),
        (13 * 24, Step::Cancel),
        (14 * 24, Step::End),
    ];
    let now = clients.shared.clock.now() / HOUR;
    for (hour, step) in steps {
        if hour < now || (hour == now && now > 0) || hour > until_hour {
            continue;
        }
        clients.until(hour).await;
        let known = *lock(&session);
        let made = clients.does(step, known).await?;
        *lock(&session) = Some(made);
    }
    clients.until(until_hour).await;
    Ok(())
}

#[derive(Clone, Copy)]
enum Step {
    Begin,
    Approve,
    Signal,
    Cancel,
    End,
}

struct Clients {
    env: DayEnv,
    shared: Arc<Shared>,
}

impl Clients {
    async fn until(&self, hour: u64) {
        let now = self.shared.clock.now();
        let us = (hour * HOUR).saturating_sub(now);
        self.env.sleep(Duration::from_micros(us)).await;
    }

    async fn does(&self, step: Step, known: Option<SessionId>) -> Result<SessionId, String> {
        let session = || known.ok_or_else(|| "there is no session".to_owned());
        match step {
            Step::Begin => return self.begin().await,
            Step::Approve => {
                let id = session()?;
                let view = self.with(|one, tenant| async move { one.view(&tenant, id).await });
                let asked = view.await?.state.approvals.first().map(|approval| approval.id);
                let decision = ApprovalDecision {
                    approval: asked.ok_or("nothing asks")?,
                    verdict: Verdict::Approve,
                    by: Decider { principal: Name::cut("anna"), roles: Vec::new() },
                    args: None,
                    note: Note::cut("fine"),
                };
                self.give(id, Cue::Decide(decision)).await?;
            }
            Step::Signal => {
                let (name, content) = (Name::cut("shipped"), Content::text("parcel 7"));
                self.give(session()?, Cue::Signal { name, content }).await?;
            }
            Step::Cancel => {
                let id = session()?;
                let view = self.with(|one, tenant| async move { one.view(&tenant, id).await });
                let timer = view.await?.state.timers.first().map(|timer| timer.id);
                let timer = timer.ok_or("there is no timer")?;
                self.give(id, Cue::CancelTimer { timer }).await?;
            }
            Step::End => {}
        }
        session()
    }

    async fn begin(&self) -> Result<SessionId, String> {
        let said = |text: &str| {
            let input = Input { items: vec![Item::text(Role::User, text)], ..Input::default() };
            serde_json::to_value(&input).map(Content::Inline).map_err(|error| error.to_string())
        };
        // Thursdays at nine, from the fourth day on.
        let due = crate::env::wall(4 * DAY + 10 * HOUR, 0);
        let purpose = TimerPurpose::Input(said("Is there anything new?")?);
        let schedule = Cue::SetTimer { due, repeat: Repeat::cron("0 9 * * 4 UTC")?, purpose };
        let content = said("Pay the order, wait three days, and watch it.")?;
        let asked = Cue::Input { content, busy: Busy::Enqueue, key: None, settings: false };
        let settings = Settings {
            payer: Name::cut("key_weeks"),
            request: Request::new(Dialect::Responses, "scripted"),
            tools: Vec::new(),
            calls_max: None,
            may_truncate: false,
            limits: Limits::default(),
        };
        let about = About { settings: Some(Box::new(settings)), ..About::default() };
        let made = self.with(move |one, tenant| {
            let new = NewSession {
                id: None,
                agent: Name::cut("weeks"),
                about: about.clone(),
                limits: Limits::default(),
                cues: vec![schedule.clone(), asked.clone()],
                key: None,
            };
            async move { one.create(&tenant, By::default(), new).await }
        });
        Ok(made.await?.session)
    }

    async fn give(&self, session: SessionId, cue: Cue) -> Result<Receipt, String> {
        self.with(move |one, tenant| {
            let cue = cue.clone();
            async move { one.give(&tenant, session, By::default(), vec![cue], None).await }
        })
        .await
    }

    /// Asks one node after the other, until one takes it.
    async fn with<T, F>(&self, ask: impl Fn(Arc<Sessions>, TenantId) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut last = "no node serves".to_owned();
        for _ in 0..600 {
            let nodes = lock(&self.shared.sessions).clone();
            for node in nodes.into_iter().flatten() {
                match ask(node, self.shared.tenant.clone()).await {
                    Ok(got) => return Ok(got),
                    Err(error @ Error::Refused(_)) => return Err(error.to_string()),
                    Err(error) => last = error.to_string(),
                }
            }
            self.env.sleep(Duration::from_secs(10)).await;
        }
        Err(last)
    }
}

/// What a journal tells, without who was at work and what ids were drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tale {
    /// Each event's fact, with times to the hour.
    pub events: Vec<String>,
    /// How often each call of a tool was performed.
    pub performed: Vec<u32>,
    /// What a look through the store found.
    pub found: Vec<String>,
}

/// Reads it.
pub fn told(weeks: &Weeks, session: SessionId) -> Result<Tale, String> {
    let shared = &weeks.shared;
    let events = events(&shared.store, &shared.tenant, session)?;
    let mut names = BTreeMap::new();
    let events = events.iter().map(|event| line(event, &mut names)).collect();
    let env: Arc<dyn Env> = Arc::new(DayEnv::new(&shared.clock, 0, u64::MAX));
    let (begin, now) = (Deriving::new(shared.archive(Arc::clone(&env))), env.now());
    let fsck = Fsck { db: &*shared.store, begin: &begin, blobs: None, now, repair: false };
    let mut found = Vec::new();
    let looked = at_once(fsck.run(|finding| found.push(finding.problem.to_string())));
    looked.ok_or("it waits")?.map_err(|error| error.to_string())?;
    Ok(Tale { events, performed: shared.script.performed(), found })
}

fn events(store: &Memory, tenant: &TenantId, session: SessionId) -> Result<Vec<Event>, String> {
    let profile = at_once(sessions::profile(store, tenant, session));
    let profile = profile.ok_or("it waits")?.map_err(|error| error.to_string())?;
    let wrapped = profile.and_then(|profile| profile.content_key).ok_or("it has no key")?;
    let key = at_once(ContentKey::unwrap(&OpenKeys, tenant, session, &wrapped));
    let key = key.ok_or("it waits")?.map_err(|error| error.to_string())?;
    let rows = at_once(journal::read(store, tenant, session, 0, u64::MAX >> 1, 256));
    let rows = rows.ok_or("it waits")?.map_err(|error| error.to_string())?;
    let opened = rows.into_iter().map(|row| {
        let body = key.open(session, Place::Event(row.offset), &row.body);
        let body = body.map_err(|error| error.to_string())?;
        Event::decode(Offset(row.offset), &body).map_err(|error| error.to_string())
    });
    opened.collect()
}

fn line(event: &Event, names: &mut BTreeMap<String, usize>) -> String {
    let mut fact = serde_json::to_value(&event.fact).unwrap_or_default();
    if let Fact::ToolStarted(_) = event.fact
        && let Some(fields) = fact.as_object_mut()
    {
        // Takeovers raise it.
        fields.remove("epoch");
    }
    plain(&mut fact, names);
    format!("{} {}: {} {fact}", event.offset, hour(event.at), event.fact.kind())
}

fn hour(at: Timestamp) -> String {
    at.to_string().chars().take(13).collect()
}

/// Ids by the order of their coming, times to the hour.
fn plain(value: &mut Value, names: &mut BTreeMap<String, usize>) {
    match value {
        Value::String(text) => {
            let id = text.split_once('_').is_some_and(|(_, digits)| {
                digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            if id {
                let next = names.len();
                let number = *names.entry(text.clone()).or_insert(next);
                *text = format!("#{number}");
            } else if let Ok(at) = text.parse::<Timestamp>() {
                *text = hour(at);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plain(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| plain(field, names)),
        _ => {}
    }
}
