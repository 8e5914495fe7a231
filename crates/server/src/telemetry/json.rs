//! A log line as JSON, written straight into its buffer.
//!
//! There is a line for each exchange, so what it costs shows in requests a
//! second. The formatter of `tracing-subscriber` makes a string and a value of
//! each field first and took several times as long; and the formatting of the
//! standard library, which goes through a writer for each piece, took as long
//! as all else that is done for a line. So texts, numbers and the time are put
//! into the line as bytes, and only what has no other form is formatted.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where lines go.
pub(super) trait Lines: Send + Sync + 'static {
    /// Takes a whole line.
    fn push(&self, line: &[u8]);
}

/// Makes `{"timestamp": ..., "level": ..., "target": ..., fields}` and a line's
/// end of each event.
pub(super) struct JsonLines<L>(pub(super) L);

/// A line's buffer that is larger is given back.
const KEPT_MAX: usize = 16 << 10;

thread_local! {
    /// The line that is being written; used by one event after another.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The last second that was written, as text: most lines share it with
    /// the line before.
    static SECOND: Cell<Second> = const { Cell::new(Second { at: u64::MAX, text: [0; SECOND_LEN] }) };
}

impl<S: Subscriber, L: Lines> Layer<S> for JsonLines<L> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                line.clear();
                self.write(event, &mut line);
                line.shrink_to(KEPT_MAX);
            }
            // A field that logs while it is written itself.
            Err(_) => self.write(event, &mut Vec::new()),
        });
    }
}

impl<L: Lines> JsonLines<L> {
    fn write(&self, event: &Event<'_>, line: &mut Vec<u8>) {
        let metadata = event.metadata();
        line.extend_from_slice(b"{\"timestamp\":\"");
        put_now(line);
        line.extend_from_slice(b"\",\"level\":\"");
        line.extend_from_slice(metadata.level().as_str().as_bytes());
        line.extend_from_slice(b"\",\"target\":\"");
        put_escaped(line, metadata.target());
        line.push(b'"');
        event.record(&mut Fields(line));
        line.extend_from_slice(b"}\n");
        self.0.push(line);
    }
}

/// Writes fields as they come.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn name(&mut self, field: &Field, then: &[u8]) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(then);
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field, b"\":");
        put_number(self.0, value, 1);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field, b"\":");
        if value < 0 {
            self.0.push(b'-');
        }
        put_number(self.0, value.unsigned_abs(), 1);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field, if value { b"\":true" } else { b"\":false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field, b"\":");
        if value.is_finite() {
            put_shown(self.0, format_args!("{value:?}"));
        } else {
            self.0.extend_from_slice(b"null");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field, b"\":\"");
        put_escaped(self.0, value);
        self.0.push(b'"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field, b"\":\"");
        put_shown(self.0, format_args!("{value:?}"));
        self.0.push(b'"');
    }
}

/// What has no other form than its formatting. One that fails in the middle
/// leaves what came of it.
fn put_shown(line: &mut Vec<u8>, shown: fmt::Arguments<'_>) {
    struct Escaped<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Escaped<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            put_escaped(self.0, text);
            Ok(())
        }
    }
    Escaped(line).write_fmt(shown).ok();
}

fn is_special(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\')
}

/// The inside of a JSON string.
fn put_escaped(line: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    // Nearly always nothing is. Without a way out of the loop it looks at many
    // bytes at a time.
    if !rest.iter().fold(false, |found, byte| found | is_special(*byte)) {
        line.extend_from_slice(rest);
        return;
    }
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        // What is escaped is ASCII, so both sides of it are whole.
        let (before, special) = rest.split_at(at);
        line.extend_from_slice(before);
        let Some((special, after)) = special.split_first() else { return };
        match special {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            other => {
                line.extend_from_slice(b"\\u00");
                for digit in [other >> 4, other & 15] {
                    line.push(b"0123456789abcdef"[usize::from(digit)]);
                }
            }
        }
        rest = after;
    }
    line.extend_from_slice(rest);
}

