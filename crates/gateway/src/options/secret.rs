//! Secrets by reference.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use freehold_types::Secret;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value};

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/path" }`. The
/// secret itself never stands in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; one line break at its end does not count.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret: { env = \"NAME\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        // The value is not repeated: it is most likely the secret itself.
        Err(E::custom(
            "a secret may not stand in the configuration, which is copied, committed and shown: \
             write where it is kept instead, { env = \"NAME\" } or { file = \"/path\" }",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        let written = Written::deserialize(value::MapAccessDeserializer::new(map))?;
        match (written.env, written.file) {
            (Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(SecretRef::Env(name))
            }
            (None, Some(path)) if !path.as_os_str().is_empty() => Ok(SecretRef::File(path)),
            _ => Err(A::Error::custom(
                "a secret is kept in one place: write either { env = \"NAME\" } or { file = \"/path\" }",
            )),
        }
    }
}

/// The secrets behind the references, read once per configuration.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<SecretRef, Secret>);

impl Secrets {
    /// Keeps what was read.
    pub fn new(read: BTreeMap<SecretRef, Secret>) -> Self {
        Self(read)
    }

    /// The secret, unless it could not be read.
    pub fn get(&self, at: &SecretRef) -> Option<&Secret> {
        self.0.get(at)
    }
}
