//! Canonical JSON (RFC 8785): one text for equal values, so that a hash of it
//! can stand for them.
//!
//! One difference, on purpose: an integer beyond 2⁵³ keeps its digits. The RFC
//! would round it to a double, and two different amounts would hash alike.

use serde_json::{Number, Value};

/// The canonical text of JSON text.
///
/// Of a key that stands twice, the last counts, so whoever hashes the text
/// must also send the text. Errors are those of `serde_json`, which refuses
/// more than 128 levels.
pub fn canonical(json: &str) -> Result<String, serde_json::Error> {
    let value = serde_json::from_str(json)?;
    let mut out = String::with_capacity(json.len());
    write(&value, &mut out);
    Ok(out)
}

/// Depth is bounded by the parser that made the value.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            // By UTF-16 units, as the RFC has it; that differs from UTF-8's
            // order above the surrogates.
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    // serde_json escapes exactly what the RFC does, and in the same form.
    out.push_str(&Value::from(text).to_string());
}

fn write_number(number: &Number, out: &mut String) {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => out.push_str(&whole.to_string()),
        (None, Some(whole), _) => out.push_str(&whole.to_string()),
        (None, None, Some(double)) => write_double(double, out),
        (None, None, None) => out.push_str("null"),
    }
}

/// As ECMAScript's `Number::toString` has it.
fn write_double(double: f64, out: &mut String) {
    if double == 0.0 {
        out.push('0');
        return;
    }
    // Rust gives the shortest digits that read back as the same double, as
    // ECMAScript does; only where the point stands is told otherwise.
    let shown = format!("{double:e}");
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if mantissa.starts_with('-') {
        out.push('-');
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // How many digits stand before the point.
    let whole = exponent + 1;
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or(0));
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if count <= whole && whole <= 21 {
        out.push_str(&digits);
        out.push_str(&zeros(whole - count));
    } else if 0 < whole && whole <= 21 {
        let (before, after) = split(whole);
        out.extend([before, ".", after]);
    } else if -6 < whole && whole <= 0 {
        out.extend(["0.", &zeros(-whole), &digits]);
    } else {
        let (first, rest) = split(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { "e" } else { "e+" };
        out.extend([first, point, rest, sign, &exponent.to_string()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_s_own_example() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let wanted = concat!(
            r#"{"literals":[null,true,false],"#,
            r#""numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#,
        );
        assert_eq!(canonical(input).unwrap(), wanted);
    }

    #[test]
    fn keys_sort_by_utf_16() {
        let input =
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let text = canonical(input).unwrap();
        let order: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
        // The key "1" adds a digit of its own.
        assert_eq!(order, ['2', '1', '4', '6', '7', '1', '5', '3']);
    }

    #[test]
    fn doubles_are_written_as_ecmascript_does() {
        for (double, wanted) in [
            (0.0, "0"),
            (-0.0, "0"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (295_147_905_179_352_830_000.0, "295147905179352830000"),
            (1e21, "1e+21"),
            (1e23, "1e+23"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (-12.5, "-12.5"),
            (333_333_333.333_333_25, "333333333.33333325"),
        ] {
            let mut out = String::new();
            write_double(double, &mut out);
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn large_integers_stay_apart() {
        let [a, b] = ["9007199254740993", "9007199254740992"].map(|n| canonical(n).unwrap());
        assert_ne!(a, b);
        assert_eq!(canonical("1.0").unwrap(), canonical("1").unwrap());
    }

    #[test]
    fn depth_is_refused_and_not_followed() {
        assert!(canonical(&"[".repeat(100_000)).is_err());
        assert!(canonical("{\"a\":").is_err());
    }
}
