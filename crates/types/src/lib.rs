//! The nouns of Freehold and the traits of its four doors to the world.
//!
//! Nothing in here does IO or knows an async runtime: ids, money and time are
//! plain values, and a door is a trait over std futures. The real doors are
//! wired in `server`, the simulated ones in tests.
//!
//! To add a noun: one file, one type, its tests below it. A noun with
//! behaviour that only one room needs belongs to that room.

mod blobs;
mod code;
mod db;
mod env;
mod error;
mod ids;
mod money;
mod offset;
mod page;
mod secret;
mod tenant;
mod transport;

pub use blobs::{BLOB_BYTES_MAX, BlobEntry, BlobError, BlobName, BlobNameError, BlobScope, Blobs};
pub use code::Code;
pub use db::{
    Db, DbError, FromValue, Guard, MAX_ROWS, Proof, Row, Statement, Unit, UnitReceipt, Value,
};
pub use env::{BoxFuture, Env};
pub use error::ErrorKind;
pub use ids::{
    ApprovalId, BudgetId, CallId, ExchangeId, IdError, KeyId, NodeId, SessionId, TimerId, TurnId,
    UnitId,
};
pub use money::{CostSum, Money, MoneyError, Rate, Rounding};
pub use offset::Offset;
pub use page::{Page, PageRequest};
pub use secret::Secret;
pub use tenant::{GroupId, KeyName, NameError, TenantId};
pub use transport::{
    BodyError, BoxBody, Target, Timeouts, Transport, TransportError, TransportFault, WireBody,
    WireRequest, WireResponse,
};
