//! `freehold bench`: load on a running server, and what it does with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use freehold_llm::format::codec;
use freehold_llm::model::{Item, Request, Role};
use freehold_llm::{Dialect, Losses, RequestTarget};
use freehold_server::env::RealEnv;
use freehold_server::out;
use freehold_types::Env as _;

use super::block_on;
use super::client::{Client, ClientArgs, read};

/// Put load on a running server and measure it.
///
/// A closed loop: each of so many clients sends its next request when it has
/// its answer. It says how many requests a second that makes, and how long
/// they took. It asks the model for real, and may cost money.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold bench --model local --clients 4 --seconds 10
  freehold bench --model fast --clients 64 --stream")]
pub(super) struct Bench {
    /// The route to ask.
    #[arg(long, short, default_value = "local")]
    model: String,
    /// Clients at one time.
    #[arg(long, short, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    clients: u32,
    /// For how long.
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Ask for streams.
    #[arg(long)]
    stream: bool,
    /// What to ask.
    #[arg(long, default_value = "Say hello.")]
    prompt: String,
    /// The most tokens of an answer.
    #[arg(long, default_value_t = 16)]
    max_tokens: u64,
    #[command(flatten)]
    client: ClientArgs,
}

/// Latencies that are kept; later ones are only counted.
const KEPT_MAX: usize = 1 << 22;

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let mut request = Request::new(Dialect::Chat, self.model);
        request.stream = self.stream;
        request.max_tokens = Some(self.max_tokens);
        request.items.push(Item::text(Role::User, self.prompt));
        let target = RequestTarget { model: &request.model, quirks: &[], default_max_tokens: 16 };
        let body =
            codec(Dialect::Chat).encode_request(&request, &target, &mut Losses::default())?;
        let length = Duration::from_secs(self.seconds);
        let measured = block_on(load(client, body.into(), self.clients, length))?;
        measured.show(length);
        Ok(())
    }
}

struct Measured {
    latencies: Vec<Duration>,
    refused: u64,
    failed: u64,
}

async fn load(client: Client, body: Bytes, clients: u32, length: Duration) -> Measured {
    let env = RealEnv::new();
    let refused = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (client, body) = (client.clone(), body.clone());
        let (refused, failed) = (Arc::clone(&refused), Arc::clone(&failed));
        running.spawn(async move {
            let mut latencies = Vec::new();
            while env.monotonic() < length {
                let began = env.monotonic();
                match exchange(&client, body.clone()).await {
                    Ok(true) => latencies.push(env.monotonic().saturating_sub(began)),
                    Ok(false) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                }
            }
            latencies
        });
    }
    let mut latencies = Vec::new();
    while let Some(part) = running.join_next().await {
        let part = part.unwrap_or_default();
        let room = KEPT_MAX.saturating_sub(latencies.len());
        latencies.extend(part.into_iter().take(room));
    }
    latencies.sort_unstable();
    Measured {
        latencies,
        refused: refused.load(Ordering::Relaxed),
        failed: failed.load(Ordering::Relaxed),
    }
}

/// Whether the server answered; `false` is a refusal.
async fn exchange(client: &Client, body: Bytes) -> anyhow::Result<bool> {
    let answer = client.send("/v1/chat/completions", body).await?;
    let good = answer.status.is_success();
    read(answer).await?;
    Ok(good)
}

impl Measured {
    fn show(&self, length: Duration) {
        let count = self.latencies.len();
        let at = |percent: usize| {
            let index = (count * percent / 100).min(count.saturating_sub(1));
            self.latencies.get(index).copied().unwrap_or_default()
        };
        let per_second = u128::try_from(count).unwrap_or(0) * 1_000 / length.as_millis().max(1);
        out::line(format!("requests/s  {per_second}"));
        for percent in [50, 90, 99] {
            out::line(format!("p{percent}         {:?}", at(percent)));
        }
        out::line(format!("answered    {count}"));
        out::line(format!("refused     {}", self.refused));
        out::line(format!("failed      {}", self.failed));
    }
}
