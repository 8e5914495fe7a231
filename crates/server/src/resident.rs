//! Lets go of the code that only starting needed.
//!
//! A page fault in a program's file maps the sixteen pages around it as well,
//! if they are in the page cache. Starting goes through so many corners that
//! two thirds of the program end up in this process's resident memory, of
//! which a server at rest touches a tenth. Nothing is freed by itself: the
//! kernel takes such pages back only when it is short of memory, and until
//! then they count. So they are given back once; what is needed comes again,
//! from the page cache, for about a microsecond a fault.

/// Unmaps the pages of this program's file that are mapped for reading only
/// and are what the file holds. Does nothing where there is no `/proc`.
#[cfg(target_os = "linux")]
pub fn give_back() {
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
    let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    for (start, length) in clean(&maps, &program.to_string_lossy()) {
        let start = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
        #[expect(
            unsafe_code,
            reason = "the mapping is private, of a file, not writable, and has no page of its own: \
                      whatever is read in it afterwards is what was there before"
        )]
        // What fails stays as it was.
        let _: libc::c_int = unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
    }
}

/// Unmaps nothing: only Linux is known to do as said above.
#[cfg(not(target_os = "linux"))]
pub fn give_back() {}

/// Where the mappings of `program` lie that hold nothing but its file, and how
/// long they are; as `/proc/self/smaps` tells it.
#[cfg(target_os = "linux")]
fn clean(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            let (span, perms, path) = mapping;
            let fixed = matches!(perms, "r-xp" | "r--p");
            current = (fixed && path == program).then_some(span);
        } else if let Some(own) = line.strip_prefix("Anonymous:")
            && own.trim() == "0 kB"
        {
            found.extend(current.take());
        }
    }
    found
}

/// The head of a mapping: `START-END PERMS OFFSET DEVICE INODE PATH`.
#[cfg(target_os = "linux")]
fn mapping(line: &str) -> Option<((usize, usize), &str, &str)> {
    let (span, rest) = line.split_once(' ')?;
    let (start, end) = span.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let perms = rest.get(..4)?;
    let path = rest.splitn(5, ' ').nth(4).unwrap_or_default().trim_start();
    Some(((start, end.checked_sub(start)?), perms, path))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0974000 r--p 00000000 fe:00 10133507                   /opt/free hold
Size:               9680 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d0c0974000-55d0c2881000 r-xp 00973000 fe:00 10133507                   /opt/free hold
Anonymous:             0 kB
55d0c2881000-55d0c2998000 r--p 0287f000 fe:00 10133507                   /opt/free hold
Anonymous:          1116 kB
55d0c2998000-55d0c29a1000 rw-p 02995000 fe:00 10133507                   /opt/free hold
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 77                         /lib/libc.so.6
Anonymous:             0 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_holds_is_given_back() {
        let found = clean(SMAPS, "/opt/free hold");
        assert_eq!(found, [(0x55d0_c000_0000, 0x97_4000), (0x55d0_c097_4000, 0x1f0_d000)]);
    }

    fn resident_kib() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    #[test]
    fn the_program_goes_on_with_less() {
        let before = resident_kib().unwrap();
        give_back();
        let after = resident_kib().unwrap();
        assert!(after < before, "{before} KiB of files were resident, and {after} are");
    }
}
