//! The command's own files: `~/.dcos/clusters/<id>/dcos.toml`, the `attached` marker beside one of them,
//! and the environment variables that overrule both.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::Error;

/// Environment as a function, so that tests need not change the process' own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads one variable of this process; an empty one counts as unset.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One configured cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Directory of the cluster, named by its id; absent for one that only `DCOS_URL` names.
    pub(crate) directory: Option<PathBuf>,
    /// File with its properties.
    pub(crate) file: PathBuf,
    /// Whether commands go here by default.
    pub(crate) attached: bool,
    pub(crate) properties: Table,
}

impl Cluster {
    /// Id that the cluster gave itself, which names its directory.
    pub(crate) fn id(&self) -> String {
        self.directory
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(|| "N/A".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Name shown to people.
    pub(crate) fn name(&self) -> String {
        self.get("cluster.name").unwrap_or_else(|| self.id())
    }

    pub(crate) fn url(&self) -> Option<String> {
        self.get("core.dcos_url")
    }

    /// A property of the file as text, by its dotted name.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let (section, key) = name.split_once('.')?;
        match self.properties.get(section)?.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Table(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// All properties of the file, sorted by name.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (section, values) in &self.properties {
            for key in values.as_table().into_iter().flat_map(|table| table.keys()) {
                let name = format!("{section}.{key}");
                if let Some(value) = self.get(&name) {
                    all.push((name, value));
                }
            }
        }
        all.sort();
        all
    }

    /// Sets a property; the caller saves.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), Error> {
        let (section, key) = split_name(name)?;
        let table = self
            .properties
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| Error::usage(format!("[{section}] in {} is not a section", self.file.display())))?;
        table.insert(key.to_owned(), value);
        Ok(())
    }

    /// Removes a property; false when it was not there.
    pub(crate) fn unset(&mut self, name: &str) -> Result<bool, Error> {
        let (section, key) = split_name(name)?;
        let table = self.properties.get_mut(section).and_then(Value::as_table_mut);
        Ok(table.is_some_and(|table| table.remove(key).is_some()))
    }

    /// Writes the file, readable by its owner only, because it holds a token; whole or not at all.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let text = toml::to_string(&self.properties).map_err(|error| Error::general(error.to_string()))?;
        write_private(&self.file, text.as_bytes())
    }
}

fn split_name(name: &str) -> Result<(&str, &str), Error> {
    name.split_once('.').filter(|(section, key)| !section.is_empty() && !key.is_empty()).ok_or_else(|| {
        Error::usage(format!("'{name}' is not a property; properties have a section and a key, such as core.dcos_url"))
            .fix("dcos config keys")
    })
}

/// Writes a file with mode 0600 through a temporary neighbour, so that readers see the old text or the new.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::general(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

