//! `freehold chat`: talks to a model through a running server.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::Args;
use freehold_llm::format::codec;
use freehold_llm::model::{Delta, Event, Item, Request, Role};
use freehold_llm::{Dialect, Losses, RequestTarget};
use freehold_server::out;
use http_body_util::BodyExt as _;

use super::block_on;
use super::client::{Client, ClientArgs};

/// The longest prompt that is read from standard input.
const PROMPT_BYTES_MAX: u64 = 16 << 20;

/// Talk to a model through a running server, and see its answer as it comes.
///
/// With a prompt it answers that one and ends; without one it goes on until
/// the end of its input (Ctrl-D).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold chat \"Why is the sky blue?\"
  freehold chat --model fast --system \"Answer in French.\"
  git diff | freehold chat \"Write a commit message for this:\"")]
pub(super) struct Chat {
    /// What to ask; what comes through a pipe is added to it.
    prompt: Option<String>,
    /// The route to ask.
    #[arg(long, short, default_value = "local")]
    model: String,
    /// Standing orders for the model.
    #[arg(long)]
    system: Option<String>,
    /// The most tokens of an answer.
    #[arg(long, default_value_t = 512)]
    max_tokens: u64,
    #[command(flatten)]
    client: ClientArgs,
}

impl Chat {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let mut talk = Request::new(Dialect::Chat, self.model);
        talk.stream = true;
        talk.max_tokens = Some(self.max_tokens);
        if let Some(system) = self.system {
            talk.items.push(Item::text(Role::System, system));
        }
        let piped = piped()?;
        match (self.prompt, piped) {
            (Some(prompt), Some(piped)) => ask(&client, &mut talk, format!("{prompt}\n\n{piped}")),
            (Some(text), None) | (None, Some(text)) => ask(&client, &mut talk, text),
            (None, None) => converse(&client, &mut talk),
        }
    }
}

/// What comes through a pipe, if something does.
fn piped() -> anyhow::Result<Option<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    input.take(PROMPT_BYTES_MAX).read_to_string(&mut text).context("the input is no text")?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// One question after the other.
fn converse(client: &Client, talk: &mut Request) -> anyhow::Result<()> {
    out::note(format!("Talking to `{}`; Ctrl-D ends it.", talk.model));
    loop {
        out::part("> ");
        let mut line = String::new();
        if std::io::stdin().lock().take(PROMPT_BYTES_MAX).read_line(&mut line)? == 0 {
            out::line("");
            return Ok(());
        }
        let line = line.trim();
        if !line.is_empty()
            && let Err(error) = ask(client, talk, line.to_owned())
        {
            // What was asked is taken back, so that the talk can go on.
            talk.items.pop();
            out::note(format!("{error:#}"));
        }
    }
}

/// Asks, shows the answer as it comes, and keeps both.
fn ask(client: &Client, talk: &mut Request, text: String) -> anyhow::Result<()> {
    talk.items.push(Item::text(Role::User, text));
    let answer = block_on(stream(client, talk))??;
    talk.items.push(Item::text(Role::Assistant, answer));
    Ok(())
}

async fn stream(client: &Client, talk: &Request) -> anyhow::Result<String> {
    let codec = codec(Dialect::Chat);
    let target = RequestTarget { model: &talk.model, quirks: &[], default_max_tokens: 512 };
    let body = codec.encode_request(talk, &target, &mut Losses::default())?;
    let mut answer = client.post("/v1/chat/completions", body.into()).await?;
    let mut decoder = codec.stream_decoder();
    let mut said = String::new();
    let mut events = Vec::new();
    loop {
        let Some(frame) = answer.body.frame().await.transpose()? else {
            decoder.finish(&mut events)?;
            out::line("");
            return Ok(said);
        };
        // Trailers say nothing here.
        let Ok(bytes) = frame.into_data() else { continue };
        decoder.feed(&bytes, &mut events)?;
        for event in events.drain(..) {
            if let Event::Delta { delta: Delta::Text(text) | Delta::Refusal(text), .. } = event {
                out::part(&text);
                said.push_str(&text);
            }
        }
    }
}
