//! A log and the files set aside from it, read as one text.

use super::sandbox::{Place, open_file};
use crate::spawner::LOG_KEEP_FILES;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Bytes looked at in one step.
const CHUNK_BYTES: u64 = 64 << 10;

#[derive(Debug)]
struct Part {
    file: File,
    inode: u64,
    length: u64,
}

/// The files of one log, oldest first, as long as they were when they were opened.
#[derive(Debug)]
pub(super) struct LogText {
    parts: Vec<Part>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    Beginning,
    End,
    /// Bytes from the beginning.
    Offset(u64),
    /// Bytes from the beginning of one file: stays right when files are set aside.
    InFile(u64, u64),
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "BEG" => Some(Self::Beginning),
            "END" => Some(Self::End),
            _ => match text.split_once('-') {
                Some((inode, offset)) => Some(Self::InFile(inode.parse().ok()?, offset.parse().ok()?)),
                None => text.parse().ok().map(Self::Offset),
            },
        }
    }
}

impl LogText {
    /// Opens the log at `place` and what was set aside from it.
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let mut parts = Vec::new();
        let name = place.inner.display().to_string();
        for number in 0..=LOG_KEEP_FILES {
            let inner = if number == 0 { name.clone() } else { format!("{name}.{number}") };
            match open_file(&Place { run: place.run.clone(), inner: inner.into() }) {
                Ok(found) => {
                    let (inode, length) = (found.metadata.ino(), found.metadata.len());
                    // Set aside between two looks: it is the one we have.
                    if parts.last().is_none_or(|last: &Part| last.inode != inode) {
                        parts.push(Part { file: found.file, inode, length });
                    }
                }
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
            }
        }
        parts.reverse();
        Ok(Self { parts })
    }

    pub(super) fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Bytes from the beginning of the oldest file.
    pub(super) fn position(&self, cursor: Cursor) -> u64 {
        match cursor {
            Cursor::Beginning => 0,
            Cursor::End => self.length(),
            Cursor::Offset(offset) => offset.min(self.length()),
            Cursor::InFile(inode, offset) => {
                let mut before = 0;
                for part in &self.parts {
                    if part.inode == inode {
                        return before + offset.min(part.length);
                    }
                    before += part.length;
                }
                // Dropped since: everything that is left is new.
                0
            }
        }
    }

    /// A cursor for clients.
    pub(super) fn cursor(&self, position: u64) -> String {
        let mut before = 0;
        for part in &self.parts {
            if position <= before + part.length {
                return format!("{}-{}", part.inode, position - before);
            }
            before += part.length;
        }
        position.to_string()
    }

    /// Up to a chunk of bytes from `position`, never across a file's end; empty at the end.
    pub(super) fn read(&self, position: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut before = 0;
        for part in &self.parts {
            if position < before + part.length {
                let length = limit.min(CHUNK_BYTES).min(before + part.length - position);
                let mut buffer = vec![0u8; length as usize];
                let read = part.file.read_at(&mut buffer, position - before)?;
                buffer.truncate(read);
                return Ok(buffer);
            }
            before += part.length;
        }
        Ok(Vec::new())
    }

    /// The position `lines` lines before `position`.
    pub(super) fn back(&self, position: u64, lines: u64) -> io::Result<u64> {
        if lines == 0 {
            return Ok(position);
        }
        let (mut at, mut wanted) = (position, lines);
        // The line feed that ends the last line does not begin another.
        let mut end = position;
        if end > 0 && self.read(end - 1, 1)? == b"\n" {
            end -= 1;
            at = end;
        }
        while at > 0 {
            let from = at.saturating_sub(CHUNK_BYTES);
            let mut chunk = Vec::new();
            while (chunk.len() as u64) < at - from {
                let more = self.read(from + chunk.len() as u64, at - from - chunk.len() as u64)?;
                if more.is_empty() {
                    break;
                }
                chunk.extend(more);
            }
            for (index, byte) in chunk.iter().enumerate().rev() {
                if *byte == b'\n' {
                    wanted -= 1;
                    if wanted == 0 {
                        return Ok(from + index as u64 + 1);
                    }
                }
            }
            at = from;
        }
        Ok(0)
    }

    /// The position `lines` lines after `position`.
    pub(super) fn forward(&self, position: u64, mut lines: u64) -> io::Result<u64> {
        let mut at = position;
        while lines > 0 {
            let chunk = self.read(at, CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            let mut used = chunk.len();
            for (index, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                lines -= 1;
                if lines == 0 {
                    used = index + 1;
                    break;
                }
            }
            at += used as u64;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn log(directory: &Path) -> LogText {
        LogText::open(&Place { run: directory.to_owned(), inner: "stdout".into() }).unwrap()
    }

    fn text(log: &LogText, mut position: u64) -> String {
        let mut all = Vec::new();
        loop {
            let chunk = log.read(position, u64::MAX).unwrap();
            if chunk.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            position += chunk.len() as u64;
            all.extend(chunk);
        }
    }

    #[test]
    fn lines_across_files() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("stdout.2", "1\n2\n");
        write("stdout.1", "3\n4");
        write("stdout", "5\n6\n7");
        let log = log(directory.path());
        assert_eq!(text(&log, 0), "1\n2\n3\n45\n6\n7");
        let end = log.position(Cursor::End);
        for (lines, expected) in [(0, ""), (1, "7"), (2, "6\n7"), (3, "45\n6\n7"), (4, "3\n45\n6\n7"), (100, "1\n2\n3\n45\n6\n7")]
        {
            assert_eq!(text(&log, log.back(end, lines).unwrap()), expected, "{lines}");
        }
        assert_eq!(text(&log, log.forward(0, 3).unwrap()), "45\n6\n7");
        // A cursor stays where it was when the log moves on.
        let cursor = log.cursor(log.back(end, 2).unwrap());
        std::fs::rename(directory.path().join("stdout"), directory.path().join("moved")).unwrap();
        std::fs::rename(directory.path().join("moved"), directory.path().join("stdout.1")).unwrap();
        write("stdout", "8\n");
        let log = self::log(directory.path());
        assert_eq!(text(&log, log.position(Cursor::parse(&cursor).unwrap())), "6\n78\n");
    }

    #[test]
    fn long_lines() {
        let directory = tempfile::tempdir().unwrap();
        let line = "x".repeat(200_000);
        std::fs::write(directory.path().join("stdout"), format!("a\n{line}\nb\n")).unwrap();
        let log = log(directory.path());
        assert_eq!(text(&log, log.back(log.length(), 2).unwrap()), format!("{line}\nb\n"));
        assert_eq!(log.forward(2, 1).unwrap(), 200_003);
    }
}
