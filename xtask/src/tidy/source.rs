//! Rust sources, cut into code, strings and comments.

use std::path::Path;

use anyhow::{Context as _, Result};

/// A Rust file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path in the repository, with `/`.
    pub(super) path: String,
    /// The file as it is.
    pub(super) text: String,
    /// The file with comments and the insides of strings turned to spaces,
    /// and modules of tests too. Line numbers are kept.
    pub(super) code: String,
    /// The strings outside of test modules, with their lines.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    /// Reads a file of the repository.
    pub(super) fn read(root: &Path, path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
        Ok(Self::new(path, text))
    }

    pub(super) fn new(path: &str, text: String) -> Self {
        let (code, strings) = blank(&text);
        let (code, tests) = blank_tests(&code);
        let outside = |line: usize| !tests.iter().any(|(from, to)| (*from..=*to).contains(&line));
        let strings = strings.into_iter().filter(|(line, _)| outside(*line)).collect();
        Self { path: path.to_owned(), text, code, strings }
    }

    /// True for files that are only built for tests.
    pub(super) fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts.iter().any(|p| matches!(*p, "tests" | "benches" | "examples" | "tests.rs"))
    }
}

/// Where a reader of Rust stands.
enum State {
    Code,
    Line,
    Block(usize),
    /// In a string that ends with a quote and so many hashes; with escapes
    /// only if it is not raw.
    Text {
        hashes: usize,
        raw: bool,
    },
}

/// Turns comments and strings to spaces; gives the strings.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let chars: Vec<char> = text.chars().collect();
    let at = |n: usize| chars.get(n).copied().unwrap_or('\0');
    let (mut code, mut strings) = (String::with_capacity(text.len()), Vec::new());
    let (mut state, mut line, mut n) = (State::Code, 1, 0);
    while n < chars.len() {
        let c = at(n);
        let mut step = 1;
        let mut shown = ' ';
        match state {
            State::Code => match (c, at(n + 1)) {
                ('/', '/') => state = State::Line,
                ('/', '*') => state = State::Block(1),
                ('"', _) => {
                    state = State::Text { hashes: 0, raw: false };
                    strings.push((line, String::new()));
                }
                ('r', '"' | '#')
                    if !is_word(at(n.wrapping_sub(1))) || at(n.wrapping_sub(1)) == 'b' =>
                {
                    let hashes = chars.iter().skip(n + 1).take_while(|c| **c == '#').count();
                    if at(n + 1 + hashes) == '"' {
                        state = State::Text { hashes, raw: true };
                        strings.push((line, String::new()));
                        step = hashes + 2;
                    } else {
                        shown = c;
                    }
                }
                ('\'', _) => step = char_literal(&chars, n),
                _ => shown = c,
            },
            State::Line if c == '\n' => state = State::Code,
            State::Line => {}
            State::Block(depth) => match (c, at(n + 1)) {
                ('*', '/') => {
                    state = if depth == 1 { State::Code } else { State::Block(depth - 1) };
                    step = 2;
                }
                ('/', '*') => {
                    state = State::Block(depth + 1);
                    step = 2;
                }
                _ => {}
            },
            State::Text { hashes, raw } => {
                let closed = c == '"' && (0..hashes).all(|h| at(n + 1 + h) == '#');
                if closed {
                    state = State::Code;
                    step = 1 + hashes;
                } else {
                    step = if c == '\\' && !raw { 2 } else { 1 };
                    if let Some((_, string)) = strings.last_mut() {
                        string.push(c);
                    }
                }
            }
        }
        for k in 0..step {
            let newline = at(n + k) == '\n';
            code.push(if newline { '\n' } else { shown });
            line += usize::from(newline);
        }
        n += step;
    }
    (code, strings)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a character literal, or 1 for a lifetime's quote.
fn char_literal(chars: &[char], n: usize) -> usize {
    let at = |n: usize| chars.get(n).copied().unwrap_or('\0');
    if at(n + 1) == '\\' {
        let rest = chars.iter().skip(n + 3).position(|c| *c == '\'');
        return rest.map_or(1, |more| more + 4);
    }
    if at(n + 2) == '\'' { 3 } else { 1 }
}

/// Turns modules of tests to spaces; gives their first and last lines.
fn blank_tests(code: &str) -> (String, Vec<(usize, usize)>) {
    let (mut out, mut spans) = (code.to_owned(), Vec::new());
    let mut from = 0;
    while let Some(at) = out.get(from..).and_then(|rest| rest.find("#[cfg(test)]")) {
        let start = from + at;
        from = start + 1;
        let Some(end) = block_end(&out, start) else { continue };
        let span = out.get(start..end).unwrap_or_default();
        let blank: String = span.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        let line_of = |to: usize| out.get(..to).unwrap_or_default().matches('\n').count() + 1;
        spans.push((line_of(start), line_of(end)));
        out = format!(
            "{}{blank}{}",
            out.get(..start).unwrap_or_default(),
            out.get(end..).unwrap_or_default()
        );
    }
    (out, spans)
}

/// One past the end of the item that begins at `start`: its closing brace, or
/// its semicolon if that comes first.
pub(super) fn block_end(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut nested = 0_usize;
    for (at, c) in code.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '(' | '[' => nested += 1,
            ')' | ']' => nested = nested.saturating_sub(1),
            '{' => depth += 1,
            '}' if depth <= 1 => return Some(at + 1),
            '}' => depth -= 1,
            ';' if depth == 0 && nested == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_tests_are_taken_out() {
        let text = "fn a() { // x\n let b = \"s\\\"t\"; let c = '\"'; let d = r#\"q\"r\"#; }\n\
                    /* y /* z */ */ fn e<'l>(f: &'l str) {}\n#[cfg(test)]\nmod t {\n fn g() { \"h\"; }\n}\n";
        let source = Source::new("crates/x/src/lib.rs", text.to_owned());
        let strings: Vec<_> = source.strings.iter().map(|(l, s)| (*l, s.as_str())).collect();
        assert_eq!(strings, [(2, "s\\t"), (2, "q\"r")]);
        assert!(
            source.code.contains("fn e<'l>(f: &'l str) {}") || source.code.contains("fn e< l>")
        );
        for gone in ["x", "y", "fn g", "mod t"] {
            assert!(!source.code.contains(gone), "{gone}: {}", source.code);
        }
        assert_eq!(source.code.lines().count(), text.lines().count());
    }
}
