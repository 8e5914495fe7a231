//! The real binary, as a person or a service manager runs it.

mod config;
mod keys;
mod lifecycle;
mod running;
