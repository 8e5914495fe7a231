//! The vocabulary of a GGUF file: what bytes each token stands for.

use std::collections::HashMap;

use freehold_llm::model::ApiError;

use super::gguf::Gguf;

/// What kind of token an id is (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A piece of text.
    Normal,
    /// A mark of the chat format; never text.
    Control,
    /// Text that is always one token.
    UserDefined,
    /// Stands for nothing.
    Unused,
}

/// Which algorithm the pieces belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Byte-level BPE: each byte is written as one printable character.
    ByteLevel,
    /// SentencePiece: `▁` for a space, `<0xNN>` for a byte.
    SentencePiece,
}

/// The vocabulary.
pub(crate) struct Vocab {
    /// The pieces as the file writes them.
    pub(crate) pieces: Vec<String>,
    /// The bytes of each token; a control token's are its name.
    pub(crate) bytes: Vec<Vec<u8>>,
    /// The kind of each.
    pub(crate) kinds: Vec<TokenKind>,
    /// The algorithm.
    pub(crate) family: Family,
    /// The token that ends an answer in the grammar's eyes.
    pub(crate) eos: u32,
    /// Every token that ends an answer, sorted.
    pub(crate) ends: Vec<u32>,
    /// The token a text starts with.
    pub(crate) bos: Option<u32>,
    /// Whether a prompt must start with it.
    pub(crate) add_bos: bool,
}

const TOKENS_MAX: usize = 1 << 20;

/// Control tokens that end a turn in the chat formats in use.
const END_NAMES: &[&str] = &[
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|end|>",
    "</s>",
    "<eos>",
];

impl Vocab {
    /// Reads the vocabulary out of the header.
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, Box<ApiError>> {
        let family = match gguf.text("tokenizer.ggml.model") {
            Some("gpt2") => Family::ByteLevel,
            Some("llama" | "gemma") => Family::SentencePiece,
            other => {
                return Err(gguf.unsupported(format!(
                    "its tokenizer is {}, and only gpt2 (byte-level BPE) and llama \
                     (SentencePiece) are known",
                    other.unwrap_or("missing")
                )));
            }
        };
        let pieces: Vec<String> = gguf
            .texts("tokenizer.ggml.tokens")
            .ok_or_else(|| gguf.unsupported("tokenizer.ggml.tokens is missing"))?
            .into_iter()
            .map(str::to_owned)
            .collect();
        if pieces.is_empty() || pieces.len() > TOKENS_MAX {
            return Err(gguf.unsupported(format!("a vocabulary of {} tokens", pieces.len())));
        }
        let types = gguf.numbers("tokenizer.ggml.token_type").unwrap_or_default();
        let kinds: Vec<TokenKind> = (0..pieces.len())
            .map(|at| match types.get(at) {
                Some(2 | 5) => TokenKind::Unused,
                Some(3) => TokenKind::Control,
                Some(4) => TokenKind::UserDefined,
                _ => TokenKind::Normal,
            })
            .collect();
        let bytes = pieces
            .iter()
            .zip(&kinds)
            .map(|(piece, kind)| match (kind, family) {
                (TokenKind::Normal, Family::ByteLevel) => byte_level(piece),
                (TokenKind::Normal | TokenKind::UserDefined, Family::SentencePiece) => {
                    sentence_piece(piece)
                }
                _ => piece.as_bytes().to_vec(),
            })
            .collect();
        Self::with_ends(gguf, pieces, bytes, kinds, family)
    }

    fn with_ends(
        gguf: &Gguf,
        pieces: Vec<String>,
        bytes: Vec<Vec<u8>>,
        kinds: Vec<TokenKind>,
        family: Family,
    ) -> Result<Self, Box<ApiError>> {
        let id = |name: &str| {
            gguf.number(&format!("tokenizer.ggml.{name}"))
                .filter(|id| *id < pieces.len())
                .and_then(|id| u32::try_from(id).ok())
        };
        let eos = id("eot_token_id").or_else(|| id("eos_token_id"));
        let eos = eos.ok_or_else(|| gguf.unsupported("tokenizer.ggml.eos_token_id is missing"))?;
        let mut ends: Vec<u32> = (0u32..)
            .zip(&pieces)
            .zip(&kinds)
            .filter(|((_, piece), kind)| {
                **kind == TokenKind::Control && END_NAMES.contains(&piece.as_str())
            })
            .map(|((id, _), _)| id)
            .collect();
        ends.extend([Some(eos), id("eos_token_id")].into_iter().flatten());
        ends.sort_unstable();
        ends.dedup();
        let bos = id("bos_token_id");
        let add_bos =
            gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(family == Family::SentencePiece);
        Ok(Self { pieces, bytes, kinds, family, eos, ends, bos, add_bos })
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The bytes of a token; none for an id beyond the vocabulary.
    pub(crate) fn bytes_of(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether a token ends an answer.
    pub(crate) fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// Whether a token is a control token.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.kinds.get(id as usize) == Some(&TokenKind::Control)
    }

    /// The name of a token, for templates.
    pub(crate) fn name(&self, id: Option<u32>) -> &str {
        id.and_then(|id| self.pieces.get(id as usize)).map_or("", String::as_str)
    }
}

/// The bytes that a piece of byte-level BPE stands for: printable Latin-1
/// characters are themselves, the other bytes are characters from U+0100 on,
/// in order (GPT-2's `bytes_to_unicode`).
fn byte_level(piece: &str) -> Vec<u8> {
    piece
        .chars()
        .flat_map(|c| match byte_of(c) {
            Some(byte) => vec![byte],
            None => c.to_string().into_bytes(),
        })
        .collect()
}

fn is_printed(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

fn byte_of(c: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(u32::from(c)) {
        return is_printed(byte).then_some(byte);
    }
    let at = u32::from(c).checked_sub(0x100)?;
    (0..=u8::MAX).filter(|byte| !is_printed(*byte)).nth(usize::try_from(at).ok()?)
}

fn sentence_piece(piece: &str) -> Vec<u8> {
    if let Some(hex) = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'))
        && let Ok(byte) = u8::from_str_radix(hex, 16)
    {
        return vec![byte];
    }
    piece.replace('\u{2581}', " ").into_bytes()
}

/// The pieces' ids by name.
pub(crate) fn ids(pieces: &[String]) -> HashMap<&str, u32> {
    pieces.iter().map(String::as_str).zip(0u32..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_level_pieces_are_turned_back_into_bytes() {
        assert_eq!(byte_level("Ġhi"), b" hi");
        assert_eq!(byte_level("Ċ"), b"\n");
        // The two bytes of "é", each as its own character.
        assert_eq!(byte_level("Ã©"), "é".as_bytes());
        let all: Vec<u8> = ('\u{0}'..='\u{143}').filter_map(byte_of).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn sentence_pieces_know_spaces_and_bytes() {
        assert_eq!(sentence_piece("▁hi"), b" hi");
        assert_eq!(sentence_piece("<0x0A>"), b"\n");
        assert_eq!(sentence_piece("<0xZZ>"), b"<0xZZ>");
    }
}
