//! Chat with a GGUF model.

mod config;
mod decoder;
mod engine;
mod generate;
mod gguf;
mod grammar;
mod json_end;
mod output;
mod prompt;
mod sampling;
mod template;
mod text;
mod tokenizer;
mod tools;
mod vocab;

pub use engine::{Engine, Events};
pub use generate::Options;