/// The directory with all clusters.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// `DCOS_DIR`, else `~/.dcos`.
    pub(crate) fn find(environment: Environment) -> Result<Self, Error> {
        let root = match (environment("DCOS_DIR"), environment("HOME"), environment("USERPROFILE")) {
            (Some(directory), _, _) => PathBuf::from(directory),
            (None, Some(home), _) | (None, None, Some(home)) => Path::new(&home).join(".dcos"),
            (None, None, None) => {
                return Err(
                    Error::general("there is no home directory to keep the configuration in").fix("set DCOS_DIR to a directory")
                );
            }
        };
        Ok(Self { root })
    }

    /// Directory of the cluster with an id.
    pub(crate) fn cluster_directory(&self, id: &str) -> PathBuf {
        self.root.join("clusters").join(id)
    }

    /// All clusters, sorted by id. Directories without a readable file are left out.
    pub(crate) fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        let directory = self.root.join("clusters");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::general(format!("cannot read {}: {error}", directory.display()))),
        };
        let mut clusters = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let file = path.join("dcos.toml");
            if file.is_file() {
                let attached = path.join("attached").exists();
                clusters.push(Cluster { properties: read(&file)?, directory: Some(path), file, attached });
            }
        }
        clusters.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok(clusters)
    }

    /// The cluster with this name, id or unique beginning of an id.
    pub(crate) fn cluster(&self, wanted: &str) -> Result<Cluster, Error> {
        let clusters = self.clusters()?;
        let matches = |test: &dyn Fn(&Cluster) -> bool| clusters.iter().filter(|c| test(c)).cloned().collect::<Vec<_>>();
        for mut found in [
            matches(&|cluster| cluster.id() == wanted),
            matches(&|cluster| cluster.name() == wanted),
            matches(&|cluster| cluster.id().starts_with(wanted)),
        ] {
            if found.len() > 1 {
                let ids: Vec<String> = found.iter().map(Cluster::id).collect();
                return Err(Error::usage(format!("more than one cluster is called [{wanted}]: {}", ids.join(", ")))
                    .fix("use the cluster's id"));
            }
            if let Some(cluster) = found.pop() {
                return Ok(cluster);
            }
        }
        let names: Vec<String> = clusters.iter().map(Cluster::name).collect();
        let error = Error::not_found(format!("Cluster [{wanted}] does not exist"));
        Err(if names.is_empty() {
            error.fix("dcos cluster setup http://HOST:PORT")
        } else {
            error.cause(format!("configured clusters: {}", names.join(", "))).fix("dcos cluster list")
        })
    }

    /// The cluster that commands go to: `--cluster` or `DCOS_CLUSTER`, else the attached one, else
    /// the file `DCOS_CONFIG`, else one that only `DCOS_URL` names.
    pub(crate) fn current(&self, wanted: Option<&str>, environment: Environment) -> Result<Cluster, Error> {
        if let Some(name) = wanted {
            return self.cluster(name);
        }
        let mut attached: Vec<Cluster> = self.clusters()?.into_iter().filter(|cluster| cluster.attached).collect();
        if attached.len() > 1 {
            let names: Vec<String> = attached.iter().map(Cluster::name).collect();
            return Err(
                Error::usage(format!("more than one cluster is attached: {}", names.join(", "))).fix("dcos cluster attach NAME")
            );
        }
        if let Some(cluster) = attached.pop() {
            return Ok(cluster);
        }
        let named = environment("DCOS_URL").or_else(|| environment("DCOS_DCOS_URL")).is_some();
        if !named && environment("DCOS_CONFIG").is_none() {
            // The only cluster there is needs no choice.
            let mut all = self.clusters()?;
            if all.len() == 1 {
                return all.pop().ok_or_else(no_cluster);
            }
        }
        if let Some(file) = environment("DCOS_CONFIG").map(PathBuf::from) {
            let properties = if file.exists() { read(&file)? } else { Table::new() };
            return Ok(Cluster { directory: None, file, attached: true, properties });
        }
        if named {
            let file = self.root.join("dcos.toml");
            return Ok(Cluster { directory: None, file, attached: true, properties: Table::new() });
        }
        Err(no_cluster())
    }

    /// Makes one cluster the attached one.
    pub(crate) fn attach(&self, id: &str) -> Result<(), Error> {
        for cluster in self.clusters()? {
            let Some(directory) = &cluster.directory else { continue };
            let marker = directory.join("attached");
            if cluster.id() == id {
                write_private(&marker, b"")?;
            } else if cluster.attached {
                fs::remove_file(&marker)
                    .map_err(|error| Error::general(format!("cannot remove {}: {error}", marker.display())))?;
            }
        }
        Ok(())
    }
}

fn no_cluster() -> Error {
    Error::usage("No cluster is attached.")
        .fix("dcos cluster setup http://HOST:PORT   (once for each cluster)")
        .fix("dcos cluster attach NAME              (one of `dcos cluster list`)")
}

