//! A string that does not print.

use std::fmt;

/// A credential. It has no `Display`, its `Debug` is a fixed word, it does not
/// serialise, and its bytes are overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the secret over from the place it was read.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into().into_bytes().into_boxed_slice())
    }

    /// The secret itself; the name makes each use easy to find.
    pub fn reveal(&self) -> &str {
        // The bytes came from a String and nothing changes them before drop.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the stores above from being removed as dead.
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::new("sk-1")), "Secret(..)");
        assert_eq!(Secret::new("sk-1").reveal(), "sk-1");
    }
}
