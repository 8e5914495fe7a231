//! The page of what cannot cross, which the codecs write.

use std::path::Path;

use anyhow::{Context as _, Result};
use freehold_llm::format::CODECS;

const PAGE: &str = "docs/losses.md";

fn page() -> String {
    freehold_llm::losses::table(CODECS).to_markdown()
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<()> {
    std::fs::write(root.join(PAGE), page()).with_context(|| format!("cannot write {PAGE}"))
}

/// True if the page is there and as the codecs have it.
pub(crate) fn is_current(root: &Path) -> bool {
    std::fs::read_to_string(root.join(PAGE)).is_ok_and(|there| there == page())
}
