//! Lists of words that other crates define, as they stand in a file.

use freehold_llm::Dialect;
use serde::de::{Deserialize, Deserializer, Error};

/// One dialect, by its word.
pub(super) fn dialect<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Dialect>, D::Error> {
    one(&String::deserialize(from)?).map(Some)
}

/// A list of dialects, by their words.
pub(super) fn dialects<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<Dialect>>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    words.iter().map(|word| one(word)).collect::<Result<_, _>>().map(Some)
}

fn one<E: Error>(word: &str) -> Result<Dialect, E> {
    Dialect::from_word(word).ok_or_else(|| {
        let known: Vec<String> =
            Dialect::ALL.iter().map(|known| format!("`{}`", known.word())).collect();
        E::custom(format!("`{word}` is no dialect: write one of {}", known.join(", ")))
    })
}
