//! The local models as the gateway's engine.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use freehold_gateway::engine::{Embedded, Engine, EngineStream};
use freehold_gateway::options::{EngineOptions, LOCAL_DEFAULT_MODEL};
use freehold_llm::model::{ApiError, Event, Request};
use freehold_local::weights::{self, Folder, Kind};
use freehold_local::{Embedder, Events, Options};
use freehold_types::{BoxFuture, Code};
use futures_util::Stream;

/// The embedding model that the name `default` means.
const DEFAULT_EMBEDDER: &str = "all-minilm-l6-v2";

/// Requests that may wait where the configuration does not say.
const QUEUE: usize = 16;

/// The models of this machine's models folder, each loaded by its first
/// request.
pub struct LocalEngine {
    folder: Folder,
    default: Option<String>,
    queue: usize,
    chat: Mutex<BTreeMap<String, freehold_local::Engine>>,
    embedders: Mutex<BTreeMap<String, Embedder>>,
}

impl LocalEngine {
    /// The engine over a models folder.
    pub fn new(folder: Folder, options: &EngineOptions) -> Self {
        Self {
            folder,
            default: options.model.clone(),
            queue: options.queue_max.unwrap_or(QUEUE),
            chat: Mutex::default(),
            embedders: Mutex::default(),
        }
    }

    /// The chat model of a name. Only names that have weights are kept, so
    /// clients cannot fill the map.
    fn chat(&self, asked: &str) -> Result<freehold_local::Engine, Box<ApiError>> {
        let name = self.chat_name(asked)?;
        let mut engines = self.chat.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&name) {
            return Ok(engine.clone());
        }
        let package = weights::find(&name);
        if package.is_some_and(|p| !self.folder.is_installed(p)) {
            return Err(not_there(&name));
        }
        let path = self.folder.gguf(&name).ok_or_else(|| not_there(&name))?;
        let mut options = Options::new(name.clone(), path);
        options.queue = self.queue;
        if let Some(package) = package {
            options.temperature = package.temperature;
            options.top_p = package.top_p;
        }
        let engine = freehold_local::Engine::new(options);
        engines.insert(name, engine.clone());
        Ok(engine)
    }

    fn chat_name(&self, asked: &str) -> Result<String, Box<ApiError>> {
        if asked != LOCAL_DEFAULT_MODEL {
            let name = weights::find(asked).map_or(asked, |package| package.name);
            return Ok(name.to_owned());
        }
        if let Some(name) = &self.default {
            return Ok(name.clone());
        }
        let is_chat = |e: &weights::Entry| e.package.is_none_or(|p| p.kind == Kind::Chat);
        let mut installed =
            self.folder.list().into_iter().filter(|e| e.installed && is_chat(e)).map(|e| e.name);
        installed.next().ok_or_else(|| not_there("smollm2-135m-instruct"))
    }

    fn embedder(&self, asked: &str) -> Result<Embedder, Box<ApiError>> {
        let name = if asked == LOCAL_DEFAULT_MODEL { DEFAULT_EMBEDDER } else { asked };
        let package =
            weights::find(name).filter(|p| p.kind == Kind::Embeddings).ok_or_else(|| {
                Box::new(ApiError::new(
                    Code::UnsupportedFeature,
                    format!("the local model {name} makes no embeddings; {DEFAULT_EMBEDDER} does"),
                ))
            })?;
        if !self.folder.is_installed(package) {
            return Err(not_there(package.name));
        }
        let mut embedders = self.embedders.lock().unwrap_or_else(PoisonError::into_inner);
        let made = embedders
            .entry(package.name.to_owned())
            .or_insert_with(|| Embedder::new(package.name, self.folder.of(package), self.queue));
        Ok(made.clone())
    }
}

fn not_there(name: &str) -> Box<ApiError> {
    let shown: String = name.chars().take(100).collect();
    Box::new(ApiError::new(
        Code::WeightsMissing,
        format!(
            "there are no weights of {shown} here; fetch them with `freehold models fetch {shown}`"
        ),
    ))
}

/// The models folder that the environment names.
pub fn folder() -> Result<Folder, weights::Error> {
    Folder::of_environment(|name| std::env::var_os(name))
}

/// An engine's events as a stream.
struct EventStream(Events);

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}

impl Engine for LocalEngine {
    fn generate(
        &self,
        request: Arc<Request>,
        model: &str,
        created: i64,
        seed: u64,
    ) -> BoxFuture<'_, Result<EngineStream, Box<ApiError>>> {
        let begun = self.chat(model).and_then(|engine| engine.generate(request, created, seed));
        Box::pin(async move {
            let stream: EngineStream = Box::pin(EventStream(begun?));
            Ok(stream)
        })
    }

    fn count_tokens(
        &self,
        request: Arc<Request>,
        model: &str,
    ) -> BoxFuture<'_, Result<u64, Box<ApiError>>> {
        let engine = self.chat(model);
        Box::pin(async move {
            let engine = engine?;
            // The first count reads the vocabulary: not on a worker's thread.
            let counted = tokio::task::spawn_blocking(move || engine.count_tokens(&request)).await;
            counted
                .map_err(|error| Box::new(ApiError::new(Code::EngineStopped, error.to_string())))?
        })
    }

    fn embed(
        &self,
        model: &str,
        texts: Vec<String>,
    ) -> BoxFuture<'_, Result<Embedded, Box<ApiError>>> {
        let embedder = self.embedder(model);
        Box::pin(async move {
            let embedder = embedder?;
            let made = embedder.embed(texts).await?;
            Ok(Embedded {
                model: embedder.name().to_owned(),
                vectors: made.vectors,
                tokens: made.tokens,
            })
        })
    }

    fn models(&self) -> Vec<String> {
        self.folder.list().into_iter().filter(|e| e.installed).map(|e| e.name).collect()
    }
}
