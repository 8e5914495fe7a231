//! Reads the secrets that a configuration refers to.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use freehold_gateway::options::{SecretRef, Secrets};
use freehold_types::Secret;

/// A secret is a line, not a file of unknown size.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The secrets that can be read, and a sentence for each that cannot. A
/// missing one is no reason to refuse a configuration: the other providers
/// work without it.
pub(super) fn read<'a>(
    refs: impl Iterator<Item = (&'a SecretRef, String)>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Secrets, Vec<String>) {
    let mut read = BTreeMap::new();
    let mut missing = Vec::new();
    for (at, user) in refs {
        let found = match at {
            SecretRef::Env(name) => environment(name).ok_or_else(|| "it is not set".to_owned()),
            SecretRef::File(path) => read_file(path),
        };
        let found = found.map(|text| text.strip_suffix('\n').unwrap_or(&text).to_owned());
        match found {
            Ok(text) if text.is_empty() => {
                missing.push(format!("{user} has no credential: the {at} is empty"));
            }
            Ok(text) if text.contains(['\n', '\r', '\0']) => {
                let what = "holds more than one line";
                missing.push(format!("{user} has no credential: the {at} {what}"));
            }
            Ok(text) => {
                read.insert(at.clone(), Secret::new(text));
            }
            Err(reason) => {
                missing.push(format!("{user} has no credential: the {at}: {reason}"));
            }
        }
    }
    (Secrets::new(read), missing)
}

fn read_file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Err(error) => Err(error.to_string()),
        Ok(bytes) if bytes as u64 > SECRET_BYTES_MAX => {
            Err(format!("it is larger than {SECRET_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(text),
    }
}
