//! One request through the model: prefill, then token after token.

use std::path::PathBuf;
use std::sync::Arc;

use freehold_llm::IdSource;
use freehold_llm::model::{ApiError, Event, Extra, Request, Stop, StopReason, Usage};
use freehold_types::Code;
use tokio::sync::mpsc::Sender;

use super::decoder::Decoder;
use super::gguf::Gguf;
use super::grammar::{CALL_OPEN, Grammars, Guide};
use super::output::{Gone, Output, send};
use super::prompt::Prompter;
use super::sampling::{Rules, Sampler, logprob};
use super::tools::Tools;
use super::vocab::Vocab;
use crate::error;

/// What an engine loads, and how it answers where a request does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// The GGUF file.
    pub path: PathBuf,
    /// The model's name in answers and errors.
    pub name: String,
    /// How many requests may wait while one is answered.
    pub queue: usize,
    /// The most tokens of prompt and answer together; the model's own limit
    /// stands where it is lower. Bounds the memory of the key-value cache.
    pub context_tokens: usize,
    /// The output limit of a request without one.
    pub max_tokens: u64,
    /// The temperature of a request without one.
    pub temperature: f32,
    /// The nucleus of a request without one.
    pub top_p: f32,
}

impl Options {
    /// The usual options for the GGUF file at `path`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: name.into(),
            queue: 16,
            context_tokens: 8192,
            max_tokens: 1024,
            temperature: 0.7,
            top_p: 0.95,
        }
    }
}

/// A request with its numbers checked.
pub(crate) struct Plan {
    rules: Rules,
    tools: Tools,
    choices: u32,
    logprobs: Option<usize>,
}

const CHOICES_MAX: u32 = 8;
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1024;
const LOGPROBS_MAX: u8 = 20;

impl Plan {
    /// Checks what can be checked without the model.
    pub(crate) fn of(request: &Request, options: &Options) -> Result<Self, Box<ApiError>> {
        let choices = request.n.unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&choices) {
            return Err(error::invalid(
                "n",
                format!("n is {choices}; it goes from 1 to {CHOICES_MAX}"),
            ));
        }
        if request.max_tokens == Some(0) {
            return Err(error::invalid("max_tokens", "max_tokens is 0; it must be at least 1"));
        }
        let long = request.stop.iter().any(|stop| stop.len() > STOP_BYTES_MAX);
        if request.stop.len() > STOPS_MAX || long {
            return Err(error::invalid(
                "stop",
                format!("stop takes {STOPS_MAX} strings of {STOP_BYTES_MAX} bytes"),
            ));
        }
        let logprobs = request.logprobs.map(|wanted| wanted.top.unwrap_or(0));
        if logprobs.is_some_and(|top| top > LOGPROBS_MAX) {
            return Err(error::invalid(
                "top_logprobs",
                format!("top_logprobs goes from 0 to {LOGPROBS_MAX}"),
            ));
        }
        Ok(Self {
            rules: Rules::of(request, options.temperature, options.top_p)?,
            tools: Tools::of(request)?,
            choices,
            logprobs: logprobs.map(usize::from),
        })
    }

    /// How many events an answer has at most.
    pub(crate) fn events_max(&self, request: &Request, options: &Options) -> usize {
        let limit = request.max_tokens.unwrap_or(options.max_tokens);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(options.context_tokens);
        // A token gives a few events at the very most: the end of one item,
        // the start of the next, text and its probabilities.
        limit.saturating_add(8).saturating_mul(6).saturating_mul(self.choices as usize)
    }
}

/// How a generation failed.
pub(crate) enum Failure {
    /// Nobody waits for it any more.
    Gone,
    /// With an error for the client.
    Error(Box<ApiError>),
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Box<ApiError>> for Failure {
    fn from(error: Box<ApiError>) -> Self {
        Self::Error(error)
    }
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::Error(error::internal(error))
    }
}

