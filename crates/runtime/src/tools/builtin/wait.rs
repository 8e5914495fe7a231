//! `wait_until`: a call that a timer ends.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::Performed;
use super::failed;

pub(super) const DESCRIPTION: &str = "Wait before going on: for a number of seconds, or until a \
    point in time. Waits of seconds to months are fine; nothing runs meanwhile.";

/// The longest wait: two years.
const SECONDS_MAX: i64 = 2 * 366 * 24 * 3_600;

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "seconds": { "type": "number", "description": "How long to wait." },
            "until": {
                "type": "string",
                "description": "When to go on, as 2026-11-05T09:00:00Z, in place of seconds."
            }
        },
        "additionalProperties": false
    })
}

/// Until when a call waits.
pub(in crate::tools) fn until(arguments: &Map<String, Value>, now: Timestamp) -> Performed {
    let time = match (arguments.get("seconds"), arguments.get("until")) {
        (Some(seconds), None) => after(seconds, now),
        (None, Some(Value::String(until))) => until.parse::<Timestamp>().map_err(|_| {
            format!("`{until}` is no point in time: write it as 2026-11-05T09:00:00Z")
        }),
        _ => Err("say either `seconds`, a number, or `until`, a point in time".to_owned()),
    };
    let latest = now.checked_add(SignedDuration::from_secs(SECONDS_MAX)).unwrap_or(Timestamp::MAX);
    match time {
        Err(message) => failed(message),
        Ok(time) if time > latest => failed("a wait has at most two years"),
        // A time that has passed ends at once, by the same way.
        Ok(time) => Performed::Until(time.max(now)),
    }
}

fn after(seconds: &Value, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || "`seconds` is a number, not below 0".to_owned();
    let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0).ok_or_else(wrong)?;
    let wait = SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    Ok(now.checked_add(wait).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Ended;

    fn waits(arguments: &Value) -> Option<i64> {
        let now = Timestamp::from_second(1_000).expect("a time");
        match until(arguments.as_object().expect("an object"), now) {
            Performed::Until(time) => Some(time.as_second()),
            Performed::Ended(Ended::Failed(_)) => None,
            other @ Performed::Ended(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wait_has_an_end_in_reach() {
        assert_eq!(waits(&json!({ "seconds": 60 })), Some(1_060));
        assert_eq!(waits(&json!({ "seconds": 7_776_000.0 })), Some(7_777_000));
        assert_eq!(waits(&json!({ "until": "1970-01-01T01:00:00Z" })), Some(3_600));
        assert_eq!(waits(&json!({ "until": "1960-01-01T00:00:00Z" })), Some(1_000));
        for wrong in [
            json!({}),
            json!({ "seconds": -1 }),
            json!({ "seconds": "soon" }),
            json!({ "seconds": 1e300 }),
            json!({ "seconds": 1, "until": "1970-01-01T01:00:00Z" }),
            json!({ "until": "tomorrow" }),
            json!({ "until": "9999-01-01T00:00:00Z" }),
        ] {
            assert_eq!(waits(&wrong), None, "{wrong}");
        }
    }
}
