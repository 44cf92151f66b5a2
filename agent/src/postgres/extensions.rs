//! Which extensions a server could make, in which versions: asked of a running server, or read
//! from the files that its programs brought along before one is started.
//!
//! A version is there when a script installs it, or installs another from which scripts lead to
//! it, as in `get_available_versions_for_extension` of PostgreSQL's `extension.c`.

use super::connection::PgError;
use super::sql::ReadRow as _;
use super::tools::{Invocation, ToolError, ToolSet, Tools};
use provado_archive::{DumpId, Toc};
use provado_proto::repository::v1::ExtensionFacts;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What there is of one extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Available {
    /// The version that is made when none is named.
    pub default_version: String,
    /// Every version that can be made.
    pub versions: BTreeSet<String>,
}

/// Extensions by name.
pub type Extensions = BTreeMap<String, Available>;

/// Where the files of extensions are could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionsError {
    /// initdb could not be started.
    #[error("cannot ask initdb where the files of extensions are")]
    Tool(#[from] ToolError),
    /// It did not say.
    #[error("initdb does not tell where the files of extensions are: {0}")]
    Silent(String),
    /// The directory cannot be read.
    #[error("cannot read the directory {path} of extensions")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

const AVAILABLE: &str = "\
    SELECT e.name::text AS name, COALESCE(e.default_version, '') AS default_version, \
        v.version AS version \
    FROM pg_catalog.pg_available_extensions e \
    JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name";

/// What a running server has.
pub async fn of_server(connection: &mut PgConnection) -> Result<Extensions, PgError> {
    let rows = sqlx::query(AVAILABLE)
        .fetch_all(connection)
        .await
        .map_err(|source| PgError::query("list the extensions", source))?;
    let mut out = Extensions::new();
    for row in &rows {
        let found = out.entry(row.read("name")?).or_default();
        found.default_version = row.read("default_version")?;
        found.versions.insert(row.read("version")?);
    }
    Ok(out)
}

/// What a server that is started by these programs would have. `user` is who it would run as.
/// Blocks the thread.
pub fn of_tools(
    tools: &dyn Tools,
    set: &ToolSet,
    user: Option<&str>,
) -> Result<Extensions, ExtensionsError> {
    let shared = share_directory(tools, set, user)?;
    let path = shared.join("extension");
    read_directory(&shared, &path).map_err(|source| ExtensionsError::Read { path, source })
}

/// `initdb --show` tells where the programs find their shared files, and does nothing else.
fn share_directory(
    tools: &dyn Tools,
    set: &ToolSet,
    user: Option<&str>,
) -> Result<PathBuf, ExtensionsError> {
    let found: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let seen = Arc::clone(&found);
    let mut invocation = Invocation::new(set.program("initdb"))
        .argument("--show")
        .argument("--pgdata")
        .argument("/nonexistent");
    invocation.run_as = user.map(str::to_owned);
    invocation.sink = Some(Box::new(move |line| {
        if let Some(path) = line.text.strip_prefix("share_path=") {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(PathBuf::from(path));
        }
    }));
    let ended = tools.spawn(invocation)?.wait();
    let path = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    path.ok_or_else(|| ExtensionsError::Silent(ended.describe()))
}

fn read_directory(shared: &Path, directory: &Path) -> std::io::Result<Extensions> {
    let mut out = Extensions::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = name_with(&path, ".control").filter(|name| !name.contains("--")) else {
            continue;
        };
        // One that cannot be read is one that cannot be made.
        let Ok(control) = std::fs::read_to_string(&path) else {
            continue;
        };
        let scripts = match setting(&control, "directory") {
            // Absolute, or below the shared files (PostgreSQL manual, "Extension Files").
            Some(other) => shared.join(other),
            None => directory.to_owned(),
        };
        let names = script_names(&scripts, &name)?;
        let found = Available {
            default_version: setting(&control, "default_version").unwrap_or_default(),
            versions: versions(&names),
        };
        out.insert(name, found);
    }
    Ok(out)
}

fn name_with(path: &Path, ending: &str) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(ending)?;
    Some(name.to_owned())
}