/// One request on its way.
pub(crate) struct Job {
    /// The request.
    pub(crate) request: Arc<Request>,
    /// Its checked numbers.
    pub(crate) plan: Plan,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// 64 random bits for ids, and for sampling where the request has no
    /// seed.
    pub(crate) seed: u64,
    /// Where the events go.
    pub(crate) to: Sender<Event>,
}

impl crate::queue::Job for Job {
    fn is_abandoned(&self) -> bool {
        self.to.is_closed()
    }
}

/// How many tokens of a prompt go in at once. A cancelled request is noticed
/// between two chunks; and what a prompt shares with the one before is kept
/// in whole chunks, so that the numbers are the same with and without.
const CHUNK: usize = 64;

/// A loaded model.
pub(crate) struct Model {
    prompter: Arc<Prompter>,
    grammars: Grammars,
    decoder: Decoder,
    /// The prompt in the key-value cache.
    cached: Vec<u32>,
}

impl Model {
    /// Loads the weights.
    pub(crate) fn load(options: &Options, prompter: Arc<Prompter>) -> Result<Self, Box<ApiError>> {
        let mut gguf = Gguf::open(&options.path)?;
        let decoder = Decoder::load(&mut gguf, options.context_tokens)?;
        let grammars = Grammars::new(&prompter.vocab)?;
        Ok(Self { prompter, grammars, decoder, cached: Vec::new() })
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, job: &Job, options: &Options) -> Result<(), Failure> {
        let request = &*job.request;
        let tools = &job.plan.tools;
        let prompt = self.prompter.tokens(request, job.created)?;
        let limit = self.limit(prompt.len(), request, options)?;
        let start = self.grammars.answer(request.format.as_ref(), tools)?;
        // Compiled before the answer begins: a schema that cannot be kept is
        // the request's fault, and is said while there is a status to say it.
        let call = (start.is_none() && tools.may_call())
            .then(|| self.grammars.after_open(tools))
            .transpose()?;
        send(
            &job.to,
            Event::Start {
                id: String::new(),
                model: options.name.clone(),
                created: Some(job.created),
                usage: None,
                extra: Extra::default(),
            },
        )?;
        let (first, reused) = self.prefill(&prompt, limit, &job.to)?;
        let mut ids = IdSource::new(u128::from(job.seed) << 64 | u128::from(!job.seed));
        let seed = request.seed.map_or(job.seed, i64::cast_unsigned);
        let mut usage = Usage {
            input: prompt.len() as u64,
            cache_read: Some(reused as u64),
            ..Usage::default()
        };
        for choice in 0..job.plan.choices {
            self.decoder.truncate(prompt.len());
            let guide = Guided { now: start.clone(), call: call.clone(), tail: Vec::new() };
            let output = Output::new(&job.to, &mut ids, choice, &request.stop, tools);
            let sampler = Sampler::new(job.plan.rules, seed.wrapping_add(u64::from(choice)));
            let choice = Choice { job, sampler, guide, output, limit };
            usage.output += choice.run(&mut self.decoder, &self.prompter.vocab, first.clone())?;
        }
        send(&job.to, Event::Usage(usage))?;
        send(&job.to, Event::End { extra: Extra::default(), service_tier: None })?;
        Ok(())
    }

    fn limit(
        &self,
        prompt: usize,
        request: &Request,
        options: &Options,
    ) -> Result<u64, Box<ApiError>> {
        let context = self.decoder.context();
        let left = context.checked_sub(prompt).filter(|left| *left > 0).ok_or_else(|| {
            let mut error = error::invalid(
                "messages",
                format!(
                    "the prompt has {prompt} tokens, and the context of {} holds {context} for \
                     prompt and answer together; shorten it",
                    options.name
                ),
            );
            error.code = Some(Code::ContextLengthExceeded.word().to_owned());
            error
        })?;
        Ok(request.max_tokens.unwrap_or(options.max_tokens).min(left as u64))
    }

