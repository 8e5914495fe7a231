//! `freehold models`: the weights of local models.

use clap::Args;

/// Fetch, list and remove the weights of local models.
#[derive(Debug, Args)]
pub(super) struct Models {}

impl Models {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("this build has no local models")
    }
}
