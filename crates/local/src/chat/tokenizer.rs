//! Text to tokens, by the rules that the GGUF file names.

use std::collections::HashMap;
use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use freehold_llm::model::ApiError;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{NFC, NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::gguf::Gguf;
use super::vocab::{Family, TokenKind, Vocab, ids};
use crate::error;

/// Breaks the name of a control token that stands in somebody's text, so that
/// it is read as text. A noncharacter: no honest text has it.
pub(crate) const BREAK: char = '\u{FDD0}';

/// Encodes prompts.
pub(crate) struct PromptTokenizer {
    text: Tokenizer,
    special: AhoCorasick,
    special_ids: Vec<u32>,
    control: AhoCorasick,
    bos: Option<u32>,
}

impl PromptTokenizer {
    /// Builds the tokenizer, from `tokenizer.json` beside the GGUF file if
    /// there is one, else from the file's own metadata.
    pub(crate) fn new(gguf: &Gguf, vocab: &Vocab) -> Result<Self, Box<ApiError>> {
        let beside = gguf.path().with_file_name("tokenizer.json");
        let mut text = if beside.is_file() {
            from_json(&beside)?
        } else {
            match vocab.family {
                Family::ByteLevel => byte_level(gguf, vocab)?,
                Family::SentencePiece => sentence_piece(gguf, vocab)?,
            }
        };
        text.set_encode_special_tokens(true);
        let named = |kinds: &[TokenKind]| -> Vec<(u32, &str)> {
            (0u32..)
                .zip(&vocab.pieces)
                .zip(&vocab.kinds)
                .filter(|((_, piece), kind)| kinds.contains(kind) && !piece.is_empty())
                .map(|((id, piece), _)| (id, piece.as_str()))
                .collect()
        };
        let special = named(&[TokenKind::Control, TokenKind::UserDefined]);
        let automaton = |names: Vec<&str>| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(names)
                .map_err(|e| gguf.unsupported(format!("its special tokens: {e}")))
        };
        let control = named(&[TokenKind::Control]);
        Ok(Self {
            text,
            special_ids: special.iter().map(|(id, _)| *id).collect(),
            special: automaton(special.into_iter().map(|(_, name)| name).collect())?,
            control: automaton(control.into_iter().map(|(_, name)| name).collect())?,
            bos: vocab.bos.filter(|_| vocab.add_bos),
        })
    }

    /// Text from outside, with the names of control tokens broken.
    pub(crate) fn defuse(&self, text: &str) -> String {
        let text = text.replace(BREAK, "");
        let mut out = String::with_capacity(text.len());
        self.control.replace_all_with(&text, &mut out, |_, name, out| {
            let mut chars = name.chars();
            out.extend(chars.next());
            out.push(BREAK);
            out.push_str(chars.as_str());
            true
        });
        out
    }

    /// A rendered prompt as tokens: the names of special tokens are those
    /// tokens, all else is text.
    pub(crate) fn encode(&self, prompt: &str) -> Result<Vec<u32>, Box<ApiError>> {
        let mut tokens = Vec::with_capacity(prompt.len() / 3 + 8);
        let mut from = 0;
        for found in self.special.find_iter(prompt) {
            self.encode_text(prompt.get(from..found.start()), &mut tokens)?;
            tokens.extend(self.special_ids.get(found.pattern().as_usize()));
            from = found.end();
        }
        self.encode_text(prompt.get(from..), &mut tokens)?;
        if let Some(bos) = self.bos
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    fn encode_text(&self, text: Option<&str>, out: &mut Vec<u32>) -> Result<(), Box<ApiError>> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
        let text = text.replace(BREAK, "");
        let encoding = self.text.encode_fast(text, false).map_err(error::internal)?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}

fn from_json(path: &Path) -> Result<Tokenizer, Box<ApiError>> {
    Tokenizer::from_file(path)
        .map_err(|e| error::load(path, e, "Remove it to use the tokenizer in the GGUF file."))
}

const SPLIT_QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SPLIT_LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text is cut into words before the merges (`tokenizer.ggml.pre`).
fn words(gguf: &Gguf) -> Result<PreTokenizerWrapper, Box<ApiError>> {
    let by = |pattern: &str| -> Result<PreTokenizerWrapper, Box<ApiError>> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(error::internal)?;
        Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, false, false).into()]).into())
    };
    match gguf.text("tokenizer.ggml.pre").unwrap_or("gpt-2") {
        "gpt-2" | "default" => Ok(ByteLevel::new(false, false, true).into()),
        "smollm" => Ok(Sequence::new(vec![
            Digits::new(true).into(),
            ByteLevel::new(false, false, true).into(),
        ])
        .into()),
        "qwen2" => by(SPLIT_QWEN2),
        "llama-bpe" | "llama3" | "smaug-bpe" | "lfm2" => by(SPLIT_LLAMA3),
        other => Err(gguf.unsupported(format!(
            "its pre-tokenizer {other} is not known (the model's tokenizer.json, put beside \
             the file, is used instead)"
        ))),
    }
}

