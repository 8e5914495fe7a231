//! What managing does.
