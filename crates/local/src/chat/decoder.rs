//! The decoder-only transformer, on candle's quantised kernels.
//!
//! One implementation for the architectures that differ only in norms,
//! biases, rotation and activation. Compared with candle-transformers' models
//! it keeps its key-value cache in place, can go back to an earlier position
//! (which prefix reuse needs), and takes a prompt in chunks.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::{rope_i, rope_thd};
use freehold_llm::model::ApiError;

use super::config::{Activation, Config, Rotation};
use super::gguf::Gguf;

/// A matrix, perhaps with a bias.
struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

/// From this many tokens on it is faster to unpack the weights and multiply
/// floats than to multiply in the packed form.
const UNPACK_FROM: usize = 32;

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, count, width) = x.dims3()?;
        let y = match &self.weight {
            QMatMul::QTensor(packed) if count >= UNPACK_FROM => {
                let weight = packed.dequantize(&Device::Cpu)?.t()?;
                x.reshape((count, width))?.matmul(&weight)?.unsqueeze(0)?
            }
            weight => weight.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A scale over root-mean-square normalised values.
struct Norm {
    weight: Tensor,
    epsilon: f32,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, &self.weight, self.epsilon)
    }
}

/// Queries, keys and values: three matrices, or one.
enum Projection {
    Split(Linear, Linear, Linear),
    Fused(Linear),
}

/// Gate and up: two matrices, or one.
enum Gated {
    Split(Linear, Linear),
    Fused(Linear),
}

struct Layer {
    attention_norm: Norm,
    projection: Projection,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    output: Linear,
    after_attention: Option<Norm>,
    feed_norm: Norm,
    gated: Gated,
    down: Linear,
    after_feed: Option<Norm>,
    /// How far back it sees; `None` is all the way.
    window: Option<usize>,
    keys: Option<Tensor>,
    values: Option<Tensor>,
}

/// Sines and cosines of the positions so far.
struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    fn new(frequencies: &[f32], positions: usize) -> Result<Self> {
        let half = frequencies.len();
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            #[expect(clippy::cast_precision_loss, reason = "positions stay far below 2^24")]
            let position = position as f32;
            for frequency in frequencies {
                let (s, c) = (position * frequency).sin_cos();
                cos.push(c);
                sin.push(s);
            }
        }
        Ok(Self {
            cos: Tensor::from_vec(cos, (positions, half), &Device::Cpu)?,
            sin: Tensor::from_vec(sin, (positions, half), &Device::Cpu)?,
        })
    }
}

/// A loaded model and its key-value cache.
pub(crate) struct Decoder {
    config: Config,
    embedding: QMatMul,
    layers: Vec<Layer>,
    norm: Norm,
    output: QMatMul,
    rope: Rope,
    local_rope: Option<Rope>,
    /// Positions that the cache has room for.
    room: usize,
    /// Positions in the cache.
    length: usize,
}

impl Decoder {
    /// Loads all tensors. `context` bounds the positions.
    pub(crate) fn load(
        gguf: &mut Gguf,
        context: usize,
    ) -> std::result::Result<Self, Box<ApiError>> {
        let config = Config::read(gguf, context)?;
        let embedding = gguf.tensor("token_embd.weight")?;
        let output = if gguf.has("output.weight") { "output.weight" } else { "token_embd.weight" };
        let output = matrix(gguf, output)?;
        let layers = (0..config.layers)
            .map(|at| layer(gguf, &config, at))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let norm = norm(gguf, "output_norm.weight", &config)?;
        let numbers = |e: candle_core::Error| gguf.unsupported(e);
        let rope = Rope::new(&config.frequencies, config.context).map_err(numbers)?;
        let local_rope = config
            .local_frequencies
            .as_deref()
            .map(|f| Rope::new(f, config.context))
            .transpose()
            .map_err(numbers)?;
        let embedding = QMatMul::from_qtensor(embedding).map_err(numbers)?;
        Ok(Self { config, embedding, layers, norm, output, rope, local_rope, room: 0, length: 0 })
    }

    /// The most positions it takes.
    pub(crate) fn context(&self) -> usize {
        self.config.context
    }

    /// Positions in the cache.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Forgets what stands at `length` and after.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Makes room in the cache for `positions`, at most the context, in one
    /// step; and gives memory back that the last prompt took beyond measure.
    pub(crate) fn reserve(&mut self, positions: usize) -> Result<()> {
        let positions = positions.min(self.config.context).next_multiple_of(256);
        let positions = positions.min(self.config.context.next_multiple_of(256));
        if positions <= self.room && positions.saturating_mul(8) >= self.room {
            return Ok(());
        }
        let shape = (1, positions, self.config.kv_heads, self.config.head_dim);
        let keep = self.length.min(positions);
        for layer in &mut self.layers {
            for cache in [&mut layer.keys, &mut layer.values] {
                let next = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
                if let Some(old) = cache.as_ref().filter(|_| keep > 0) {
                    next.slice_set(&old.narrow(1, 0, keep)?, 1, 0)?;
                }
                *cache = Some(next);
            }
        }
        self.length = keep;
        self.room = positions;
        Ok(())
    }

