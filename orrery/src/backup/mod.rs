//! `orrery backup …`, and the socket through which a running daemon gives its backup.

pub(crate) mod socket;

use crate::arguments::{BackupCommand, BackupOptions};
use crate::instance_file::{InstanceFile, Kind};
use crate::location::{Location, Opened, must_have_store, now, seconds};
use crate::output::Output;
use anyhow::Context as _;
use orrery_controller::backup::{Backup, BackupError, Target, copy, export, verify};
use orrery_store::Store;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Attempts to read a store at one revision before it forgets that revision.
const ATTEMPTS: usize = 3;
/// Faults shown of a backup that does not load.
const FAULTS_SHOWN: usize = 20;

pub(crate) fn run(options: BackupOptions) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.command {
            BackupCommand::Create { file, store } => {
                create(&file, &Location::of(&options.data, store.as_deref(), &options.etcd)?).await
            }
            BackupCommand::Verify { file } => check(&file),
            BackupCommand::Restore { file, store, force } => {
                let location = Location::of(&options.data, store.as_deref(), &options.etcd)?;
                restore(&file, &location, force.as_deref()).await
            }
        }
    })
}

async fn create(file: &Path, location: &Location) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!file.exists(), "{} exists already; choose another name", file.display());
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let result = write(&partial, location).await;
    if let Err(error) = result {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    // Only what can be read again is a backup.
    let backup = Backup::open(&partial)?;
    std::fs::File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, file).with_context(|| format!("cannot write {}", file.display()))?;
    let bytes = std::fs::metadata(file)?.len();
    let mut out = Output::new();
    writeln!(out, "{}: cluster {} at revision {}, {bytes} bytes", file.display(), backup.header.cluster, backup.header.revision)?;
    writeln!(out, "It holds the keys of the cluster's authority and the secrets of apps: keep it where only you can read it.")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to a new file that only its owner may read.
async fn write(path: &Path, location: &Location) -> anyhow::Result<()> {
    let running = match location {
        Location::Directory(data) => match InstanceFile::read(data) {
            Some(running) if running.kind != Kind::Agent => Some(data),
            _ => {
                location.must_be_used()?;
                must_have_store(data).map(|()| None)?
            }
        },
        Location::Etcd { .. } => None,
    };
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let _ = std::fs::remove_file(path);
        let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        let mut file = tokio::fs::File::from_std(file.with_context(|| format!("cannot write {}", path.display()))?);
        let written = if let Some(data) = running {
            socket::fetch(data, &mut file).await
        } else {
            let store = location.open_existing().await?;
            export(&*store.store, now(), &mut file).await.map(drop)
        };
        tokio::io::AsyncWriteExt::flush(&mut file).await?;
        // Through the socket an interrupted backup is one that is not whole.
        let whole = written.and_then(|()| Backup::open(path).map(drop)).map_err(|error| match error {
            BackupError::Damaged(_) if running.is_some() => socket::why_unfinished(path, error),
            error => error,
        });
        match whole {
            Ok(()) => return Ok(()),
            Err(error) if error.is_compacted() || (running.is_some() && matches!(error, BackupError::Damaged(_))) => {
                last = Some(error);
            }
            Err(error) => return Err(told(&error, &format!("cannot copy {} to {}", location.name(), path.display()))),
        }
    }
    Err(told(&last.unwrap_or(BackupError::Nothing), &format!("cannot copy {} to {}", location.name(), path.display())))
}

/// Opens a backup that somebody has named.
fn open(file: &Path) -> anyhow::Result<Backup> {
    anyhow::ensure!(!file.is_dir(), "{} is a directory; name a file of `orrery backup create`", file.display());
    Backup::open(file).map_err(|error| told(&error, &format!("cannot read {}", file.display())))
}

/// An error in one sentence: those of files and stores repeat their cause, and files are not named.
fn told(error: &BackupError, what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}: {error}")
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let backup = open(file)?;
    let contents = verify(&backup, now())?;
    let mut out = Output::new();
    let header = &backup.header;
    writeln!(out, "cluster    {}", header.cluster)?;
    writeln!(out, "made       {} at revision {} by orrery {}", header.created_at, header.revision, header.version)?;
    writeln!(out, "entries    {}", contents.entries)?;
    writeln!(out, "apps       {}", contents.apps)?;
    writeln!(out, "instances  {}", contents.instances)?;
    writeln!(out, "nodes      {}", contents.nodes)?;
    for fault in contents.faults.iter().take(FAULTS_SHOWN) {
        writeln!(out, "fault      {fault}")?;
    }
    anyhow::ensure!(
        contents.faults.is_empty(),
        "{} entries cannot be read; the bytes are as they were saved",
        contents.faults.len()
    );
    writeln!(out, "whole: every byte and every entry")?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(file: &Path, location: &Location, force: Option<&str>) -> anyhow::Result<ExitCode> {
    location.must_be_used()?;
    let backup = open(file)?;
    for entry in backup.entries()? {
        entry?;
    }
    let Opened { store } = location.open().await?;
    let target = Target { store: &*store as &dyn Store, force };
    let copied = copy(&mut backup.entries()?, &backup.header.cluster, 0, &target, seconds()).await?;
    let mut out = Output::new();
    writeln!(
        out,
        "Restored {} entries of cluster {} as of {}.",
        copied.entries, backup.header.cluster, backup.header.created_at
    )?;
    writeln!(out, "Tasks that run and are in the backup are taken back; later ones are stopped, missing ones started.")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_backup_is_named_in_one_sentence() {
        let directory = tempfile::tempdir().unwrap();
        let faults = |path: &Path| open(path).err().unwrap().chain().map(ToString::to_string).collect::<Vec<_>>();
        let path = directory.path().display();
        assert_eq!(faults(directory.path()), [format!("{path} is a directory; name a file of `orrery backup create`")]);
        let none = faults(&directory.path().join("none"));
        assert!(none.len() == 1 && none[0].starts_with(&format!("cannot read {path}/none: ")), "{none:?}");
    }

    #[tokio::test]
    async fn what_has_no_cluster_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let error = create(&directory.path().join("backup"), &Location::Directory(data.clone())).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{} has no store; ", data.display())), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
