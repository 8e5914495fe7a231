//! A changed body without parsing it again.

use std::borrow::Cow;
use std::ops::Range;

/// One change: the bytes of `span` give way to `with`. An empty span inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// What goes.
    pub span: Range<usize>,
    /// What comes.
    pub with: Cow<'a, [u8]>,
}

/// The body with all edits made, in one allocation. Edits may come in any
/// order and are sorted in place; of two at one place the first given comes
/// first. An edit that overlaps one before it, or reaches past the body, is
/// left out: edits made from one scan never do.
pub fn splice(body: &[u8], edits: &mut [Edit<'_>]) -> Vec<u8> {
    edits.sort_by_key(|e| e.span.start);
    let grown: usize = edits.iter().map(|e| e.with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    let mut done = 0;
    for edit in edits.iter() {
        let Some(kept) = body.get(done..edit.span.start) else { continue };
        if edit.span.end < edit.span.start || edit.span.end > body.len() {
            continue;
        }
        out.extend_from_slice(kept);
        out.extend_from_slice(&edit.with);
        done = edit.span.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(span: Range<usize>, with: &str) -> Edit<'_> {
        Edit { span, with: with.as_bytes().into() }
    }

    #[test]
    fn edits_in_any_order_are_all_made() {
        let mut edits = [edit(6..9, "Z"), edit(0..0, "<"), edit(0..0, "|"), edit(3..4, "")];
        assert_eq!(splice(b"abcdefghi", &mut edits), b"<|abcefZ");
    }

    #[test]
    fn an_edit_that_overlaps_or_overruns_is_left_out() {
        let mut edits = [edit(0..3, "x"), edit(1..2, "y"), edit(4..99, "z")];
        assert_eq!(splice(b"abcde", &mut edits), b"xde");
    }
}
