//! Figures of a process, from `/proc` (Linux).

use std::fs;

/// Resident memory of a process in KiB; 0 if it is gone.
pub fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Processor time of a process in microseconds, user and system.
pub fn cpu_us(pid: u32) -> u64 {
    // schedstat of each thread counts nanoseconds; stat only 10 ms ticks.
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let mut nanos = 0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    nanos / 1_000
}

/// Bytes that a process handed to the system to write, whatever for; 0 if it
/// is gone.
pub fn written_bytes(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = io.lines().find_map(|l| l.strip_prefix("wchar: "));
    count.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Open file descriptors of a process; 0 if it is gone.
pub fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}
