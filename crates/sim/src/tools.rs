//! Tools by a script: what a model may call here, by which rules, and what the
//! outside world makes of it. Calls travel: they may arrive late, or after who
//! sent them is gone, and their answers may be lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freehold_llm::model::{Extra, Tool, ToolBody};
use freehold_runtime::content::Settings;
use freehold_runtime::decide::{ApprovalRule, Ended, Found, ToolRules};
use freehold_runtime::event::{Content, Deciders, Hash, Name, Note, Place, RetryRule};
use freehold_runtime::tools::{Listed, Performed, Performing, Tools, Toolset};
use freehold_types::{BoxFuture, Env, SessionId, TenantId};
use jiff::SignedDuration;
use tokio::sync::oneshot;

use crate::clock::{MS, SECOND};
use crate::env::MachineEnv;
use crate::journal::head;
use crate::world::{World, lock};

/// How long a start may take.
pub(crate) const TIMEOUT_MS: u64 = 2_000;

/// The tools: who performs them, and what becomes of a call in doubt.
pub(crate) const TOOLS: [(&str, Place, RetryRule); 9] = [
    ("look", Place::Worker, RetryRule::Idempotent),
    ("order", Place::Worker, RetryRule::QueryByKey),
    ("mail", Place::Worker, RetryRule::TellUnknown),
    ("pay", Place::Worker, RetryRule::AskHuman),
    ("wait", Place::Worker, RetryRule::Idempotent),
    ("wire", Place::Worker, RetryRule::TellUnknown),
    ("banned", Place::Worker, RetryRule::TellUnknown),
    ("client", Place::Client, RetryRule::TellUnknown),
    ("human", Place::Human, RetryRule::TellUnknown),
];

/// The tools as a node reaches them in one of its lives.
pub(crate) struct ScriptedTools {
    world: Arc<World>,
    machine: usize,
    env: MachineEnv,
}

/// How a call goes.
struct Trip {
    there: u64,
    back: u64,
    is_lost: bool,
    fails: bool,
}

/// Says, when it goes, that nobody waits any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl ScriptedTools {
    pub(crate) fn new(world: &Arc<World>, machine: usize, life: u64) -> Self {
        let env = MachineEnv::new(world, machine, life);
        Self { world: Arc::clone(world), machine, env }
    }

    fn trip(&self) -> Trip {
        let rates = lock(&self.world.faults).rates.clone();
        let mut random = lock(&self.world.chance.tools);
        let slow = random.per_mille(rates.tool_slow);
        let is_lost = random.per_mille(rates.tool_lost);
        if slow {
            self.world.count("tool slow");
        }
        if is_lost {
            self.world.count("tool's answer lost");
        }
        let mut leg = || {
            if slow { random.between(100 * MS, 3 * SECOND) } else { random.between(200, 50 * MS) }
        };
        let (there, back) = (leg(), leg());
        Trip { there, back, is_lost, fails: random.one_in(12) }
    }

    /// Sends something on its way; `act` is done when it arrives, if it does.
    fn travel<T: Send + 'static>(
        &self,
        act: impl FnOnce(&World, &Trip) -> Option<T> + Send + 'static,
    ) -> BoxFuture<'static, Option<T>> {
        let trip = self.trip();
        let (answer, heard) = oneshot::channel();
        let gone = Arc::new(AtomicBool::new(false));
        let guard = Gone(Arc::clone(&gone));
        let (world, machine) = (Arc::clone(&self.world), self.machine);
        self.world.clock.after(trip.there, machine, move || {
            // What nobody waits for may still be on its way.
            if gone.load(Ordering::Relaxed) && lock(&world.chance.tools).one_in(2) {
                return;
            }
            let done = act(&world, &trip);
            if let (Some(done), false) = (done, trip.is_lost) {
                world.clock.after(trip.back, machine, move || drop(answer.send(done)));
            }
        });
        Box::pin(async move {
            let answer = heard.await.ok();
            drop(guard);
            answer
        })
    }
}

