//! What the process says about itself: logs and traces.

pub mod logs;
