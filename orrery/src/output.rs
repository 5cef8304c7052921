//! Standard output of commands that people pipe into others.

use std::io::{Error, ErrorKind, Result, Stdout, Write};

/// Nobody reads on, as after `| head -1`: what is left to say is not missed.
#[derive(Debug)]
struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Standard output that knows whether somebody still reads it.
#[derive(Debug)]
pub(crate) struct Output<W = Stdout> {
    out: W,
    is_unread: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self::to(std::io::stdout())
    }
}

impl<W> Output<W> {
    const fn to(out: W) -> Self {
        Self { out, is_unread: false }
    }

    /// Whether its reader has gone, for errors on whose way that was lost.
    pub(crate) const fn is_unread(&self) -> bool {
        self.is_unread
    }

    fn note<T>(&mut self, written: Result<T>) -> Result<T> {
        written.map_err(|error| {
            if error.kind() != ErrorKind::BrokenPipe {
                return error;
            }
            self.is_unread = true;
            Error::new(ErrorKind::BrokenPipe, ReaderGone)
        })
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

/// Whether a command ended only because nobody reads its output any more. A pipe or connection to
/// something else that broke is another error.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<Error>()).filter_map(Error::get_ref);
    causes.any(<dyn std::error::Error + Send + Sync>::is::<ReaderGone>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_is_no_error() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut out = Output::to(writer);
        writeln!(out, "heard").unwrap();
        assert!(!out.is_unread());
        drop(reader);
        let error = writeln!(out, "unheard").unwrap_err();
        assert!(out.is_unread());
        assert!(is_reader_gone(&anyhow::Error::from(error).context("a command")));
        let elsewhere = Error::from(ErrorKind::BrokenPipe);
        assert!(!is_reader_gone(&elsewhere.into()), "another pipe");
    }
}
