//! By which paths one can get to a directory: the same files may be mounted at several places.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mounts of this process.
const TABLE: &str = "/proc/self/mountinfo";

/// What has one instance per kernel, mounted in many places, and holds nobody's files (proc(5), sysfs(5)). Where
/// one is mounted below a directory, the others are not the directory's.
const OF_THE_KERNEL: [&str; 8] = ["cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "proc", "securityfs", "sysfs"];

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
struct Mount {
    id: u64,
    parent: u64,
    /// Major and minor number of the file system.
    device: Vec<u8>,
    /// The part of the file system that is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
    kind: Vec<u8>,
}

/// What [`all_ways_to`] said last, until mounts or paths change: each start of a task asks.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// Open while the table is as it was.
    table: Option<File>,
    paths: Vec<PathBuf>,
    all: Vec<PathBuf>,
}

impl Ways {
    /// [`all_ways_to`] these paths.
    pub(crate) fn all(&mut self, paths: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_known = self.paths == paths && self.table.as_ref().is_some_and(|table| !has_changed(table));
        if !is_known {
            // Opened before it is read: what changes in between is read once more.
            self.table = File::open(TABLE).ok();
            self.all = all_ways_to(paths.clone());
            self.paths = paths;
        }
        self.all.clone()
    }
}

/// Whether anything was mounted or unmounted since the table was opened, or asked about last (proc_pid_mounts(5)).
fn has_changed(table: &File) -> bool {
    let mut asked = [PollFd::new(table.as_fd(), PollFlags::POLLPRI)];
    !matches!(poll(&mut asked, PollTimeout::ZERO), Ok(0))
}

/// Each of `paths`, and all other paths by which the mounts of this process lead to them, to what they are part of
/// a mount of, or to a part of them. Where that table cannot be read they are returned as they are.
pub(crate) fn all_ways_to(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let Ok(table) = fs::read(TABLE).map(|text| parse(&text)) else { return paths };
    let others: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| path.canonicalize().ok().map(|real| (path, real)))
        .flat_map(|(path, real)| other_ways(&table, &real).into_iter().filter(move |other| other != path))
        .collect();
    paths.extend(others);
    paths
}

/// Paths outside of `real`, which has no links, that lead to its files or to some of them. Never the root
/// directory: nothing could run without it.
fn other_ways(table: &[Mount], real: &Path) -> Vec<PathBuf> {
    let Some(holder) = holder(table, real) else { return Vec::new() };
    let Ok(rest) = real.strip_prefix(&holder.point) else { return Vec::new() };
    let below = table.iter().filter(|mount| {
        mount.point.starts_with(real) && mount.point != real && !OF_THE_KERNEL.iter().any(|kind| kind.as_bytes() == mount.kind)
    });
    let pieces =
        std::iter::once((&holder.device, holder.root.join(rest))).chain(below.map(|mount| (&mount.device, mount.root.clone())));
    let mut found: Vec<PathBuf> = pieces
        .flat_map(|(device, inner)| table.iter().filter_map(move |mount| way_by(mount, device, &inner).map(|way| (mount, way))))
        // What another mount lies on is not reached that way.
        .filter(|(mount, way)| self::holder(table, way).is_some_and(|holder| holder.id == mount.id))
        .map(|(_, way)| way)
        .filter(|way| !way.starts_with(real) && way.parent().is_some())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Where `mount` shows the directory `inner` of the file system `device`, or a part of it.
fn way_by(mount: &Mount, device: &[u8], inner: &Path) -> Option<PathBuf> {
    if mount.device != device {
        return None;
    }
    match inner.strip_prefix(&mount.root) {
        // Joined with nothing a path would get a slash at its end.
        Ok(rest) if rest.as_os_str().is_empty() => Some(mount.point.clone()),
        Ok(rest) => Some(mount.point.join(rest)),
        Err(_) => mount.root.starts_with(inner).then(|| mount.point.clone()),
    }
}

/// The mount that `path` is found in, as the kernel walks: from mount to mount mounted on it.
fn holder<'a>(table: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let top = Path::new("/");
    let mut holder = table
        .iter()
        .find(|mount| mount.point == top && !table.iter().any(|other| other.id == mount.parent && other.id != mount.id))?;
    // A table that was read while it changed could lead round in a circle.
    for _ in table {
        let on_it = table.iter().filter(|mount| mount.parent == holder.id && mount.id != holder.id);
        let next = on_it.filter(|mount| path.starts_with(&mount.point)).min_by_key(|mount| mount.point.components().count());
        match next {
            Some(next) => holder = next,
            None => break,
        }
    }
    Some(holder)
}

fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse().ok();
    let (id, parent) = (number(fields.next())?, number(fields.next())?);
    let (device, root, point) = (fields.next()?.to_vec(), path(fields.next()?), path(fields.next()?));
    // After options of the mount, as many optional fields as there are, and a dash.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?.to_vec();
    Some(Mount { id, parent, device, root, point, kind })
}

