//! The real binary, as a person or a service manager runs it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it is a test through and through, its functions without the attribute too"
)]

mod backup;
mod bundle;
mod chat;
mod config;
mod keys;
mod lifecycle;
mod postgres;
#[path = "../../../store/tests/server/launch.rs"]
mod postgres_server;
mod restore;
mod running;
mod secrets;
