//! The known name that an unknown one was probably meant to be.

/// Names longer than this are not compared: they come from outside, and the
/// work grows with the product of the lengths.
const COMPARED_MAX: usize = 128;

/// The candidate with the fewest single-character changes from `name`, if
/// they are few enough that it was probably meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(COMPARED_MAX + 1).collect();
    if wanted.is_empty() || wanted.len() > COMPARED_MAX {
        return None;
    }
    let allowed = (wanted.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&wanted, candidate);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal
/// string alignment), ignoring ASCII case.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(2 * COMPARED_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &to) in b.iter().enumerate() {
            let change = usize::from(!from.eq_ignore_ascii_case(&to));
            let mut best = (above[j] + change).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["listen", "data", "drain_seconds", "workers"];
        for (slip, meant) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("DATA", Some("data")),
            ("drain_secs", Some("drain_seconds")),
            ("worker", Some("workers")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, known), meant, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
