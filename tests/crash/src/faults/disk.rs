//! A disk that is full, and one that may not be written. Both need the right to
//! mount: root, or sudo without a password.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::json;

use super::desk::{Checks, Desk, plan};
use crate::clock::nap;

/// Room for the server, and a little.
const SIZE: &str = "size=24m";

/// A small disk, in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        as_root(&["mount", "-t", "tmpfs", "-o", SIZE, "freehold-test", &at.display().to_string()])?;
        Ok(Self(at.to_owned()))
    }

    /// Fills it to the last byte.
    fn fill(&self) -> Result<PathBuf> {
        let ballast = self.0.join("ballast");
        let mut file = File::options().create(true).append(true).open(&ballast)?;
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
        Ok(ballast)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(as_root(&["umount", "-l", &self.0.display().to_string()]));
    }
}

fn as_root(command: &[&str]) -> Result<()> {
    let root = Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n");
    let sudo: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    let words: Vec<&str> = sudo.iter().chain(command).copied().collect();
    let Some((program, args)) = words.split_first() else { bail!("no command") };
    if !Command::new(program).args(args).status()?.success() {
        bail!("`{}` failed: a small disk is needed, and the right to mount it", words.join(" "));
    }
    Ok(())
}

pub(super) fn full(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let disk = Disk::mount(&folder.join("data"))?;
    let desk = Desk::open(program, folder, "")?;
    let session = desk.create(&plan("before", &["i"]))?;
    desk.ended(&session, 1)?;
    // Its calls come back to a full disk.
    let busy = plan("meanwhile", &["IQP"]);
    let working = desk.create(&busy)?;
    desk.event(&working, "tool_started")?;
    let ballast = disk.fill()?;
    let mut refused = None;
    // The log has a little room of its own for the first of them.
    for n in 0..400 {
        disk.fill()?;
        let answer = desk.say(&session, &plan(&format!("filling-{n}"), &[]))?;
        if answer.status() >= 400 {
            refused = Some(answer);
            break;
        }
    }
    match refused {
        Some(answer) => checks.refused("an input to a full disk", &answer, 503, "store.failed"),
        None => checks.so("an input to a full disk is refused", false, "all were taken"),
    }
    let new = desk.ask("POST", "/v1/freehold/sessions", "", &super::desk::body(&busy))?;
    checks.refused("a session on a full disk", &new, 503, "store.failed");
    let read = desk.get(&format!("/v1/freehold/sessions/{session}"))?;
    checks.so("what is there is read", read.status() == 200, read.json());
    nap(1_500);
    std::fs::remove_file(&ballast)?;
    let ended = desk.ended(&working, 1);
    checks.so(
        "the turn that was at work is done when there is room",
        ended.as_ref().is_ok_and(|ended| ended == &["done"]),
        format!("{ended:?}"),
    );
    let paid = desk.effects(&busy);
    checks.so("each of its three payments was made once", paid == 3, paid);
    let after = desk.say(&session, &plan("after", &["i"]))?;
    checks.so("the next input is taken", after.status() == 200, after.json());
    checks.so("what was accepted is kept", desk.kept(&session, &["before", "after"])?, "it is not");
    Ok(())
}

pub(super) fn read_only(program: &Path, folder: &Path, checks: &mut Checks) -> Result<()> {
    let disk = Disk::mount(&folder.join("data"))?;
    let at = disk.0.display().to_string();
    let desk = Desk::open(program, folder, "")?;
    let session = desk.create(&plan("before", &["i"]))?;
    desk.ended(&session, 1)?;
    desk.node.stop(std::time::Duration::from_secs(20))?;
    as_root(&["mount", "-o", "remount,ro", &at])?;
    let started = desk.node.start();
    checks.so("it does not start, and ends", started.is_err(), "it started");
    let log = desk.node.log();
    let last =
        log.lines().rev().find(|line| line.to_lowercase().contains("error")).unwrap_or_default();
    let clear = last.to_lowercase().contains("read-only") && last.contains(&at);
    checks.so("it says what cannot be written, and where", clear, last);
    as_root(&["mount", "-o", "remount,rw", &at])?;
    desk.node.start()?;
    let after = desk.say(&session, &plan("after", &["i"]))?;
    checks.so("it serves when it may write again", after.status() == 200, after.json());
    desk.ended(&session, 2)?;
    checks.so("nothing is lost", desk.kept(&session, &["before", "after"])?, json!(log));
    Ok(())
}
