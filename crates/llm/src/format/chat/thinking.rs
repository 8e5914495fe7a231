//! How much a model may think: OpenAI's `reasoning_effort`, and the switches
//! that compatible servers have instead or beside it.

use serde_json::{Map, Value, json};

use super::ME;
use super::part::Scope;
use crate::DecodeError;
use crate::codec::Quirk;
use crate::format::json::Fields;
use crate::model::{Effort, Extra, ReasoningRequest};

/// Takes all such fields out of a request.
pub(super) fn take(fields: &mut Fields) -> Result<Option<ReasoningRequest>, DecodeError> {
    let mut request = ReasoningRequest::default();
    if let Some(word) = fields.string("reasoning_effort")? {
        request.effort = Some(Effort::from_word(&word));
        request.extra.spell(ME, "reasoning_effort", true);
    }
    take_object(fields, &mut request)?;
    take_switch(fields, &mut request)?;
    if let Some(enabled) = fields.boolean("enable_thinking")? {
        request.enabled = Some(enabled);
        request.extra.spell(ME, "enable_thinking", true);
    }
    if let Some(budget) = fields.count("thinking_budget")? {
        request.budget_tokens = Some(budget);
        request.extra.spell(ME, "thinking_budget", true);
    }
    Ok((request != ReasoningRequest::default()).then_some(request))
}

/// OpenRouter's `reasoning` object.
fn take_object(fields: &mut Fields, request: &mut ReasoningRequest) -> Result<(), DecodeError> {
    let Some(object) = fields.object("reasoning")? else { return Ok(()) };
    let mut inner = Fields::new(object.into(), fields.at("reasoning"))?;
    if request.effort.is_none() {
        request.effort = inner.string("effort")?.map(|word| Effort::from_word(&word));
    }
    request.budget_tokens = inner.count("max_tokens")?;
    request.enabled = inner.boolean("enabled")?;
    request.summary = inner.string("summary")?;
    keep(inner, "reasoning", &mut request.extra);
    Ok(())
}

/// The `thinking` object of DeepSeek, Z.AI and Moonshot.
fn take_switch(fields: &mut Fields, request: &mut ReasoningRequest) -> Result<(), DecodeError> {
    let is_plain = |word: &Value| matches!(word.as_str(), Some("enabled" | "disabled"));
    let known =
        fields.peek("thinking").is_some_and(|object| object.get("type").is_some_and(is_plain));
    if !known {
        return Ok(());
    }
    let inner = fields.take("thinking").unwrap_or_default();
    let mut inner = Fields::new(inner, fields.at("thinking"))?;
    request.enabled = inner.string("type")?.map(|word| word == "enabled");
    if let Some(budget) = inner.count("budget_tokens")? {
        request.budget_tokens = Some(budget);
    }
    keep(inner, "thinking", &mut request.extra);
    Ok(())
}

fn keep(inner: Fields, name: &str, extra: &mut Extra) {
    extra.spell(ME, name, true);
    let rest = inner.rest();
    if !rest.is_empty() {
        extra.insert(ME, name, Value::Object(rest));
    }
}

/// Writes them as the client did, if it spoke Chat, else as the target takes
/// them.
pub(super) fn write(
    request: &ReasoningRequest,
    object: &mut Map<String, Value>,
    scope: &mut Scope<'_>,
) {
    if scope.is_ours {
        write_as_it_came(request, object);
        return;
    }
    let has = |quirk| scope.has(quirk);
    let (as_object, as_switch, as_flag) =
        (has(Quirk::ReasoningObject), has(Quirk::ThinkingSwitch), has(Quirk::EnableThinking));
    let wanted = request
        .enabled
        .or_else(|| request.effort.as_ref().map(|effort| *effort != Effort::None))
        .or_else(|| request.budget_tokens.map(|budget| budget > 0));
    if request.summary.is_some() {
        scope.losses.add("reasoning.summary");
    }
    if request.want_seal && !as_object {
        scope.losses.add("reasoning.want_seal");
    }
    request.extra.write(ME, object, "reasoning", scope.losses);
    if as_object {
        object.insert("reasoning".into(), whole_object(request).into());
    } else if as_switch || as_flag {
        if let Some(wanted) = wanted {
            let word = if wanted { "enabled" } else { "disabled" };
            if as_switch {
                object.insert("thinking".into(), json!({"type": word}));
            } else {
                object.insert("enable_thinking".into(), wanted.into());
            }
        }
        if as_flag && let Some(budget) = request.budget_tokens {
            object.insert("thinking_budget".into(), budget.into());
        } else if request.effort.is_none() && request.budget_tokens.is_some() {
            scope.losses.add("reasoning.budget_tokens");
        }
        if request.effort.as_ref().is_some_and(|effort| *effort != Effort::None) {
            scope.losses.add("reasoning.effort");
        }
    } else if let Some(effort) = &request.effort {
        object.insert("reasoning_effort".into(), effort.word().into());
    } else if request.enabled == Some(false) {
        scope.losses.add("reasoning.enabled");
    } else if let Some(budget) = request.budget_tokens {
        object.insert("reasoning_effort".into(), effort_of_budget(budget).word().into());
    }
}

fn whole_object(request: &ReasoningRequest) -> Map<String, Value> {
    let mut inner = Map::new();
    // OpenRouter takes one of both; the budget is the finer word.
    if let Some(budget) = request.budget_tokens {
        inner.insert("max_tokens".into(), budget.into());
    } else if let Some(effort) = &request.effort {
        inner.insert("effort".into(), effort.word().into());
    }
    if let Some(enabled) = request.enabled {
        inner.insert("enabled".into(), enabled.into());
    }
    inner
}

