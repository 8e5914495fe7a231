//! Serving HTTP: from a listening socket to a service, and to the end of the
//! last answer.
//!
//! [`accept`] takes connections and deals them out to [`workers`], one thread
//! with its own runtime per core, so that an exchange never crosses threads.
//! A [`connection`] speaks HTTP/1.1 or HTTP/2 under the limits of
//! [`timed_io`]; [`drain`] ends it all in order. What a request means is the
//! service's business.

pub mod accept;
pub mod activity;
pub mod body;
pub mod connection;
pub mod drain;
pub mod lag;
pub mod timed_io;
pub mod tls;
pub mod workers;

#[cfg(test)]
mod tests;
