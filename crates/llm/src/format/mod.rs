//! One folder per dialect. The only place that names a vendor's JSON field.

pub mod json;
pub mod responses;
