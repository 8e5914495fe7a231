//! Who is asked before a tool is called.

use std::fmt;

use freehold_gateway::options::At;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value};

use crate::decide::ApprovalRule;
use crate::event::{Deciders, Name};

/// How long an approver has by default, in hours: a week.
pub(super) const HOURS: u64 = 168;

/// More than a year is a slip of the hand.
const HOURS_MAX: u64 = 366 * 24;

/// `approval = true`, `false`, or a table with `by` and `hours`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalOptions {
    /// Nobody is asked.
    Never,
    /// Somebody is.
    Ask {
        /// Who may decide.
        by: Deciders,
        /// How long they have.
        hours: u64,
    },
}

impl ApprovalOptions {
    /// Anyone who may write to the session, for a week.
    pub fn usual() -> Self {
        Self::Ask { by: Deciders::Anyone, hours: HOURS }
    }

    /// As `decide` wants it.
    pub fn rule(&self) -> Option<ApprovalRule> {
        match self {
            Self::Never => None,
            Self::Ask { by, hours } => Some(ApprovalRule {
                deciders: by.clone(),
                expires_ms: hours.saturating_mul(3_600_000),
            }),
        }
    }

    pub(super) fn validate(&self, at: &mut At<'_>) {
        if let Self::Ask { hours, .. } = self {
            check_hours(at, "approval", *hours);
        }
    }
}

pub(super) fn check_hours(at: &mut At<'_>, key: &str, hours: u64) {
    if hours == 0 || hours > HOURS_MAX {
        at.add(key, format!("{hours} hours is not between 1 and {HOURS_MAX}"));
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    by: Option<String>,
    hours: Option<u64>,
}

impl<'de> Deserialize<'de> for ApprovalOptions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ApprovalVisitor)
    }
}

struct ApprovalVisitor;

impl<'de> Visitor<'de> for ApprovalVisitor {
    type Value = ApprovalOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "true, false, or { by = \"anyone\", \"role:NAME\" or \"principal:NAME\", hours = 168 }",
        )
    }

    fn visit_bool<E: Error>(self, ask: bool) -> Result<ApprovalOptions, E> {
        Ok(if ask { ApprovalOptions::usual() } else { ApprovalOptions::Never })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApprovalOptions, A::Error> {
        let written = Written::deserialize(value::MapAccessDeserializer::new(map))?;
        let by = deciders(written.by.as_deref().unwrap_or("anyone")).map_err(A::Error::custom)?;
        Ok(ApprovalOptions::Ask { by, hours: written.hours.unwrap_or(HOURS) })
    }
}

fn deciders(text: &str) -> Result<Deciders, String> {
    let name = |name: &str| Name::new(name).map_err(|error| format!("`{name}`: {error}"));
    match text.split_once(':') {
        None if text == "anyone" => Ok(Deciders::Anyone),
        Some(("role", role)) if !role.is_empty() => Ok(Deciders::Role(name(role)?)),
        Some(("principal", who)) if !who.is_empty() => Ok(Deciders::Principal(name(who)?)),
        _ => Err(format!(
            "`{text}` names no deciders: write `anyone`, `role:NAME` or `principal:NAME`"
        )),
    }
}
