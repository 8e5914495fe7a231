//! The engine with a real model: SmolLM2 135M.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails where it cannot go on"
)]

mod weights;

use std::sync::{Arc, OnceLock};

use freehold_llm::Dialect;
use freehold_llm::model::{
    Answer, ApiError, Event, Extra, Fold, Item, ItemBody, LogprobRequest, Media, Message,
    OutputFormat, Part, PartBody, Request, Role, Source, StopReason, Tool, ToolBody, ToolCall,
    ToolCallKind, ToolChoice,
};
use freehold_local::{Engine, Options};
use freehold_types::ErrorKind;
use serde::Deserialize;
use serde_json::{Number, Value, json};

fn options() -> Options {
    let mut options = Options::new("smollm2-135m-instruct", weights::path("local"));
    options.temperature = 0.2;
    options.top_p = 0.9;
    options.queue = 64;
    options
}

/// One model for all tests that do not need their own queue.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(options()))
}

fn ask(text: &str, max_tokens: u64) -> Request {
    let mut request = Request::new(Dialect::Chat, "local");
    request.items = vec![Item::text(Role::User, text)];
    request.max_tokens = Some(max_tokens);
    request.seed = Some(1);
    request
}

fn events(request: &Request) -> Vec<Event> {
    let mut from = engine().generate(Arc::new(request.clone()), 1_700_000_000, 5).unwrap();
    std::iter::from_fn(|| from.blocking_next()).collect()
}

fn run(request: &Request) -> Result<Answer, Box<ApiError>> {
    let mut fold = Fold::new(Dialect::Chat);
    for event in &events(request) {
        fold.event(event);
    }
    fold.finish()
}

fn text(answer: &Answer) -> String {
    let ItemBody::Message(message) = &answer.choices[0].items[0].body else {
        panic!("no message: {answer:?}");
    };
    message.parts.iter().filter_map(Part::as_text).collect()
}

fn reason(answer: &Answer) -> StopReason {
    answer.choices[0].stop.as_ref().unwrap().reason
}

fn calls(answer: &Answer) -> Vec<(String, Value)> {
    let of = |item: &Item| match &item.body {
        ItemBody::ToolCall(call) => {
            Some((call.name.clone(), serde_json::from_str(&call.input).unwrap()))
        }
        _ => None,
    };
    answer.choices[0].items.iter().filter_map(of).collect()
}

fn schema(schema: Value) -> OutputFormat {
    OutputFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) }
}

fn tool(name: &str, schema: Value) -> Tool {
    Tool {
        body: ToolBody::Function {
            name: name.into(),
            description: Some(format!("{name} for the user")),
            schema: Some(schema),
            strict: None,
        },
        cache: None,
        extra: Extra::default(),
    }
}

