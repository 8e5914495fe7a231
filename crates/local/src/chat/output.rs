//! What the model writes, as the hub's events: text, and calls taken out of
//! their tags.

use std::collections::VecDeque;

use freehold_llm::IdSource;
use freehold_llm::model::{
    Delta, Event, Extra, Item, ItemBody, Logprob, Message, Part, Role, Slot, Stop, StopReason,
    ToolCall, ToolCallKind,
};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::grammar::{CALL_CLOSE, CALL_OPEN, call_head};
use super::json_end::JsonEnd;
use super::text::{Utf8Joiner, Watch};
use super::tools::Tools;

/// The receiver is gone, or reads nothing: the answer is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Sends to the channel, which has room for the whole answer.
pub(crate) fn send(to: &Sender<Event>, event: Event) -> Result<(), Gone> {
    match to.try_send(event) {
        Ok(()) => Ok(()),
        // Full cannot be: its size is the bound of what one answer sends.
        Err(TrySendError::Closed(_) | TrySendError::Full(_)) => Err(Gone),
    }
}

/// Where in the answer we are.
enum Place {
    /// In text.
    Text,
    /// Behind an opening tag, before the arguments.
    Head(String),
    /// In a call's arguments.
    Input(JsonEnd),
    /// Behind the arguments, before the closing tag's end.
    Close(usize),
}

/// Writes the events of one choice.
pub(crate) struct Output<'a> {
    to: &'a Sender<Event>,
    ids: &'a mut IdSource,
    slot: Slot,
    open: bool,
    place: Place,
    joiner: Utf8Joiner,
    watch: Watch,
    stops: &'a [String],
    names: Vec<(String, String)>,
    calls: u32,
    /// Bytes of text that went into the watch, and that came out of it.
    written: usize,
    shown: usize,
    /// Probabilities of tokens whose text is not all out yet.
    waiting: VecDeque<(usize, Logprob)>,
}

