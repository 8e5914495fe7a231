//! What a GGUF file says about the shape of its model.

use freehold_llm::model::ApiError;

use super::gguf::Gguf;

/// Which dimensions the rotary embedding pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Neighbours: 2i with 2i+1 (how `llama` files are laid out).
    Pairs,
    /// Halves: i with i + d/2.
    Halves,
}

/// The function on the gate of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// The tanh form of the Gaussian error unit.
    Gelu,
}

/// The shape of a decoder.
pub(crate) struct Config {
    /// How many layers.
    pub(crate) layers: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads.
    pub(crate) kv_heads: usize,
    /// Width of a head.
    pub(crate) head_dim: usize,
    /// Added to the variance in norms.
    pub(crate) epsilon: f32,
    /// The most positions.
    pub(crate) context: usize,
    /// Pairing of the rotary embedding.
    pub(crate) rotation: Rotation,
    /// Angle per position, one a pair.
    pub(crate) frequencies: Vec<f32>,
    /// The same in the layers with a window, where it differs.
    pub(crate) local_frequencies: Option<Vec<f32>>,
    /// How far back the layers with a window see.
    window: Option<usize>,
    /// Each n-th layer sees all the way back.
    global_every: usize,
    /// What embeddings are multiplied by.
    pub(crate) embedding_scale: Option<f64>,
    /// What attention scores are multiplied by.
    pub(crate) attention_scale: f32,
    /// Of the feed-forward part.
    pub(crate) activation: Activation,
}

impl Config {
    /// Reads the shape; `context` bounds the positions.
    pub(crate) fn read(gguf: &mut Gguf, context: usize) -> Result<Self, Box<ApiError>> {
        let architecture = gguf.architecture().to_owned();
        let (rotation, activation) = match architecture.as_str() {
            "llama" => (Rotation::Pairs, Activation::Silu),
            "qwen2" | "qwen3" | "phi3" => (Rotation::Halves, Activation::Silu),
            "gemma3" => (Rotation::Halves, Activation::Gelu),
            other => {
                return Err(gguf.unsupported(format!(
                    "its architecture is {other:?}, and the engine knows llama, qwen2, qwen3, \
                     gemma3 and phi3"
                )));
            }
        };
        if gguf.arch_number("expert_count").unwrap_or(0) > 0 {
            return Err(gguf.unsupported("mixtures of experts are not supported"));
        }
        let gemma = architecture == "gemma3";
        let hidden = gguf.need("embedding_length")?;
        let heads = gguf.need("attention.head_count")?;
        let kv_heads = gguf.arch_number("attention.head_count_kv").unwrap_or(heads).max(1);
        let head_dim = gguf.arch_number("attention.key_length").unwrap_or(hidden / heads);
        let rotated = gguf.arch_number("rope.dimension_count").unwrap_or(head_dim);
        if rotated != head_dim
            || head_dim == 0
            || !head_dim.is_multiple_of(2)
            || !heads.is_multiple_of(kv_heads)
        {
            return Err(gguf.unsupported(format!(
                "{heads} heads of {head_dim} over {kv_heads} with {rotated} of them rotated"
            )));
        }
        let own_context = gguf.need("context_length")?;
        let base = gguf.arch_float("rope.freq_base").unwrap_or(10_000.0);
        let frequencies = frequencies(gguf, base, head_dim)?;
        Ok(Self {
            layers: gguf.need("block_count")?,
            heads,
            kv_heads,
            head_dim,
            epsilon: gguf.arch_float("attention.layer_norm_rms_epsilon").unwrap_or(1e-6),
            context: own_context.min(context.max(1)),
            rotation,
            frequencies,
            local_frequencies: gemma.then(|| plain_frequencies(10_000.0, head_dim)),
            window: gguf.arch_number("attention.sliding_window").filter(|_| gemma),
            global_every: 6,
            #[expect(clippy::cast_precision_loss, reason = "a width, far below 2^52")]
            embedding_scale: gemma.then(|| (hidden as f64).sqrt()),
            #[expect(clippy::cast_precision_loss, reason = "a width, far below 2^24")]
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            activation,
        })
    }

    /// How far back a layer sees; `None` is all the way.
    pub(crate) fn window_of(&self, layer: usize) -> Option<usize> {
        self.window.filter(|_| !(layer + 1).is_multiple_of(self.global_every))
    }
}

fn plain_frequencies(base: f32, dim: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "a width, far below 2^24")]
    (0..dim / 2).map(|pair| base.powf(-2.0 * pair as f32 / dim as f32)).collect()
}

fn frequencies(gguf: &mut Gguf, base: f32, dim: usize) -> Result<Vec<f32>, Box<ApiError>> {
    let mut frequencies = plain_frequencies(base, dim);
    match gguf.text(&format!("{}.rope.scaling.type", gguf.architecture())) {
        None | Some("none" | "") => {}
        Some("linear") => {
            let factor = gguf.arch_float("rope.scaling.factor").unwrap_or(1.0).max(1.0);
            for frequency in &mut frequencies {
                *frequency /= factor;
            }
        }
        Some(other) => {
            let message = format!("position scaling {other} is not supported");
            return Err(gguf.unsupported(message));
        }
    }
    // Llama 3's scaling comes as a divisor a pair.
    if gguf.has("rope_freqs.weight") {
        let divisors: Vec<f32> = gguf
            .floats_of("rope_freqs.weight")?
            .flatten_all()
            .and_then(|t| t.to_vec1())
            .map_err(|e| gguf.unsupported(e))?;
        for (frequency, divisor) in frequencies.iter_mut().zip(divisors) {
            *frequency /= divisor;
        }
    }
    if gguf.has("rope_factors_short.weight") {
        return Err(gguf.unsupported("the long-context form of phi3 is not supported"));
    }
    Ok(frequencies)
}
