//! Keys that seal what must not be read where it is kept.
//!
//! One master key, which the store never sees, seals a random key for each
//! tenant; that one seals the tenant's credentials and the keys of its
//! sessions' content. So a new master key means that only the tenants' keys
//! are sealed anew, and whoever has the database alone has nothing. No key
//! here can be printed.

mod cell;
mod keyring;
mod master;
mod seal;

pub use cell::{CellKey, CellPublicKey, CellPublicKeyError, CellSignature, CellSignatureError};
pub use keyring::{Keyring, Sealed};
pub use master::{MasterKey, MasterKeyError};
pub use seal::{KeyBytes, OVERHEAD, SealKey, Unsealable};
