//! The files of the repository, and what a check says of them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Folders that are built or fetched, never written by hand.
const FOLDERS_SKIPPED: &[&str] = &["target", ".git", ".cache", "node_modules", "corpus"];

/// What is read; everything else is data.
const EXTENSIONS: &[&str] = &["rs", "proto", "md", "toml", "sql", "sh", "service", "txt"];

/// Scripts without an extension.
const NAMES: &[&str] = &["Makefile", "run", "setup", "env", "demo"];

/// One text file; its path is relative to the root, with `/` between the parts.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }
}

/// The tree under check: the real one, or one made up by a test.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub files: Vec<File>,
}

impl Tree {
    /// The repository this test was built from.
    pub fn real() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = Vec::new();
        read_folder(root, root, &mut files);
        files.sort_by(|left, right| left.path.cmp(&right.path));
        assert!(
            files.len() > 50,
            "{} files under {}",
            files.len(),
            root.display()
        );
        Self { files }
    }

    /// A tree of the given paths and texts.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    /// Files whose path starts and ends so.
    pub fn under<'a>(
        &'a self,
        prefix: &'a str,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| {
            file.path.starts_with(prefix) && has_extension(&file.path, extension)
        })
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// From 1; 0 where the file as a whole is meant.
    pub line: usize,
    pub message: String,
}

impl Finding {
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Fails with every finding, one a line.
#[track_caller]
pub fn assert_none(findings: &[Finding]) {
    use std::fmt::Write as _;
    let mut lines = String::new();
    for finding in findings {
        writeln!(lines, "{finding}").unwrap();
    }
    assert!(findings.is_empty(), "{} findings:\n{lines}", findings.len());
}

/// Fails unless the findings are at exactly these places.
#[track_caller]
pub fn assert_found(findings: &[Finding], places: &[(&str, usize)]) {
    let found: Vec<_> = findings
        .iter()
        .map(|it| (it.path.as_str(), it.line))
        .collect();
    assert_eq!(found, places, "{findings:#?}");
}

pub fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            if !FOLDERS_SKIPPED.contains(&name.as_str()) {
                read_folder(root, &path, files);
            }
        } else if kind.is_file() && is_read(&path, &name) {
            files.push(File {
                path: relative(root, &path),
                text: read(&path),
            });
        }
    }
}

fn is_read(path: &Path, name: &str) -> bool {
    let extension = path
        .extension()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    EXTENSIONS.contains(&extension) || NAMES.contains(&name)
}

fn relative(root: &Path, path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root).unwrap().to_owned();
    path.to_str().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
