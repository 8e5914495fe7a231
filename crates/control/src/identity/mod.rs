//! Who: virtual keys, the groups and tenants that they are in.

pub(crate) mod bearer;
mod principal;
mod registry;
mod routes;
mod snapshot;
mod stored;
pub(crate) mod tree;

pub use bearer::KeyHash;
pub use principal::{Key, Principal};
pub(crate) use registry::{Principals, Registry};
pub use routes::{Routes, RoutesError};
pub(crate) use snapshot::Snapshot;
pub(crate) use stored::{group_from_row, group_to_row, key_from_row, key_to_row};
pub use tree::{Group, TreeError};

/// The most gates that an exchange passes: its key's, its groups', its
/// tenant's.
pub(crate) const GATES_MAX: usize = 1 + tree::DEPTH_MAX + 1;
