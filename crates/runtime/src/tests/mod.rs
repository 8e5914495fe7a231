//! Tests over more than one module: the journal's bytes, tables of decisions,
//! and sessions by chance.

mod client;
mod decisions;
pub(crate) mod desk;
mod journal;
pub(crate) mod random;
