//! Names that people give: of tenants, groups and keys. Each is checked once,
//! where it comes in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Text that cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("a name cannot be empty")]
    Empty,
    /// Too many bytes.
    #[error("a name has at most {0} bytes")]
    TooLong(usize),
    /// A character that is not allowed in this kind of name.
    #[error("{found:?} is not allowed in this name: {allowed}")]
    BadCharacter {
        /// The first one.
        found: char,
        /// What is.
        allowed: &'static str,
    },
}

/// Declares a name type: a shared string that was checked when it was made.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a name.
            pub fn new(name: impl Into<Arc<str>>) -> Result<Self, NameError> {
                let name = name.into();
                $check(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as text that is cheap to clone.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    )*};
}

names! {
    /// A tenant, the unit of isolation: up to 63 of `a-z 0-9 - _`, the first
    /// one a letter or digit.
    TenantId: check_slug;
    /// A group of keys by its name within its tenant; spelled like a tenant.
    GroupId: check_slug;
    /// What people call a key: up to 128 bytes of text without control
    /// characters.
    KeyName: check_label;
}

impl TenantId {
    /// The tenant that there is without any configuration, `main`.
    pub fn main() -> Self {
        Self(Arc::from("main"))
    }
}

const SLUG_MAX_BYTES: usize = 63;
const LABEL_MAX_BYTES: usize = 128;

fn check_slug(name: &str) -> Result<(), NameError> {
    check_length(name, SLUG_MAX_BYTES)?;
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bad = name
        .char_indices()
        .find(|&(at, c)| !(alphanumeric(c) || (at > 0 && matches!(c, '-' | '_'))));
    refuse(bad.map(|(_, c)| c), "use a-z, 0-9, - and _, and begin with a letter or digit")
}

fn check_label(name: &str) -> Result<(), NameError> {
    check_length(name, LABEL_MAX_BYTES)?;
    refuse(name.chars().find(|c| c.is_control()), "use text without control characters")
}

fn check_length(name: &str, max: usize) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        len if len > max => Err(NameError::TooLong(max)),
        _ => Ok(()),
    }
}

fn refuse(bad: Option<char>, allowed: &'static str) -> Result<(), NameError> {
    bad.map_or(Ok(()), |found| Err(NameError::BadCharacter { found, allowed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_narrow() {
        for good in ["main", "0", "team-a_2", &"x".repeat(63)] {
            assert_eq!(TenantId::new(good).unwrap().as_str(), good);
        }
        assert_eq!(TenantId::new(""), Err(NameError::Empty));
        assert_eq!(GroupId::new("x".repeat(64)), Err(NameError::TooLong(63)));
        for bad in ["Main", "-a", "_a", "a b", "a/b", "é", "a\0"] {
            assert!(matches!(TenantId::new(bad), Err(NameError::BadCharacter { .. })), "{bad}");
        }
        assert_eq!(TenantId::main(), TenantId::new("main").unwrap());
    }

    #[test]
    fn labels_are_wide_but_print_on_one_line() {
        assert_eq!(KeyName::new("Anna's CI (über)").unwrap().to_string(), "Anna's CI (über)");
        assert!(KeyName::new("a\nb").is_err());
        assert!(KeyName::new("\u{1b}[31m").is_err());
        assert!(KeyName::new("é".repeat(65)).is_err());
    }
}
