//! Cursors into a session's stream: an offset and the timeline that it is of,
//! so that one into what a restored backup lost is known as that.

use std::fmt;
use std::str::FromStr;

use freehold_store::timelines;
use freehold_types::{Code, Offset};

use super::access::{Found, Refused};
use crate::problem::Problem;

/// A place in a session's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// `None` for a bare offset.
    pub(super) timeline: Option<u64>,
    pub(super) after: Offset,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Some(timeline) => write!(f, "{timeline}-{}", self.after),
            None => write!(f, "{}", self.after),
        }
    }
}

impl FromStr for Cursor {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::invalid(
                "the cursor cannot be used: write an offset, or the `id` of an event of the stream",
            )
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        match text.split_once('-') {
            Some((timeline, after)) => {
                Ok(Self { timeline: Some(number(timeline)?), after: Offset(number(after)?) })
            }
            None => Ok(Self { timeline: None, after: Offset(number(text)?) }),
        }
    }
}

/// Where a stream goes on, and the timeline that it is on.
pub(super) async fn place(found: &Found, text: Option<&str>) -> Result<(u64, Offset), Refused> {
    let row = found.view().await?.row;
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok((row.timeline, Offset::START));
    };
    let cursor: Cursor = text.parse()?;
    match cursor.timeline {
        Some(timeline) if timeline != row.timeline => {
            Err(lost(found, row.timeline, timeline).await?)
        }
        _ if cursor.after.0 > row.head => {
            let message = format!("the session's last event is {}", row.head);
            Err(Problem::new(Code::CursorLost, message).into())
        }
        _ => Ok((row.timeline, cursor.after)),
    }
}

async fn lost(found: &Found, now: u64, timeline: u64) -> Result<Refused, Refused> {
    let (store, tenant) = (&found.access.app.store, &found.access.tenant);
    let common = timelines::last_common(&**store, tenant, found.session, timeline).await?;
    let common = common.map_or_else(
        || "nothing is known to be in common: read it from the start".to_owned(),
        |common| format!("the last offset in common is {common}: go on from {now}-{common}"),
    );
    let message =
        format!("the session is on the timeline {now}, the cursor on {timeline}; {common}");
    Ok(Problem::new(Code::CursorLost, message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_an_offset_with_or_without_its_timeline() {
        let cursor: Cursor = "3-41".parse().unwrap();
        assert_eq!(cursor, Cursor { timeline: Some(3), after: Offset(41) });
        assert_eq!(cursor.to_string(), "3-41");
        assert_eq!("41".parse::<Cursor>().unwrap().timeline, None);
        for bad in ["", "-", "1-", "-1", "a", "1-2-3", "99999999999999999999"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
