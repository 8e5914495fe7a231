//! Embeddings by the engine in this process: what is asked, what is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_llm::model::ApiError;
use freehold_types::Code;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::Embedded;
use crate::refuse;

#[derive(Deserialize)]
pub(crate) struct EmbeddingsAsked {
    input: Value,
    encoding_format: Option<String>,
    dimensions: Option<u64>,
}

impl EmbeddingsAsked {
    /// Reads a request, and its texts.
    pub(crate) fn read(body: &[u8]) -> Result<(Self, Vec<String>), Box<ApiError>> {
        let asked: Self = serde_json::from_slice(body).map_err(|e| {
            refuse::bad_body(&freehold_llm::DecodeError::json("request body", body, &e))
        })?;
        let texts = asked.texts()?;
        Ok((asked, texts))
    }

    pub(crate) fn wants_base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }

    fn texts(&self) -> Result<Vec<String>, Box<ApiError>> {
        if self.dimensions.is_some() {
            return Err(invalid(
                Code::UnsupportedFeature,
                "dimensions: the local model's vectors have one size; leave it out",
            ));
        }
        let wrong = || {
            invalid(
                Code::InvalidRequest,
                "input: expected a string or a list of strings (the local model takes no token ids)",
            )
        };
        match &self.input {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(texts) if !texts.is_empty() => {
                texts.iter().map(|t| t.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            _ => Err(wrong()),
        }
    }
}

fn invalid(code: Code, message: &str) -> Box<ApiError> {
    Box::new(ApiError::new(code, message))
}

/// The answer to it.
pub(crate) fn embeddings_answer(embedded: &Embedded, base64: bool) -> Value {
    let data: Vec<Value> = (0..)
        .zip(&embedded.vectors)
        .map(|(index, vector): (u64, _)| {
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    json!({
        "object": "list",
        "data": data,
        "model": embedded.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    })
}