fn read(file: &Path) -> Result<Table, Error> {
    let text = fs::read_to_string(file).map_err(|error| Error::general(format!("cannot read {}: {error}", file.display())))?;
    text.parse::<Table>()
        .map_err(|error| Error::usage(format!("{} is not valid TOML", file.display())).cause(error.message().to_owned()))
}

/// Names of the variables that overrule a property: `core.x` by `DCOS_X`, `a.b` by `DCOS_A_B`.
pub(crate) fn variables_of(name: &str) -> Vec<String> {
    let Some((section, key)) = name.split_once('.') else { return Vec::new() };
    let upper = key.to_uppercase();
    match (section, key) {
        ("core", "dcos_url") => vec!["DCOS_URL".to_owned(), "DCOS_DCOS_URL".to_owned()],
        ("core", "dcos_acs_token") => vec!["DCOS_ACS_TOKEN".to_owned(), "DCOS_DCOS_ACS_TOKEN".to_owned()],
        ("core", _) => vec![format!("DCOS_{upper}")],
        _ => vec![format!("DCOS_{}_{upper}", section.to_uppercase())],
    }
}

/// The value in force: the variable's, else the file's.
pub(crate) fn effective(cluster: &Cluster, name: &str, environment: Environment) -> Option<String> {
    variables_of(name).iter().find_map(|variable| environment(variable)).or_else(|| cluster.get(name))
}

/// Properties the command knows, with what they mean.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("cluster.name", "Human readable name of the cluster."),
    ("core.dcos_acs_token", "Authentication token of the cluster."),
    ("core.dcos_url", "Public URL of the cluster."),
    ("core.ssl_verify", "true, false, or the path of a file with trusted certificates."),
    ("core.timeout", "Seconds to wait for an answer (default 180)."),
    ("core.prompt_login", "Whether to ask for credentials when the token is missing or expired."),
    ("marathon.url", "Base URL of Marathon, when it is not at /service/marathon."),
    ("package.cosmos_url", "Base URL of the package service, when it is not the cluster's."),
];

