//! On which thread a session is worked on: on the one that asked for it, if that
//! serves for as long as the node does. So a step that a client asks for crosses
//! to the store and back, and to no third thread; and sessions are spread over
//! the threads as their clients are.

use std::cell::RefCell;

use tokio::runtime::Handle;

thread_local! {
    static HOME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Has sessions that are taken into hand on this thread worked on here, by the
/// runtime that runs on it. It must outlast [`Sessions::stop`](super::Sessions::stop):
/// what still runs when it ends is cut off as by a crash.
pub fn work_here() {
    HOME.set(Some(Handle::current()));
}

/// Where sessions are worked on that are taken on this thread, if it has said so.
pub(super) fn of_thread() -> Option<Handle> {
    HOME.with_borrow(Clone::clone)
}
