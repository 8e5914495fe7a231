//! How much to think: `thinking` and `output_config.effort`.
//!
//! From another dialect an effort becomes adaptive thinking with that effort
//! (`minimal` is `low`, `none` switches thinking off). Where the model only
//! takes a budget ([`Quirk::ThinkingBudgetOnly`]) it becomes tokens:
//!
//! | effort | tokens |
//! |---|---|
//! | minimal, low | 1,024 |
//! | medium | 4,096 |
//! | high | 16,384 |
//! | xhigh | 32,768 |
//! | max | 65,536 |
//!
//! but at most three quarters of the output limit, for the limit includes
//! thinking and must exceed the budget; where that leaves less than the 1,024
//! that the dialect demands, thinking is lost. It is lost too where the
//! dialect refuses it: beside a forced tool, and with a budget in the middle
//! of a turn whose earlier thinking cannot be shown.

use serde_json::{Map, Value, json};

use super::OURS;
use super::block_encode::block;
use crate::codec::{Quirk, RequestTarget};
use crate::format::json::Fields;
use crate::model::{
    Effort, Extra, Item, ItemBody, Reasoning, ReasoningRequest, Request, Role, ToolChoice,
};
use crate::{DecodeError, Losses};

/// The least budget that the dialect takes.
const LEAST_BUDGET: u64 = 1_024;

/// What is sent about thinking.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// The `thinking` object.
    pub(super) config: Option<Value>,
    /// The word in `output_config.effort`.
    pub(super) effort: Option<String>,
}

impl Thinking {
    /// True if the model is told to think.
    pub(super) fn is_on(&self) -> bool {
        let word = self.config.as_ref().and_then(|c| c.get("type")).and_then(Value::as_str);
        word.is_some_and(|w| w != "disabled")
    }
}

/// `thinking`, and the effort out of `output_config`.
pub(super) fn decode(
    config: Option<Value>,
    effort: Option<&str>,
) -> Result<Option<ReasoningRequest>, DecodeError> {
    let effort = effort.map(Effort::from_word);
    let Some(config) = config else {
        return Ok(effort.map(|e| ReasoningRequest { effort: Some(e), ..Default::default() }));
    };
    let mut fields = Fields::new(config, "thinking")?;
    let word = fields.required_string("type")?;
    let budget_tokens = fields.count("budget_tokens")?;
    let display = fields.string("display")?;
    let mut extra = Extra::new(OURS, fields.rest());
    extra.spell(OURS, "type", word.as_str());
    if let Some(display) = &display {
        extra.spell(OURS, "display", display.as_str());
    }
    Ok(Some(ReasoningRequest {
        effort,
        budget_tokens,
        enabled: Some(word != "disabled"),
        summary: display.filter(|d| d == "summarized").map(|_| "auto".to_owned()),
        want_seal: false,
        extra,
    }))
}

/// What to send. `limit` is the output limit that is sent.
pub(super) fn encode(
    request: &Request,
    target: &RequestTarget<'_>,
    limit: u64,
    losses: &mut Losses,
) -> Thinking {
    let Some(reasoning) = &request.reasoning else { return Thinking::default() };
    reasoning.extra.write(OURS, &mut Map::new(), "reasoning", losses);
    let budget_only = target.has(Quirk::ThinkingBudgetOnly);
    if request.origin == OURS && !budget_only {
        return as_it_came(reasoning);
    }
    let thinking = if reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None) {
        return Thinking { config: Some(json!({"type": "disabled"})), effort: None };
    } else if budget_only {
        with_budget(reasoning, limit)
    } else {
        adaptive(reasoning, losses)
    };
    match thinking {
        Some(thinking) if !is_refused(request, &thinking) => thinking,
        None if reasoning.effort.is_none() && reasoning.budget_tokens.is_none() => {
            Thinking::default()
        }
        _ => {
            if reasoning.budget_tokens.is_some() {
                losses.add("reasoning.budget_tokens");
            } else {
                losses.add("reasoning.effort");
            }
            Thinking::default()
        }
    }
}

