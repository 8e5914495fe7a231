//! Embeddings with a sentence transformer in this process.

mod bert;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use freehold_llm::model::ApiError;
use tokenizers::Tokenizer;
use tokio::sync::oneshot;

use crate::error;
use crate::queue::Queue;
use bert::{Bert, Config};

/// Vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// One of length 1 a text, in the texts' order.
    pub vectors: Vec<Vec<f32>>,
    /// Word pieces read, marks of beginning and end included.
    pub tokens: u64,
    /// How many texts were longer than the model reads and were cut, as
    /// sentence-transformers cuts them.
    pub truncated: usize,
}

/// Word pieces that the model was made for, marks included
/// (`max_seq_length` of its `sentence_bert_config.json`).
const PIECES_MAX: usize = 256;
const TEXTS_MAX: usize = 2048;
const BYTES_MAX: usize = 8 << 20;
/// Word pieces in one pass, padding included.
const BATCH_PIECES: usize = 2048;

/// An embedding model in this process. Cheap to clone; the weights are loaded
/// by the first request and stay until the last clone is dropped.
#[derive(Clone)]
pub struct Embedder {
    owner: Arc<Owner>,
}

struct Owner {
    core: Arc<Core>,
    started: Mutex<bool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.queue.close();
    }
}

struct Core {
    name: String,
    folder: PathBuf,
    queue: Arc<Queue<Job>>,
}

struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Embeddings, Box<ApiError>>>,
}

impl crate::queue::Job for Job {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

impl Embedder {
    /// A handle over the folder with `config.json`, `tokenizer.json` and
    /// `model.safetensors`; nothing is read yet. At most `queue` requests
    /// wait while one is worked on.
    pub fn new(name: impl Into<String>, folder: impl Into<PathBuf>, queue: usize) -> Self {
        let core = Core { name: name.into(), folder: folder.into(), queue: Queue::new(queue) };
        Self { owner: Arc::new(Owner { core: Arc::new(core), started: Mutex::new(false) }) }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.owner.core.name
    }

    /// The vectors of up to 2048 texts of together at most 8 MiB. A text of
    /// more than 256 word pieces is cut there. Dropping the future cancels
    /// the work.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Embeddings, Box<ApiError>> {
        let bytes: usize = texts.iter().map(String::len).sum();
        if texts.is_empty() || texts.len() > TEXTS_MAX || bytes > BYTES_MAX {
            return Err(error::invalid(
                "input",
                format!(
                    "{} texts of {bytes} bytes; it takes 1 to {TEXTS_MAX} texts of together \
                     {BYTES_MAX} bytes",
                    texts.len()
                ),
            ));
        }
        let core = &self.owner.core;
        self.start()?;
        let (reply, answer) = oneshot::channel();
        core.queue
            .push(Job { texts, reply })
            .map_err(|_| error::busy(&core.name, core.queue.limit()))?;
        answer.await.map_err(|_| error::internal("the worker is gone"))?
    }

    fn start(&self) -> Result<(), Box<ApiError>> {
        let mut started = self.owner.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let core = self.owner.core.clone();
            std::thread::Builder::new()
                .name("local embed".to_owned())
                .spawn(move || work(&core))
                .map_err(error::internal)?;
            *started = true;
        }
        Ok(())
    }
}

fn work(core: &Core) {
    let mut model = None;
    while let Some(job) = core.queue.pop() {
        let done = catch_unwind(AssertUnwindSafe(|| {
            let model = match &mut model {
                Some(model) => model,
                None => model.insert(Model::load(&core.folder)?),
            };
            model.embed(&job)
        }));
        let answer = done.unwrap_or_else(|_| {
            Err(error::internal("a defect in the engine; the log has the place"))
        });
        if job.reply.send(answer).is_err() {
            // Nobody waits for it any more.
        }
    }
}

struct Model {
    tokenizer: Tokenizer,
    bert: Bert,
    pieces_max: usize,
}

impl Model {
    fn load(folder: &Path) -> Result<Self, Box<ApiError>> {
        let hint = "`freehold models fetch all-minilm-l6-v2` brings it.";
        let path = folder.join("config.json");
        let config = fs::read(&path).map_err(|e| error::load(&path, e, hint))?;
        let config: Config =
            serde_json::from_slice(&config).map_err(|e| error::load(&path, e, hint))?;
        let path = folder.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|e| error::load(&path, e, hint))?;
        // The file's own cut and padding are those of its training.
        tokenizer.with_truncation(None).map_err(|e| error::load(&path, e, hint))?;
        tokenizer.with_padding(None);
        let path = folder.join("model.safetensors");
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|e| error::load(&path, e, hint))?;
        let bert = Bert::new(&config, &tensors).map_err(|e| error::load(&path, e, hint))?;
        let pieces_max = PIECES_MAX.min(config.max_position_embeddings);
        Ok(Self { tokenizer, bert, pieces_max })
    }

    fn embed(&self, job: &Job) -> Result<Embeddings, Box<ApiError>> {
        let mut truncated = 0;
        let mut texts = Vec::with_capacity(job.texts.len());
        for text in &job.texts {
            let encoding =
                self.tokenizer.encode_fast(text.as_str(), true).map_err(error::internal)?;
            let mut ids = encoding.get_ids().to_vec();
            if ids.len() > self.pieces_max {
                truncated += 1;
                // The closing mark stays.
                let last = ids.last().copied();
                ids.truncate(self.pieces_max - 1);
                ids.extend(last);
            }
            texts.push(ids);
        }
        let tokens = texts.iter().map(|ids| ids.len() as u64).sum();
        // Texts of like length go together: less padding.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|at| texts.get(*at).map(Vec::len));
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            if job.reply.is_closed() {
                return Err(error::internal("cancelled"));
            }
            let fits = |count: &usize| {
                let longest = rest.get(count - 1).and_then(|at| texts.get(*at)).map_or(0, Vec::len);
                longest * count <= BATCH_PIECES
            };
            let count = (1..=rest.len()).take_while(|n| *n == 1 || fits(n)).last().unwrap_or(1);
            let (batch, after) = rest.split_at(count);
            let ids: Vec<&[u32]> =
                batch.iter().filter_map(|at| texts.get(*at)).map(Vec::as_slice).collect();
            let done = self.bert.embed(&ids).map_err(error::internal)?;
            for (at, vector) in batch.iter().zip(done) {
                if let Some(slot) = vectors.get_mut(*at) {
                    *slot = vector;
                }
            }
            rest = after;
        }
        Ok(Embeddings { vectors, tokens, truncated })
    }
}
