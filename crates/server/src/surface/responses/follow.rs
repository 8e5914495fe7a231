//! From the events of a journal to the events of a response.
//!
//! A response begins with its input. It ends where the turn ends, or where the
//! turn waits for the client: for the result of a call or for a decision.
//! What the turn waits for otherwise (a timer, another person, a raised limit)
//! is a pause in it. The same events always give the same bytes.

use std::collections::BTreeMap;

use freehold_llm::format::responses::{Call, End, Run, RunHead};
use freehold_llm::model::{Answer, Event as Said, ItemBody};
use freehold_runtime::content::Settings;
use freehold_runtime::event::{
    ApprovalAsked, Content, Deciders, EndReason, ErrorReason, Event, Fact, Outcome, Purpose,
    Question, ToolIntended, ToolOutcome, UnknownReason, WaitOn,
};
use freehold_types::{ApprovalId, CallId, Offset, SessionId, TurnId};
use serde_json::{Map, Value, json};

use super::begun::Begun;
use super::ids::{self, ResponseId, stem};
use super::label;

/// What begins a response.
pub(super) struct Beginning<'a> {
    /// Its id.
    pub(super) id: ResponseId,
    /// Seconds since 1970.
    pub(super) created: i64,
    /// What its input keeps of the request.
    pub(super) begun: Begun,
    /// The settings that came with it.
    pub(super) settings: &'a Settings,
    /// The calls that its decisions are about.
    pub(super) calls: Vec<Known>,
}

/// A call of a tool that the client does not perform.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// Which.
    pub(super) call: CallId,
    /// The tool, as the model calls it.
    pub(super) tool: String,
    /// The arguments, as the model wrote them.
    pub(super) arguments: String,
    /// The question that it was allowed by.
    pub(super) approval: Option<ApprovalId>,
}

/// Tells one response.
pub(super) struct Follower {
    run: Run,
    session: SessionId,
    begin: Offset,
    /// The settings' own names for the servers of tools.
    labels: label::Labels,
    client: label::Client,
    turn: Option<TurnId>,
    asked: Option<Purpose>,
    answer: Option<Answer>,
    calls: BTreeMap<CallId, (Known, Option<Call>)>,
    /// Questions that others than the client decide.
    theirs: Vec<ApprovalId>,
    summary: Option<Value>,
    fault: Option<String>,
    paused: bool,
    /// The event that ended it.
    end: Option<Offset>,
}

impl Follower {
    /// Begins a response and tells that it exists.
    pub(super) fn begin(beginning: Beginning<'_>, out: &mut Vec<u8>) -> Self {
        let Beginning { id, created, begun, settings, calls } = beginning;
        let mut run = Run::new(RunHead {
            id: id.to_string(),
            request: &settings.request,
            created,
            over: over(&begun),
            tools: begun.tools.clone(),
            seals: begun.seals,
        });
        run.created(begun.background, out);
        let mut follower = Self {
            run,
            session: id.session,
            begin: id.begin,
            labels: label::Labels::of(settings),
            client: label::Client::of(settings),
            turn: begun.joins,
            asked: None,
            answer: None,
            calls: calls.into_iter().map(|known| (known.call, (known, None))).collect(),
            theirs: Vec::new(),
            summary: None,
            fault: None,
            paused: false,
            end: None,
        };
        if follower.turn.is_some() {
            follower.run.begun(out);
        }
        follower
    }

    /// Whether nothing more will be told.
    pub(super) fn is_over(&self) -> bool {
        self.run.ended().is_some()
    }

    /// The event that it ended with, if it did.
    pub(super) fn end(&self) -> Option<Offset> {
        self.end
    }

    /// How it ended, if it did.
    pub(super) fn ended(&self) -> Option<&End> {
        self.run.ended()
    }

    /// Whether its turn has used what it may, and waits for a raised limit.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Its turn, once that runs.
    pub(super) fn turn(&self) -> Option<TurnId> {
        self.turn
    }

    /// The response as it stands.
    pub(super) fn response(&self) -> Value {
        self.run.response()
    }