    /// Takes the prompt in; the scores of the first token of the answer, and
    /// how many tokens were there already.
    fn prefill(
        &mut self,
        prompt: &[u32],
        limit: u64,
        to: &Sender<Event>,
    ) -> Result<(Vec<f32>, usize), Failure> {
        let same = prompt.iter().zip(&self.cached).take_while(|(a, b)| a == b).count();
        // The last token is always taken anew: it gives the scores.
        let keep = same.min(prompt.len().saturating_sub(1)) / CHUNK * CHUNK;
        let keep = keep.min(self.decoder.len());
        self.cached.truncate(keep);
        self.decoder.truncate(keep);
        let answer = usize::try_from(limit).unwrap_or(usize::MAX).min(512);
        self.decoder.reserve(prompt.len().saturating_add(answer))?;
        let mut scores = None;
        for chunk in prompt.get(keep..).unwrap_or_default().chunks(CHUNK) {
            if to.is_closed() {
                return Err(Failure::Gone);
            }
            let last = self.decoder.len() + chunk.len() == prompt.len();
            scores = self.decoder.forward(chunk, last)?;
            self.cached.extend_from_slice(chunk);
        }
        let scores = scores.ok_or_else(|| error::internal("an empty prompt"))?;
        Ok((scores, keep))
    }
}

/// The grammars of one choice.
struct Guided {
    /// At work.
    now: Option<Guide>,
    /// Put to work when the model begins a call.
    call: Option<Guide>,
    /// The last bytes said, while a call may begin.
    tail: Vec<u8>,
}

impl Guided {
    fn mask(&mut self, scores: &mut [f32]) -> Result<(), Box<ApiError>> {
        self.now.as_mut().map_or(Ok(()), |guide| guide.mask(scores))
    }

    /// Takes a drawn token. False if it begins a call in a way that the
    /// grammar does not take: then another must be drawn.
    fn take(&mut self, token: u32, bytes: &[u8]) -> Result<bool, Box<ApiError>> {
        if let Some(guide) = &mut self.now {
            guide.take(token)?;
            return Ok(true);
        }
        let Some(call) = &self.call else { return Ok(true) };
        let before = self.tail.len();
        self.tail.extend_from_slice(bytes);
        let open = CALL_OPEN.as_bytes();
        if let Some(at) = self.tail.windows(open.len()).position(|window| window == open) {
            let mut guide = call.clone();
            let rest = self.tail.get(at + open.len()..).unwrap_or_default();
            if !rest.is_empty() && !guide.take_text(rest) {
                self.tail.truncate(before);
                return Ok(false);
            }
            self.now = Some(guide);
        }
        let surplus = self.tail.len().saturating_sub(open.len() - 1);
        self.tail.drain(..surplus);
        Ok(true)
    }

    fn is_complete(&self) -> bool {
        self.now.as_ref().is_some_and(Guide::is_complete)
    }
}

/// One of a request's answers.
struct Choice<'a> {
    job: &'a Job,
    sampler: Sampler,
    guide: Guided,
    output: Output<'a>,
    limit: u64,
}

