//! Models by a script: texts, calls of tools one or many at once, slow
//! answers, answers that break off, errors that pass and errors that do not.

use std::sync::Arc;

use freehold_llm::model::{
    ApiError, Delta, Dialect, Event, Extra, Item, ItemBody, Message, Role, Slot, Stop, StopReason,
    ToolCall, ToolCallKind, Usage,
};
use freehold_runtime::models::{ModelAsk, ModelStream, Models, Said};
use freehold_types::{BoxFuture, Code, Money};
use futures_util::StreamExt;

use crate::clock::{MS, SECOND};
use crate::faults::Rates;
use crate::random::Random;
use crate::tools::TOOLS;
use crate::world::{World, lock};

/// Results of tools after which a model has no more to call.
const RESULTS_MAX: usize = 6;

/// Models as a node reaches them.
pub(crate) struct ScriptedModels {
    world: Arc<World>,
    machine: usize,
}

impl ScriptedModels {
    pub(crate) fn new(world: &Arc<World>, machine: usize) -> Self {
        Self { world: Arc::clone(world), machine }
    }

    fn note(&self, ask: &ModelAsk) {
        let world = &self.world;
        world.say(|| {
            let session = ask.session.to_string();
            format!(
                "n{} asks the model: {} @{}",
                self.machine,
                crate::story::short(&session),
                ask.asked
            )
        });
        let mut asks = lock(&world.asks);
        *asks.entry((ask.session, ask.asked.0)).or_default() += 1;
        drop(asks);
        let last = crate::journal::head(world, ask.session);
        // One that was deleted meanwhile has none.
        if last > 0 && last < ask.asked.0 {
            world.wrong(format!("a model is asked by event {}, of {last} there are", ask.asked));
        }
    }
}

impl Models for ScriptedModels {
    fn ask(&self, ask: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>> {
        self.note(&ask);
        let rates = lock(&self.world.faults).rates.clone();
        let seed = ask.session.as_bytes().iter().fold(self.world.setup.seed, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        let mut random = Random::derive(seed, &[ask.asked.0]);
        if random.per_mille(rates.model_error) {
            self.world.count("model failed");
            let error = if random.one_in(12) {
                ApiError::new(Code::ModelNotFound, "there is no such model")
            } else {
                ApiError::new(Code::UpstreamError, "the provider is out of order")
            };
            let wait = self.world.clock.sleep(random.between(MS, 100 * MS), self.machine);
            return Box::pin(async move {
                wait.await;
                Err(Box::new(error))
            });
        }
        let mut said = answer(&ask, &mut random);
        if random.per_mille(rates.model_cut) {
            self.world.count("model's stream cut");
            let keep = random.below(said.len() as u64);
            said.truncate(usize::try_from(keep).unwrap_or(0));
        }
        let stream = paced(&self.world, self.machine, said, &rates, random);
        Box::pin(std::future::ready(Ok(stream)))
    }
}

/// Events one after the other, each after a while.
fn paced(
    world: &Arc<World>,
    machine: usize,
    said: Vec<Said>,
    rates: &Rates,
    mut random: Random,
) -> ModelStream {
    let slow = random.per_mille(rates.model_slow);
    if slow {
        world.count("model's stream slow");
    }
    let clock = Arc::clone(&world.clock);
    Box::pin(futures_util::stream::iter(said).then(move |said| {
        let wait = if slow { random.between(MS, SECOND) } else { random.between(20, 5 * MS) };
        let sleep = (!random.one_in(3)).then(|| clock.sleep(wait, machine));
        async move {
            if let Some(sleep) = sleep {
                sleep.await;
            }
            said
        }
    }))
}

/// A whole answer.
fn answer(ask: &ModelAsk, random: &mut Random) -> Vec<Said> {
    let results = |item: &&Item| matches!(item.body, ItemBody::ToolResult(_));
    let results = ask.request.items.iter().filter(results).count();
    let calls = if ask.request.tools.is_empty() || results >= RESULTS_MAX || random.one_in(3) {
        0
    } else {
        random.between(1, 3)
    };
    let mut events = vec![Event::Start {
        id: format!("answer-{}", ask.asked),
        model: "scripted".into(),
        created: None,
        usage: None,
        extra: Extra::default(),
    }];
    let mut item = 0;
    if calls == 0 || random.one_in(2) {
        text(&mut events, item, random);
        item += 1;
    }
    for _ in 0..calls {
        call(&mut events, item, ask.asked.0, random);
        item += 1;
    }
    let reason = if calls > 0 { StopReason::ToolCalls } else { StopReason::End };
    let usage =
        Usage { input: random.between(10, 400), output: random.between(1, 90), ..Usage::default() };
    events.push(Event::Stop { choice: 0, stop: Stop::new(reason), extra: Extra::default() });
    events.push(Event::Usage(usage));
    let mut said: Vec<Said> = events.into_iter().map(Said::Event).collect();
    said.push(Said::Cost(Money::from_units(1)));
    said.push(Said::Event(Event::End { extra: Extra::default(), service_tier: None }));
    said
}

fn text(events: &mut Vec<Event>, item: u32, random: &mut Random) {
    let slot = Slot { choice: 0, item };
    let head = Item::new(ItemBody::Message(Message { role: Role::Assistant, parts: Vec::new() }));
    events.push(Event::ItemStart { slot, head });
    for word in 0..random.between(1, 5) {
        let delta = Delta::Text(format!("word {word} "));
        events.push(Event::Delta { slot, part: 0, delta });
    }
    events.push(Event::ItemEnd { slot, extra: Extra::default() });
}

fn call(events: &mut Vec<Event>, item: u32, asked: u64, random: &mut Random) {
    let slot = Slot { choice: 0, item };
    let names: Vec<&str> = TOOLS.iter().map(|(name, ..)| *name).chain(["nothing"]).collect();
    let tool = ToolCall {
        call_id: format!("m{asked}-{item}"),
        name: random.pick(&names).unwrap_or("look").to_owned(),
        input: String::new(),
        kind: ToolCallKind::Function,
        cache: None,
    };
    events.push(Event::ItemStart { slot, head: Item::new(ItemBody::ToolCall(tool)) });
    let arguments = if random.one_in(40) { "{" } else { r#"{ "b": 1, "a": 2.50 }"# };
    let delta = Delta::Input(arguments.to_owned());
    events.push(Event::Delta { slot, part: 0, delta });
    events.push(Event::ItemEnd { slot, extra: Extra::default() });
}

/// The dialect that clients of a world speak.
pub(crate) const DIALECT: Dialect = Dialect::Responses;
