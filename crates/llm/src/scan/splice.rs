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

/// A stretch of the changed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it was.
    Kept(Range<usize>),
    /// New.
    New(&'a [u8]),
}

/// The stretches that make up a body of this length with all edits made. Edits
/// may come in any order and are sorted in place; of two at one place the first
/// given comes first. An edit that overlaps one before it, or reaches past the
/// body, is left out: edits made from one scan never do.
pub fn pieces<'a>(length: usize, edits: &'a mut [Edit<'_>]) -> impl Iterator<Item = Piece<'a>> {
    edits.sort_by_key(|e| e.span.start);
    let mut done = 0;
    let mut edits = edits.iter();
    let mut new = None;
    let mut ended = false;
    let stretches = std::iter::from_fn(move || {
        if let Some(with) = new.take() {
            return Some(Piece::New(with));
        }
        for edit in edits.by_ref() {
            let Range { start, end } = edit.span;
            if start < done || end < start || end > length {
                continue;
            }
            let kept = done..start;
            done = end;
            new = Some(&*edit.with);
            return Some(Piece::Kept(kept));
        }
        (!std::mem::replace(&mut ended, true)).then_some(Piece::Kept(done..length))
    });
    stretches.filter(|piece| match piece {
        Piece::Kept(kept) => !kept.is_empty(),
        Piece::New(with) => !with.is_empty(),
    })
}

/// The body with all edits made as by [`pieces`], in one allocation.
pub fn splice(body: &[u8], edits: &mut [Edit<'_>]) -> Vec<u8> {
    let grown: usize = edits.iter().map(|e| e.with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    for piece in pieces(body.len(), edits) {
        out.extend_from_slice(match piece {
            Piece::Kept(kept) => body.get(kept).unwrap_or_default(),
            Piece::New(with) => with,
        });
    }
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
    fn kept_stretches_are_named_and_empty_ones_are_none() {
        let mut edits = [edit(0..2, ""), edit(4..4, "new")];
        let pieces: Vec<_> = pieces(4, &mut edits).collect();
        assert_eq!(pieces, [Piece::Kept(2..4), Piece::New(b"new")]);
        assert_eq!(super::pieces(0, &mut []).count(), 0);
    }

    #[test]
    fn an_edit_that_overlaps_or_overruns_is_left_out() {
        let mut edits = [edit(0..3, "x"), edit(1..2, "y"), edit(4..99, "z")];
        assert_eq!(splice(b"abcde", &mut edits), b"xde");
    }
}