impl Choice<'_> {
    /// Writes the answer; how many tokens it has.
    fn run(
        mut self,
        decoder: &mut Decoder,
        vocab: &Vocab,
        mut scores: Vec<f32>,
    ) -> Result<u64, Failure> {
        let mut said = 0;
        let mut work = Vec::with_capacity(scores.len());
        let stop = loop {
            if self.job.to.is_closed() {
                return Err(Failure::Gone);
            }
            work.clear();
            work.extend_from_slice(&scores);
            let token = self.draw(&mut work, vocab)?;
            if vocab.is_end(token) {
                break Stop::new(StopReason::End);
            }
            said += 1;
            let probability =
                self.job.plan.logprobs.and_then(|top| logprob(&scores, token, top, vocab));
            // A mark of the chat format is not text.
            let bytes = if vocab.is_control(token) { &[] } else { vocab.bytes_of(token) };
            if let Some(stop) = self.output.token(bytes, probability)? {
                break stop;
            }
            if self.guide.is_complete() {
                break Stop::new(StopReason::End);
            }
            if said >= self.limit {
                break Stop::new(StopReason::MaxTokens);
            }
            scores = decoder.forward(&[token], true)?.unwrap_or_default();
        };
        self.output.finish(stop)?;
        Ok(said)
    }

    fn draw(&mut self, scores: &mut [f32], vocab: &Vocab) -> Result<u32, Box<ApiError>> {
        self.sampler.penalise(scores);
        self.guide.mask(scores)?;
        loop {
            let token = self
                .sampler
                .draw(scores)
                .ok_or_else(|| error::internal("no token fits the grammar"))?;
            if vocab.is_end(token) || self.guide.take(token, vocab.bytes_of(token))? {
                self.sampler.said(token);
                return Ok(token);
            }
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use freehold_llm::Dialect;
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::tools::tests::function;
    use crate::chat::vocab::{Family, TokenKind};

    /// A vocabulary of single bytes, some longer pieces, and an end.
    fn vocab() -> Vocab {
        let mut bytes: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        bytes.extend([b"call>x".to_vec(), b"call>\n{".to_vec(), b"<|end|>".to_vec()]);
        let count = bytes.len();
        let mut kinds = vec![TokenKind::Normal; count];
        kinds[count - 1] = TokenKind::Control;
        Vocab {
            pieces: bytes.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect(),
            bytes,
            kinds,
            family: Family::ByteLevel,
            eos: 258,
            ends: vec![258],
            bos: None,
            add_bos: false,
        }
    }

    fn guided(vocab: &Vocab) -> Guided {
        let mut request = Request::new(Dialect::Chat, "m");
        let size = json!({ "type": "integer", "minimum": 1, "maximum": 9 });
        let schema =
            json!({ "type": "object", "properties": { "size": size }, "required": ["size"] });
        request.tools = vec![function("cut", schema)];
        request.parallel_tool_calls = Some(false);
        let tools = Tools::of(&request).unwrap();
        let call = Grammars::new(vocab).unwrap().after_open(&tools).unwrap();
        Guided { now: None, call: Some(call), tail: Vec::new() }
    }

    fn say(guided: &mut Guided, text: &str) {
        for byte in text.bytes() {
            assert!(guided.take(u32::from(byte), &[byte]).unwrap());
        }
    }

    fn allowed(guided: &mut Guided, vocab: &Vocab) -> Vec<u32> {
        let mut scores = vec![0.0; vocab.len()];
        guided.mask(&mut scores).unwrap();
        (0u32..).zip(scores).filter(|(_, score)| *score > -1.0).map(|(id, _)| id).collect()
    }

    #[test]
    fn text_is_free_until_a_call_begins_and_the_call_is_not() {
        let vocab = vocab();
        let mut guided = guided(&vocab);
        say(&mut guided, "I use <tool_calls, or <tool_");
        assert_eq!(allowed(&mut guided, &vocab).len(), vocab.len());
        say(&mut guided, "call <tool_call>");
        assert_eq!(allowed(&mut guided, &vocab), [u32::from(b'\n')]);
        let mut written = String::new();
        // Whatever is drawn, a call comes out.
        while !guided.is_complete() && written.len() < 200 {
            let token = *allowed(&mut guided, &vocab).last().unwrap();
            if vocab.is_end(token) {
                break;
            }
            assert!(guided.take(token, vocab.bytes_of(token)).unwrap());
            written.push_str(std::str::from_utf8(vocab.bytes_of(token)).unwrap());
        }
        let call = written.strip_suffix("\n</tool_call>").unwrap();
        let call: Value = serde_json::from_str(call).unwrap();
        assert_eq!(call, json!({ "name": "cut", "arguments": { "size": 9 } }));
    }

    #[test]
    fn a_token_over_the_tags_end_must_go_on_as_a_call() {
        let vocab = vocab();
        let mut guided = guided(&vocab);
        say(&mut guided, "so <tool_");
        assert!(!guided.take(256, vocab.bytes_of(256)).unwrap());
        assert!(guided.now.is_none());
        assert!(guided.take(257, vocab.bytes_of(257)).unwrap());
        assert_eq!(allowed(&mut guided, &vocab), [u32::from(b'"')]);
    }
}