/// The value of a line `name = 'value'` of a control file.
fn setting(control: &str, name: &str) -> Option<String> {
    control.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        let text = match value.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next()?,
            None => value.split('#').next()?.trim_end(),
        };
        (key.trim() == name).then(|| text.to_owned())
    })
}

/// What stands behind `<name>--` in the names of an extension's scripts.
fn script_names(directory: &Path, name: &str) -> std::io::Result<Vec<String>> {
    let start = format!("{name}--");
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut out = Vec::new();
    for entry in entries {
        let file = name_with(&entry?.path(), ".sql");
        out.extend(file.and_then(|file| Some(file.strip_prefix(&start)?.to_owned())));
    }
    Ok(out)
}

/// `1.2` installs, `1.1--1.2` updates.
fn versions(scripts: &[String]) -> BTreeSet<String> {
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut updates = Vec::new();
    for script in scripts {
        match script.split_once("--") {
            None => {
                there.insert(script.clone());
            }
            Some(update) => updates.push(update),
        }
    }
    loop {
        let before = there.len();
        for (from, to) in &updates {
            if there.contains(*from) {
                there.insert((*to).to_owned());
            }
        }
        if there.len() == before {
            return there;
        }
    }
}

/// What a restore of some entries needs of extensions, held against what there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Extensions that are not there at all, with their versions.
    pub missing: Vec<String>,
    /// Extensions that are there, but not in the version that was recorded, which is named.
    pub other_version: Vec<String>,
    /// Entries that must name a version to get the recorded one.
    pub versions: HashMap<DumpId, String>,
}

/// Which extensions the selected entries make, and what they need.
pub fn needs(
    toc: &Toc,
    selected: &[DumpId],
    recorded: &[ExtensionFacts],
    there: &Extensions,
) -> Needs {
    let selected: BTreeSet<DumpId> = selected.iter().copied().collect();
    let mut out = Needs::default();
    let entries = toc.entries.iter().filter(|entry| entry.desc == "EXTENSION");
    for entry in entries.filter(|entry| selected.contains(&entry.dump_id)) {
        let name = &entry.tag;
        let recorded = recorded.iter().find(|facts| facts.extension_name == *name);
        let version = recorded.map_or("", |facts| facts.version.as_str());
        match there.get(name) {
            None => out
                .missing
                .push(format!("{name} {version}").trim_end().to_owned()),
            Some(_) if version.is_empty() => {}
            Some(found) if found.default_version == version => {}
            Some(found) if found.versions.contains(version) => {
                out.versions.insert(entry.dump_id, version.to_owned());
            }
            Some(found) => out.other_version.push(format!(
                "{name} {version} (here it is {})",
                found.default_version
            )),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_there_when_scripts_lead_to_it() {
        let scripts = ["1.0", "1.0--1.1", "1.1--1.2", "1.3--1.4", "unpackaged--1.0"];
        let scripts = scripts.map(str::to_owned);
        let found: Vec<String> = versions(&scripts).into_iter().collect();
        assert_eq!(found, ["1.0", "1.1", "1.2"]);
    }

    #[test]
    fn control_files_are_read_as_the_server_does() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("extension");
        std::fs::create_dir_all(directory.path().join("other")).unwrap();
        std::fs::create_dir(&below).unwrap();
        for (name, text) in [
            (
                "extension/a.control",
                "comment = 'x'\ndefault_version = '2' # new\n",
            ),
            ("extension/a--1.sql", ""),
            ("extension/a--1--2.sql", ""),
            ("extension/a--2.control", "default_version = '9'\n"),
            ("extension/ab--7.sql", ""),
            (
                "extension/b.control",
                "directory = 'other'\ndefault_version='3'\n",
            ),
            ("other/b--3.sql", ""),
            ("extension/README", ""),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let found = read_directory(directory.path(), &below).unwrap();
        let available = |default: &str, versions: &[&str]| Available {
            default_version: default.to_owned(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
        };
        let expected = Extensions::from([
            ("a".to_owned(), available("2", &["1", "2"])),
            ("b".to_owned(), available("3", &["3"])),
        ]);
        assert_eq!(found, expected);
    }
}
