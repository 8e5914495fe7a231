//! `freehold secrets`: the key that seals all others.

use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use freehold_server::env::RealEnv;
use freehold_server::{data_folder, master_key, out};
use freehold_store::Store;
use freehold_types::Env;

use super::{DataArgs, block_on};

/// Change what seals the secrets in the store.
#[derive(Debug, Args)]
pub(super) struct Secrets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    RotateMaster(RotateMaster),
}

/// Put the tenants' keys under a new master key.
///
/// The server on this data folder has to be stopped. The new key is made and
/// kept in master.key in the data folder. Where the master key is given in
/// FREEHOLD_MASTER_KEY, the new one is taken from FREEHOLD_NEW_MASTER_KEY, and
/// all nodes get it in FREEHOLD_MASTER_KEY afterwards; those that run need a
/// restart to serve tenants that they do not know yet. Nothing else is sealed
/// anew, so this takes no longer for large sessions.
///
/// A backup with the old key stays good with the old key only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold secrets rotate-master
  FREEHOLD_NEW_MASTER_KEY=$(openssl rand -hex 32) freehold secrets rotate-master --config freehold.toml")]
struct RotateMaster {
    #[command(flatten)]
    data: DataArgs,
}

impl Secrets {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::RotateMaster(rotate) = self.command;
        rotate.run()
    }
}

impl RotateMaster {
    fn run(self) -> anyhow::Result<()> {
        let folder = self.data.folder()?;
        let options = self.data.store(&folder)?;
        data_folder::open(&folder)
            .with_context(|| format!("the data folder {} cannot be used", folder.display()))?;
        let rotated = block_on(async {
            let env: Arc<dyn Env> = Arc::new(RealEnv::new());
            let store = Arc::new(Store::open(&options, Arc::clone(&env)).await?);
            let rotated = master_key::rotate(Arc::clone(&store) as _, env, &folder).await;
            store.close().await;
            anyhow::Ok(rotated?)
        })??;
        let tenants = rotated.tenants;
        out::line(match rotated.file {
            Some(file) => format!(
                "The keys of {tenants} tenants are under a new master key, in {}.",
                file.display()
            ),
            None => format!(
                "The keys of {tenants} tenants are under the master key of {}; give it to all \
                 nodes as {} now.",
                master_key::NEXT,
                master_key::MASTER
            ),
        });
        Ok(())
    }
}
