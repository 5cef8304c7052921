//! Unpacking archives into a sandbox, trusting nothing in them.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Bounds on what one archive may unpack to.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
    /// How many times larger than the archive; checked above `ratio_free_bytes`.
    pub(crate) ratio: u64,
    /// Small archives may hold anything.
    pub(crate) ratio_free_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 8 << 30, entries: 500_000, ratio: 200, ratio_free_bytes: 256 << 20 }
    }
}

/// Memory the xz decoder may take, bytes.
const XZ_MEMORY_MAX: u64 = 256 << 20;
/// Longest target of a symbolic link, bytes.
const LINK_MAX_BYTES: u64 = 4096;
/// Bytes between the data of two tar entries: long names and attributes are held in memory.
const HEADERS_MAX_BYTES: u64 = 1 << 20;
/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Kinds of archives, by the end of their name (Mesos' list).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar,
    TarGz,
    TarBz2,
    TarXz,
    Gz,
    Zip,
}

/// The kind of archive a name promises.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    let table = [
        (".tar.gz", Kind::TarGz),
        (".tgz", Kind::TarGz),
        (".tar.bz2", Kind::TarBz2),
        (".tbz2", Kind::TarBz2),
        (".tar.xz", Kind::TarXz),
        (".txz", Kind::TarXz),
        (".tar", Kind::Tar),
        (".gz", Kind::Gz),
        (".zip", Kind::Zip),
    ];
    table.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, kind)| kind)
}

/// Counts what is unpacked.
struct Budget<'a> {
    bounds: &'a Bounds,
    archive_bytes: u64,
    bytes: u64,
    entries: u64,
}

impl Budget<'_> {
    fn entry(&mut self) -> Result<(), String> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(format!("it holds more than {} files", self.bounds.entries));
        }
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bounds.bytes {
            return Err(format!("it unpacks to more than {} MiB", self.bounds.bytes >> 20));
        }
        if self.bytes > self.bounds.ratio_free_bytes && self.bytes / self.archive_bytes.max(1) > self.bounds.ratio {
            return Err(format!("it unpacks to more than {} times its size, as only an archive bomb does", self.bounds.ratio));
        }
        Ok(())
    }
}

/// Unpacks `archive` below `root`; a single compressed file becomes `single`.
pub(crate) fn extract(archive: &Path, kind: Kind, root: &Path, single: &str, bounds: &Bounds) -> Result<(), String> {
    let say = |error: io::Error| error.to_string();
    let file = File::open(archive).map_err(say)?;
    let archive_bytes = file.metadata().map_err(say)?.len();
    let mut budget = Budget { bounds, archive_bytes, bytes: 0, entries: 0 };
    let root = root.canonicalize().map_err(say)?;
    let input = BufReader::with_capacity(CHUNK_BYTES, file);
    match kind {
        Kind::Tar => unpack_tar(input, &root, &mut budget),
        Kind::TarGz => unpack_tar(flate2::bufread::MultiGzDecoder::new(input), &root, &mut budget),
        Kind::TarBz2 => unpack_tar(bzip2::bufread::MultiBzDecoder::new(input), &root, &mut budget),
        Kind::TarXz => {
            // Flag 8: several streams one after the other, as xz itself reads them.
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, 8).map_err(|error| error.to_string())?;
            unpack_tar(liblzma::bufread::XzDecoder::new_stream(input, stream), &root, &mut budget)
        }
        Kind::Gz => {
            budget.entry()?;
            write_file(flate2::bufread::MultiGzDecoder::new(input), &root, Path::new(single), 0o644, &mut budget)
        }
        Kind::Zip => unpack_zip(input.into_inner(), &root, &mut budget),
    }
}

/// The path an entry may have: below the root, nothing else. `None` for the root itself.
fn entry_path(path: &Path) -> Result<Option<PathBuf>, String> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!("its entry \"{}\" would be written outside the sandbox", path.display()));
            }
        }
    }
    Ok((!clean.as_os_str().is_empty()).then_some(clean))
}

/// Creates the directories on the way to `path`, refusing to go through links.
fn create_parents(root: &Path, path: &Path) -> Result<(), String> {
    let mut made = root.to_owned();
    for part in path.parent().unwrap_or(Path::new("")).components() {
        made.push(part);
        create_directory(&made)?;
    }
    Ok(())
}

fn create_directory(path: &Path) -> Result<(), String> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
            if found.is_dir() {
                Ok(())
            } else {
                Err(format!("\"{}\" is a file or a link where it needs a directory", path.display()))
            }
        }
        Err(error) => Err(format!("cannot create {}: {error}", path.display())),
    }
}

/// Makes room for a file or link; directories are not replaced.
fn make_room(root: &Path, path: &Path) -> Result<PathBuf, String> {
    create_parents(root, path)?;
    let target = root.join(path);
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("cannot replace {}: {error}", target.display())),
        _ => Ok(target),
    }
}