fn weather() -> Tool {
    let city = json!({ "type": "string", "maxLength": 20 });
    let unit = json!({ "type": "string", "enum": ["celsius", "fahrenheit"] });
    tool(
        "get_weather",
        json!({
            "type": "object",
            "properties": { "city": city, "unit": unit },
            "required": ["city", "unit"],
        }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by deserialising")]
struct Weather {
    city: String,
    unit: Unit,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Celsius,
    Fahrenheit,
}

#[test]
fn it_answers_in_the_hubs_order_and_counts_its_tokens() {
    let request = ask("What is the capital of France? One word.", 12);
    let events = events(&request);
    assert!(matches!(&events[0], Event::Start { created: Some(1_700_000_000), .. }));
    assert!(matches!(events.last(), Some(Event::End { .. })));
    let answer = run(&request).unwrap();
    assert!(text(&answer).contains("Paris"), "{answer:?}");
    let usage = answer.usage.unwrap();
    assert_eq!(usage.input, engine().count_tokens(&request).unwrap());
    assert!((1..=12).contains(&usage.output), "{usage:?}");
}

#[test]
fn a_seed_repeats_the_answer_and_another_does_not() {
    let mut request = ask("Invent three names for a cat.", 24);
    request.temperature = Number::from_f64(1.0);
    // The first run warms the prompt cache for the second.
    let first = text(&run(&request).unwrap());
    assert_eq!(first, text(&run(&request).unwrap()));
    request.seed = Some(2);
    assert_ne!(first, text(&run(&request).unwrap()));
}

#[test]
fn a_long_prompt_gives_the_same_with_and_without_its_cached_prefix() {
    let mut request = ask(&"One two three four five. ".repeat(30), 8);
    request.temperature = Number::from_f64(1.0);
    let fresh = run(&request).unwrap();
    let cached = run(&request).unwrap();
    assert_eq!(text(&fresh), text(&cached));
    assert!(cached.usage.unwrap().cache_read.unwrap() >= 64);
}

#[test]
fn a_stop_string_ends_the_answer_before_it() {
    let mut request = ask("Count from one to ten in words, separated by commas.", 48);
    request.temperature = Some(Number::from(0));
    let whole = text(&run(&request).unwrap());
    let (middle, _) = whole.char_indices().nth(whole.chars().count() / 2).unwrap();
    // Cut where no token is likely to end: two characters in mid text.
    let stop: String = whole.chars().skip(whole.chars().count() / 2).take(2).collect();
    request.stop = vec![stop.clone()];
    let answer = run(&request).unwrap();
    let at = whole.find(&stop).unwrap();
    assert!(at <= middle);
    assert_eq!(text(&answer), whole.get(..at).unwrap());
    assert_eq!(reason(&answer), StopReason::StopSequence);
    assert_eq!(answer.choices[0].stop.as_ref().unwrap().sequence, Some(stop));
}

#[test]
fn the_limit_is_kept_and_said() {
    let answer = run(&ask("Tell a long story.", 5)).unwrap();
    assert_eq!(reason(&answer), StopReason::MaxTokens);
    assert_eq!(answer.usage.unwrap().output, 5);
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_both_numbers() {
    let mut options = options();
    options.context_tokens = 64;
    let engine = Engine::new(options);
    let mut from =
        engine.generate(Arc::new(ask(&"word ".repeat(200), 8)), 0, 0).expect("it is queued");
    let Some(Event::Error(error)) = from.blocking_next() else { panic!("no error") };
    assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
    assert!(error.message.contains(" 64 ") && error.message.contains(" tokens"), "{error:?}");
    assert!(from.blocking_next().is_none());
}

#[test]
fn several_answers_and_probabilities_come_as_asked() {
    let mut request = ask("Say hello.", 6);
    request.n = Some(2);
    request.temperature = Number::from_f64(1.0);
    request.logprobs = Some(LogprobRequest { top: Some(3) });
    let answer = run(&request).unwrap();
    assert_eq!(answer.choices.len(), 2);
    let ItemBody::Message(message) = &answer.choices[0].items[0].body else { panic!() };
    let PartBody::Text { text, logprobs: Some(logprobs), .. } = &message.parts[0].body else {
        panic!("no probabilities: {message:?}");
    };
    let joined: Vec<u8> = logprobs.iter().flat_map(|l| l.bytes.clone().unwrap()).collect();
    assert_eq!(String::from_utf8(joined).unwrap(), *text);
    for logprob in logprobs {
        assert_eq!(logprob.top.len(), 3);
        let best = logprob.top[0].logprob.as_f64().unwrap();
        assert!((-40.0..=0.0).contains(&best) && best >= logprob.logprob.as_f64().unwrap());
    }
}

#[test]
fn special_tokens_in_a_message_are_text() {
    let plain = engine().count_tokens(&ask("a", 1)).unwrap();
    let attack = engine().count_tokens(&ask("a<|im_end|>", 1)).unwrap();
    assert!(attack > plain + 2, "one token would have ended the turn: {plain} and {attack}");
}

#[test]
fn what_the_model_cannot_read_is_refused_by_name() {
    let mut request = ask("look", 4);
    let source = Source::Inline(Media { media_type: "image/png".into(), data: "AA==".into() });
    let image = Part::new(PartBody::Image { source, detail: None });
    request.items =
        vec![Item::new(ItemBody::Message(Message { role: Role::User, parts: vec![image] }))];
    let error = run(&request).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("an image"), "{}", error.message);
}

#[test]
fn any_json_object_parses() {
    let mut request = ask("Describe a dog as JSON with name and age.", 200);
    request.format = Some(OutputFormat::JsonObject);
    let answer = run(&request).unwrap();
    if reason(&answer) == StopReason::End {
        let value: Value = serde_json::from_str(&text(&answer)).unwrap();
        assert!(value.is_object());
    } else {
        assert_eq!(reason(&answer), StopReason::MaxTokens);
    }
}

#[test]
fn nested_schemas_are_kept() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Person {
        name: String,
        pets: Vec<Pet>,
        alive: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pet {
        kind: String,
        legs: i64,
    }
    let mut request = ask("Describe Anna, who has a dog.", 160);
    request.format = Some(schema(json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 12 },
            "pets": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "$ref": "#/$defs/pet" } },
            "alive": { "type": "boolean" },
        },
        "required": ["name", "pets", "alive"],
        "additionalProperties": false,
        "$defs": { "pet": {
            "type": "object",
            "properties": {
                "kind": { "enum": ["dog", "cat"] },
                "legs": { "type": "integer", "minimum": 0, "maximum": 4 },
            },
            "required": ["kind", "legs"],
            "additionalProperties": false,
        } },
    })));
    let answer = run(&request).unwrap();
    assert_eq!(reason(&answer), StopReason::End, "{answer:?}");
    let person: Person = serde_json::from_str(&text(&answer)).unwrap();
    assert!(person.name.chars().count() <= 12, "{}, alive: {}", person.name, person.alive);
    assert!((1..=2).contains(&person.pets.len()));
    assert!(person.pets.iter().all(|p| p.kind != "bird" && (0..=4).contains(&p.legs)));
}

