//! `freehold cell`: what others know this installation by.

use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use freehold_server::config::Overrides;
use freehold_server::env::RealEnv;
use freehold_server::{admin, data_folder, master_key, out};
use freehold_store::Store;
use freehold_types::Env;
use http::Method;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{DataArgs, block_on, door};

/// Show what other cells know this one by.
#[derive(Debug, Args)]
pub(super) struct Cell {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Show),
}

/// Print the cell's name and public key, for the other cells' [[cell.trust]].
#[derive(Debug, Args)]
struct Show {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl Cell {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::Show(show) = self.command;
        show.run()
    }
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let folder = self.data.folder()?;
        let socket = admin::socket_path(&folder);
        let runs = block_on(async { UnixStream::connect(&socket).await.is_ok() })?;
        let cell = if runs {
            door::call(&self.data, &Method::GET, "/v1/freehold/cell", None)?
        } else {
            self.offline()?
        };
        if self.json {
            out::line(serde_json::to_string_pretty(&cell)?);
            return Ok(());
        }
        out::line(format!("name  {}", door::text(&cell, "name")));
        out::line(format!("key   {}", door::text(&cell, "key")));
        for peer in cell.get("trust").and_then(Value::as_array).into_iter().flatten() {
            let (name, key) = (door::text(peer, "name"), door::text(peer, "key"));
            out::line(format!("trusts {name} {key}"));
        }
        Ok(())
    }

    /// Over the store that no server has open.
    fn offline(&self) -> anyhow::Result<Value> {
        let folder = self.data.folder()?;
        let config = self.data.config.source(Overrides::default()).load()?;
        let options = self.data.store(&folder)?;
        data_folder::open(&folder)
            .with_context(|| format!("the data folder {} cannot be used", folder.display()))?;
        let key = block_on(async {
            let env: Arc<dyn Env> = Arc::new(RealEnv::new());
            let store = Arc::new(Store::open(&options, Arc::clone(&env)).await?);
            let keyring = master_key::open(Arc::clone(&store) as _, env, &folder).await;
            let key = match keyring {
                Ok(keyring) => keyring.cell_key().await.map_err(anyhow::Error::from),
                Err(error) => Err(error.into()),
            };
            store.close().await;
            key
        })??;
        let name = config
            .cell
            .name()
            .map_or_else(|| key.public().usual_name(), |name| name.as_str().to_owned());
        let trust = config.cell.peers();
        let trust =
            trust.iter().map(|peer| json!({"name": peer.name, "key": peer.key.to_string()}));
        let trust: Vec<_> = trust.collect();
        Ok(json!({"name": name, "key": key.public().to_string(), "trust": trust}))
    }
}
