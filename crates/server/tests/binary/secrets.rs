//! The master key, from the first start to another one.

use super::running::{Running, fails, succeeds};

#[test]
fn a_master_key_is_made_once_and_changed_while_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.key");
    let kept = || std::fs::read_to_string(&file).unwrap();
    let running = Running::start(folder.path());
    let first = kept();
    let said = fails(&["secrets", "rotate-master"], folder.path());
    assert!(said.contains("in use"), "{said}");
    let logged = running.stop();
    assert!(!logged.contains(first.trim()), "the master key is in the log");

    let said = succeeds(&["secrets", "rotate-master"], folder.path());
    assert!(said.contains("1 tenants") && said.contains("master.key"), "{said}");
    assert_ne!(kept(), first);
    Running::start(folder.path()).stop();

    std::fs::write(&file, &first).unwrap();
    let said = fails(&["serve", "--listen", "127.0.0.1:0"], folder.path());
    assert!(said.contains("sealed with the master key"), "{said}");
    std::fs::write(&file, "no key").unwrap();
    let said = fails(&["serve", "--listen", "127.0.0.1:0"], folder.path());
    assert!(said.contains("64 hex digits") && !said.contains("no key"), "{said}");
}

#[test]
fn a_master_key_from_the_environment_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    let variable = "FREEHOLD_MASTER_KEY";
    Running::start_with(folder.path(), &[], &[(variable, &one)]).stop();
    assert!(!folder.path().join("master.key").exists());
    let said = fails(&["serve", "--listen", "127.0.0.1:0"], folder.path());
    assert!(said.contains("there is none here"), "{said}");
    assert!(!folder.path().join("master.key").exists());

    let rotate = |next: &[(&str, &str)]| {
        super::running::freehold()
            .args(["secrets", "rotate-master"])
            .env("FREEHOLD_DATA", folder.path())
            .env(variable, &one)
            .envs(next.iter().copied())
            .output()
            .unwrap()
    };
    assert!(!rotate(&[]).status.success(), "it is not told which is next");
    assert!(rotate(&[("FREEHOLD_NEW_MASTER_KEY", &two)]).status.success());
    Running::start_with(folder.path(), &[], &[(variable, &two)]).stop();
    assert!(!folder.path().join("master.key").exists());
}
