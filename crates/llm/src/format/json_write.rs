//! A JSON value as bytes.
//!
//! A prompt of some hundred kilobytes is one string or a few. serde_json looks
//! at each of its bytes by itself to see whether it must be escaped, which took
//! two fifths of the time of a translated request; here a stretch of plain text
//! is found many bytes at a time. The bytes that come out are the same.

use std::io::Write as _;

use serde_json::Value;

use crate::plain_text::plain_len;

/// Appends a value, without spaces.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        // Writing into memory does not fail.
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::String(text) => write_text(text, out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(value, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(name, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a string in quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_len(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        rest = after;
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or(b'0');
                let low = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)];
                out.extend_from_slice(&low);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.push(b'"');
}

/// Roughly how many bytes a value takes, so that they are allocated once. What
/// must be escaped is not looked for.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 6,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 3,
        Value::Array(values) => 2 + values.iter().map(size).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        write(value, &mut out);
        out
    }

    #[test]
    fn bytes_are_those_of_serde_json() {
        let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        for value in [
            json!(null),
            json!([true, false, 0, -1, u64::MAX, i64::MIN, 0.1, 1e300, -0.0, 1e-7, 100.0]),
            json!({"": {}, "a\"b": [], "é\u{2028}": [[{"x": "y"}], null]}),
            json!(all),
        ] {
            assert_eq!(written(&value), serde_json::to_vec(&value).unwrap(), "{value}");
        }
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for special in ["\"", "\\", "\n", "\u{0}", "\u{1f}", "\u{7f}", "é"] {
            for before in 0..70 {
                for after in [0, 1, 31, 32, 33] {
                    let text = format!("{}{special}{}", "x".repeat(before), "y".repeat(after));
                    let value = json!(text);
                    assert_eq!(written(&value), serde_json::to_vec(&value).unwrap(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn plain_values_fit_what_was_reserved() {
        let value =
            json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(99)}]});
        assert!(written(&value).len() <= size(&value));
    }
}
