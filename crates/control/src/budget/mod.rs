//! How much in all: amounts that bound what a key, a group or a tenant spends
//! in a period.

mod account;
mod period;

pub(crate) use account::{Account, Exhausted, Reservation};
pub use account::{Budget, Standing};
pub use period::{Period, PeriodError, Window};

#[cfg(test)]
mod tests;
