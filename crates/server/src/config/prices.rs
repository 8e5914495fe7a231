//! `[prices]`: the operator's own prices.

use std::path::PathBuf;

use freehold_control::prices::Sheet;
use serde::Deserialize;

/// The `[prices]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceSheetOptions {
    /// A price sheet that is laid over the built-in one.
    pub overlay: Option<PathBuf>,
}

/// A sheet of more than this is not one.
const SHEET_BYTES_MAX: u64 = 64 << 20;

/// The prices in force.
pub(super) fn sheet(options: &PriceSheetOptions) -> Result<Sheet, String> {
    let Some(path) = &options.overlay else { return Ok(Sheet::embedded()) };
    let fail = |reason: String| format!("prices.overlay: {}: {reason}", path.display());
    let bytes = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if bytes > SHEET_BYTES_MAX {
        return Err(fail(format!("it is larger than {SHEET_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    Sheet::with_overlay(&text).map_err(|error| fail(format!("{error} {}", error.detail())))
}
