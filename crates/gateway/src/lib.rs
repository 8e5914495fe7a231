//! One exchange with a model: admit, route, attempt, fail over, settle.
//!
//! The data plane. What picks an upstream or counts an attempt is here; what
//! an answer looks like is `llm`'s, who may ask and what it costs is
//! `control`'s. Decisions ([`route`], [`health`], [`retry`]) are plain
//! functions over values; IO sits in [`transport`] and in the bodies that
//! relay an answer.

pub mod health;
pub mod options;
pub mod retry;
pub mod route;
pub mod transport;
