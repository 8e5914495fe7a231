//! Names by pattern: `*` is any text.

/// Whether the pattern is the text's; `is` tells whether one of its other
/// bytes stands for one of the text's. Takes each `*` for as little as it can
/// be, and comes back to the last one for more: no recursion, and at most
/// pattern times text steps.
pub(crate) fn matches(pattern: &[u8], text: &[u8], is: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p + 1, t));
                p += 1;
            }
            (Some(&want), _) if is(want, byte) => {
                p += 1;
                t += 1;
            }
            (_, Some((after_star, swallowed))) => {
                star = Some((after_star, swallowed + 1));
                p = after_star;
                t = swallowed + 1;
            }
            _ => return false,
        }
    }
    pattern.iter().skip(p).all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by recursion; fine for short texts.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|n| defined(rest, &text[n..])),
            (Some((c, pattern)), Some((d, text))) => c == d && defined(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text, |p, t| p == t), defined(pattern, text));
        }
    }
}
