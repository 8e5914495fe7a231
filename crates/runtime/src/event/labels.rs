//! Labels: what policy and residency say of content, handed on to all that is
//! made of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Text;

/// How many labels a set tells apart.
const MANY: usize = 16;

/// What stands for every label, in text.
const EVERY: &str = "*";

/// A set of labels; as JSON an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// These.
    These(BTreeSet<Text<32>>),
    /// Every label there is. A set that passes its bound turns into this one,
    /// which is on the safe side of whoever asks whether a label is in it.
    Every,
}

impl Default for Labels {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Labels {
    /// A set of these labels.
    pub fn new(labels: impl IntoIterator<Item = Text<32>>) -> Self {
        Self::These(labels.into_iter().collect()).bounded()
    }

    /// Both sets in one.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::These(a), Self::These(b)) => {
                Self::These(a.union(b).cloned().collect()).bounded()
            }
            _ => Self::Every,
        }
    }

    /// Whether the label is in it.
    pub fn has(&self, label: &Text<32>) -> bool {
        match self {
            Self::These(these) => these.contains(label),
            Self::Every => true,
        }
    }

    /// Whether there is no label in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::These(these) if these.is_empty())
    }

    fn bounded(self) -> Self {
        match self {
            Self::These(these) if these.len() > MANY => Self::Every,
            fits => fits,
        }
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::These(these) => these.serialize(to),
            Self::Every => [EVERY].serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let these = BTreeSet::<Text<32>>::deserialize(from)?;
        if these.iter().any(|label| label.as_str() == EVERY) {
            return Ok(Self::Every);
        }
        if these.len() > MANY {
            return Err(de::Error::custom(format_args!("more than {MANY} labels")));
        }
        Ok(Self::These(these))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(n: usize) -> Text<32> {
        Text::new(&format!("label-{n}")).unwrap()
    }

    #[test]
    fn past_the_bound_it_is_every_label() {
        let few = Labels::new((0..MANY).map(label));
        assert!(few.has(&label(0)) && !few.has(&label(MANY)));
        let many = few.union(&Labels::new([label(MANY)]));
        assert_eq!(many, Labels::Every);
        assert!(many.has(&label(999)));
    }

    #[test]
    fn both_forms_survive_their_text() {
        for labels in [Labels::default(), Labels::new([label(1)]), Labels::Every] {
            let text = serde_json::to_string(&labels).unwrap();
            assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
        }
        let absurd: Vec<_> = (0..100).map(label).collect();
        assert!(serde_json::from_value::<Labels>(serde_json::json!(absurd)).is_err());
    }
}
