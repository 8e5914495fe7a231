//! The binary `freehold`: command line, configuration, wiring, the doors to
//! the world and one folder per wire surface.
//!
//! What has a status code or reads a file, a flag or a variable is here;
//! nothing here decides who may do what, what it costs or who answers.

pub mod admin;
pub mod admin_key;
pub mod app;
pub mod backup;
pub mod config;
pub mod data_folder;
pub mod edge;
pub mod env;
pub mod fsck;
pub mod http;
pub mod kinds;
#[cfg(feature = "local")]
pub mod local_engine;
pub mod master_key;
pub mod metrics_text;
pub mod offline;
pub mod ops;
pub mod out;
pub mod problem;
pub mod request_id;
pub mod resident;
pub mod serve;
pub mod surface;
mod sweep;
pub mod telemetry;
mod together;
