//! Output of a container, copied from the engine into the sandbox.
//!
//! The engine keeps the output itself, so that nothing is lost while no agent runs. What has been
//! copied is remembered as the engine's time of the last line, together with the file and its size
//! at that moment: a copy that went further before a crash is cut back, and nothing appears twice.

use crate::checkpoint::write_atomically;
use crate::spawner::{LOG_KEEP_FILES, LOG_MAX_BYTES};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often progress is remembered while output flows.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// File in the record directory.
const PROGRESS_FILE: &str = "logs.json";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    /// Time of the last line copied, as the engine writes it (RFC 3339, nanoseconds).
    last: String,
    files: [Position; 2],
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Position {
    inode: u64,
    size: u64,
}

struct Copy {
    path: PathBuf,
    file: Option<File>,
    size: u64,
}

/// Opens a log for appending. The container may write in the sandbox, so that a link or pipe in
/// its place is refused: this process is root on the node.
fn open_log(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}

impl Copy {
    fn open(path: PathBuf, from: Position) -> std::io::Result<Self> {
        let file = open_log(&path)?;
        let found = file.metadata()?;
        let mut size = found.len();
        if found.ino() == from.inode && size > from.size {
            file.set_len(from.size)?;
            size = from.size;
        }
        Ok(Self { path, file: Some(file), size })
    }

    /// Appends; `true` when the file was set aside first.
    fn write(&mut self, data: &[u8]) -> bool {
        let rotate = self.size > 0 && self.size + data.len() as u64 > LOG_MAX_BYTES;
        if rotate {
            let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
            for number in (1..LOG_KEEP_FILES).rev() {
                let _ = std::fs::rename(numbered(number), numbered(number + 1));
            }
            let _ = std::fs::rename(&self.path, numbered(1));
            self.file = open_log(&self.path).ok();
            self.size = 0;
        }
        // A full disk loses output rather than the task.
        if let Some(file) = &mut self.file
            && file.write_all(data).is_ok()
        {
            self.size += data.len() as u64;
        }
        rotate
    }

    fn position(&self) -> Position {
        let inode = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.ino());
        Position { inode, size: self.size }
    }
}

/// Copies the output of a container until it ends or the engine goes away. Call it again then.
pub(super) async fn copy(docker: &Docker, name: &str, sandbox: &Path, record: &Path) -> Result<(), String> {
    let saved = record.join(PROGRESS_FILE);
    let mut progress: Progress =
        std::fs::read(&saved).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let open =
        |index: usize, file: &str| Copy::open(sandbox.join(file), progress.files[index]).map_err(|error| error.to_string());
    let mut copies = [open(0, "stdout")?, open(1, "stderr")?];
    // From the first byte on a crash finds where to cut.
    save(&saved, &mut progress, &copies);
    // Whole seconds only; what is copied already is recognised by its full time.
    let since = progress.last.parse::<jiff::Timestamp>().map_or(0, |time| i32::try_from(time.as_second()).unwrap_or(0));
    let options = LogsOptions { follow: true, stdout: true, stderr: true, timestamps: true, since, ..LogsOptions::default() };
    // Only what was copied before: later times may repeat (the parts of a long line have the same) and
    // go back (two streams are written at once).
    let resumed = progress.last.clone();
    let mut stream = docker.logs(name, Some(options));
    let mut last_save = Instant::now();
    let mut result = Ok(());
    while let Some(item) = stream.next().await {
        let (index, message) = match item {
            Ok(LogOutput::StdErr { message }) => (1, message),
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message }) => (0, message),
            Err(error) => {
                result = Err(error.to_string());
                break;
            }
        };
        let Some(at) = message.iter().position(|byte| *byte == b' ') else { continue };
        let time = String::from_utf8_lossy(&message[..at]).into_owned();
        if time <= resumed {
            continue;
        }
        let rotated = copies[index].write(&message[at + 1..]);
        progress.last = time.max(progress.last);
        if rotated || last_save.elapsed() >= SAVE_INTERVAL {
            save(&saved, &mut progress, &copies);
            last_save = Instant::now();
        }
    }
    save(&saved, &mut progress, &copies);
    result
}

fn save(path: &Path, progress: &mut Progress, copies: &[Copy; 2]) {
    progress.files = [copies[0].position(), copies[1].position()];
    if let Ok(bytes) = serde_json::to_vec(progress) {
        let _ = write_atomically(path, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed() {
        let (sandbox, outside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let path = sandbox.path().join("stdout");
        let mut copy = Copy::open(path.clone(), Position::default()).unwrap();
        copy.write(&vec![b'x'; LOG_MAX_BYTES as usize]);
        // The first rename of a rotation moves the link; one put there in between is refused.
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
        assert!(open_log(&path).is_err());
        assert!(Copy::open(path.clone(), Position::default()).is_err());
        assert!(copy.write(b"more"));
        assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
        assert_eq!(std::fs::read(&path).unwrap(), b"more");
    }
}
