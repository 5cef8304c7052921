//! Installing the command that a package brings: download, check, unpack, make it executable.

use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::failure::status_error;
use crate::marathon::{list, text};
use crate::plugin::{executable_path, plugins_directory};

/// Largest command, unpacked.
const MAX_PLUGIN_BYTES: u64 = 512 << 20;
/// Most files in an archive.
const MAX_PLUGIN_FILES: usize = 1000;

/// Installs the command of a package for this machine and gives the words it adds, such as `dcos redis`.
pub(crate) async fn install(context: &Context, client: &Client, package: &Value) -> Result<Vec<String>, Error> {
    let name = text(package, "name");
    let safe = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if !safe {
        return Err(Error::general(format!("the package name [{name}] cannot name a command")));
    }
    if <crate::commands::Cli as clap::CommandFactory>::command().find_subcommand(name).is_some() {
        return Err(Error::general(format!("the package's command `dcos {name}` would hide the built-in one")));
    }
    let platform = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let pointer = format!("/resource/cli/binaries/{platform}/x86-64");
    let Some(binary) = package.pointer(&pointer) else {
        return Err(Error::not_found(format!("the package has no command for {platform}")).fix("install only its app: --app"));
    };
    let bytes = download(client, text(binary, "url")).await?;
    verify(binary, &bytes)?;
    let cluster = context.cluster()?;
    let plugins = plugins_directory(&cluster).ok_or_else(|| {
        Error::usage("commands of packages need a cluster that was set up").fix("dcos cluster setup http://HOST:PORT")
    })?;
    // Unpacked beside its place and moved there whole.
    let staging = plugins.join(format!(".{name}.{}", std::process::id()));
    let result = unpack(&staging, name, binary, &bytes, package);
    let commands = match result {
        Ok(commands) => commands,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&staging);
            return Err(error);
        }
    };
    let place = plugins.join(name);
    let failed = |error: std::io::Error| Error::general(format!("cannot install {}: {error}", place.display()));
    if place.exists() {
        std::fs::remove_dir_all(&place).map_err(failed)?;
    }
    std::fs::rename(&staging, &place).map_err(failed)?;
    Ok(commands.into_iter().map(|command| command.replacen('-', " ", 1)).collect())
}

async fn download(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
    let reply = client.send(Method::GET, url, &[], None).await?;
    if reply.status.is_success() { Ok(reply.body.to_vec()) } else { Err(status_error(&reply)) }
}

/// Compares the SHA-256 that the package states; a package that states none is refused.
fn verify(binary: &Value, bytes: &[u8]) -> Result<(), Error> {
    let stated = list(binary, "contentHash")
        .iter()
        .find(|hash| text(hash, "algo").eq_ignore_ascii_case("sha256"))
        .map(|hash| text(hash, "value").to_lowercase());
    let Some(stated) = stated else {
        return Err(Error::general("the package states no SHA-256 of its command, so it is not installed"));
    };
    let found = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if stated == found {
        return Ok(());
    }
    Err(Error::general("the downloaded command is not the one that the package states")
        .cause(format!("SHA-256 {found}, but the package says {stated}")))
}

fn unpack(staging: &Path, name: &str, binary: &Value, bytes: &[u8], package: &Value) -> Result<Vec<String>, Error> {
    let failed = |error: std::io::Error| Error::general(format!("cannot write {}: {error}", staging.display()));
    let executable = executable_path(Path::new(""), name);
    let inside: PathBuf = executable.components().skip(1).collect();
    let bin = staging.join("env").join("bin");
    std::fs::create_dir_all(&bin).map_err(failed)?;
    std::fs::write(staging.join("package.json"), package.to_string()).map_err(failed)?;
    let mut commands = match text(binary, "kind") {
        "executable" => {
            write_executable(&staging.join(inside), bytes).map_err(failed)?;
            vec![format!("dcos-{name}")]
        }
        "zip" => unpack_zip(&bin, bytes)?,
        other => return Err(Error::general(format!("commands of kind [{other}] are not supported"))),
    };
    if commands.is_empty() {
        return Err(Error::general("the archive of the package holds no bin/dcos-… file"));
    }
    commands.sort();
    Ok(commands)
}

/// Takes the `dcos-*` files out of an archive. Only their last name counts, so that no path can lead elsewhere.
fn unpack_zip(bin: &Path, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let broken = |error: zip::result::ZipError| Error::general("the archive of the package is broken").cause(error.to_string());
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MAX_PLUGIN_FILES {
        return Err(Error::general(format!("the archive holds more than {MAX_PLUGIN_FILES} files")));
    }
    let mut commands = Vec::new();
    let mut total = 0;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(broken)?;
        let path = file.name().map_err(broken)?.into_owned();
        let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
        if !file.is_file() || !last.starts_with("dcos-") {
            continue;
        }
        let mut content = Vec::new();
        file.by_ref()
            .take(MAX_PLUGIN_BYTES - total + 1)
            .read_to_end(&mut content)
            .map_err(|error| Error::general("the archive of the package is broken").cause(error.to_string()))?;
        total += content.len() as u64;
        if total > MAX_PLUGIN_BYTES {
            return Err(Error::general("the archive of the package unpacks to too much"));
        }
        write_executable(&bin.join(last), &content)
            .map_err(|error| Error::general(format!("cannot write {}: {error}", bin.display())))?;
        commands.push(last.trim_end_matches(".exe").to_owned());
    }
    Ok(commands)
}

fn write_executable(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_must_match() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let binary = json!({"contentHash": [{"algo": "sha256", "value": hash}]});
        assert!(verify(&binary, b"hello").is_ok());
        assert!(verify(&binary, b"other").is_err());
        assert!(verify(&json!({}), b"hello").is_err());
    }

    #[test]
    fn archives_cannot_lead_elsewhere() {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["bin/dcos-a", "../../dcos-evil", "plugin.toml"] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"x").unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let temporary = tempfile::tempdir().unwrap();
        let bin = temporary.path().join("x/y/bin");
        std::fs::create_dir_all(&bin).unwrap();
        assert_eq!(unpack_zip(&bin, &bytes).unwrap(), ["dcos-a", "dcos-evil"]);
        assert!(bin.join("dcos-evil").is_file());
        assert!(!temporary.path().join("x/dcos-evil").exists());
        assert!(unpack_zip(&bin, b"no archive").is_err());
    }
}
