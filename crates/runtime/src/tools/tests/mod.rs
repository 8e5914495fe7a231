//! The toolbox against real servers.

mod builtins;
mod http;
mod server;
mod world;
