//! JSON text as a value.
//!
//! serde_json looks at each byte of a string by itself and checks each string's
//! UTF-8 anew, which was most of the time that a translated prompt of some
//! hundred kilobytes took. Here the text is checked once and a stretch without
//! escapes is copied as it stands. What comes out is the same; what cannot be
//! read here is serde_json's to read, or to say what is wrong with it.

use serde_json::{Map, Number, Value};

use crate::plain_text::plain_len;
use crate::scan::lex::{DEPTH_LIMIT, Lexer};

/// The value that a body is, or `None` if it is not one whole value.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader { text, lexer: Lexer::new(body, 0) };
    let value = reader.value(0)?;
    reader.lexer.space();
    reader.lexer.peek().is_none().then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
}

impl Reader<'_> {
    /// One value, so many objects and arrays deep.
    fn value(&mut self, depth: u32) -> Option<Value> {
        self.lexer.space();
        let literal = |lexer: &mut Lexer<'_>, word, value| lexer.literal(word).ok().map(|()| value);
        match self.lexer.peek()? {
            b'"' => self.string().map(Value::String),
            b'{' if depth < DEPTH_LIMIT => self.object(depth + 1),
            b'[' if depth < DEPTH_LIMIT => self.array(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => literal(&mut self.lexer, b"true", Value::Bool(true)),
            b'f' => literal(&mut self.lexer, b"false", Value::Bool(false)),
            b'n' => literal(&mut self.lexer, b"null", Value::Null),
            _ => None,
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        let mut fields = Map::new();
        if !self.opens(b'}')? {
            loop {
                self.lexer.space();
                if self.lexer.peek() != Some(b'"') {
                    return None;
                }
                let name = self.string()?;
                self.lexer.space();
                self.lexer.expect(b':', "").ok()?;
                // Of two with the same name the last one counts.
                fields.insert(name, self.value(depth)?);
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        Some(Value::Object(fields))
    }

    fn array(&mut self, depth: u32) -> Option<Value> {
        let mut values = Vec::new();
        if !self.opens(b']')? {
            loop {
                values.push(self.value(depth)?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        Some(Value::Array(values))
    }

    /// Takes an opening bracket; whether it is closed at once.
    fn opens(&mut self, close: u8) -> Option<bool> {
        self.lexer.expect(self.lexer.peek()?, "").ok()?;
        self.lexer.space();
        let empty = self.lexer.peek()? == close;
        if empty {
            self.lexer.expect(close, "").ok()?;
        }
        Some(empty)
    }

    /// Takes a comma, or what closes.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        self.lexer.space();
        let more = self.lexer.peek()? == b',';
        self.lexer.expect(if more { b',' } else { close }, "").ok()?;
        Some(more)
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.lexer.at();
        self.lexer.number().ok()?;
        let number: Number = self.text.get(start..self.lexer.at())?.parse().ok()?;
        Some(Value::Number(number))
    }

    fn string(&mut self) -> Option<String> {
        let start = self.lexer.at() + 1;
        let length = self.lexer.string().ok()?.len();
        let raw = self.text.get(start..start + length)?;
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Some(raw.to_owned());
        }
        unescaped(raw)
    }
}

/// The text of a string's content, whose escapes are known to be right.
fn unescaped(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while !rest.is_empty() {
        let (plain, special) = rest.split_at_checked(plain_len(rest.as_bytes()))?;
        text.push_str(plain);
        if special.is_empty() {
            break;
        }
        let mut after = special.get(2..)?;
        text.push(match special.as_bytes().get(1)? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = hex4(after)?;
                after = after.get(4..)?;
                match char::from_u32(first) {
                    Some(char) => char,
                    // The first of a pair, and `\u` before the second.
                    None => {
                        let second = hex4(after.get(2..)?)?;
                        after = after.get(6..)?;
                        let pair = ((first & 0x3ff) << 10) | (second & 0x3ff);
                        char::from_u32(0x1_0000 + pair)?
                    }
                }
            }
            other => char::from(*other),
        });
        rest = after;
    }
    Some(text)
}

fn hex4(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn theirs(text: &str) -> Option<Value> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn it_reads_what_serde_json_reads() {
        for text in [
            "null",
            " true ",
            "false",
            "[]",
            " [ ] ",
            "{}",
            "{ }",
            "[1, -2,0 ,-0, 3.5,1e2, 1E-7, 18446744073709551615, -9223372036854775808]",
            "18446744073709551616",
            "123456789012345678901234567890.25",
            r#"{"a": 1, "b": {"a": [null, {"c": ""}]}, "a": 2}"#,
            r#""plain""#,
            r#""\" \\ \/ \b \f \n \r \t \u0041 \u00e9 \u2028 \ud83d\ude00 x""#,
            "\"é\u{2028}\u{1f600}\u{7f}\"",
            r#"{"\u0061": 1, "a": 2}"#,
        ] {
            assert_eq!(read(text.as_bytes()), theirs(text), "{text}");
            assert!(theirs(text).is_some(), "{text}");
        }
    }

    #[test]
    fn it_refuses_what_serde_json_refuses() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let texts = [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[1}",
            "{\"a\":1]",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "1e999",
            "+1",
            "nul",
            "nullx",
            "true false",
            "[1 2]",
            "]",
            ",",
        ];
        for text in texts.map(str::to_owned).into_iter().chain([deep(128), deep(100_000)]) {
            assert_eq!(read(text.as_bytes()), None, "{text:.40}");
            assert_eq!(theirs(&text), None, "{text:.40}");
        }
        assert_eq!(read(deep(127).as_bytes()), theirs(&deep(127)));
        assert_eq!(read(b"\"\xff\""), None);
        assert_eq!(read(b"\"\xed\xa0\x80\""), None);
    }

    /// What JSON is made of, in any order.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[\\[\\]{},: \n0-9eE.\"\\\\+-]",
            Just("\"key\":".to_owned()),
            Just("\\ud83d".to_owned()),
            Just("\\ude00".to_owned()),
            Just("null".to_owned()),
            "\"[ -~é]{0,90}\"",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Values with every kind of text.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~]{60,300}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_alike(text in pieces()) {
            prop_assert_eq!(read(text.as_bytes()), theirs(&text));
        }

        #[test]
        fn any_value_is_read_alike(value in values(), pretty in any::<bool>()) {
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let text = write(&value).unwrap();
            prop_assert_eq!(read(text.as_bytes()), theirs(&text));
        }
    }
}