/// A budget as a word, where only words are known: the bounds are those at
/// which Anthropic's own compatible endpoint and most gateways draw them.
fn effort_of_budget(tokens: u64) -> Effort {
    match tokens {
        0..=2_048 => Effort::Low,
        2_049..=8_192 => Effort::Medium,
        _ => Effort::High,
    }
}

fn write_as_it_came(request: &ReasoningRequest, object: &mut Map<String, Value>) {
    let spelt = |name: &str| request.extra.spelt(ME, name).is_some();
    let rest = |name: &str| match request.extra.get(ME, name) {
        Some(Value::Object(rest)) => rest.clone(),
        _ => Map::new(),
    };
    let word = request.effort.as_ref().map(Effort::word);
    if let Some(word) = word
        && (spelt("reasoning_effort") || !spelt("reasoning"))
    {
        object.insert("reasoning_effort".into(), word.into());
    }
    if spelt("reasoning") {
        let mut inner = Map::new();
        if let Some(word) = word.filter(|_| !spelt("reasoning_effort")) {
            inner.insert("effort".into(), word.into());
        }
        let in_switch = spelt("thinking_budget") || spelt("thinking");
        if let Some(budget) = request.budget_tokens.filter(|_| !in_switch) {
            inner.insert("max_tokens".into(), budget.into());
        }
        let in_switch = spelt("enable_thinking") || spelt("thinking");
        if let Some(enabled) = request.enabled.filter(|_| !in_switch) {
            inner.insert("enabled".into(), enabled.into());
        }
        if let Some(summary) = &request.summary {
            inner.insert("summary".into(), summary.as_str().into());
        }
        inner.extend(rest("reasoning"));
        object.insert("reasoning".into(), inner.into());
    }
    if spelt("thinking") {
        let word = if request.enabled == Some(false) { "disabled" } else { "enabled" };
        let mut inner = Map::new();
        inner.insert("type".into(), word.into());
        if let Some(budget) = request.budget_tokens.filter(|_| !spelt("thinking_budget")) {
            inner.insert("budget_tokens".into(), budget.into());
        }
        inner.extend(rest("thinking"));
        object.insert("thinking".into(), inner.into());
    }
    if let Some(enabled) = request.enabled.filter(|_| spelt("enable_thinking")) {
        object.insert("enable_thinking".into(), enabled.into());
    }
    if let Some(budget) = request.budget_tokens.filter(|_| spelt("thinking_budget")) {
        object.insert("thinking_budget".into(), budget.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Losses, RequestTarget};

    fn round(json: &Value) -> ReasoningRequest {
        let mut fields = Fields::new(json.clone(), "").unwrap();
        let request = take(&mut fields).unwrap().unwrap();
        let mut object = Map::new();
        write_as_it_came(&request, &mut object);
        assert_eq!(&Value::Object(object), json);
        request
    }

    #[test]
    fn every_spelling_comes_back() {
        round(&json!({"reasoning_effort": "high"}));
        round(&json!({"reasoning": {"max_tokens": 500, "exclude": true}}));
        round(&json!({"reasoning_effort": "low", "thinking": {"type": "disabled"}}));
        round(&json!({"enable_thinking": true, "thinking_budget": 10}));
        let request = round(&json!({"thinking": {"type": "enabled", "clear_thinking": false}}));
        assert_eq!(request.enabled, Some(true));
        let request = round(&json!({"reasoning": {"effort": "minimal", "enabled": true}}));
        assert_eq!(request.effort, Some(Effort::Minimal));
    }

    fn cross(request: &ReasoningRequest, quirks: &[Quirk]) -> (Value, Vec<String>) {
        let target = RequestTarget { model: "m", quirks, default_max_tokens: 1 };
        let mut losses = Losses::default();
        let mut object = Map::new();
        let mut scope = Scope { target: Some(&target), is_ours: false, losses: &mut losses };
        write(request, &mut object, &mut scope);
        (object.into(), losses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_budget_crosses_as_each_server_takes_it() {
        let request = ReasoningRequest {
            enabled: Some(true),
            budget_tokens: Some(4096),
            ..ReasoningRequest::default()
        };
        let cases: [(&[Quirk], Value, Vec<String>); 4] = [
            (&[], json!({"reasoning_effort": "medium"}), vec![]),
            (
                &[Quirk::ReasoningObject],
                json!({"reasoning": {"max_tokens": 4096, "enabled": true}}),
                vec![],
            ),
            (
                &[Quirk::EnableThinking],
                json!({"enable_thinking": true, "thinking_budget": 4096}),
                vec![],
            ),
            (
                &[Quirk::ThinkingSwitch],
                json!({"thinking": {"type": "enabled"}}),
                vec!["reasoning.budget_tokens".to_owned()],
            ),
        ];
        for (quirks, object, losses) in cases {
            assert_eq!(cross(&request, quirks), (object, losses), "{quirks:?}");
        }
    }

    #[test]
    fn switching_off_is_a_loss_where_there_is_no_switch() {
        let request = ReasoningRequest { enabled: Some(false), ..ReasoningRequest::default() };
        assert_eq!(cross(&request, &[]), (json!({}), vec!["reasoning.enabled".to_owned()]));
    }
}
