//! The toolbox against real servers.

mod builtins;
mod everything;
mod http;
mod mcp;
mod server;
mod world;