fn as_it_came(reasoning: &ReasoningRequest) -> Thinking {
    let effort = reasoning.effort.as_ref().map(|e| e.word().to_owned());
    let Some(word) = reasoning.extra.spelt(OURS, "type").and_then(Value::as_str) else {
        return Thinking { config: None, effort };
    };
    let mut object = block(word);
    if let Some(budget) = reasoning.budget_tokens {
        object.insert("budget_tokens".into(), budget.into());
    }
    if let Some(display) = reasoning.extra.spelt(OURS, "display") {
        object.insert("display".into(), display.clone());
    }
    for (name, value) in &reasoning.extra.fields {
        object.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Thinking { config: Some(object.into()), effort }
}

fn shows(reasoning: &ReasoningRequest, object: &mut Map<String, Value>) {
    if reasoning.summary.is_some() {
        object.insert("display".into(), "summarized".into());
    }
}

fn adaptive(reasoning: &ReasoningRequest, losses: &mut Losses) -> Option<Thinking> {
    if let (Some(budget), None) = (reasoning.budget_tokens, &reasoning.effort) {
        let mut object = block("enabled");
        object.insert("budget_tokens".into(), budget.max(LEAST_BUDGET).into());
        shows(reasoning, &mut object);
        return Some(Thinking { config: Some(object.into()), effort: None });
    }
    let effort = match &reasoning.effort {
        None | Some(Effort::None) => None,
        Some(Effort::Minimal) => Some("low"),
        Some(Effort::Other(_)) => {
            losses.add("reasoning.effort");
            None
        }
        Some(effort) => Some(effort.word()),
    };
    if effort.is_none() && reasoning.enabled != Some(true) && reasoning.summary.is_none() {
        return None;
    }
    let mut object = block("adaptive");
    shows(reasoning, &mut object);
    Some(Thinking { config: Some(object.into()), effort: effort.map(str::to_owned) })
}

fn with_budget(reasoning: &ReasoningRequest, limit: u64) -> Option<Thinking> {
    let wanted = match (reasoning.budget_tokens, &reasoning.effort) {
        (Some(tokens), _) => tokens,
        (None, Some(effort)) => budget_of(effort)?,
        (None, None) if reasoning.enabled == Some(true) => budget_of(&Effort::Medium)?,
        (None, None) => return None,
    };
    let budget = wanted.min(limit - limit / 4).max(LEAST_BUDGET);
    if budget >= limit {
        return None;
    }
    let config = json!({"type": "enabled", "budget_tokens": budget});
    Some(Thinking { config: Some(config), effort: None })
}

/// The budget that stands for an effort; `None` for a word we do not know.
fn budget_of(effort: &Effort) -> Option<u64> {
    match effort {
        Effort::Minimal | Effort::Low => Some(LEAST_BUDGET),
        Effort::Medium => Some(4_096),
        Effort::High => Some(16_384),
        Effort::XHigh => Some(32_768),
        Effort::Max => Some(65_536),
        Effort::None | Effort::Other(_) => None,
    }
}

fn is_refused(request: &Request, thinking: &Thinking) -> bool {
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    let budget = thinking.config.as_ref().is_some_and(|c| c.get("budget_tokens").is_some());
    forced || (budget && in_turn_without_thinking(&request.items))
}

/// Whether the conversation ends within a turn of tool calls whose thinking
/// is not there in this dialect's form.
fn in_turn_without_thinking(items: &[Item]) -> bool {
    let mut calls = false;
    for item in items.iter().rev() {
        match &item.body {
            ItemBody::Message(message) if message.role == Role::User => break,
            ItemBody::Reasoning(Reasoning { seal: Some(seal), .. }) if seal.dialect == OURS => {
                return false;
            }
            ItemBody::ToolCall(_) => calls = true,
            _ => {}
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    fn sent(reasoning: ReasoningRequest, quirks: &[Quirk], limit: u64) -> (Thinking, bool) {
        let mut request = Request::new(Dialect::Chat, "m");
        request.reasoning = Some(reasoning);
        let target = RequestTarget { model: "m", quirks, default_max_tokens: 1 };
        let mut losses = Losses::default();
        let thinking = encode(&request, &target, limit, &mut losses);
        (thinking, losses.is_empty())
    }

    fn effort(effort: Effort) -> ReasoningRequest {
        ReasoningRequest { effort: Some(effort), ..Default::default() }
    }

    #[test]
    fn effort_is_adaptive_where_the_model_knows_it() {
        let (thinking, lossless) = sent(effort(Effort::Minimal), &[], 100);
        assert_eq!(thinking.config, Some(json!({"type": "adaptive"})));
        assert_eq!((thinking.effort.as_deref(), lossless), (Some("low"), true));
        let (off, _) = sent(effort(Effort::None), &[], 100);
        assert_eq!(off.config, Some(json!({"type": "disabled"})));
        assert!(!off.is_on());
    }

    #[test]
    fn the_budget_stays_below_the_limit() {
        let quirks = [Quirk::ThinkingBudgetOnly];
        for (limit, budget) in
            [(100_000, Some(16_384)), (8_000, Some(6_000)), (1_200, Some(1_024)), (1_024, None)]
        {
            let (thinking, lossless) = sent(effort(Effort::High), &quirks, limit);
            let got = thinking.config.and_then(|c| c["budget_tokens"].as_u64());
            assert_eq!((got, lossless), (budget, budget.is_some()), "limit {limit}");
        }
    }

    #[test]
    fn a_forced_tool_switches_thinking_off() {
        let mut request = Request::new(Dialect::Chat, "m");
        request.reasoning = Some(effort(Effort::High));
        request.tool_choice = Some(ToolChoice::Required);
        let target = RequestTarget { model: "m", quirks: &[], default_max_tokens: 1 };
        let mut losses = Losses::default();
        assert!(!encode(&request, &target, 9_000, &mut losses).is_on());
        assert!(!losses.is_empty());
    }
}
