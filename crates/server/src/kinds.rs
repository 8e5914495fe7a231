//! The provider kinds that a configuration may name.

use freehold_gateway::options::Kind;

/// Every kind there is.
pub fn kinds() -> &'static [Kind<'static>] {
    todo!()
}
