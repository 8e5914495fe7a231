//! Names of routes, which may hold one `*`.

/// A route's name, parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    before: String,
    /// What follows the star, if there is one.
    after: Option<String>,
}

impl Pattern {
    /// Reads a name; `None` if it holds more than one `*`.
    pub fn parse(name: &str) -> Option<Self> {
        match name.split_once('*') {
            None => Some(Self { before: name.to_owned(), after: None }),
            Some((_, after)) if after.contains('*') => None,
            Some((before, after)) => {
                Some(Self { before: before.to_owned(), after: Some(after.to_owned()) })
            }
        }
    }

    /// Whether it has a star.
    pub fn is_wild(&self) -> bool {
        self.after.is_some()
    }

    /// How many bytes of a name it pins down. Of the patterns that match, the
    /// one without a star wins, then the one with the most of these.
    pub fn weight(&self) -> usize {
        self.before.len() + self.after.as_ref().map_or(0, String::len)
    }

    /// What the star stands for in `model` (nothing, if there is none), or
    /// `None` if the name does not match. A star stands for at least one
    /// character.
    pub fn matches<'m>(&self, model: &'m str) -> Option<&'m str> {
        let Some(after) = &self.after else {
            return (model == self.before).then_some("");
        };
        let middle = model.strip_prefix(self.before.as_str())?.strip_suffix(after.as_str())?;
        (!middle.is_empty()).then_some(middle)
    }

    /// A deployment's model with its `*` replaced by what the route's star
    /// stood for.
    pub fn fill(model: &str, star: &str) -> String {
        model.replacen('*', star, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn the_star_stands_for_what_the_rest_leaves() {
        for (pattern, model, star) in [
            ("gpt-5", "gpt-5", Some("")),
            ("gpt-5", "gpt-5-mini", None),
            ("*", "anything/at:all", Some("anything/at:all")),
            ("*", "", None),
            ("east/*", "east/gpt-5", Some("gpt-5")),
            ("east/*", "east/", None),
            ("east/*", "west/gpt-5", None),
            ("*-eu", "gpt-5-eu", Some("gpt-5")),
            ("a*a", "a", None),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(model), star, "{pattern} on {model}");
        }
        assert_eq!(Pattern::parse("*/*"), None);
        assert_eq!(Pattern::fill("acme.*-v1", "gpt-5"), "acme.gpt-5-v1");
    }
}