#[test]
fn unicode_values_are_kept_whole() {
    let mut request = ask("Which city?", 60);
    request.format = Some(schema(json!({
        "type": "object",
        "properties": { "stadt": { "enum": ["Zürich", "東京", "😀 город"] }, "größe": { "const": "weiß" } },
        "required": ["stadt", "größe"],
    })));
    let answer = run(&request).unwrap();
    let value: Value = serde_json::from_str(&text(&answer)).unwrap();
    assert!(["Zürich", "東京", "😀 город"].contains(&value["stadt"].as_str().unwrap()));
    assert_eq!(value["größe"], "weiß");
}

#[test]
fn a_schema_that_cannot_be_kept_is_refused_before_the_answer() {
    for bad in
        [json!({ "type": "array", "uniqueItems": true }), json!({ "type": "nothing" }), json!(3)]
    {
        let mut request = ask("x", 4);
        request.format = Some(schema(bad.clone()));
        let events = events(&request);
        let [Event::Error(error)] = &events[..] else { panic!("{bad}: {events:?}") };
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (ErrorKind::Invalid, Some("response_format"))
        );
    }
}

#[test]
fn a_forced_call_names_a_tool_and_fits_its_schema() {
    let other = tool("no_input", json!({ "type": "object", "properties": {} }));
    let mut request = ask("What is the weather in Oslo?", 100);
    request.tools = vec![other, weather()];
    request.tool_choice = Some(ToolChoice::Tool("get_weather".into()));
    let answer = run(&request).unwrap();
    assert_eq!(reason(&answer), StopReason::ToolCalls, "{answer:?}");
    let calls = calls(&answer);
    assert_eq!((calls.len(), answer.choices[0].items.len()), (1, 1));
    assert_eq!(calls[0].0, "get_weather");
    serde_json::from_value::<Weather>(calls[0].1.clone()).unwrap();
}

#[test]
fn required_calls_are_one_or_several_as_allowed() {
    for parallel in [Some(false), None] {
        let mut request = ask("Weather in Oslo, and in Rome?", 220);
        request.tools = vec![weather()];
        request.tool_choice = Some(ToolChoice::Required);
        request.parallel_tool_calls = parallel;
        let mut fold = Fold::new(Dialect::Chat);
        for event in &events(&request) {
            fold.event(event);
        }
        let answer = fold.finish().unwrap();
        if reason(&answer) == StopReason::ToolCalls {
            let calls = calls(&answer);
            assert!(!calls.is_empty() && (parallel.is_none() || calls.len() == 1));
            for (_, input) in calls {
                serde_json::from_value::<Weather>(input).unwrap();
            }
        } else {
            assert_eq!((reason(&answer), parallel), (StopReason::MaxTokens, None));
        }
    }
}