/// A path as it is written in the table: space, tab, newline, backslash and `#` in octal.
fn path(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'\\' {
            after.split_first_chunk().and_then(|(digits, after)| Some((octal(*digits)?, after)))
        } else {
            None
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    OsString::from_vec(bytes).into()
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    let add = |value: u8, digit: u8| value.checked_mul(8)?.checked_add(char::from(digit).to_digit(8)? as u8);
    digits.into_iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "20 1 8:1 / / rw - ext4 /dev/a rw\n";

    #[test]
    fn a_directory_is_found_by_every_mount_that_reaches_it() {
        let cases: [(&str, &str, &str, &[&str]); 15] = [
            ("one mount", "", "/lib/data", &[]),
            ("the same directory", "30 20 8:1 /lib/data /alias rw shared:1 master:2 - ext4 /dev/a rw", "/lib/data", &["/alias"]),
            ("the data directory is the alias", "30 20 8:1 /real /alias rw - ext4 /dev/a rw", "/alias", &["/real"]),
            ("a directory above it", "30 20 8:1 /lib /mnt rw - ext4 /dev/a rw", "/lib/data", &["/mnt/data"]),
            ("a whole disk", "30 20 8:2 / /lib rw - xfs b rw\n31 20 8:2 / /disk rw - xfs b rw", "/lib/data", &["/disk/data"]),
            ("a part of it", "30 20 8:1 /lib/data/credentials /key rw - ext4 /dev/a rw", "/lib/data", &["/key"]),
            ("its like in another file system", "30 20 8:2 /lib/data /alias rw - ext4 /dev/b rw", "/lib/data", &[]),
            ("a name that begins alike", "30 20 8:1 /lib/data-of-another /alias rw - ext4 /dev/a rw", "/lib/data", &[]),
            (
                "space and backslash",
                r"30 20 8:1 /lib/a\040b\134c /an\040alias rw - ext4 /dev/a rw",
                r"/lib/a b\c",
                &["/an alias"],
            ),
            (
                "a disk below it",
                "30 20 8:2 / /lib/data/volumes rw - xfs b rw\n31 20 8:2 / /mnt/disk rw - xfs b rw",
                "/lib/data",
                &["/mnt/disk"],
            ),
            (
                "a part of a disk below it",
                "30 20 8:2 /volumes /lib/data/volumes rw - xfs b rw\n31 20 8:2 / /mnt rw - xfs b rw",
                "/lib/data",
                &["/mnt/volumes"],
            ),
            (
                "bound with what is mounted below",
                "30 20 8:2 / /lib/data/v rw - xfs b rw\n31 20 8:1 /lib/data /a rw - ext4 /dev/a rw\n32 31 8:2 / /a/v rw - xfs b rw",
                "/lib/data",
                &["/a", "/a/v"],
            ),
            (
                "the kernel's below it",
                "30 20 0:5 / /lib/data/proc rw - proc p rw\n31 20 0:5 / /proc rw - proc p rw",
                "/lib/data",
                &[],
            ),
            ("the root below it", "30 20 8:1 / /lib/data/all rw - ext4 /dev/a rw", "/lib/data", &[]),
            (
                "another mount lies on the alias",
                "30 20 8:1 /lib/data /mnt/alias rw - ext4 /dev/a rw\n31 20 0:9 / /mnt rw - tmpfs t rw",
                "/lib/data",
                &[],
            ),
        ];
        for (what, more, directory, expected) in cases {
            let found = other_ways(&parse(format!("{ROOT}{more}\n").as_bytes()), Path::new(directory));
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{what}");
        }
    }

    #[test]
    fn ways_are_looked_for_when_paths_are_others() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut ways = Ways::default();
        for directory in [one.path(), other.path(), other.path(), one.path()] {
            let paths = vec![directory.to_owned()];
            assert_eq!(ways.all(paths.clone()), all_ways_to(paths));
        }
    }

    #[test]
    fn of_mounts_on_one_place_the_last_is_seen() {
        let table = parse(format!("{ROOT}30 20 8:2 / /lib rw - xfs b rw\n31 30 8:3 / /lib rw - xfs c rw\n").as_bytes());
        assert_eq!(holder(&table, Path::new("/lib/data")).unwrap().id, 31);
        assert_eq!(holder(&table, Path::new("/library")).unwrap().id, 20);
    }

    #[test]
    fn what_is_no_table_leads_nowhere() {
        for text in ["", "\n\n", "1 2 3", "x y 8:1 / / rw - a b c", "20 1 8:1 / / rw", "20 20 8:1 / / rw - a b c", r"\"] {
            assert!(other_ways(&parse(text.as_bytes()), Path::new("/data")).is_empty(), "{text}");
        }
        assert_eq!(path(br"\0\04\x40\999\"), Path::new(r"\0\04\x40\999\"));
    }
}
