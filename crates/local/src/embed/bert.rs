//! The BERT encoder, as far as sentence embeddings need it.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};
use serde::Deserialize;

/// The fields of `config.json` that matter.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    hidden_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    layer_norm_eps: f32,
    /// The most positions.
    pub(super) max_position_embeddings: usize,
    model_type: String,
    hidden_act: String,
}

struct Linear {
    /// Transposed.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// (tokens, in) to (tokens, out).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: Norm,
    up: Linear,
    down: Linear,
    down_norm: Norm,
}

/// The encoder.
pub(super) struct Bert {
    words: Tensor,
    positions: Tensor,
    kind: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
}

impl Bert {
    /// Builds it from the tensors of a safetensors file.
    pub(super) fn new(config: &Config, tensors: &HashMap<String, Tensor>) -> Result<Self> {
        if config.model_type != "bert" || config.hidden_act != "gelu" {
            candle_core::bail!("a {} with {}", config.model_type, config.hidden_act);
        }
        let heads = config.num_attention_heads;
        if heads == 0 || !config.hidden_size.is_multiple_of(heads) {
            candle_core::bail!("{heads} heads over {}", config.hidden_size);
        }
        let from = Source { tensors, epsilon: config.layer_norm_eps };
        let layers = (0..config.num_hidden_layers)
            .map(|at| {
                let name = |part: &str| format!("encoder.layer.{at}.{part}");
                Ok(Layer {
                    query: from.linear(&name("attention.self.query"))?,
                    key: from.linear(&name("attention.self.key"))?,
                    value: from.linear(&name("attention.self.value"))?,
                    output: from.linear(&name("attention.output.dense"))?,
                    output_norm: from.norm(&name("attention.output.LayerNorm"))?,
                    up: from.linear(&name("intermediate.dense"))?,
                    down: from.linear(&name("output.dense"))?,
                    down_norm: from.norm(&name("output.LayerNorm"))?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            words: from.tensor("embeddings.word_embeddings.weight")?,
            positions: from.tensor("embeddings.position_embeddings.weight")?,
            kind: from.tensor("embeddings.token_type_embeddings.weight")?.narrow(0, 0, 1)?,
            norm: from.norm("embeddings.LayerNorm")?,
            layers,
            heads,
        })
    }

    /// The normalised mean of each text's tokens. Texts of a batch may differ
    /// in length; none may be empty.
    pub(super) fn embed(&self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let count = batch.len();
        let mut ids = vec![0u32; count * longest];
        let mut seen = vec![0f32; count * longest];
        for (at, text) in batch.iter().enumerate() {
            let row = at * longest;
            for (n, id) in text.iter().enumerate() {
                if let (Some(cell), Some(mark)) = (ids.get_mut(row + n), seen.get_mut(row + n)) {
                    (*cell, *mark) = (*id, 1.0);
                }
            }
        }
        let ids = Tensor::from_vec(ids, count * longest, &Device::Cpu)?;
        let seen = Tensor::from_vec(seen, (count, longest), &Device::Cpu)?;
        // 0 for what is there, a large negative number for padding.
        let mask = ((&seen - 1.0)? * 1e9)?.reshape((count, 1, 1, longest))?;
        let hidden = self.words.dim(1)?;
        let places = self.positions.narrow(0, 0, longest)?.broadcast_add(&self.kind)?;
        let x = self.words.index_select(&ids, 0)?.reshape((count, longest, hidden))?;
        let mut x = self.norm.forward(&x.broadcast_add(&places)?.contiguous()?)?;
        x = x.reshape((count * longest, hidden))?;
        for layer in &self.layers {
            x = self.layer(layer, &x, &mask, (count, longest, hidden))?;
        }
        let x = x.reshape((count, longest, hidden))?;
        let sum = x.broadcast_mul(&seen.unsqueeze(2)?)?.sum(1)?;
        let mean = sum.broadcast_div(&seen.sum_keepdim(1)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1e-12)?;
        mean.broadcast_div(&length)?.to_vec2()
    }

    fn layer(
        &self,
        layer: &Layer,
        x: &Tensor,
        mask: &Tensor,
        (count, longest, hidden): (usize, usize, usize),
    ) -> Result<Tensor> {
        let dim = hidden / self.heads;
        let split =
            |x: Tensor| x.reshape((count, longest, self.heads, dim))?.transpose(1, 2)?.contiguous();
        let query = split(layer.query.forward(x)?)?;
        let key = split(layer.key.forward(x)?)?;
        let value = split(layer.value.forward(x)?)?;
        #[expect(clippy::cast_precision_loss, reason = "a width, far below 2^52")]
        let scale = (dim as f64).sqrt();
        let scores = (query.matmul(&key.t()?)? / scale)?.broadcast_add(mask)?;
        let mixed = softmax_last_dim(&scores.contiguous()?)?.matmul(&value)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((count * longest, hidden))?;
        let x = layer.output_norm.forward(&(x + layer.output.forward(&mixed)?)?)?;
        let fed = layer.down.forward(&layer.up.forward(&x)?.gelu_erf()?)?;
        layer.down_norm.forward(&(x + fed)?)
    }
}

struct Source<'a> {
    tensors: &'a HashMap<String, Tensor>,
    epsilon: f32,
}

impl Source<'_> {
    fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            candle_core::bail!("tensor {name} is missing");
        };
        tensor.to_dtype(DType::F32)
    }

    fn linear(&self, name: &str) -> Result<Linear> {
        Ok(Linear {
            weight: self.tensor(&format!("{name}.weight"))?.t()?,
            bias: self.tensor(&format!("{name}.bias"))?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.tensor(&format!("{name}.weight"))?,
            bias: self.tensor(&format!("{name}.bias"))?,
            epsilon: self.epsilon,
        })
    }
}
