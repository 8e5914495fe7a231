//! Who may do what, at what price: keys, limits, budgets and the books.
//!
//! Everything that an exchange waits for is in memory here: a key is known or
//! not, a limit has room or not, a budget can pay or not. What must last is
//! written through the store first (keys, groups, budgets) or follows by the
//! usage writer (what was spent). No SQL, no HTTP and no provider's name may
//! enter; time and chance come in through [`freehold_types::Env`].
//!
//! To add a limit: a cell in [`Limits`], its arithmetic in `limits/`, its code
//! in [`freehold_types::Code`], and a line in `Admission::admit`'s order.

pub mod prices;
pub mod vault;

mod admission;
mod budget;
mod control;
mod error;
mod glob;
mod identity;
mod limits;
mod manage;
mod refusal;
mod scope;
#[cfg(test)]
mod testing;
mod together;
mod usage;

pub use admission::{
    Admission, AdmissionCounts, AdmissionSettings, Ask, Settled, Ticket, Unpriced,
};
pub use budget::{Budget, Standing, Window};
pub use control::{CLOSE_MAX, Control, Settings, Started};
pub use error::Error;
pub use freehold_store::budgets::{Period, PeriodError};
pub use identity::{Group, Key, KeyHash, Principal, Routes, RoutesError, TreeError};
pub use limits::{Adaptive, AdaptiveSettings, Head, Limits, Waiting};
pub use manage::{Issued, KeyChange, NewBudget, NewKey};
pub use refusal::Refusal;
pub use scope::Scope;
pub use together::{REFRESH, Spenders};
pub use usage::{
    Durability, Flush, Lost, Settlement, Tokens, UsageCounts, UsageSettings, UsageWriter,
    WhenStoreDown,
};
