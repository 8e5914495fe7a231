//! What servers of tools list, as far as it is new to a session.

use crate::event::{Content, Hash, Listing};
use crate::tools::Listed;

/// What all servers list, in short, and the lists that differ from what the
/// same servers listed last; `None` if none does.
pub(super) fn news(listed: &[Listed], known: &[Listing]) -> Option<(Vec<Listing>, Content)> {
    let listings: Vec<Listing> = listed.iter().map(short).collect();
    let new: Vec<&Listed> = listed
        .iter()
        .zip(&listings)
        .filter_map(|(one, short)| (!known.contains(short)).then_some(one))
        .collect();
    if new.is_empty() {
        return None;
    }
    let content = serde_json::to_value(new).ok()?;
    Some((listings, Content::Inline(content)))
}

fn short(listed: &Listed) -> Listing {
    let whole = serde_json::to_vec(listed).unwrap_or_default();
    Listing { server: digest(listed.label.as_str().as_bytes()), tools: digest(&whole) }
}

/// Two lists that have the same are taken for one, which hides one of them
/// from a stream and does nothing else.
fn digest(bytes: &[u8]) -> u64 {
    let mut short = [0; 8];
    for (to, from) in short.iter_mut().zip(Hash::of(bytes).bytes()) {
        *to = *from;
    }
    u64::from_be_bytes(short)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Name;

    fn listed(label: &str, tool: &str) -> Listed {
        Listed { label: Name::cut(label), tools: vec![json!({ "name": tool })], error: None }
    }

    #[test]
    fn only_what_changed_is_news() {
        let (first, second) = (listed("a", "x"), listed("b", "x"));
        let (known, content) = news(&[first.clone(), second.clone()], &[]).unwrap();
        assert_eq!(known.len(), 2);
        let Content::Inline(content) = content else { panic!("it is small") };
        assert_eq!(content[1]["label"], "b");
        assert_eq!(news(&[second.clone(), first], &known), None);
        let (changed, content) = news(&[second, listed("a", "y")], &known).unwrap();
        assert_eq!((changed[0], changed[1].server), (known[1], known[0].server));
        assert_ne!(changed[1].tools, known[0].tools);
        let Content::Inline(content) = content else { panic!("it is small") };
        assert_eq!(content.as_array().map(Vec::len), Some(1));
    }
}
