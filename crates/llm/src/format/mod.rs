//! One folder per dialect. The only place that names a vendor's JSON field.

use crate::Codec;

pub mod json;

/// The codecs, one a dialect, in the order of [`crate::Dialect::ALL`].
pub static CODECS: &[&dyn Codec] = &[];