fn byte_level(gguf: &Gguf, vocab: &Vocab) -> Result<Tokenizer, Box<ApiError>> {
    let merges = gguf
        .texts("tokenizer.ggml.merges")
        .ok_or_else(|| gguf.unsupported("tokenizer.ggml.merges is missing"))?
        .into_iter()
        .map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| gguf.unsupported("a merge without a space"))?;
    let bpe = BPE::builder()
        .vocab_and_merges(by_name(vocab), merges)
        .ignore_merges(gguf.flag("tokenizer.ggml.ignore_merges").unwrap_or_else(|| {
            // Llama 3's own tokenizer.json sets it; GGUF files do not say.
            gguf.text("tokenizer.ggml.pre") == Some("llama-bpe")
        }))
        .build()
        .map_err(|e| gguf.unsupported(format!("its vocabulary: {e}")))?;
    let mut tokenizer = Tokenizer::new(bpe);
    if gguf.text("tokenizer.ggml.pre") == Some("qwen2") {
        set_normalizer(&mut tokenizer, NFC.into())?;
    }
    tokenizer.with_pre_tokenizer(Some(words(gguf)?));
    Ok(tokenizer)
}

fn set_normalizer(tokenizer: &mut Tokenizer, with: NormalizerWrapper) -> Result<(), Box<ApiError>> {
    tokenizer.with_normalizer(Some(with)).map_err(error::internal)?;
    Ok(())
}

fn by_name(vocab: &Vocab) -> tokenizers::models::bpe::Vocab {
    ids(&vocab.pieces).into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect()
}

/// SentencePiece's BPE as merges: two pieces merge if their concatenation is
/// a piece, the one with the best score first.
fn sentence_piece(gguf: &Gguf, vocab: &Vocab) -> Result<Tokenizer, Box<ApiError>> {
    let scores = gguf
        .floats("tokenizer.ggml.scores")
        .filter(|scores| scores.len() == vocab.len())
        .ok_or_else(|| gguf.unsupported("tokenizer.ggml.scores is missing"))?;
    let ids: HashMap<&str, u32> = ids(&vocab.pieces);
    let mut merges: Vec<(f32, u32, u32, &str, &str)> = Vec::new();
    for ((piece, kind), score) in vocab.pieces.iter().zip(&vocab.kinds).zip(&scores) {
        if *kind != TokenKind::Normal {
            continue;
        }
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(l), Some(r)) = (ids.get(left), ids.get(right)) {
                merges.push((*score, *l, *r, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let merges = merges.into_iter().map(|m| (m.3.to_owned(), m.4.to_owned())).collect();
    let unknown = vocab
        .name(gguf.number("tokenizer.ggml.unknown_token_id").and_then(|id| u32::try_from(id).ok()));
    let mut builder =
        BPE::builder().vocab_and_merges(by_name(vocab), merges).fuse_unk(true).byte_fallback(true);
    if !unknown.is_empty() {
        builder = builder.unk_token(unknown.to_owned());
    }
    let bpe = builder.build().map_err(|e| gguf.unsupported(format!("its vocabulary: {e}")))?;
    let mut tokenizer = Tokenizer::new(bpe);
    let space: NormalizerWrapper = Replace::new(" ", "\u{2581}").map_err(error::internal)?.into();
    let mut steps = vec![space];
    if gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
        steps.insert(0, Prepend::new("\u{2581}".to_owned()).into());
    }
    set_normalizer(&mut tokenizer, Normalizers::new(steps).into())?;
    Ok(tokenizer)
}
