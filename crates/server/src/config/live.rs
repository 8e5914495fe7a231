//! A value that may be replaced while it is read.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// The value in force. Reading takes no lock; a reader keeps what it has read
/// for as long as it holds it.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Live<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// What is in force, for a short look.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// What is in force, to keep.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts `value` in force for everyone who reads from now on.
    pub fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}
