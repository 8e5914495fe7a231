//! How far the content of a JSON string goes on without a byte that means
//! something: a quote, a backslash, a control character (RFC 8259, section 7).
//!
//! A prompt of some hundred kilobytes is a string or a few, and each walk over
//! it, the scan's, the reader's and the writer's, asks only this.

/// Content up to this length is looked at eight bytes at a time: names and
/// words are over before anything wider has begun.
const SHORT: usize = 64;

/// How much of longer content is looked at together.
const STRIDE: usize = 128;

/// How many bytes at the start are plain content of a string.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    let short = bytes.get(..SHORT).unwrap_or(bytes);
    let plain = plain_words(short);
    if plain < SHORT {
        return plain;
    }
    let (strides, _) = bytes.get(SHORT..).unwrap_or_default().as_chunks::<STRIDE>();
    let clean = strides.iter().take_while(|stride| is_plain(stride)).count();
    let clean = SHORT + clean * STRIDE;
    clean + plain_words(bytes.get(clean..).unwrap_or_default())
}

/// Whether a stride has no special byte. Least values are what vector
/// instructions of every processor know; a way out of the loop would be a
/// branch for each byte.
fn is_plain(stride: &[u8; STRIDE]) -> bool {
    let (mut least, mut quote, mut backslash) = (u8::MAX, u8::MAX, u8::MAX);
    for byte in stride {
        least = least.min(*byte);
        quote = quote.min(byte ^ b'"');
        backslash = backslash.min(byte ^ b'\\');
    }
    least >= 0x20 && quote != 0 && backslash != 0
}

/// The same, eight bytes at a time.
fn plain_words(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in (0..).step_by(8).zip(words) {
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
    }
    let rest = tail.iter().position(|b| is_special(*b)).unwrap_or(tail.len());
    bytes.len() - tail.len() + rest
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// The top bit of each byte that is special. A borrow may mark bytes above
/// the lowest hit wrongly, so only the lowest counts.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_content_ends_at_the_first_special_byte() {
        let lengths = [0, 1, 7, 8, 41, SHORT, SHORT + 1, SHORT + STRIDE, SHORT + 2 * STRIDE + 13];
        for length in lengths {
            for other in [b'x', b'!', 0x20, 0x7f, 0x80, 0xa2, 0xdc, 0xff, b'#', b']'] {
                let mut bytes = vec![other; length];
                assert_eq!(plain_len(&bytes), length);
                for at in (0..length).rev() {
                    for special in [b'"', b'\\', 0, 0x1f] {
                        bytes[at] = special;
                        assert_eq!(plain_len(&bytes), at, "{special} of {length} {other}");
                    }
                }
            }
        }
    }
}
