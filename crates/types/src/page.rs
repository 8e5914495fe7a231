//! Lists are given out by the page.

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The last entry of the page before, in the list's own terms; `None`
    /// begins at the start.
    pub after: Option<String>,
    limit: u32,
}

impl PageRequest {
    /// The most entries that a page has.
    pub const MAX_LIMIT: u32 = 1000;
    /// The entries of a page, if nobody says.
    pub const DEFAULT_LIMIT: u32 = 100;

    /// Up to `limit` entries (at least one, at most [`Self::MAX_LIMIT`]) after
    /// the given one.
    pub fn new(after: Option<String>, limit: u32) -> Self {
        Self { after, limit: limit.clamp(1, Self::MAX_LIMIT) }
    }

    /// The first page, as long as pages get: for those who read the whole list.
    pub fn first() -> Self {
        Self::new(None, Self::MAX_LIMIT)
    }

    /// How many entries there may be.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The page from `items`, which were read with one entry more than
    /// [`Self::limit`], if there was one; `key` names the last entry.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Page { items, next }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::new(None, Self::DEFAULT_LIMIT)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in the list's order.
    pub items: Vec<T>,
    /// What to ask for next ([`PageRequest::after`]); `None` at the end.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_only_if_there_is_more() {
        let request = PageRequest::new(None, 2);
        let page = request.page(vec![1, 2, 3], ToString::to_string);
        assert_eq!(page, Page { items: vec![1, 2], next: Some("2".into()) });
        assert_eq!(request.page(vec![1, 2], ToString::to_string).next, None);
    }

    #[test]
    fn a_page_is_never_empty_or_endless() {
        assert_eq!(PageRequest::new(None, 0).limit(), 1);
        assert_eq!(PageRequest::new(None, u32::MAX).limit(), PageRequest::MAX_LIMIT);
    }
}
