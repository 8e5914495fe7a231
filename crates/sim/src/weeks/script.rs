//! What the model says in these weeks, and what its tools do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freehold_llm::model::{
    ApiError, Delta, Event, Extra, Item, ItemBody, Message, Role, Slot, Stop, StopReason, ToolCall,
    ToolCallKind, Usage,
};
use freehold_runtime::content::Settings;
use freehold_runtime::decide::{ApprovalRule, Ended, Found, ToolRules};
use freehold_runtime::event::{Content, Deciders, Hash, Name, Note, Place, RetryRule};
use freehold_runtime::models::{ModelAsk, ModelStream, Models, Said};
use freehold_runtime::tools::{Performed, Performing, Tools, Toolset};
use freehold_types::{BoxFuture, SessionId, TenantId};
use jiff::{SignedDuration, Timestamp};

use super::DAY;
use crate::world::lock;

/// What it says each time that it is asked: a call, or a text.
const LINES: [Result<&str, &str>; 6] = [
    Ok("pay"),
    Ok("wait"),
    Err("It is paid, and the three days are over."),
    Err("Nothing new this week."),
    Err("Nothing new this week either."),
    Err("It was shipped."),
];

/// Model and tools of the weeks.
#[derive(Default)]
pub(super) struct Script {
    said: AtomicUsize,
    /// How often each call was performed.
    performed: Mutex<BTreeMap<String, u32>>,
}

impl Script {
    pub(super) fn skip(&self, lines: usize) {
        self.said.store(lines, Ordering::Relaxed);
    }

    /// How often each call of a tool was performed.
    pub(super) fn performed(&self) -> Vec<u32> {
        lock(&self.performed).values().copied().collect()
    }
}

impl Models for Script {
    fn ask(&self, _: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>> {
        let line = self.said.fetch_add(1, Ordering::Relaxed);
        let line = LINES.get(line).copied().unwrap_or(Err("There is nothing more to say."));
        let said = answer(line).into_iter().map(Said::Event);
        let stream = Box::pin(futures_util::stream::iter(said)) as ModelStream;
        Box::pin(std::future::ready(Ok(stream)))
    }
}

fn answer(line: Result<&str, &str>) -> Vec<Event> {
    let slot = Slot { choice: 0, item: 0 };
    let (head, delta, reason) = match line {
        Ok(tool) => {
            let call = ToolCall {
                call_id: format!("model_call_{tool}"),
                name: tool.into(),
                input: String::new(),
                kind: ToolCallKind::Function,
                cache: None,
            };
            (ItemBody::ToolCall(call), Delta::Input("{}".into()), StopReason::ToolCalls)
        }
        Err(text) => {
            let message = Message { role: Role::Assistant, parts: Vec::new() };
            (ItemBody::Message(message), Delta::Text(text.into()), StopReason::End)
        }
    };
    vec![
        Event::Start {
            id: "answer".into(),
            model: "scripted".into(),
            created: None,
            usage: None,
            extra: Extra::default(),
        },
        Event::ItemStart { slot, head: Item::new(head) },
        Event::Delta { slot, part: 0, delta },
        Event::ItemEnd { slot, extra: Extra::default() },
        Event::Stop { choice: 0, stop: Stop::new(reason), extra: Extra::default() },
        Event::Usage(Usage { input: 10, output: 5, ..Usage::default() }),
        Event::End { extra: Extra::default(), service_tier: None },
    ]
}

impl Tools for Script {
    fn resolve(
        &self,
        _: TenantId,
        _: SessionId,
        _: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>> {
        let rules = |approval, retry| ToolRules {
            version: Name::cut("1"),
            hash: Hash::of(b"rules"),
            place: Place::Worker,
            forbidden: false,
            approval,
            retry,
            attempts_max: 1,
            timeout_ms: 60_000,
        };
        let month = ApprovalRule { deciders: Deciders::Anyone, expires_ms: 30 * DAY / 1_000 };
        let rules = BTreeMap::from([
            (Name::cut("pay"), rules(Some(month), RetryRule::TellUnknown)),
            (Name::cut("wait"), rules(None, RetryRule::Idempotent)),
        ]);
        Box::pin(async { Ok(Arc::new(Toolset { rules, ..Toolset::default() })) })
    }

    fn call(&self, performing: Performing) -> BoxFuture<'static, Performed> {
        *lock(&self.performed).entry(performing.call.to_string()).or_default() += 1;
        // An id begins with the milliseconds of its time.
        let ms = performing.call.as_bytes().iter().take(6);
        let ms = ms.fold(0_i64, |ms, byte| ms << 8 | i64::from(*byte));
        let began = Timestamp::from_millisecond(ms).unwrap_or_default();
        let performed = if performing.tool.as_str() == "wait" {
            let three_days = SignedDuration::from_hours(72);
            Performed::Until(began.checked_add(three_days).unwrap_or(began))
        } else {
            Performed::Ended(Ended::Ok(Content::text("paid")))
        };
        Box::pin(std::future::ready(performed))
    }

    fn query(&self, _: Performing) -> BoxFuture<'static, Found> {
        Box::pin(std::future::ready(Found::Unclear))
    }
}
