//! Whole worlds in one thread: several nodes over one store, with clients,
//! models and tools, in which everything that may go wrong does. For tests
//! only.
//!
//! A world has one seed. All chance comes from it, time passes only when
//! nothing else can happen, and each node's tasks run on a runtime of their
//! own that the world lets run, holds or drops; so a run is the same each
//! time, and a failure is a number. Faults come through the doors (`Env`,
//! `Db`, `Models`, `Tools`) and nowhere else.
//!
//! - `stage` runs a world, `setup` draws it, `faults` says what breaks;
//! - `clock`, `machine`, `env`, `db`, `net` are the physics;
//! - `models`, `tools` and `outside` are what a session works with;
//! - `clients`, `seldom`, `listeners`, `chaos`, `closing` are what happens to it;
//! - `fixed` is a story of which each commit fails in turn;
//! - `weeks` is one long story over schemas that change, without chance;
//! - `tally` counts what occurs, so that nothing is missing unnoticed;
//! - `check` says what must be true, `mutation` plants bugs to see that it is
//!   noticed when it is not.

mod blobs;
mod book;
mod chaos;
mod check;
mod clients;
mod clock;
mod closing;
mod db;
mod env;
mod faults;
mod fixed;
mod journal;
mod listeners;
mod machine;
mod models;
mod mutation;
mod net;
mod outside;
mod random;
mod seldom;
mod setup;
mod stage;
mod story;
mod tally;
mod tools;
mod weeks;
mod world;

pub use faults::Way;
pub use mutation::Mutation;
pub use setup::Setup;
pub use stage::{Outcome, Stage, seed_of, watch_panics};
pub use tally::{FAULTS, Tally};
pub use weeks::{Break, Tale, Weeks, told};
