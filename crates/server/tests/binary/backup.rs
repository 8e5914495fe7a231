//! A backup of a running server, and a server on what is restored from it.

use super::running::{Running, fails, succeeds};

#[test]
fn a_running_server_is_backed_up_and_served_from_the_copy() {
    let root = tempfile::tempdir().unwrap();
    let (data, new, copy) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
    let copied = copy.display().to_string();
    let running = Running::start(&data);
    let admin = running.admin_key();
    succeeds(&["keys", "create", "--name", "kept"], &data);
    let said = succeeds(&["backup", &copied, "--with-key"], &data);
    assert!(said.contains("0 sessions and 0 blobs"), "{said}");
    succeeds(&["keys", "create", "--name", "late"], &data);
    let said = fails(&["restore", &copied], &data);
    assert!(said.contains("in use") || said.contains("already"), "{said}");
    running.stop();

    succeeds(&["restore", &copied], &new);
    let running = Running::start(&new);
    assert_eq!(running.get("/v1/models", Some(&admin)).0, 200);
    let keys = succeeds(&["keys", "list"], &new);
    assert!(keys.contains("kept") && !keys.contains("late"), "{keys}");
    running.stop();
    assert!(fails(&["restore", &copied], &new).contains("already"));
}
