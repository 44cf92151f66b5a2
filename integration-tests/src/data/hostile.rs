//! Names that have broken backup tools: each is a legal PostgreSQL name.

/// Names for databases, schemas, tables and roles.
pub const NAMES: &[&str] = &[
    "host=evil port=1",
    "postgresql://evil/x",
    "--file=x",
    "-Fc",
    "a'b",
    "a\"b",
    "a\\b",
    "two\nlines",
    "tab\there",
    " spaces ",
    "%s%n$PATH`id`$(id)",
    "semi;colon--",
    "e\u{301}\u{1F600}",
    "sixty-three-bytes-sixty-three-bytes-sixty-three-bytes-sixty-thr",
    "dbname='x'",
    "*?[a].b",
];

/// An SQL identifier that means exactly this name.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
