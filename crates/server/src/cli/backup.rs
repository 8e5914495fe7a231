//! `freehold backup` and `freehold restore`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::Guard;
use freehold_server::backup::{self, Manifest};
use freehold_server::config::{Config, Overrides};
use freehold_server::env::RealEnv;
use freehold_server::out;
use freehold_store::blob_store::{self, BlobOptions};
use freehold_store::timelines::{self, Begun};
use freehold_store::{Store, StoreOptions};
use freehold_types::{Blobs, Env, Transport};

use super::{DataArgs, block_on};

/// Copy the embedded store into a folder, while the server runs.
///
/// The copy is as of one moment: the database, then the blobs that it names.
/// The configuration is not in it, nor is the master key, unless --with-key
/// says so: keep that one apart, for without it the copy cannot be read by
/// anyone. The copy is signed with it.
///
/// With PostgreSQL use its own means, pg_dump or point-in-time recovery, and
/// those of the bucket.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold backup /backups/monday
  freehold backup /backups/monday --with-key      whoever has it can read all of it")]
pub(super) struct Backup {
    /// A new folder, or an empty one.
    dir: PathBuf,
    /// Put the master key into it, too.
    #[arg(long)]
    with_key: bool,
    /// Leave the blobs out, where the bucket is backed up by itself.
    #[arg(long)]
    without_blobs: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Make a new data folder of a backup.
///
/// Everything is checked against the backup's manifest first. The sessions in
/// it go on as a new timeline: a cursor of what came after the backup hears of
/// the last event that is still common. The configuration's folder or bucket
/// gets the blobs.
///
/// After a restore of PostgreSQL by its own means, --begin-timeline does that
/// last step, while no node runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold restore /backups/monday --data /var/lib/freehold-new
  freehold restore --begin-timeline --config freehold.toml")]
pub(super) struct Restore {
    /// The backup.
    #[arg(required_unless_present = "begin_timeline", conflicts_with = "begin_timeline")]
    dir: Option<PathBuf>,
    /// Only begin a new timeline for every session, in a store that was
    /// restored by other means.
    #[arg(long)]
    begin_timeline: bool,
    /// Tell the last common event of each session.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = self.data.folder()?;
        let config = self.data.config.source(Overrides::default()).load()?;
        if config.store.url.is_some() {
            bail!(
                "the store is PostgreSQL: back it up with pg_dump or by point-in-time recovery, \
                 and the blobs with the means of their bucket; after a restore, run `freehold \
                 restore --begin-timeline`"
            );
        }
        let taken = block_on(async {
            let blobs = if self.without_blobs { None } else { Some(blobs(&config, &data)?) };
            let take = backup::Take {
                data: &data,
                blobs: blobs.as_deref(),
                to: &self.dir,
                with_key: self.with_key,
                env: &RealEnv::new(),
            };
            anyhow::Ok(backup::take(take).await?)
        })??;
        out::line(format!("{} {}", self.dir.display(), contents(&taken.manifest)));
        for missing in &taken.manifest.missing {
            out::note(format!("warning: the blob {missing} was missing before"));
        }
        if self.with_key {
            out::note("The master key is in it: whoever has this folder can read all of it.");
        } else if let Some(key) = &taken.manifest.master_key {
            out::note(format!("It needs the master key {key}, which is not in it."));
        }
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = self.data.folder()?;
        let config = self.data.config.source(Overrides::default()).load()?;
        let mut sessions = 0_u64;
        let told = |begun: Begun| {
            sessions += 1;
            if self.list {
                out::line(format!("{} {} {}", begun.tenant, begun.session, begun.last_common));
            }
        };
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let Some(dir) = &self.dir else {
            let options = self.data.store(&data)?;
            let timeline = block_on(begin_timeline(&options, env, told))??;
            out::line(format!("{sessions} sessions go on as timeline {timeline}."));
            return Ok(());
        };
        if config.store.url.is_some() {
            bail!(
                "the store is PostgreSQL: restore it with pg_restore or by point-in-time \
                 recovery, and then run `freehold restore --begin-timeline`"
            );
        }
        let restored = block_on(async {
            let blobs = blobs(&config, &data)?;
            let what = backup::Restore { from: dir, data: &data, blobs, env };
            anyhow::Ok(backup::restore(what, told).await?)
        })??;
        out::line(format!(
            "{} holds {}; {sessions} sessions go on as timeline {}.",
            data.display(),
            contents(&restored.manifest),
            restored.timeline
        ));
        if restored.manifest.without_blobs {
            out::note("The backup was taken without blobs: they have to be where they were.");
        }
        Ok(())
    }
}

fn contents(manifest: &Manifest) -> String {
    let Manifest { sessions, blob_count, taken_at, .. } = manifest;
    format!("{sessions} sessions and {blob_count} blobs as of {taken_at}")
}

/// The blob store of the configuration, which a server may use at the same
/// time.
pub(super) fn blobs(config: &Config, data: &std::path::Path) -> anyhow::Result<Arc<dyn Blobs>> {
    let options = match config.blobs.resolve(data, &config.secrets) {
        BlobOptions::Own(folder) => BlobOptions::Folder(folder),
        options => options,
    };
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(1, Guard::default()));
    Ok(blob_store::open(&options, &transport)?)
}

async fn begin_timeline(
    options: &StoreOptions,
    env: Arc<dyn Env>,
    told: impl FnMut(Begun),
) -> anyhow::Result<u64> {
    let store = Store::open(options, Arc::clone(&env)).await?;
    let timeline = backup::timeline(&*env);
    let begun = timelines::begin_all(&store, timeline, told).await;
    store.close().await;
    begun.context("not all sessions are on the new timeline; run it again")?;
    Ok(timeline)
}
