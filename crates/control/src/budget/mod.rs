//! How much in all: amounts that bound what a key, a group or a tenant spends
//! in a period.

mod account;
mod window;

pub(crate) use account::{Account, Exhausted, Others, Reservation};
pub use account::{Budget, Standing};
pub use window::Window;

#[cfg(test)]
mod tests;
