//! The weights that these tests need. They are never skipped: without
//! weights they fail with the command that brings them.

use std::path::PathBuf;

use freehold_local::weights::{Folder, find};

/// The weights' place.
pub(crate) fn path(name: &str) -> PathBuf {
    let package = find(name).expect("a packaged model");
    let folder = Folder::of_environment(|name| std::env::var_os(name)).expect("a models folder");
    assert!(
        folder.is_installed(package),
        "the weights of {name} are not in {}: run\n  cargo run -p freehold-server -- models fetch {name}",
        folder.root().display()
    );
    folder.weights(package)
}
