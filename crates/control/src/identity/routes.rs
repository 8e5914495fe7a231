//! Which routes a key may use.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::glob::matches;

/// The most patterns in one list.
const PATTERNS_MAX: usize = 64;
/// The longest pattern, in bytes.
const PATTERN_LEN_MAX: usize = 128;

/// Names of routes, where `*` stands for any text: `local`, `gpt-*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(Option<Arc<[Box<str>]>>);

/// A list of routes that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutesError {
    /// More than there may be.
    #[error("more than {PATTERNS_MAX} route patterns; use `*` to say more with one")]
    TooMany,
    /// An empty pattern, or one that is too long.
    #[error("a route pattern has 1 to {PATTERN_LEN_MAX} bytes")]
    Length,
}

impl Routes {
    /// Every route.
    pub const ALL: Self = Self(None);

    /// Those that match one of the patterns; without any pattern, none.
    pub fn only<S: AsRef<str>>(patterns: &[S]) -> Result<Self, RoutesError> {
        if patterns.len() > PATTERNS_MAX {
            return Err(RoutesError::TooMany);
        }
        let fits = |pattern: &S| (1..=PATTERN_LEN_MAX).contains(&pattern.as_ref().len());
        if !patterns.iter().all(fits) {
            return Err(RoutesError::Length);
        }
        Ok(Self(Some(patterns.iter().map(|pattern| pattern.as_ref().into()).collect())))
    }

    /// The patterns; `None` is every route.
    pub fn patterns(&self) -> Option<&[Box<str>]> {
        self.0.as_deref()
    }

    /// Whether the route is among them.
    pub fn allow(&self, route: &str) -> bool {
        self.0.as_deref().is_none_or(|patterns| {
            patterns
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), route.as_bytes(), |p, r| p == r))
        })
    }
}

/// As in a sentence: `` `local`, `gpt-*` ``.
impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(patterns) = self.patterns() else { return f.write_str("`*`") };
        for (index, pattern) in patterns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{pattern}`")?;
        }
        Ok(())
    }
}

/// A list as a command line has it: patterns with commas between them.
impl FromStr for Routes {
    type Err = RoutesError;

    fn from_str(text: &str) -> Result<Self, RoutesError> {
        let patterns: Vec<&str> = text.split(',').map(str::trim).collect();
        Self::only(&patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_the_rest_is_itself() {
        let table = [
            ("local", "local", true),
            ("local", "local2", false),
            ("gpt-*", "gpt-5", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "my-gpt-5", false),
            ("*/mini", "openai/mini", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("[a]?", "a", false),
        ];
        for (pattern, route, allowed) in table {
            assert_eq!(
                Routes::only(&[pattern]).unwrap().allow(route),
                allowed,
                "{pattern} {route}"
            );
        }
    }

    #[test]
    fn all_and_none_are_different_lists() {
        assert!(Routes::ALL.allow("anything"));
        assert!(!Routes::only::<&str>(&[]).unwrap().allow("anything"));
        assert_eq!("a, b*".parse::<Routes>().unwrap().to_string(), "`a`, `b*`");
    }

    #[test]
    fn lists_are_bounded() {
        assert_eq!(Routes::only(&["a"; 65]), Err(RoutesError::TooMany));
        assert_eq!(Routes::only(&[""]), Err(RoutesError::Length));
        assert_eq!(Routes::only(&["x".repeat(129)]), Err(RoutesError::Length));
    }
}
