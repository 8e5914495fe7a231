//! The provider kinds that a configuration may name.

use std::sync::LazyLock;

use freehold_gateway::options::{Kind, LOCAL};
use freehold_llm::catalogue;

static KINDS: LazyLock<Vec<Kind<'static>>> = LazyLock::new(|| {
    let has_address = |name| name == LOCAL;
    catalogue::providers()
        .map(|(name, row)| Kind { name, has_address: row.base_url.is_some() || has_address(name) })
        .collect()
});

/// Every row of the catalogue.
pub fn kinds() -> &'static [Kind<'static>] {
    &KINDS
}
