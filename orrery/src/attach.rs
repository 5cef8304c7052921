//! Making the cluster the one that the `dcos` command talks to.

use std::path::{Path, PathBuf};

/// Writes `clusters/<id>/dcos.toml` below the CLI's directory and marks it attached.
///
/// With `authority` (PEM) the CLI trusts it for that cluster.
pub(crate) fn attach(cluster_id: &str, name: &str, url: &str, authority: Option<&str>) -> anyhow::Result<PathBuf> {
    let configured = std::env::var_os("DCOS_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = configured.or_else(|| std::env::home_dir().map(|home| home.join(".dcos")));
    let root = root.ok_or_else(|| anyhow::anyhow!("there is no home directory"))?;
    let clusters = root.join("clusters");
    let own = clusters.join(cluster_id);
    create_private(&own)?;
    let mut properties: toml::Table =
        std::fs::read_to_string(own.join("dcos.toml")).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    set(&mut properties, "core", "dcos_url", url);
    set(&mut properties, "cluster", "name", name);
    if let Some(authority) = authority {
        let file = own.join("dcos-ca.crt");
        std::fs::write(&file, authority)?;
        set(&mut properties, "core", "ssl_verify", &file.display().to_string());
    }
    let partial = own.join("dcos.toml.partial");
    // Old clients refuse a file that others may read.
    write_private(&partial, &toml::to_string(&properties)?)?;
    std::fs::rename(partial, own.join("dcos.toml"))?;
    for entry in std::fs::read_dir(&clusters)?.flatten() {
        if entry.path() != own {
            // Absent on all but one.
            let _ = std::fs::remove_file(entry.path().join("attached"));
        }
    }
    std::fs::write(own.join("attached"), "")?;
    Ok(own)
}

fn set(properties: &mut toml::Table, section: &str, key: &str, value: &str) {
    let section = properties.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let Some(table) = section.as_table_mut() {
        table.insert(key.into(), value.into());
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Removed first, so that the mode holds for a file left over too.
    let _ = std::fs::remove_file(path);
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
