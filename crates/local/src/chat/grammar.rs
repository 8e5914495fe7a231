//! Grammars over tokens: what an answer may look like, enforced as it is made.

use std::fmt::Write as _;
use std::sync::Arc;

use freehold_llm::model::{ApiError, OutputFormat};
use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use super::tools::Tools;
use super::vocab::{TokenKind, Vocab};
use crate::error;

/// What a call begins with, in the form that the prompt teaches.
pub(crate) const CALL_OPEN: &str = "<tool_call>";
/// What a call ends with, after its arguments.
pub(crate) const CALL_CLOSE: &str = "}\n</tool_call>";
/// The most calls in one answer.
const CALLS_MAX: usize = 16;

/// What stands between the opening tag and the arguments.
pub(crate) fn call_head(name: &str) -> String {
    format!("\n{{\"name\": {}, \"arguments\": ", Value::from(name))
}

/// Compiles grammars for one vocabulary.
pub(crate) struct Grammars {
    factory: ParserFactory,
    tokens: TokEnv,
}

impl Grammars {
    /// Prepares the vocabulary.
    pub(crate) fn new(vocab: &Vocab) -> Result<Self, Box<ApiError>> {
        let size = u32::try_from(vocab.len()).map_err(error::internal)?;
        let words: Vec<Vec<u8>> = vocab
            .bytes
            .iter()
            .zip(&vocab.kinds)
            .map(|(bytes, kind)| match kind {
                TokenKind::Normal | TokenKind::UserDefined => bytes.clone(),
                TokenKind::Control => {
                    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
                    word.extend_from_slice(bytes);
                    word
                }
                TokenKind::Unused => Vec::new(),
            })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, vocab.eos), &words);
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&tokens).map_err(error::internal)?;
        factory.quiet();
        Ok(Self { factory, tokens })
    }

    /// The grammar of a whole answer; `None` where it may be any text, or
    /// where only a call that may come has a form.
    pub(crate) fn answer(
        &self,
        format: Option<&OutputFormat>,
        tools: &Tools,
    ) -> Result<Option<Guide>, Box<ApiError>> {
        let schema = match format {
            None | Some(OutputFormat::Text) => None,
            Some(OutputFormat::JsonObject) => Some(json!({ "type": "object" })),
            Some(OutputFormat::JsonSchema { schema, .. }) => Some(schema.clone()),
        };
        let calls = |start: &str| calls(start, tools);
        let grammar = match (schema, tools.may_call()) {
            _ if tools.must_call() => calls("start: \"<tool_call>\" calls\n")?,
            (None, _) => return Ok(None),
            (Some(schema), true) => {
                let mut grammar = calls("start: json | \"<tool_call>\" calls\n")?;
                rule(&mut grammar, "json", &guided(schema, "response_format")?)?;
                grammar
            }
            (Some(schema), false) => {
                let schema = guided(schema, "response_format")?;
                let grammar = TopLevelGrammar::from_json_schema(schema);
                return self.compile(grammar, "response_format").map(Some);
            }
        };
        let param = if tools.must_call() { "tools" } else { "response_format" };
        self.compile(TopLevelGrammar::from_lark(grammar), param).map(Some)
    }

    /// The grammar of what follows an opening tag.
    pub(crate) fn after_open(&self, tools: &Tools) -> Result<Guide, Box<ApiError>> {
        let grammar = calls("start: calls\n", tools)?;
        self.compile(TopLevelGrammar::from_lark(grammar), "tools")
    }

    fn compile(&self, grammar: TopLevelGrammar, param: &str) -> Result<Guide, Box<ApiError>> {
        let parser =
            self.factory.create_parser(grammar).map_err(|e| refused(param, &e.to_string()))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(e) => Err(refused(param, &e)),
            None => Ok(Guide { matcher, tokens: self.tokens.clone(), param: param.to_owned() }),
        }
    }
}

fn refused(param: &str, why: &str) -> Box<ApiError> {
    let why: String = why.lines().next().unwrap_or_default().chars().take(300).collect();
    error::invalid(param, format!("the local model cannot keep to this schema: {why}"))
}

/// The rules of one or several calls, each after its opening tag.
fn calls(start: &str, tools: &Tools) -> Result<String, Box<ApiError>> {
    let mut out = start.to_owned();
    let text = |text: &str| Value::from(text).to_string();
    let more = if tools.parallel() {
        let open = text(&format!("\n{CALL_OPEN}"));
        format!(" ({open} call){{0,{}}}", CALLS_MAX - 1)
    } else {
        String::new()
    };
    let names: Vec<String> = (0..tools.offered().len()).map(|n| format!("call_{n}")).collect();
    let mut write = |line: std::fmt::Arguments<'_>| out.write_fmt(line).map_err(error::internal);
    write(format_args!("calls: call{more}\ncall: {}\n", names.join(" | ")))?;
    for (n, tool) in tools.offered().iter().enumerate() {
        let (head, close) = (text(&call_head(&tool.name)), text(CALL_CLOSE));
        write(format_args!("call_{n}: {head} input_{n} {close}\n"))?;
    }
    for (n, tool) in tools.offered().iter().enumerate() {
        rule(&mut out, &format!("input_{n}"), &guided(tool.schema.clone(), "tools")?)?;
    }
    Ok(out)
}

fn rule(out: &mut String, name: &str, schema: &Value) -> Result<(), Box<ApiError>> {
    writeln!(out, "{name}: %json {schema}").map_err(error::internal)
}

/// The schema with the spacing that models write: free spacing lets a small
/// model go astray in blanks.
fn guided(schema: Value, param: &str) -> Result<Value, Box<ApiError>> {
    let mut fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(true) => serde_json::Map::new(),
        _ => return Err(error::invalid(param, "a JSON schema is an object")),
    };
    if is_plain_object(&fields) {
        // What is not named may come by the schema's letter, and helps nobody.
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    fields.insert(
        "x-guidance".to_owned(),
        json!({
            "whitespace_flexible": false,
            "item_separator": ", ",
            "key_separator": ": ",
        }),
    );
    Ok(Value::Object(fields))
}

fn is_plain_object(fields: &serde_json::Map<String, Value>) -> bool {
    const OPENING: &[&str] =
        &["additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref"];
    let named = fields.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    named && !OPENING.iter().any(|key| fields.contains_key(*key))
}

/// A grammar at work on one answer.
#[derive(Clone)]
pub(crate) struct Guide {
    matcher: Matcher,
    tokens: TokEnv,
    param: String,
}

impl Guide {
    /// Rules out every token that the grammar does not take next.
    pub(crate) fn mask(&mut self, scores: &mut [f32]) -> Result<(), Box<ApiError>> {
        let allowed =
            self.matcher.compute_mask().map_err(|e| refused(&self.param, &e.to_string()))?;
        for (score, id) in scores.iter_mut().zip(0u32..) {
            if !allowed.is_allowed(id) {
                *score = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Takes a token that [`Guide::mask`] allowed.
    pub(crate) fn take(&mut self, token: u32) -> Result<(), Box<ApiError>> {
        self.matcher.consume_token(token).map_err(|e| refused(&self.param, &e.to_string()))
    }

    /// Takes text that is already said, if the grammar allows all of it.
    pub(crate) fn take_text(&mut self, text: &[u8]) -> bool {
        let tokens = self.tokens.tokenize_bytes(text);
        self.matcher.try_consume_tokens(&tokens).is_ok_and(|taken| taken == tokens.len())
    }

    /// Whether nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}