fn write_file(mut from: impl Read, root: &Path, path: &Path, mode: u32, budget: &mut Budget<'_>) -> Result<(), String> {
    let target = make_room(root, path)?;
    let say = |error: io::Error| format!("{}: {error}", path.display());
    // Set-id and sticky bits are dropped; the owner can always read and write.
    let mode = mode & 0o777 | 0o600;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target).map_err(say)?;
    let mut buffer = vec![0u8; CHUNK_BYTES];
    loop {
        let length = from.read(&mut buffer).map_err(say)?;
        if length == 0 {
            break;
        }
        budget.spend(length as u64)?;
        file.write_all(&buffer[..length]).map_err(say)?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(say)
}

/// Whether a link at `path` to `target` stays inside. `..` may stand only at the beginning: the
/// link's own directory is real, so that it climbs as it reads, and what follows only descends.
fn link_stays(path: &Path, target: &Path) -> bool {
    let depth = path.components().count() - 1;
    let (mut climbed, mut descending) = (0, false);
    for part in target.components() {
        match part {
            Component::ParentDir if descending => return false,
            Component::ParentDir => climbed += 1,
            Component::CurDir => {}
            Component::Normal(_) => descending = true,
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    climbed <= depth
}

fn make_link(root: &Path, path: &Path, target: &Path) -> Result<(), String> {
    if !link_stays(path, target) {
        return Err(format!("its link \"{}\" points outside the sandbox, to \"{}\"", path.display(), target.display()));
    }
    let place = make_room(root, path)?;
    std::os::unix::fs::symlink(target, place).map_err(|error| format!("{}: {error}", path.display()))
}

/// A reader that refuses to go on when nothing is `left`.
struct Metered<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the name or attributes of an entry are too long"));
        }
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let length = self.inner.read(&mut buffer[..room])?;
        self.left.set(left - length as u64);
        Ok(length)
    }
}

fn unpack_tar(input: impl Read, root: &Path, budget: &mut Budget<'_>) -> Result<(), String> {
    let left = Rc::new(Cell::new(HEADERS_MAX_BYTES));
    let mut archive = tar::Archive::new(Metered { inner: input, left: left.clone() });
    let mut entries = archive.entries().map_err(|error| error.to_string())?;
    loop {
        left.set(HEADERS_MAX_BYTES);
        let Some(entry) = entries.next() else { break };
        // What follows is counted by the budget.
        left.set(u64::MAX);
        let mut entry = entry.map_err(|error| format!("it is damaged: {error}"))?;
        budget.entry()?;
        let path = entry.path().map_err(|error| error.to_string())?.into_owned();
        let Some(path) = entry_path(&path)? else { continue };
        let link = entry.link_name().map_err(|error| error.to_string())?.map(std::borrow::Cow::into_owned);
        let mode = entry.header().mode().unwrap_or(0o644);
        let kind = entry.header().entry_type();
        match (kind, link) {
            (tar::EntryType::Directory, _) => {
                create_parents(root, &path)?;
                create_directory(&root.join(&path))?;
            }
            (tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse, _) => {
                write_file(&mut entry, root, &path, mode, budget)?;
            }
            (tar::EntryType::Symlink, Some(target)) => make_link(root, &path, &target)?,
            (tar::EntryType::Link, Some(target)) => hard_link(root, &path, &target, budget)?,
            (tar::EntryType::XGlobalHeader, _) => {}
            (other, _) => {
                return Err(format!(
                    "its entry \"{}\" is a device or something else that is not unpacked ({other:?})",
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

/// A hard link inside the archive becomes a copy, so that no file outside can ever be meant.
fn hard_link(root: &Path, path: &Path, target: &Path, budget: &mut Budget<'_>) -> Result<(), String> {
    let target = entry_path(target)?.ok_or("it links to its own root")?;
    if target == path {
        return Ok(());
    }
    // Every step of the way must be real.
    let mut source = root.to_owned();
    for part in target.components() {
        source.push(part);
        let found =
            fs::symlink_metadata(&source).map_err(|error| format!("its link \"{}\" goes nowhere: {error}", path.display()))?;
        if found.is_symlink() {
            let link = fs::read_link(&source).map_err(|error| error.to_string())?;
            return if source == root.join(&target) {
                make_link(root, path, &link)
            } else {
                Err(format!("its hard link \"{}\" goes through a symbolic one", path.display()))
            };
        }
    }
    let file = File::open(&source).map_err(|error| error.to_string())?;
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    write_file(file, root, path, mode, budget)
}

fn unpack_zip(input: File, root: &Path, budget: &mut Budget<'_>) -> Result<(), String> {
    let damaged = |error: zip::result::ZipError| format!("it is damaged: {error}");
    let mut archive = zip::ZipArchive::new(BufReader::new(input)).map_err(damaged)?;
    for index in 0..archive.len() {
        budget.entry()?;
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let Some(path) = entry_path(Path::new(&name))? else { continue };
        let mode = entry.unix_mode().unwrap_or(0o644);
        if entry.is_dir() {
            create_parents(root, &path)?;
            create_directory(&root.join(&path))?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            entry.by_ref().take(LINK_MAX_BYTES).read_to_string(&mut target).map_err(|error| error.to_string())?;
            make_link(root, &path, Path::new(&target))?;
        } else {
            write_file(&mut entry, root, &path, mode, budget)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "extract_test.rs"]
mod tests;
