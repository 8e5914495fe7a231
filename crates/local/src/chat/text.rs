//! Bytes of tokens to text, and stop strings in it.

/// Joins tokens' bytes to text: a character that tokens share comes whole,
/// bytes that are no UTF-8 come as U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Utf8Joiner {
    rest: Vec<u8>,
}

impl Utf8Joiner {
    /// Appends what is complete with `bytes` to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut String) {
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(rest) = self.rest.get(done..).filter(|rest| !rest.is_empty()) {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    done += rest.len();
                }
                Err(e) => {
                    let (good, bad) = rest.split_at(e.valid_up_to());
                    out.push_str(&String::from_utf8_lossy(good));
                    done += good.len();
                    // None: the bytes may become a character yet.
                    let Some(length) = e.error_len() else { break };
                    out.push('\u{FFFD}');
                    done += length.min(bad.len());
                }
            }
        }
        self.rest.drain(..done);
    }

    /// The text has ended; half a character becomes U+FFFD.
    pub(crate) fn finish(&mut self, out: &mut String) {
        if !self.rest.is_empty() {
            self.rest.clear();
            out.push('\u{FFFD}');
        }
    }
}

/// Looks for strings in a text that comes in pieces. Holds back what may
/// become one of them.
#[derive(Debug)]
pub(crate) struct Watch {
    strings: Vec<String>,
    held: String,
}

impl Watch {
    /// Watches for any of `strings`; empty ones are left out and not numbered.
    pub(crate) fn new(strings: impl IntoIterator<Item = String>) -> Self {
        let strings = strings.into_iter().filter(|s| !s.is_empty()).collect();
        Self { strings, held: String::new() }
    }

    /// Takes more text; appends what is certainly outside of all strings to
    /// `out`. At the first string met: its number, and nothing of it or after
    /// it comes out; what stood after it stays in [`Watch::take`].
    pub(crate) fn push(&mut self, text: &str, out: &mut String) -> Option<usize> {
        self.held.push_str(text);
        let first = self
            .strings
            .iter()
            .enumerate()
            .filter_map(|(n, s)| self.held.find(s.as_str()).map(|at| (at, n)))
            .min();
        if let Some((at, n)) = first {
            out.extend(self.held.drain(..at));
            let length = self.strings.get(n).map_or(0, String::len);
            self.held.drain(..length);
            return Some(n);
        }
        let keep = self.strings.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        out.extend(self.held.drain(..self.held.len() - keep));
        None
    }

    /// What is held back.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// How many bytes at the end of `text` are a beginning of `string`.
fn overlap(text: &str, string: &str) -> usize {
    let (text, string) = (text.as_bytes(), string.as_bytes());
    (1..string.len().min(text.len() + 1))
        .rev()
        .find(|n| string.get(..*n) == text.get(text.len() - n..))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(pieces: &[&[u8]]) -> String {
        let mut joiner = Utf8Joiner::default();
        let mut out = String::new();
        for piece in pieces {
            joiner.push(piece, &mut out);
        }
        joiner.finish(&mut out);
        out
    }

    #[test]
    fn characters_split_over_tokens_come_whole() {
        let text = "aé漢😀z".as_bytes();
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(join(&[a, b]), "aé漢😀z");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(join(&bytes), "aé漢😀z");
    }

    #[test]
    fn broken_bytes_become_the_replacement_character() {
        assert_eq!(join(&[b"a\xffb"]), "a\u{FFFD}b");
        assert_eq!(join(&[b"a\xe6", b"b"]), "a\u{FFFD}b");
        assert_eq!(join(&[b"a\xe6\xbc"]), "a\u{FFFD}");
    }

    fn watch(stops: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let mut watch = Watch::new(stops.iter().map(|s| (*s).to_owned()));
        let mut out = String::new();
        for piece in pieces {
            if let Some(n) = watch.push(piece, &mut out) {
                return (out, Some(n));
            }
        }
        out.push_str(&watch.take());
        (out, None)
    }

    #[test]
    fn a_stop_string_is_met_across_pieces_and_not_emitted() {
        for at in 1..8 {
            let (a, b) = "one STOP two".split_at(at);
            assert_eq!(watch(&["STOP"], &[a, b]), ("one ".into(), Some(0)));
        }
        assert_eq!(watch(&["STOP"], &["ST", "O", "X"]), ("STOX".into(), None));
        assert_eq!(watch(&["\n\n", "é!"], &["a\n", "b", "é", "!\n\n"]), ("a\nb".into(), Some(1)));
    }

    #[test]
    fn the_earliest_of_several_counts() {
        assert_eq!(watch(&["c", "bc"], &["abcd"]), ("a".into(), Some(1)));
        assert_eq!(watch(&["", "x"], &["abx"]), ("ab".into(), Some(0)));
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut watch = Watch::new(["aab".to_owned()]);
        let mut out = String::new();
        assert_eq!(watch.push("xaaa", &mut out), None);
        assert_eq!(out, "xa");
        assert_eq!(watch.push("b!", &mut out), Some(0));
        assert_eq!((out.as_str(), watch.take().as_str()), ("xa", "!"));
    }
}
