//! Durable sessions.
//!
//! A session is a journal of [`event::Event`]s. [`state::State`] is what they
//! fold to, and [`decide::decide`] says which events a happening adds and
//! which [`decide::Action`]s are owed once they are durable. In here is no
//! clock, no chance, no IO and no async: all of that comes in as values, so
//! every crash and every timing is a test over values.
//!
//! To add a kind of event: a struct in its family's file under `event/`, a row
//! in the table of `event/fact.rs`, an arm in `state/apply/`, a fixture in
//! `testdata/journal/`.

pub mod answer;
pub mod archive;
pub mod bundle;
pub mod canonical;
pub mod content;
pub mod context;
pub mod decide;
pub mod event;
pub mod fsck;
pub mod gateway_models;
pub mod models;
pub mod seal;
pub mod sessions;
pub mod state;
pub mod tools;
pub mod worker;

mod node;

#[cfg(test)]
mod tests;
