//! The toolbox against real servers.

mod builtins;
mod everything;
mod http;
mod mcp;
mod oauth;
mod server;
mod world;
