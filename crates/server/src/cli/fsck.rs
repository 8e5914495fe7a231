//! `freehold fsck`.

use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use freehold_server::config::Overrides;
use freehold_server::env::RealEnv;
use freehold_server::fsck::{self, Look};
use freehold_server::out;
use freehold_store::fsck::{Finding, Looked, Severity};
use freehold_types::Env;
use serde_json::json;

use super::{DataArgs, backup, block_on};

/// Look whether what is stored can be right.
///
/// Reads the journal of every session, folds it anew, and compares what lies
/// beside it: the session's row, timers, waits, idempotency keys, references to
/// blobs, the snapshot. Looks for gaps, for events and blobs that do not open,
/// for forks without their parents, and for rows and blobs of nobody.
///
/// With the embedded store no server may run on the folder; with PostgreSQL
/// nodes may go on. Takes the same memory whatever the size. Ends with status 1
/// if anything is wrong that was not repaired.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold fsck
  freehold fsck --json --config freehold.toml
  freehold fsck --repair                     make anew what the journal says")]
pub(super) struct Fsck {
    /// Make what is projected from the journal what it should be. Journals and
    /// blobs are never changed.
    #[arg(long)]
    repair: bool,
    /// Leave the blobs out, which are all read otherwise.
    #[arg(long)]
    without_blobs: bool,
    /// A line of JSON for each finding, and one at the end for all.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl Fsck {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = self.data.folder()?;
        let config = self.data.config.source(Overrides::default()).load()?;
        let store = self.data.store(&data)?;
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let mut count = Count::default();
        let found = |finding: Finding| {
            count.note(&finding);
            out::line(if self.json { line(&finding) } else { words(&finding) });
        };
        let looked = block_on(async {
            let blobs = backup::blobs(&config, &data)?;
            let (with_blobs, repair) = (!self.without_blobs, self.repair);
            let what = Look { data: &data, store: &store, blobs, with_blobs, repair, env };
            anyhow::Ok(fsck::look(what, found).await?)
        })??;
        out::line(if self.json { count.line(looked) } else { count.words(looked) });
        if count.wrong > 0 {
            bail!("{} things are wrong; see above what to do", count.wrong);
        }
        Ok(())
    }
}

/// What was found.
#[derive(Default)]
struct Count {
    wrong: u64,
    repaired: u64,
    spare: u64,
}

impl Count {
    fn note(&mut self, finding: &Finding) {
        *match (finding.problem.severity(), finding.repaired) {
            (_, true) => &mut self.repaired,
            (Severity::Wrong, _) => &mut self.wrong,
            (Severity::Spare, _) => &mut self.spare,
        } += 1;
    }

    fn words(&self, looked: Looked) -> String {
        let Looked { sessions, events, blobs, moving } = looked;
        let Self { wrong, repaired, spare } = self;
        let text = format!(
            "{sessions} sessions, {events} events, {blobs} blobs: {wrong} wrong, {repaired} \
             repaired, {spare} of no use"
        );
        match moving {
            0 => text,
            moving => format!(
                "{text}; {moving} sessions were written to all the time, and only their journals \
                 were looked at"
            ),
        }
    }

    fn line(&self, looked: Looked) -> String {
        let Looked { sessions, events, blobs, moving } = looked;
        let Self { wrong, repaired, spare } = self;
        let looked =
            json!({ "sessions": sessions, "events": events, "blobs": blobs, "moving": moving });
        json!({ "looked": looked, "wrong": wrong, "repaired": repaired, "spare": spare })
            .to_string()
    }
}

fn line(finding: &Finding) -> String {
    let Finding { tenant, session, problem, repaired } = finding;
    json!({
        "tenant": tenant.as_str(),
        "session": session.to_string(),
        "offset": problem.offset(),
        "code": problem.code(),
        "severity": match problem.severity() {
            Severity::Wrong => "wrong",
            Severity::Spare => "spare",
        },
        "problem": problem.to_string(),
        "found": problem.found(),
        "expected": problem.expected(),
        "advice": problem.advice(),
        "repaired": repaired,
    })
    .to_string()
}

fn words(finding: &Finding) -> String {
    let Finding { tenant, session, problem, repaired } = finding;
    let what = if *repaired { "it was repaired" } else { problem.advice() };
    format!("{tenant} {session}: {problem}\n    {what}")
}