impl Tools for ScriptedTools {
    fn resolve(
        &self,
        _: TenantId,
        _: SessionId,
        _: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>> {
        // In some worlds the rules change every few seconds, and back.
        let odd = (self.world.clock.now() / (3 * SECOND)) % 2 == 1;
        let busy = self.world.clock.now() < self.world.setup.busy_us;
        let changed = odd && busy && self.world.setup.seed.is_multiple_of(2);
        let mut set = toolset(if changed { "2" } else { "1" });
        if let Some(mutation) = self.world.setup.mutation {
            for rules in set.rules.values_mut() {
                rules.retry = mutation.retry(rules.retry);
            }
        }
        Box::pin(std::future::ready(Ok(Arc::new(set))))
    }

    fn call(&self, performing: Performing) -> BoxFuture<'static, Performed> {
        let Performing { session, call, attempt, tool, .. } = performing;
        let key = call.to_string();
        let last = head(&self.world, session);
        lock(&self.world.outside).sent(&key, tool.as_str(), session, attempt, last);
        self.world.say(|| {
            let (machine, call) = (self.machine, crate::story::short(&key));
            format!("n{machine} calls `{tool}` {call}, start {attempt}")
        });
        if tool.as_str() == "wait" {
            let ms = lock(&self.world.chance.tools).between(1, 5_000);
            let ms = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(1));
            let until = self.env.now().checked_add(ms).unwrap_or(jiff::Timestamp::MAX);
            return Box::pin(std::future::ready(Performed::Until(until)));
        }
        let idempotent = tool.as_str() == "look";
        let done = self.travel(move |world, trip| {
            let result = lock(&world.outside).arrived(&key, attempt, idempotent)?;
            world.say(|| format!("outside: {tool} {} is done", crate::story::short(&key)));
            let content = Content::text(result);
            Some(if trip.fails { Ended::Failed(content) } else { Ended::Ok(content) })
        });
        Box::pin(async move { Performed::Ended(done.await.unwrap_or(Ended::Lost)) })
    }

    fn query(&self, performing: Performing) -> BoxFuture<'static, Found> {
        let (key, attempt) = (performing.call.to_string(), performing.attempt);
        let mutation = self.world.setup.mutation;
        let found = self.travel(move |world, _| {
            let found = match lock(&world.outside).asked(&key, attempt) {
                Some(result) => Found::Ok(Content::text(result)),
                None => Found::Nothing,
            };
            world.say(|| format!("outside: asked about {}", crate::story::short(&key)));
            Some(mutation.map_or(found.clone(), |mutation| mutation.found(found)))
        });
        Box::pin(async move { found.await.unwrap_or(Found::Unclear) })
    }
}

/// All tools, under rules of a version.
fn toolset(version: &str) -> Toolset {
    let mut rules = BTreeMap::new();
    let mut offered = Vec::new();
    for (name, place, retry) in TOOLS {
        let approval = (name == "wire")
            .then_some(ApprovalRule { deciders: Deciders::Anyone, expires_ms: 6_000 });
        let rule = ToolRules {
            version: Name::cut("1"),
            hash: Hash::of(version.as_bytes()),
            place,
            forbidden: name == "banned",
            approval,
            retry,
            attempts_max: 4,
            timeout_ms: TIMEOUT_MS,
        };
        rules.insert(Name::cut(name), rule);
        let (name, schema) = (name.to_owned(), Some(serde_json::json!({"type": "object"})));
        let body = ToolBody::Function { name, description: None, schema, strict: None };
        offered.push(Tool { body, cache: None, extra: Extra::default() });
    }
    let tools = vec![serde_json::json!({"name": "look", "version": version})];
    let listed = vec![Listed { label: Name::cut("house"), tools, error: None }];
    Toolset { offered, rules, listed }
}