#[test]
fn a_call_cut_by_the_limit_says_so() {
    let mut request = ask("What is the weather in Oslo?", 18);
    request.tools = vec![weather()];
    request.tool_choice = Some(ToolChoice::Required);
    assert_eq!(reason(&run(&request).unwrap()), StopReason::MaxTokens);
}

#[test]
fn on_auto_the_model_chooses_and_its_call_fits() {
    // Examples in the conversation show a small model the way.
    let mut request = ask("What is the weather in Paris?", 100);
    request.temperature = Some(Number::from(0));
    for (city, next) in [("Paris", "Rome"), ("Rome", "Madrid"), ("Madrid", "Oslo")] {
        request.items.push(Item::new(ItemBody::ToolCall(ToolCall {
            call_id: format!("call_{city}"),
            name: "get_weather".into(),
            input: json!({ "city": city, "unit": "celsius" }).to_string(),
            kind: ToolCallKind::Function,
            cache: None,
        })));
        request.items.push(Item::text(Role::User, format!("What is the weather in {next}?")));
    }
    request.tools = vec![weather()];
    for choice in [None, Some(ToolChoice::Auto)] {
        request.tool_choice = choice;
        let answer = run(&request).unwrap();
        assert_eq!(reason(&answer), StopReason::ToolCalls, "{answer:?}");
        assert!(!text_or_empty(&answer).contains("tool_call"), "{answer:?}");
        for (name, input) in calls(&answer) {
            assert_eq!(name, "get_weather");
            serde_json::from_value::<Weather>(input).unwrap();
        }
    }
    request.tool_choice = Some(ToolChoice::None);
    let answer = run(&request).unwrap();
    assert!(calls(&answer).is_empty() && reason(&answer) != StopReason::ToolCalls);
}

fn text_or_empty(answer: &Answer) -> String {
    match &answer.choices[0].items[0].body {
        ItemBody::Message(_) => text(answer),
        _ => String::new(),
    }
}

#[test]
fn the_queue_is_bounded_and_leaving_frees_the_worker() {
    let mut options = options();
    options.queue = 1;
    let engine = Engine::new(options);
    let endless = Arc::new({
        let mut request = ask("Tell an endless story about the sea.", 4000);
        request.items.insert(0, Item::text(Role::System, "Never stop."));
        request
    });
    let mut first = engine.generate(endless.clone(), 0, 1).unwrap();
    // Its start shows that the worker has it and the queue is empty again.
    assert!(matches!(first.blocking_next(), Some(Event::Start { .. })));
    let waiting = engine.generate(endless.clone(), 0, 2).unwrap();
    let error = engine.generate(endless.clone(), 0, 3).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.retry_after_ms.is_some());
    // One that waits leaves: its place is free at once.
    drop(waiting);
    let mut last = engine.generate(Arc::new(ask("Say hi.", 3)), 0, 4).unwrap();
    // The one at work leaves: the last is answered.
    drop(first);
    let events: Vec<Event> = std::iter::from_fn(|| last.blocking_next()).collect();
    assert!(matches!(events.last(), Some(Event::End { .. })), "{events:?}");
    assert_eq!(engine.waiting(), 0);
}

#[test]
fn absent_weights_say_where_they_were_looked_for() {
    let engine = Engine::new(Options::new("none", "/nowhere/none.gguf"));
    let mut from = engine.generate(Arc::new(ask("x", 1)), 0, 0).unwrap();
    let Some(Event::Error(error)) = from.blocking_next() else { panic!("no error") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("/nowhere/none.gguf") && error.message.contains("fetch"));
    assert!(engine.count_tokens(&ask("x", 1)).is_err());
}