/// A number with at least so many digits.
fn put_number(line: &mut Vec<u8>, mut number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    while number > 0 || digits.len() - from < least {
        from -= 1;
        digits[from] += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    line.extend_from_slice(&digits[from..]);
}

/// `2026-11-22T10:20:30.`
const SECOND_LEN: usize = 20;

/// A second since 1970, and how it is written.
#[derive(Clone, Copy)]
struct Second {
    at: u64,
    text: [u8; SECOND_LEN],
}

impl Second {
    fn of(at: u64) -> Self {
        let mut text = *b"1970-01-01T00:00:00.";
        let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let shown = time.map(|time| time.to_string()).unwrap_or_default();
        // Its `Z` gives way to the point.
        if let Some(shown) = shown.strip_suffix('Z')
            && let Some((whole, _)) = text.split_at_mut_checked(shown.len())
        {
            whole.copy_from_slice(shown.as_bytes());
        }
        Self { at, text }
    }
}

/// The time of day in UTC, to the microsecond.
#[expect(clippy::disallowed_methods, reason = "a log line's time is the machine's own")]
fn put_now(line: &mut Vec<u8>) {
    put_time(line, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
}

fn put_time(line: &mut Vec<u8>, since: Duration) {
    let mut second = SECOND.get();
    if second.at != since.as_secs() {
        second = Second::of(since.as_secs());
        SECOND.set(second);
    }
    line.extend_from_slice(&second.text);
    put_number(line, since.subsec_micros().into(), 6);
    line.push(b'Z');
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Lines for Sink {
        fn push(&self, line: &[u8]) {
            self.0.lock().unwrap().extend_from_slice(line);
        }
    }

    impl Sink {
        fn of(log: impl FnOnce()) -> Vec<u8> {
            let sink = Self::default();
            let subscriber = tracing_subscriber::registry().with(JsonLines(sink.clone()));
            tracing::subscriber::with_default(subscriber, log);
            sink.0.lock().unwrap().clone()
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_its_fields_hold() {
        let hostile = "a\"b\\c\nd\te\u{1}f é \u{2028}";
        let bytes = Sink::of(|| {
            tracing::info!(
                text = hostile,
                shown = %hostile,
                debugged = ?Some("x\n"),
                count = u64::MAX,
                nothing = 0_u64,
                less = i64::MIN,
                yes = true,
                half = 0.5_f64,
                whole = 2.0_f64,
                none = f64::NAN,
                "said"
            );
        });
        assert_eq!(bytes.iter().position(|b| *b == b'\n'), Some(bytes.len() - 1));
        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["text"], hostile);
        assert_eq!(line["shown"], hostile);
        assert_eq!(line["debugged"], "Some(\"x\\n\")");
        assert_eq!(line["count"], u64::MAX);
        assert_eq!(line["nothing"], 0);
        assert_eq!(line["less"], i64::MIN);
        assert_eq!(line["yes"], true);
        assert_eq!(line["half"], 0.5);
        assert_eq!(line["whole"], 2.0);
        assert!(line["none"].is_null());
        assert_eq!(line["message"], "said");
        assert_eq!(line["level"], "INFO");
        assert!(line["target"].as_str().unwrap().ends_with("json::tests"));
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    }

    #[test]
    fn a_field_that_logs_itself_does_not_disturb_the_line() {
        struct Logs;
        impl fmt::Display for Logs {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::info!(inner = 1_u64, "inside");
                f.write_str("shown")
            }
        }
        let bytes = Sink::of(|| tracing::info!(outer = %Logs, "outside"));
        let lines: Vec<serde_json::Value> = bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert!(lines.iter().any(|line| line["outer"] == "shown"), "{lines:?}");
    }

    #[test]
    fn the_time_is_written_to_the_microsecond_across_seconds() {
        let shown = |secs, micros: u32| {
            let mut line = Vec::new();
            put_time(&mut line, Duration::new(secs, micros * 1_000));
            String::from_utf8(line).unwrap()
        };
        assert_eq!(shown(0, 7), "1970-01-01T00:00:00.000007Z");
        assert_eq!(shown(1_795_345_334, 999_999), "2026-11-22T11:02:14.999999Z");
        assert_eq!(shown(1_795_345_334, 0), "2026-11-22T11:02:14.000000Z");
        assert_eq!(shown(1_795_345_335, 10), "2026-11-22T11:02:15.000010Z");
    }
}