    /// The content of an event that [`Self::event`] needs.
    pub(super) fn needs<'e>(&self, event: &'e Event) -> Option<&'e Content> {
        if self.is_over() || !self.is_mine(event) {
            return None;
        }
        match &event.fact {
            Fact::ModelDelta(fact) if self.asked == Some(Purpose::Step) => Some(&fact.content),
            Fact::ModelAnswered(fact) => Some(&fact.content),
            Fact::ToolsListed(fact) => Some(&fact.content),
            Fact::ToolOutcome(fact) if self.calls.contains_key(&fact.call) => match &fact.outcome {
                Outcome::Ok(content) | Outcome::Failed(content) => Some(content),
                Outcome::Refused(_) | Outcome::Unknown(_) => None,
            },
            _ => None,
        }
    }

    /// Takes the next event of the journal, with the content that it needs.
    pub(super) fn event(&mut self, event: &Event, content: Option<Value>, out: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        if let Fact::InputTaken(taken) = &event.fact
            && taken.inputs.contains(&self.begin)
        {
            self.turn = event.turn;
            self.run.begun(out);
        }
        if !self.is_mine(event) {
            return;
        }
        self.paused = matches!(event.fact, Fact::BudgetPaused(_));
        match &event.fact {
            Fact::ModelAsked(fact) => {
                self.asked = Some(fact.purpose);
                if fact.purpose == Purpose::Step {
                    self.run.asked(&stem(self.session, event.offset));
                }
            }
            Fact::ToolsListed(_) => self.listed(event.offset, content, out),
            Fact::ModelDelta(_) => self.delta(content, out),
            Fact::ModelAnswered(_) => self.answered(content, out),
            // Of a summary nothing is told.
            Fact::ModelAborted(fact) if self.asked.take() == Some(Purpose::Step) => {
                self.run.aborted(fact.kept, out);
            }
            Fact::Compacted(_) => self.compacted(event.offset, out),
            Fact::ToolIntended(fact) => self.intended(fact),
            Fact::ToolStarted(fact) => self.started(fact.call, event.offset, out),
            Fact::ToolOutcome(fact) => self.outcome(fact, event.offset, content.as_ref(), out),
            Fact::ApprovalAsked(fact) => self.question(fact, out),
            Fact::Faulted(fact) => self.fault = Some(fact.message.as_str().to_owned()),
            Fact::TurnWaiting(fact) if fact.on.iter().any(|on| self.is_for_client(on)) => {
                self.run.end(End::Done, event.at.as_second(), out);
            }
            Fact::TurnEnded(fact) => {
                let end = self.end_of(fact.reason);
                self.run.end(end, event.at.as_second(), out);
            }
            _ => {}
        }
        if self.is_over() {
            self.end = Some(event.offset);
        }
    }

    fn is_mine(&self, event: &Event) -> bool {
        self.turn.is_some() && event.turn == self.turn
    }

    fn is_for_client(&self, on: &WaitOn) -> bool {
        match on {
            WaitOn::Client(_) => true,
            WaitOn::Approval(id) => !self.theirs.contains(id),
            WaitOn::Human(_) | WaitOn::Timer(_) | WaitOn::Budget(..) => false,
        }
    }

    fn end_of(&mut self, reason: EndReason) -> End {
        match reason {
            EndReason::Done => End::Done,
            EndReason::Cancelled | EndReason::RolledBack => End::Cancelled,
            EndReason::Interrupted => End::Incomplete("steered"),
            EndReason::Failed => {
                let message = self.fault.take();
                End::Failed(message.unwrap_or_else(|| "the turn failed".to_owned()))
            }
        }
    }

    fn listed(&mut self, at: Offset, content: Option<Value>, out: &mut Vec<u8>) {
        for (n, listed) in label::lists(content).iter().enumerate() {
            let item = self.labels.listed(listed, &ids::item_stem(self.session, at, n));
            let mut empty = item.clone();
            empty["tools"] = json!([]);
            self.run.listed(empty, item, out);
        }
    }

    fn delta(&mut self, content: Option<Value>, out: &mut Vec<u8>) {
        let events = content.map(serde_json::from_value::<Vec<Said>>);
        for event in events.into_iter().flatten().flatten() {
            self.run.event(&event, out);
        }
    }

    fn answered(&mut self, content: Option<Value>, out: &mut Vec<u8>) {
        let answer = content.and_then(|value| serde_json::from_value::<Answer>(value).ok());
        let Some(answer) = answer else { return };
        match self.asked.take() {
            Some(Purpose::Step) => {
                self.run.answered(&answer, out);
                self.answer = Some(answer);
            }
            Some(Purpose::Compaction) => self.summary = serde_json::to_value(&answer).ok(),
            None => {}
        }
    }

    fn compacted(&mut self, at: Offset, out: &mut Vec<u8>) {
        let Some(summary) = self.summary.take() else { return };
        let text = serde_json::from_value(summary).map(|answer| super::summary::text_of(&answer));
        let item = json!({
            "id": format!("cmp_{}", ids::item_stem(self.session, at, 0)),
            "type": "compaction",
            "encrypted_content": super::summary::carry(&text.unwrap_or_default()),
        });
        self.run.item(item, out);
    }

    fn intended(&mut self, fact: &ToolIntended) {
        if self.client.performs(fact.tool.as_str()) {
            return;
        }
        let items = self.answer.iter().filter_map(|answer| answer.choices.first());
        let arguments = items.flat_map(|choice| &choice.items).find_map(|item| match &item.body {
            ItemBody::ToolCall(call) if call.call_id.starts_with(fact.model_call.as_str()) => {
                Some(call.input.clone())
            }
            _ => None,
        });
        let known = Known {
            call: fact.call,
            tool: fact.tool.as_str().to_owned(),
            arguments: arguments.unwrap_or_default(),
            approval: None,
        };
        self.calls.insert(fact.call, (known, None));
    }

    fn started(&mut self, call: CallId, at: Offset, out: &mut Vec<u8>) {
        let Some((known, shown @ None)) = self.calls.get_mut(&call) else { return };
        let item = self.labels.call(known, &ids::item_stem(self.session, at, 0));
        *shown = self.run.call(item, out);
    }

    fn outcome(
        &mut self,
        fact: &ToolOutcome,
        at: Offset,
        content: Option<&Value>,
        out: &mut Vec<u8>,
    ) {
        if !self.calls.contains_key(&fact.call) {
            return;
        }
        let never = matches!(
            fact.outcome,
            Outcome::Refused(
                ErrorReason::Denied
                    | ErrorReason::ApprovalExpired
                    | ErrorReason::Cancelled
                    | ErrorReason::CallLimit
            )
        );
        if !never {
            self.started(fact.call, at, out);
        }
        let Some((_, shown)) = self.calls.remove(&fact.call) else { return };
        let Some(shown) = shown else { return };
        let (kind, fields) = ended(&fact.outcome, content);
        self.run.called(shown, Some(kind), fields, out);
    }

    fn question(&mut self, fact: &ApprovalAsked, out: &mut Vec<u8>) {
        if fact.deciders != Deciders::Anyone {
            self.theirs.push(fact.approval);
            return;
        }
        let Some((known, shown)) = self.calls.get_mut(&fact.call) else { return };
        known.approval = Some(fact.approval);
        if let (Question::Repeat, Some(shown)) = (fact.question, shown.take()) {
            let fields = Map::from_iter([("status".to_owned(), "incomplete".into())]);
            self.run.called(shown, None, fields, out);
        }
        self.run.item(self.labels.question(known, &ids::of_approval(fact.approval)), out);
    }
}

