//! A large content whose blob is missing.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::desk::{Checks, Desk, plan};

/// The files below a folder.
fn files(below: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(below)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

pub(super) fn run(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let desk = Desk::open(program, folder, "")?;
    let other = desk.create(&plan("other", &["i"]))?;
    desk.ended(&other, 1)?;
    let session = desk.create(&plan("small", &[]))?;
    desk.ended(&session, 1)?;
    let text = format!("{} {}", "x".repeat(60_000), plan("large", &[]).text());
    let path = format!("/v1/freehold/sessions/{session}/input");
    let taken = desk.ask("POST", &path, "", &serde_json::json!({ "input": text }))?;
    checks.so("a large input is taken", taken.status() == 200, taken.json());
    desk.ended(&session, 2)?;
    let mut blobs = Vec::new();
    files(&desk.node.data().join("blobs"), &mut blobs)?;
    let blob = blobs.pop().ok_or_else(|| anyhow!("no blob was kept"))?;
    let aside = folder.join("aside");
    std::fs::rename(&blob, &aside)?;
    let taken = desk.say(&session, &plan("without", &[]))?;
    checks.so("an input after it is taken and kept", taken.status() == 200, taken.json());
    let ended = desk.ended(&session, 3)?;
    let failed = ended.last().is_some_and(|reason| reason == "failed");
    checks.so("its turn fails, as the model cannot be told", failed, format!("{ended:?}"));
    let events = desk.events(&session)?;
    let told = events.iter().any(|event| event.to_string().contains("is missing"));
    checks.so("and says what is missing", told, events.last().cloned().unwrap_or_default());
    desk.say(&other, &plan("beside", &["i"]))?;
    let beside = desk.ended(&other, 2)?;
    checks.so("other sessions go on", beside == ["done", "done"], format!("{beside:?}"));
    std::fs::rename(&aside, &blob)?;
    desk.say(&session, &plan("again", &[]))?;
    let ended = desk.ended(&session, 4)?;
    let done = ended.last().is_some_and(|reason| reason == "done");
    checks.so("with it back the session goes on", done, format!("{ended:?}"));
    Ok(())
}
