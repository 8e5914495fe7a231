//! Behaviour over whole requests, answers and streams.