    /// Takes the next tokens. With `logits`, gives the scores of what may
    /// follow the last of them.
    pub(crate) fn forward(&mut self, tokens: &[u32], logits: bool) -> Result<Option<Vec<f32>>> {
        let count = tokens.len();
        let end = self.length + count;
        if count == 0 || end > self.config.context {
            candle_core::bail!("{end} positions, and the context has {}", self.config.context);
        }
        if end > self.room {
            self.reserve(end.saturating_mul(2))?;
        }
        let ids = Tensor::from_slice(tokens, (1, count), &Device::Cpu)?;
        let mut x = self.embedding.embedding(&ids)?;
        if let Some(scale) = self.config.embedding_scale {
            x = (x * scale)?;
        }
        let at = At { config: &self.config, start: self.length, count };
        for layer in &mut self.layers {
            let rope = match (layer.window, &self.local_rope) {
                (Some(_), Some(local)) => local,
                _ => &self.rope,
            };
            x = layer.forward(&x, rope, &at)?;
        }
        self.length = end;
        if !logits {
            return Ok(None);
        }
        let last = x.narrow(1, count - 1, 1)?.contiguous()?;
        let scores = self.output.forward(&self.norm.forward(&last)?)?;
        Ok(Some(scores.flatten_all()?.to_vec1()?))
    }
}

/// Where in the sequence the tokens at hand stand.
struct At<'a> {
    config: &'a Config,
    start: usize,
    count: usize,
}

impl Layer {
    fn forward(&mut self, x: &Tensor, rope: &Rope, at: &At<'_>) -> Result<Tensor> {
        let mut attended = self.attend(&self.attention_norm.forward(x)?, rope, at)?;
        if let Some(norm) = &self.after_attention {
            attended = norm.forward(&attended)?;
        }
        let x = (x + attended)?;
        let mut fed = self.feed(&self.feed_norm.forward(&x)?, at.config.activation)?;
        if let Some(norm) = &self.after_feed {
            fed = norm.forward(&fed)?;
        }
        x + fed
    }

    fn feed(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let (gate, up) = match &self.gated {
            Gated::Split(gate, up) => (gate.forward(x)?, up.forward(x)?),
            Gated::Fused(both) => {
                let both = both.forward(x)?;
                let half = both.dim(2)? / 2;
                (both.narrow(2, 0, half)?.contiguous()?, both.narrow(2, half, half)?.contiguous()?)
            }
        };
        let gate = match activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        self.down.forward(&(gate * up)?)
    }

    fn attend(&mut self, x: &Tensor, rope: &Rope, at: &At<'_>) -> Result<Tensor> {
        let shape = at.config;
        let (wide, narrow) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        let (query, key, value) = match &self.projection {
            Projection::Split(query, key, value) => {
                (query.forward(x)?, key.forward(x)?, value.forward(x)?)
            }
            Projection::Fused(all) => {
                let all = all.forward(x)?;
                (
                    all.narrow(2, 0, wide)?.contiguous()?,
                    all.narrow(2, wide, narrow)?.contiguous()?,
                    all.narrow(2, wide + narrow, narrow)?.contiguous()?,
                )
            }
        };
        let mut query = query.reshape((1, at.count, shape.heads, shape.head_dim))?;
        let mut key = key.reshape((1, at.count, shape.kv_heads, shape.head_dim))?;
        let value = value.reshape((1, at.count, shape.kv_heads, shape.head_dim))?;
        if let (Some(of_query), Some(of_key)) = (&self.query_norm, &self.key_norm) {
            query = of_query.forward(&query)?;
            key = of_key.forward(&key)?;
        }
        let query = rotate(&query, rope, at)?;
        let key = rotate(&key, rope, at)?;
        let (Some(keys), Some(values)) = (&self.keys, &self.values) else {
            candle_core::bail!("no room in the cache");
        };
        keys.slice_set(&key, 1, at.start)?;
        values.slice_set(&value, 1, at.start)?;
        let end = at.start + at.count;
        let (keys, values) = (keys.narrow(1, 0, end)?, values.narrow(1, 0, end)?);
        let mask = match self.window {
            Some(window) if end > window => AttnMask::Mask(window_mask(at, window)?),
            _ => AttnMask::causal_with_offset(at.start),
        };
        let scale = shape.attention_scale;
        let mixed = flash_attn::<f32>(&query, &keys, &values, scale, mask, None, None)?;
        // (1, heads, count, dim) to (1, count, heads * dim).
        let mixed = mixed.transpose(1, 2)?.reshape((1, at.count, wide))?;
        self.output.forward(&mixed)
    }
}

