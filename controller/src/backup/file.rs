//! The file of a backup.
//!
//! Sixteen bytes say what it is. Then, compressed by gzip: the header as JSON, every entry in the order
//! of keys, a mark, the footer as JSON; texts and values each after their length in four bytes, big
//! endian. The last 32 bytes are the SHA-256 of all bytes before them, so that any flipped bit shows.

use super::BackupError;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use orrery_core::Timestamp;
use orrery_store::{MAX_KEY_BYTES, MAX_TRANSACTION_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// First bytes of the file; the number is the version of the format.
const MAGIC: &[u8; 16] = b"orrery-backup-1\n";
/// Bytes of the digest at the end.
const DIGEST_BYTES: u64 = 32;
/// Length that no key has: the entries have ended.
const END: u32 = u32::MAX;
/// Longest header and footer, bytes.
const TEXT_MAX_BYTES: usize = 64 << 10;

/// Where and when a backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Id of the cluster.
    pub cluster: String,
    /// Revision of the store that it shows.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Version of the program that made it.
    pub version: String,
}

/// What a backup holds, told at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Footer {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

struct Digesting<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Writes a backup.
pub struct Writer<W: Write> {
    body: GzEncoder<Digesting<W>>,
    footer: Footer,
}

impl<W: Write> Writer<W> {
    /// Begins.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn new(inner: W, header: &Header) -> std::io::Result<Self> {
        let mut digesting = Digesting { inner, digest: Sha256::new() };
        digesting.write_all(MAGIC)?;
        let mut writer = Self { body: GzEncoder::new(digesting, Compression::default()), footer: Footer::default() };
        writer.part(&serde_json::to_vec(header)?)?;
        Ok(writer)
    }

    fn part(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // Every part is far shorter: stores bound keys and values.
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length != END).ok_or(std::io::ErrorKind::InvalidInput)?;
        self.body.write_all(&length.to_be_bytes())?;
        self.body.write_all(bytes)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn entry(&mut self, key: &str, value: &[u8]) -> std::io::Result<()> {
        self.footer.entries += 1;
        self.footer.bytes += (key.len() + value.len()) as u64;
        self.part(key.as_bytes())?;
        self.part(value)
    }

    /// The writer below.
    pub fn sink(&mut self) -> &mut W {
        &mut self.body.get_mut().inner
    }

    /// Ends.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> std::io::Result<(W, Footer)> {
        self.body.write_all(&END.to_be_bytes())?;
        self.part(&serde_json::to_vec(&self.footer)?)?;
        let Digesting { mut inner, digest } = self.body.finish()?;
        inner.write_all(&digest.finalize())?;
        inner.flush()?;
        Ok((inner, self.footer))
    }
}

/// A backup whose bytes are whole.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    body_bytes: u64,
    /// Where and when it was made.
    pub header: Header,
}

fn damaged(what: impl Into<String>) -> BackupError {
    BackupError::Damaged(what.into())
}

impl Backup {
    /// Opens a file and checks the digest of all its bytes.
    ///
    /// # Errors
    /// [`BackupError::File`], [`BackupError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let told_at = length.checked_sub(DIGEST_BYTES).filter(|at| *at > MAGIC.len() as u64);
        let told_at = told_at.ok_or_else(|| damaged("it is too short"))?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(damaged("it does not begin as backups of this version do"));
        }
        file.rewind()?;
        let mut digest = Sha256::new();
        std::io::copy(&mut (&file).take(told_at), &mut digest)?;
        let mut told = [0; DIGEST_BYTES as usize];
        file.read_exact(&mut told)?;
        if digest.finalize().as_slice() != told {
            return Err(damaged("its digest does not fit: bytes of it have changed or are missing"));
        }
        let body_bytes = told_at - MAGIC.len() as u64;
        let header = Header { cluster: String::new(), revision: 0, created_at: Timestamp::default(), version: String::new() };
        let mut backup = Self { path: path.to_owned(), body_bytes, header };
        backup.header = backup.entries()?.header;
        Ok(backup)
    }

    /// Reads the entries from the beginning.
    ///
    /// # Errors
    /// [`BackupError::File`], [`BackupError::Damaged`].
    pub fn entries(&self) -> Result<Entries, BackupError> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        let mut body = GzDecoder::new(BufReader::new(file).take(self.body_bytes));
        let length = length(&mut body)?;
        let header = part(&mut body, length, TEXT_MAX_BYTES)?;
        let header = serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;
        Ok(Entries { body, header, seen: Footer::default(), last: String::new(), over: false })
    }
}

fn length(body: &mut impl Read) -> Result<u32, BackupError> {
    let mut bytes = [0; 4];
    body.read_exact(&mut bytes).map_err(|error| damaged(error.to_string()))?;
    Ok(u32::from_be_bytes(bytes))
}

fn part(body: &mut impl Read, length: u32, most: usize) -> Result<Vec<u8>, BackupError> {
    if length as usize > most {
        return Err(damaged(format!("a part of {length} bytes is longer than the {most} allowed")));
    }
    let mut bytes = vec![0; length as usize];
    body.read_exact(&mut bytes).map_err(|error| damaged(error.to_string()))?;
    Ok(bytes)
}

/// The entries of a backup, in the order of keys.
pub struct Entries {
    body: GzDecoder<std::io::Take<BufReader<File>>>,
    header: Header,
    seen: Footer,
    last: String,
    over: bool,
}

impl Entries {
    fn advance(&mut self) -> Result<Option<(String, Vec<u8>)>, BackupError> {
        let next = length(&mut self.body)?;
        if next == END {
            let next = length(&mut self.body)?;
            let footer = part(&mut self.body, next, TEXT_MAX_BYTES)?;
            let footer: Footer = serde_json::from_slice(&footer).map_err(|error| damaged(format!("its footer: {error}")))?;
            let rest = std::io::copy(&mut self.body, &mut std::io::sink()).map_err(|error| damaged(error.to_string()))?;
            if footer != self.seen || rest > 0 {
                return Err(damaged("its footer does not fit its entries"));
            }
            return Ok(None);
        }
        let key = part(&mut self.body, next, MAX_KEY_BYTES)?;
        let key = String::from_utf8(key).map_err(|_| damaged("a key is not text"))?;
        let next = length(&mut self.body)?;
        let value = part(&mut self.body, next, MAX_TRANSACTION_BYTES)?;
        if self.seen.entries > 0 && key <= self.last {
            return Err(damaged("its keys are not in order"));
        }
        self.last.clone_from(&key);
        self.seen.entries += 1;
        self.seen.bytes += (key.len() + value.len()) as u64;
        Ok(Some((key, value)))
    }
}

impl Iterator for Entries {
    type Item = Result<(String, Vec<u8>), BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.advance().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
