//! Sessions as files: from this cell, into it, and back.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use freehold_server::admin::escape;
use freehold_server::out;
use http::Method;
use serde_json::{Value, json};

use super::super::door::text;
use super::api::{Api, of};

/// The most bytes of a bundle's last line, and of its first.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Write a whole session to a file, signed: events, blobs, and, if it moves,
/// all that waits.
///
/// A copy can be imported by every cell that trusts this one, as a new
/// session in which nothing waits. With --move the session is sealed here for
/// one cell and refuses everything from then on; there it goes on under the
/// same id, and approvals and timers go with it. The file holds what was said
/// in the clear, and no credentials: clients give those again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold sessions export sess_0199... --out trip.bundle
  freehold sessions export sess_0199... --move eu-2")]
pub(super) struct Export {
    session: String,
    /// Move it to this cell, which is in [[cell.trust]].
    #[arg(long = "move", value_name = "CELL")]
    move_to: Option<String>,
    /// Where to; without it, SESSION.bundle in this folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let file = self.out.unwrap_or_else(|| format!("{}.bundle", self.session).into());
        let part = PathBuf::from(format!("{}.part", file.display()));
        let mut writing = Writing::begin(&part)?;
        let path = of(&self.session, "export");
        let body = json!({"move_to": self.move_to});
        let exported = api.download(Method::POST, &path, &body, &mut |bytes| writing.take(bytes));
        let whole = exported.and_then(|()| writing.end());
        if let Err(error) = whole {
            drop(std::fs::remove_file(&part));
            let sealed = self.move_to.is_some();
            let hint = "the export did not come to its end; begin it again, which gives the same";
            return if sealed { Err(error).context(hint) } else { Err(error) };
        }
        std::fs::rename(&part, &file)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        let shown = file.display();
        let told = json!({"session": self.session, "file": shown.to_string()});
        api.tell(
            &told,
            match &self.move_to {
                Some(cell) => {
                    format!("{} is sealed for `{cell}`; import {shown} there.", self.session)
                }
                None => format!("{} is in {shown}.", self.session),
            },
        );
        Ok(())
    }
}

/// A bundle that is being written to a file that only its owner reads.
struct Writing {
    file: File,
    /// The end of what was written, from its last line on.
    last: Vec<u8>,
}

impl Writing {
    fn begin(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = opened.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { file, last: Vec::new() })
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes)?;
        self.last.extend_from_slice(bytes);
        let lines = self.last.strip_suffix(b"\n").unwrap_or(&self.last);
        if let Some(end) = lines.iter().rposition(|byte| *byte == b'\n') {
            self.last.drain(..=end);
        }
        Ok(())
    }

    /// Whether it ended as a bundle ends.
    fn end(self) -> anyhow::Result<()> {
        let last: Value = serde_json::from_slice(&self.last).unwrap_or_default();
        if let Some(why) = last.get("failed").and_then(Value::as_str) {
            bail!("the export failed: {why}");
        }
        if last.get("end").is_none() {
            bail!("the export broke off; see the server's log");
        }
        Ok(self.file.sync_all()?)
    }
}

/// Take a session in from a file that another cell exported.
///
/// Its signer has to be in [[cell.trust]]. What was moved to this cell keeps
/// its id; anything else becomes a copy. A file that was changed or cut is
/// refused as a whole; one that was imported before is not imported again.
#[derive(Debug, Args)]
pub(super) struct Import {
    file: PathBuf,
    /// The id of the key that pays for its models from now on; without it, the
    /// key that is sent.
    #[arg(long, value_name = "KEY")]
    payer: Option<String>,
    /// A copy, although it was moved to this cell.
    #[arg(long)]
    copy: bool,
    /// Imported again under the same name, it is the same copy.
    #[arg(long, value_name = "NAME")]
    idempotency_key: Option<String>,
}

impl Import {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let mut path = format!("sessions/import?copy={}", self.copy);
        if let Some(payer) = &self.payer {
            path = format!("{path}&payer={}", escape(payer));
        }
        let told = api.upload(&path, &self.file, self.idempotency_key.as_deref())?;
        let session = text(&told, "session");
        let how = match (told.get("moved"), told.get("repeated")) {
            (_, Some(Value::Bool(true))) => "was imported before",
            (Some(Value::Bool(true)), _) => "goes on here",
            _ => "is a copy: nothing waits in it",
        };
        api.tell(&told, format!("{session} {how}."));
        Ok(())
    }
}

/// Refuse a bundle for good, and write down, signed, that it is.
///
/// Run it at the cell that the bundle is for. With what it writes the session
/// is unsealed where it came from; here the bundle is never imported again.
#[derive(Debug, Args)]
pub(super) struct Refuse {
    /// The bundle; its first line is enough.
    #[arg(required_unless_present = "bundle")]
    file: Option<PathBuf>,
    /// In place of the file: the session in it.
    #[arg(long, requires = "bundle", conflicts_with = "file")]
    session: Option<String>,
    /// In place of the file: its name, 64 hex digits.
    #[arg(long, requires = "session", conflicts_with = "file")]
    bundle: Option<String>,
    /// Where to; without it, it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Refuse {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let body = match (&self.file, self.session, self.bundle) {
            (Some(file), ..) => {
                let head = head(file)?;
                json!({"session": text(&head, "session"), "bundle": text(&head, "bundle")})
            }
            (None, session, bundle) => json!({"session": session, "bundle": bundle}),
        };
        let refusal = api.post("sessions/refusals", &body)?;
        match &self.out {
            None => out::line(refusal.to_string()),
            Some(file) => {
                std::fs::write(file, format!("{refusal}\n"))
                    .with_context(|| format!("{} cannot be written", file.display()))?;
                api.tell(&refusal, format!("The bundle is refused: {}.", file.display()));
            }
        }
        Ok(())
    }
}

/// What a bundle says of itself.
fn head(file: &Path) -> anyhow::Result<Value> {
    let read = || -> anyhow::Result<Value> {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64;
        BufReader::new(File::open(file)?).take(limit).read_until(b'\n', &mut line)?;
        let line: Value = serde_json::from_slice(&line).context("it is no bundle")?;
        line.get("head").cloned().context("it is no bundle")
    };
    read().with_context(|| file.display().to_string())
}

/// Take a session back that was sealed for another cell, with that cell's
/// refusal.
#[derive(Debug, Args)]
pub(super) struct Unseal {
    session: String,
    /// What `freehold sessions refuse` wrote in that cell.
    refusal: PathBuf,
}

impl Unseal {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        // As it is: what was signed is its text.
        let refusal = std::fs::read(&self.refusal)
            .with_context(|| format!("{} cannot be read", self.refusal.display()))?;
        let told = api.post_text(&of(&self.session, "unseal"), refusal.into())?;
        api.tell(&told, format!("{} goes on here.", self.session));
        Ok(())
    }
}

/// Delete a session with all that is in it.
#[derive(Debug, Args)]
pub(super) struct Delete {
    session: String,
    /// Also what is left here of one that was moved to another cell. It stays
    /// there, and cannot be unsealed here any more.
    #[arg(long)]
    moved: bool,
}

impl Delete {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let path = format!("{}?moved={}", of(&self.session, ""), self.moved);
        let told = api.call(Method::DELETE, &path, None)?;
        api.tell(&told, format!("{} is deleted.", self.session));
        Ok(())
    }
}
