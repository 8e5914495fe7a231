//! Contexts of journals: told step by step, and of journals by chance.

mod assembled;
mod chance;
mod legal;
mod paper;
