//! The toolbox against real servers.

mod builtins;
mod http;
mod mcp;
mod server;
mod world;
