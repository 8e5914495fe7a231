//! `[cell]`: what this installation is called among others, and whose
//! signatures it believes.

use std::collections::BTreeSet;

use freehold_control::vault::CellPublicKey;
use freehold_gateway::options::At;
use freehold_runtime::bundle::Peer;
use freehold_runtime::event::Name;
use serde::Deserialize;

/// The `[cell]` table. Changes are in force at once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CellOptions {
    /// What the cell is called; the same in the lists of the others. Default:
    /// `cell-` and the beginning of a hash of its key.
    pub name: Option<String>,
    /// The cells whose bundles are imported, and to which sessions are moved.
    pub trust: Vec<PeerOptions>,
    /// The most bytes of a bundle that is imported. Default: 64 GiB.
    pub import_bytes_max: u64,
}

/// Another cell.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerOptions {
    /// What it calls itself.
    pub name: String,
    /// As `freehold cell show` prints it there.
    pub key: String,
}

impl Default for CellOptions {
    fn default() -> Self {
        Self { name: None, trust: Vec::new(), import_bytes_max: 64 << 30 }
    }
}

impl CellOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        const NAMED: &str = "a cell's name has 1 to 64 bytes and no control characters";
        if self.name.as_deref().is_some_and(|text| name(text).is_none()) {
            at.add("name", NAMED);
        }
        let mut seen = BTreeSet::new();
        for (index, peer) in self.trust.iter().enumerate() {
            if name(&peer.name).is_none() {
                at.add(&format!("trust.{index}.name"), NAMED);
            } else if !seen.insert(&peer.name) {
                at.add(
                    &format!("trust.{index}.name"),
                    format!("`{}` is there already: a cell has one key", peer.name),
                );
            }
            if let Err(error) = peer.key.parse::<CellPublicKey>() {
                at.add(&format!("trust.{index}.key"), error.to_string());
            }
        }
        if self.import_bytes_max == 0 {
            at.add("import_bytes_max", "0 would let no bundle in");
        }
    }

    /// What it calls itself, if it was given a name.
    pub fn name(&self) -> Option<Name> {
        self.name.as_deref().and_then(name)
    }

    /// The cells that it trusts. All of them were checked.
    pub fn peers(&self) -> Vec<Peer> {
        let peers = self.trust.iter();
        let peers = peers
            .filter_map(|peer| Some(Peer { name: name(&peer.name)?, key: peer.key.parse().ok()? }));
        peers.collect()
    }
}

fn name(text: &str) -> Option<Name> {
    Name::new(text).ok().filter(|name| !name.as_str().is_empty())
}