/// What a query may see where a layer does not see all the way back.
fn window_mask(at: &At<'_>, window: usize) -> Result<Tensor> {
    let end = at.start + at.count;
    let mut mask = vec![f32::NEG_INFINITY; at.count * end];
    for (row, seen) in mask.chunks_exact_mut(end).enumerate() {
        let position = at.start + row;
        for cell in seen.iter_mut().take(position + 1).skip((position + 1).saturating_sub(window)) {
            *cell = 0.0;
        }
    }
    Tensor::from_vec(mask, (at.count, end), &Device::Cpu)
}

/// Rotates (1, count, heads, dim) by position.
fn rotate(x: &Tensor, rope: &Rope, at: &At<'_>) -> Result<Tensor> {
    let cos = rope.cos.narrow(0, at.start, at.count)?;
    let sin = rope.sin.narrow(0, at.start, at.count)?;
    match at.config.rotation {
        Rotation::Halves => rope_thd(x, &cos, &sin),
        Rotation::Pairs => {
            let (_, count, heads, dim) = x.dims4()?;
            if count == 1 {
                let x = x.reshape((1, heads, 1, dim))?;
                return rope_i(&x, &cos, &sin)?.reshape((1, 1, heads, dim));
            }
            let x = x.transpose(1, 2)?.contiguous()?;
            rope_i(&x, &cos, &sin)?.transpose(1, 2)?.contiguous()
        }
    }
}

type Loaded<T> = std::result::Result<T, Box<ApiError>>;

fn matrix(gguf: &mut Gguf, name: &str) -> Loaded<QMatMul> {
    let tensor = gguf.tensor(name)?;
    fast(tensor).and_then(QMatMul::from_qtensor).map_err(|e| gguf.unsupported(e))
}

/// Forms without a vectorised kernel in candle become 8-bit ones, which have
/// one; the values change by less than half a per cent of their block's
/// largest.
fn fast(tensor: QTensor) -> Result<QTensor> {
    match tensor.dtype() {
        GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_1 => {
            QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)
        }
        _ => Ok(tensor),
    }
}

fn linear(gguf: &mut Gguf, name: &str) -> Loaded<Linear> {
    let bias = format!("{name}.bias");
    let bias = if gguf.has(&bias) { Some(gguf.floats_of(&bias)?) } else { None };
    Ok(Linear { weight: matrix(gguf, &format!("{name}.weight"))?, bias })
}

fn norm(gguf: &mut Gguf, name: &str, config: &Config) -> Loaded<Norm> {
    Ok(Norm { weight: gguf.floats_of(name)?, epsilon: config.epsilon })
}

fn optional_norm(gguf: &mut Gguf, name: &str, config: &Config) -> Loaded<Option<Norm>> {
    if gguf.has(name) { norm(gguf, name, config).map(Some) } else { Ok(None) }
}

fn layer(gguf: &mut Gguf, config: &Config, at: usize) -> Loaded<Layer> {
    let name = |part: &str| format!("blk.{at}.{part}");
    let projection = if gguf.has(&name("attn_qkv.weight")) {
        Projection::Fused(linear(gguf, &name("attn_qkv"))?)
    } else {
        Projection::Split(
            linear(gguf, &name("attn_q"))?,
            linear(gguf, &name("attn_k"))?,
            linear(gguf, &name("attn_v"))?,
        )
    };
    let gated = if gguf.has(&name("ffn_gate.weight")) {
        Gated::Split(linear(gguf, &name("ffn_gate"))?, linear(gguf, &name("ffn_up"))?)
    } else {
        Gated::Fused(linear(gguf, &name("ffn_up"))?)
    };
    Ok(Layer {
        attention_norm: norm(gguf, &name("attn_norm.weight"), config)?,
        projection,
        query_norm: optional_norm(gguf, &name("attn_q_norm.weight"), config)?,
        key_norm: optional_norm(gguf, &name("attn_k_norm.weight"), config)?,
        output: linear(gguf, &name("attn_output"))?,
        after_attention: optional_norm(gguf, &name("post_attention_norm.weight"), config)?,
        feed_norm: norm(gguf, &name("ffn_norm.weight"), config)?,
        gated,
        down: linear(gguf, &name("ffn_down"))?,
        after_feed: optional_norm(gguf, &name("post_ffw_norm.weight"), config)?,
        window: config.window_of(at),
        keys: None,
        values: None,
    })
}