/// A property's value typed as the file keeps it.
pub(crate) fn parse_value(name: &str, text: &str) -> Result<Value, Error> {
    match name {
        "core.timeout" => text
            .parse::<u32>()
            .map(|seconds| Value::Integer(i64::from(seconds)))
            .map_err(|_| Error::usage(format!("Unable to parse '{text}' as an int"))),
        "core.prompt_login" | "core.reporting" | "core.pagination" => match text.to_lowercase().as_str() {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(Error::usage(format!("Unable to parse '{text}' as a boolean"))),
        },
        "core.dcos_url" | "marathon.url" | "package.cosmos_url" => Ok(Value::String(normalize_url(text)?)),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// A cluster URL as users write it (`host`, `host:port`, with or without scheme), without a final slash.
/// `https` is taken when no scheme is given, as the original did; a loopback address means `http`.
pub(crate) fn normalize_url(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let loopback = ["localhost", "127.", "[::1]"].iter().any(|prefix| text.starts_with(prefix));
    let full = match text.contains("://") {
        true => text.to_owned(),
        false if loopback => format!("http://{text}"),
        false => format!("https://{text}"),
    };
    let invalid = |why: String| {
        Error::usage(format!("'{text}' is not a cluster URL: {why}")).fix("give a URL such as http://127.0.0.1:8080")
    };
    let url = url::Url::parse(&full).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("the scheme must be http or https, not {}", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it has no host".to_owned()));
    }
    Ok(full.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn directory_with(clusters: &[(&str, &str, bool)]) -> (tempfile::TempDir, Directory) {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().to_path_buf();
        for (id, name, attached) in clusters {
            let path = root.join("clusters").join(id);
            fs::create_dir_all(&path).unwrap();
            let text = format!("[core]\ndcos_url = \"http://{name}.test\"\ntimeout = 5\n[cluster]\nname = \"{name}\"\n");
            fs::write(path.join("dcos.toml"), text).unwrap();
            if *attached {
                fs::write(path.join("attached"), "").unwrap();
            }
        }
        let root_text = root.to_string_lossy().into_owned();
        let directory = Directory::find(&move |name| (name == "DCOS_DIR").then(|| root_text.clone())).unwrap();
        (temporary, directory)
    }

    #[test]
    fn clusters_are_found_by_name_id_and_beginning_of_id() {
        let (_keep, directory) = directory_with(&[("aa-1", "one", false), ("ab-2", "two", true)]);
        assert_eq!(directory.cluster("one").unwrap().id(), "aa-1");
        assert_eq!(directory.cluster("ab-2").unwrap().name(), "two");
        assert_eq!(directory.cluster("ab").unwrap().name(), "two");
        assert!(directory.cluster("a").unwrap_err().summary.contains("more than one"));
        assert!(directory.cluster("x").unwrap_err().summary.contains("does not exist"));
        assert_eq!(directory.current(None, &none).unwrap().name(), "two");
    }

    #[test]
    fn the_only_cluster_needs_no_choice() {
        let (_keep, directory) = directory_with(&[("a", "one", false)]);
        assert_eq!(directory.current(None, &none).unwrap().name(), "one");
        let (_keep, directory) = directory_with(&[("a", "one", false), ("b", "two", false)]);
        assert!(directory.current(None, &none).is_err());
    }

    #[test]
    fn attach_moves_the_marker() {
        let (_keep, directory) = directory_with(&[("a", "one", true), ("b", "two", false)]);
        directory.attach("b").unwrap();
        assert_eq!(directory.current(None, &none).unwrap().name(), "two");
    }

    #[test]
    fn variables_overrule_the_file() {
        let (_keep, directory) = directory_with(&[("a", "one", true)]);
        let cluster = directory.current(None, &none).unwrap();
        assert_eq!(effective(&cluster, "core.dcos_url", &none).unwrap(), "http://one.test");
        assert_eq!(effective(&cluster, "core.timeout", &none).unwrap(), "5");
        let environment = |name: &str| (name == "DCOS_URL").then(|| "http://other".to_owned());
        assert_eq!(effective(&cluster, "core.dcos_url", &environment).unwrap(), "http://other");
        assert_eq!(variables_of("package.cosmos_url"), ["DCOS_PACKAGE_COSMOS_URL"]);
    }

    #[test]
    fn a_url_alone_is_a_cluster() {
        let (_keep, directory) = directory_with(&[]);
        assert!(directory.current(None, &none).unwrap_err().summary.contains("No cluster is attached"));
        let environment = |name: &str| (name == "DCOS_URL").then(|| "http://u".to_owned());
        assert!(directory.current(None, &environment).is_ok());
    }

    #[test]
    fn set_and_unset_are_saved() {
        let (_keep, directory) = directory_with(&[("a", "one", true)]);
        let mut cluster = directory.cluster("a").unwrap();
        cluster.set("core.dcos_acs_token", Value::String("t".into())).unwrap();
        assert!(cluster.unset("core.timeout").unwrap());
        assert!(!cluster.unset("core.timeout").unwrap());
        cluster.save().unwrap();
        let again = directory.cluster("a").unwrap();
        assert_eq!(again.get("core.dcos_acs_token").unwrap(), "t");
        assert_eq!(again.get("core.timeout"), None);
        assert!(cluster.set("nodot", Value::Boolean(true)).is_err());
    }

    #[test]
    fn urls_are_completed_and_checked() {
        assert_eq!(normalize_url("127.0.0.1:80/").unwrap(), "http://127.0.0.1:80");
        assert_eq!(normalize_url("cluster.example.com").unwrap(), "https://cluster.example.com");
        assert_eq!(normalize_url(" http://a/b/ ").unwrap(), "http://a/b");
        assert!(normalize_url("ftp://a").is_err());
        assert!(normalize_url("http://").is_err());
        assert!(normalize_url("http://a b").is_err());
    }
}