impl<'a> Output<'a> {
    /// The events of choice number `choice` go to `to`.
    pub(crate) fn new(
        to: &'a Sender<Event>,
        ids: &'a mut IdSource,
        choice: u32,
        stops: &'a [String],
        tools: &Tools,
    ) -> Self {
        let mut watched = stops.to_vec();
        let mut names = Vec::new();
        if tools.may_call() {
            watched.push(CALL_OPEN.to_owned());
            names = tools.offered().iter().map(|t| (call_head(&t.name), t.name.clone())).collect();
        }
        Self {
            to,
            ids,
            slot: Slot { choice, item: 0 },
            open: false,
            place: Place::Text,
            joiner: Utf8Joiner::default(),
            watch: Watch::new(watched),
            stops,
            names,
            calls: 0,
            written: 0,
            shown: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes a token's bytes. `Some` if a stop string is met.
    pub(crate) fn token(
        &mut self,
        bytes: &[u8],
        logprob: Option<Logprob>,
    ) -> Result<Option<Stop>, Gone> {
        let mut text = String::new();
        self.joiner.push(bytes, &mut text);
        if let (Place::Text, Some(logprob)) = (&self.place, logprob) {
            self.waiting.push_back((self.written + text.len(), logprob));
        }
        self.take(text)
    }

    fn take(&mut self, mut text: String) -> Result<Option<Stop>, Gone> {
        loop {
            let rest = match &mut self.place {
                Place::Text => {
                    let (rest, stop) = self.text(&text)?;
                    if stop.is_some() {
                        return Ok(stop);
                    }
                    rest
                }
                Place::Head(head) => {
                    head.push_str(&text);
                    self.head()?
                }
                Place::Input(end) => {
                    let at = end.find(text.as_bytes());
                    let rest = at.map(|at| text.split_off(at));
                    self.delta(Delta::Input(text))?;
                    if rest.is_some() {
                        self.place = Place::Close(0);
                    }
                    rest
                }
                Place::Close(seen) => {
                    let missing = CALL_CLOSE.len().saturating_sub(*seen);
                    if text.len() < missing {
                        *seen += text.len();
                        None
                    } else {
                        // The grammar wrote exactly the closing text.
                        let rest = text.split_off(missing);
                        self.calls += 1;
                        self.end_item()?;
                        self.place = Place::Text;
                        Some(rest)
                    }
                }
            };
            match rest {
                Some(rest) if !rest.is_empty() => text = rest,
                _ => return Ok(None),
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<(Option<String>, Option<Stop>), Gone> {
        self.written += text.len();
        let mut out = String::new();
        let met = self.watch.push(text, &mut out);
        self.show(out)?;
        let Some(met) = met else { return Ok((None, None)) };
        self.waiting.clear();
        if let Some(stop) = self.stops.iter().filter(|s| !s.is_empty()).nth(met) {
            let mut reason = Stop::new(StopReason::StopSequence);
            reason.sequence = Some(stop.clone());
            return Ok((None, Some(reason)));
        }
        let rest = self.watch.take();
        self.end_item()?;
        self.place = Place::Head(String::new());
        Ok((Some(rest), None))
    }

    /// Emits text, and the probabilities of the tokens that are all out.
    fn show(&mut self, text: String) -> Result<(), Gone> {
        self.shown += text.len();
        // Between calls there is nothing but the line's end.
        if self.calls > 0 && !self.open && text.trim().is_empty() {
            return Ok(());
        }
        if !text.is_empty() {
            self.start_message()?;
            self.delta(Delta::Text(text))?;
        }
        let mut ready = Vec::new();
        while self.waiting.front().is_some_and(|(at, _)| *at <= self.shown) {
            ready.extend(self.waiting.pop_front().map(|(_, logprob)| logprob));
        }
        if !ready.is_empty() {
            self.start_message()?;
            self.delta(Delta::Logprobs(ready))?;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<Option<String>, Gone> {
        let Place::Head(head) = &mut self.place else { return Ok(None) };
        let Some((start, name)) = self.names.iter().find(|(start, _)| head.starts_with(start))
        else {
            return Ok(None);
        };
        let rest = head.split_off(start.len());
        let call = ToolCall {
            call_id: self.ids.next("call_"),
            name: name.clone(),
            input: String::new(),
            kind: ToolCallKind::Function,
            cache: None,
        };
        self.start_item(ItemBody::ToolCall(call))?;
        self.place = Place::Input(JsonEnd::default());
        Ok(Some(rest))
    }

    /// The choice has ended for `reason`.
    pub(crate) fn finish(mut self, mut stop: Stop) -> Result<(), Gone> {
        if matches!(self.place, Place::Text) && stop.reason != StopReason::StopSequence {
            let mut text = String::new();
            self.joiner.finish(&mut text);
            let mut held = self.watch.take();
            held.push_str(&text);
            self.written += text.len();
            self.show(held)?;
        }
        if self.calls > 0 && stop.reason == StopReason::End {
            stop = Stop::new(StopReason::ToolCalls);
        }
        if self.slot.item == 0 && !self.open {
            // An answer without words is still a message.
            self.start_message()?;
        }
        self.end_item()?;
        let choice = self.slot.choice;
        send(self.to, Event::Stop { choice, stop, extra: Extra::default() })
    }

    fn start_message(&mut self) -> Result<(), Gone> {
        if self.open {
            return Ok(());
        }
        let message = Message { role: Role::Assistant, parts: Vec::new() };
        self.start_item(ItemBody::Message(message))?;
        send(self.to, Event::PartStart { slot: self.slot, part: 0, head: Part::text("") })
    }

    fn start_item(&mut self, body: ItemBody) -> Result<(), Gone> {
        self.end_item()?;
        self.open = true;
        send(self.to, Event::ItemStart { slot: self.slot, head: Item::new(body) })
    }

    fn end_item(&mut self) -> Result<(), Gone> {
        if self.open {
            self.open = false;
            send(self.to, Event::ItemEnd { slot: self.slot, extra: Extra::default() })?;
            self.slot.item += 1;
        }
        Ok(())
    }

    fn delta(&self, delta: Delta) -> Result<(), Gone> {
        send(self.to, Event::Delta { slot: self.slot, part: 0, delta })
    }
}

#[cfg(test)]
mod tests {
    use freehold_llm::Dialect;
    use freehold_llm::model::{Answer, Fold, PartBody, Request};
    use serde_json::json;

    use super::*;
    use crate::chat::tools::tests::function;

    /// Writes `tokens`, then ends for `reason` unless a stop string was met.
    fn answer(tokens: &[&str], stops: &[&str], reason: StopReason) -> Answer {
        let mut request = Request::new(Dialect::Chat, "m");
        request.tools = vec![function("get", json!({})), function("get_all", json!({}))];
        let tools = Tools::of(&request).unwrap();
        let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
        let (to, mut from) = tokio::sync::mpsc::channel(1000);
        let mut ids = IdSource::new(1);
        let mut output = Output::new(&to, &mut ids, 0, &stops, &tools);
        let mut end = Stop::new(reason);
        for token in tokens {
            let number = serde_json::Number::from(-1);
            let logprob = Logprob {
                token: (*token).to_owned(),
                logprob: number,
                bytes: None,
                top: Vec::new(),
            };
            if let Some(stop) = output.token(token.as_bytes(), Some(logprob)).unwrap() {
                end = stop;
                break;
            }
        }
        output.finish(end).unwrap();
        drop(to);
        let mut fold = Fold::new(Dialect::Chat);
        while let Ok(event) = from.try_recv() {
            fold.event(&event);
        }
        fold.finish().unwrap()
    }

    fn parts(answer: &Answer) -> Vec<String> {
        let show = |item: &Item| match &item.body {
            ItemBody::Message(m) => m.parts.iter().filter_map(Part::as_text).collect(),
            ItemBody::ToolCall(call) => format!("{}{}", call.name, call.input),
            _ => String::new(),
        };
        answer.choices[0].items.iter().map(show).collect()
    }

    fn reason(answer: &Answer) -> StopReason {
        answer.choices[0].stop.as_ref().unwrap().reason
    }

    #[test]
    fn a_stop_string_over_tokens_ends_the_text_before_it() {
        let answer = answer(&["a b", " EN", "D c"], &["END"], StopReason::End);
        assert_eq!(parts(&answer), ["a b "]);
        let stop = answer.choices[0].stop.clone().unwrap();
        assert_eq!(stop.reason, StopReason::StopSequence);
        assert_eq!(stop.sequence.as_deref(), Some("END"));
    }

    #[test]
    fn what_was_held_back_comes_at_the_end() {
        let answer = answer(&["a EN"], &["END"], StopReason::End);
        assert_eq!((parts(&answer), reason(&answer)), (vec!["a EN".to_owned()], StopReason::End));
    }

    #[test]
    fn calls_are_taken_out_of_their_tags_however_they_are_cut() {
        let text = "Sure.<tool_call>\n{\"name\": \"get_all\", \"arguments\": {\"a\": \"}é\"}}\n\
                    </tool_call>\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>";
        for size in [1, 3, 7, 1000] {
            let chars: Vec<char> = text.chars().collect();
            let tokens: Vec<String> = chars.chunks(size).map(|c| c.iter().collect()).collect();
            let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
            let answer = answer(&tokens, &[], StopReason::End);
            assert_eq!(parts(&answer), ["Sure.", "get_all{\"a\": \"}é\"}", "get{}"], "{size}");
            assert_eq!(reason(&answer), StopReason::ToolCalls);
        }
    }

    #[test]
    fn a_call_that_is_cut_off_is_not_called_complete() {
        let cut = "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": 1";
        let answer = answer(&[cut], &[], StopReason::MaxTokens);
        assert_eq!(parts(&answer), ["get{\"a\": 1"]);
        assert_eq!(reason(&answer), StopReason::MaxTokens);
    }

    #[test]
    fn an_answer_without_words_is_an_empty_message() {
        assert_eq!(parts(&answer(&[], &[], StopReason::End)), [""]);
    }

    #[test]
    fn probabilities_come_with_the_text_of_their_tokens() {
        let answer = answer(&["a", " E", "N", "x", "END"], &["END"], StopReason::End);
        let ItemBody::Message(message) = &answer.choices[0].items[0].body else { panic!() };
        let PartBody::Text { text, logprobs, .. } = &message.parts[0].body else { panic!() };
        assert_eq!(text, "a ENx");
        let tokens: Vec<_> = logprobs.iter().flatten().map(|l| l.token.as_str()).collect();
        assert_eq!(tokens, ["a", " E", "N", "x"]);
    }
}
