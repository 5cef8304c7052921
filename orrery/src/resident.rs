//! What of the program's own file stays mapped.
//!
//! With each page of code that is used the kernel maps those around it. What only the start needed would
//! stay mapped as long as the process lives: on an agent most of its resident memory.
#![expect(unsafe_code, reason = "madvise has no safe form")]

use nix::sys::mman::{MmapAdvise, madvise};
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;

/// Unmaps the pages of the program's file and of its libraries that were only read; those that are used
/// again are mapped again, from the page cache. Pages with changes stay. Returns how many bytes were looked at.
pub(crate) fn trim() -> std::io::Result<usize> {
    let mut sum = 0;
    for range in unchanged_files(&std::fs::read_to_string("/proc/self/smaps")?) {
        let Some(begin) = NonNull::new(range.start as *mut c_void) else { continue };
        // SAFETY: a private mapping of a file that cannot be written to and has no page that was changed:
        // whatever is read there is read from the file, again after this.
        if unsafe { madvise(begin, range.len(), MmapAdvise::MADV_DONTNEED) }.is_ok() {
            sum += range.len();
        }
    }
    Ok(sum)
}

/// Address ranges of private read-only mappings of files of which no page was changed (proc_pid_smaps(5)).
fn unchanged_files(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Anonymous:") => {
                let range = candidate.take().filter(|_| words.next() == Some("0"));
                found.extend(range);
            }
            Some(addresses) if !addresses.ends_with(':') => candidate = mapped_file(addresses, words),
            _ => {}
        }
    }
    found
}

/// The range that the first line of an entry is about, when it is a private read-only mapping of a file.
fn mapped_file<'l>(addresses: &str, mut words: impl Iterator<Item = &'l str>) -> Option<Range<usize>> {
    let permissions = words.next()?;
    let inode = words.nth(2)?;
    if !permissions.starts_with("r-") || !permissions.ends_with('p') || inode == "0" {
        return None;
    }
    let (begin, end) = addresses.split_once('-')?;
    Some(usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0800000 r--p 00000000 fe:00 1234       /usr/bin/orrery
Size:               8192 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d0c0800000-55d0c2700000 r-xp 00800000 fe:00 1234       /usr/bin/orrery
Anonymous:             0 kB
55d0c2700000-55d0c2800000 r--p 02700000 fe:00 1234       /usr/bin/orrery
Anonymous:           980 kB
55d0c2800000-55d0c2810000 rw-p 02800000 fe:00 1234       /usr/bin/orrery
Anonymous:             0 kB
55d0c2900000-55d0c2a00000 rw-p 00000000 00:00 0          [heap]
Anonymous:             0 kB
7ff000000000-7ff000001000 r--s 00000000 fe:00 99         /var/shared
Anonymous:             0 kB
7ff000100000-7ff000101000 r-xp 00000000 00:00 0          [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_unchanged_pages_of_files_are_given_back() {
        assert_eq!(unchanged_files(SMAPS), [0x55d0_c000_0000..0x55d0_c080_0000, 0x55d0_c080_0000..0x55d0_c270_0000]);
    }

    #[test]
    fn the_program_runs_on_with_fewer_resident_pages() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(2).unwrap().parse::<usize>().unwrap()
        };
        // Something that was read, and is not read again.
        let read: u64 = std::fs::read("/proc/self/exe").unwrap().iter().map(|byte| u64::from(*byte)).sum();
        let before = resident();
        assert!(trim().unwrap() > 1 << 20);
        assert!(read > 0 && resident() < before, "pages of files: {before}, then {}", resident());
    }
}
