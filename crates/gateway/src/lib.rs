//! One exchange: admit, route, attempt, fail over, settle.
//!
//! This is the data plane. It picks an upstream and counts an attempt; what a
//! dialect looks like is `llm`'s business, who may do what is `control`'s, and
//! status codes are `server`'s.

pub mod options;