/// Which event tells of an outcome, and what the item says of it.
pub(super) fn ended(
    outcome: &Outcome,
    content: Option<&Value>,
) -> (&'static str, Map<String, Value>) {
    let text = content.map(text_of).unwrap_or_default();
    let (ok, field, value) = match outcome {
        Outcome::Ok(_) => (true, "output", text.into()),
        Outcome::Failed(_) => (false, "error", failure(&text)),
        Outcome::Refused(reason) => (false, "error", failure(refused(reason))),
        Outcome::Unknown(reason) => (false, "error", failure(unknown(*reason))),
    };
    let status = if ok { "completed" } else { "failed" };
    let fields = [("status".to_owned(), status.into()), (field.to_owned(), value)];
    let kind = if ok { "response.mcp_call.completed" } else { "response.mcp_call.failed" };
    (kind, Map::from_iter(fields))
}

/// In the form of a tool's own error.
fn failure(text: &str) -> Value {
    let content = [json!({"type": "text", "text": text})];
    json!({"type": "mcp_tool_execution_error", "content": content})
}

fn text_of(content: &Value) -> String {
    let parts = freehold_runtime::content::output(content);
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.as_text()).collect();
    if texts.len() == parts.len() { texts.join("\n") } else { content.to_string() }
}

fn refused(reason: &ErrorReason) -> &'static str {
    match reason {
        ErrorReason::NoSuchTool => "there is no such tool",
        ErrorReason::BadArguments => "the arguments are no JSON",
        ErrorReason::Forbidden => "the rules forbid it",
        ErrorReason::TooMany => "one answer called more tools than a step may",
        ErrorReason::CallLimit => "as many tools were called as the request allows",
        ErrorReason::Denied => "it was denied",
        ErrorReason::ApprovalExpired => "nobody decided in time",
        ErrorReason::Cancelled => "the turn was stopped before",
    }
}

fn unknown(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::Lost => "unknown whether it ran: the server lost it",
        UnknownReason::Timeout => "unknown whether it ran: it took too long",
        UnknownReason::Attempts => "unknown whether it ran: it was tried as often as it may be",
        UnknownReason::QueryFailed => "unknown whether it ran: the tool could not say",
        UnknownReason::NotRepeated => "unknown whether it ran: nobody wanted it repeated",
        UnknownReason::Cancelled => "unknown whether it ran: the turn was stopped meanwhile",
        UnknownReason::Forked | UnknownReason::Imported => {
            "unknown here: it runs in the session that this one came from"
        }
        UnknownReason::Restored => "unknown whether it ran: a backup was restored meanwhile",
    }
}

/// What the response says otherwise than its settings.
fn over(begun: &Begun) -> Map<String, Value> {
    let mut over = Map::from_iter([
        ("store".to_owned(), true.into()),
        ("background".to_owned(), begun.background.into()),
        ("previous_response_id".to_owned(), begun.previous.clone().into()),
        ("max_tool_calls".to_owned(), begun.max_tool_calls.into()),
    ]);
    if let Some(truncation) = &begun.truncation {
        over.insert("truncation".into(), truncation.as_str().into());
    }
    if let Some(conversation) = &begun.conversation {
        over.insert("conversation".into(), json!({ "id": conversation }));
    }
    over
}
