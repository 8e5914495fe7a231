//! A walk over JSON text that checks it and builds nothing.

use crate::plain_text::plain_len;

/// The deepest nesting of objects and arrays, as in `serde_json`.
pub(crate) const DEPTH_LIMIT: u32 = 127;

/// Looks at the strings that a walk passes.
pub(super) trait Visit {
    /// A string value: the member's name it stands under (raw, empty inside
    /// an array) and its content as written, escapes and all.
    fn string(&mut self, key: &[u8], raw: &[u8]);

    /// A member's name below the place where the walk began, as written.
    fn key(&mut self, _raw: &[u8]) {}
}

/// Looks at nothing.
pub(super) struct Blind;

impl Visit for Blind {
    fn string(&mut self, _key: &[u8], _raw: &[u8]) {}
}

/// Where the text is no JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) detail: &'static str,
}

/// A position in JSON text. The text must be UTF-8; the caller checks that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    body: &'a [u8],
    at: usize,
}

/// The open objects (1) and arrays (0) as bits, innermost lowest.
struct Nest {
    bits: u128,
    depth: u32,
    room: u32,
}

impl Nest {
    fn push(&mut self, object: bool, at: usize) -> Result<(), Fault> {
        if self.depth >= self.room {
            return Err(Fault { at, detail: "nested too deeply" });
        }
        self.depth += 1;
        self.bits = (self.bits << 1) | u128::from(object);
        Ok(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
    }

    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(body: &'a [u8], at: usize) -> Self {
        Self { body, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn fault<T>(&self, detail: &'static str) -> Result<T, Fault> {
        let detail = if self.at < self.body.len() { detail } else { "unexpected end" };
        Err(Fault { at: self.at, detail })
    }

    /// Takes one byte of punctuation.
    pub(crate) fn expect(&mut self, byte: u8, detail: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return self.fault(detail);
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a member's name and its colon; gives the name as written.
    pub(super) fn key(&mut self) -> Result<&'a [u8], Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("expected a member's name in quotes");
        }
        let raw = self.string()?;
        self.space();
        self.expect(b':', "expected `:`")?;
        Ok(raw)
    }

    /// Takes a string, whose opening quote is next; gives what is between the
    /// quotes as written.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Fault> {
        self.at += 1;
        let start = self.at;
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            self.at += plain_len(rest);
            match self.peek() {
                Some(b'"') => {
                    let raw = self.body.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(raw);
                }
                Some(b'\\') => self.escape()?,
                _ => return self.fault("control character inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.hex4()? {
                0xDC00..=0xDFFF => self.fault("lone trailing surrogate"),
                0xD800..=0xDBFF => {
                    let start = self.at;
                    let paired = self.body.get(start..start + 2) == Some(b"\\u");
                    self.at += 1;
                    if paired && matches!(self.hex4()?, 0xDC00..=0xDFFF) {
                        Ok(())
                    } else {
                        Err(Fault { at: start, detail: "lone leading surrogate" })
                    }
                }
                _ => Ok(()),
            },
            _ => self.fault("invalid escape"),
        }
    }

    /// Takes `u` and four hex digits.
    fn hex4(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return self.fault("invalid escape");
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fault("invalid number");
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    /// Takes a number, whose first byte is next.
    pub(crate) fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if exponent || self.at - start > 300 {
            let text = self.body.get(start..self.at).unwrap_or_default();
            let value = std::str::from_utf8(text).ok().and_then(|t| t.parse::<f64>().ok());
            if value.is_none_or(f64::is_infinite) {
                return Err(Fault { at: start, detail: "number out of range" });
            }
        }
        Ok(())
    }

    /// Takes a word, of which the first byte is next.
    pub(crate) fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.body.get(self.at..).unwrap_or_default().starts_with(word) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes one value, `outside` objects or arrays deep, that stands under
    /// `key`.
    pub(super) fn value(
        &mut self,
        mut key: &'a [u8],
        outside: u32,
        visit: &mut impl Visit,
    ) -> Result<(), Fault> {
        let mut nest = Nest { bits: 0, depth: 0, room: DEPTH_LIMIT.saturating_sub(outside) };
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => {
                    let raw = self.string()?;
                    visit.string(key, raw);
                }
                Some(open @ (b'{' | b'[')) => {
                    let object = open == b'{';
                    nest.push(object, self.at)?;
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        self.at += 1;
                        nest.pop();
                    } else {
                        key = self.member(object, visit)?;
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return self.fault("expected a value"),
            }
            if !self.close(&mut nest)? {
                return Ok(());
            }
            self.space();
            key = self.member(nest.in_object(), visit)?;
        }
    }

    /// After `{`, `[` or a comma: the name of the member that follows.
    fn member(&mut self, object: bool, visit: &mut impl Visit) -> Result<&'a [u8], Fault> {
        if !object {
            return Ok(b"");
        }
        let key = self.key()?;
        visit.key(key);
        Ok(key)
    }

    /// After a value: closes what ends here. True if a comma promised more.
    fn close(&mut self, nest: &mut Nest) -> Result<bool, Fault> {
        while nest.depth > 0 {
            self.space();
            match (self.peek(), nest.in_object()) {
                (Some(b','), _) => {
                    self.at += 1;
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    nest.pop();
                }
                (_, true) => return self.fault("expected `,` or `}`"),
                (_, false) => return self.fault("expected `,` or `]`"),
            }
        }
        Ok(false)
    }
}
