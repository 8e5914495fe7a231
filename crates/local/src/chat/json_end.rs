//! Finds where a JSON object ends in a text that comes in pieces.

/// Follows brackets and strings of valid JSON.
#[derive(Debug, Default)]
pub(crate) struct JsonEnd {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    /// Takes more bytes; the number of them that belong to the object, if it
    /// ends among them.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_past_strings_and_nesting() {
        let text = br#"{"a": "}\"}", "b": [{}]}} rest"#;
        assert_eq!(JsonEnd::default().find(text), Some(24));
        let mut end = JsonEnd::default();
        let found = text.iter().position(|byte| end.find(&[*byte]).is_some());
        assert_eq!(found, Some(23));
    }
}
