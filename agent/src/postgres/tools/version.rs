//! Version numbers of client programs and servers.

use std::fmt;

/// A PostgreSQL version from 10 on: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolVersion {
    /// 15, 16, 18, ...
    pub major: u32,
    /// The minor release; 0 for development versions such as `19devel`.
    pub minor: u32,
}

impl ToolVersion {
    /// The version in the line that `--version` prints, such as
    /// `pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("(PostgreSQL) ")?;
        let number = rest.split_whitespace().next()?;
        let (major, rest) = split_digits(number)?;
        let minor = rest
            .strip_prefix('.')
            .and_then(split_digits)
            .map_or(0, |(minor, _)| minor);
        Some(Self { major, minor })
    }

    /// The version of `server_version_num`, such as 150020.
    pub const fn from_number(number: u32) -> Self {
        Self {
            major: number / 10_000,
            minor: number % 10_000,
        }
    }
}

fn split_digits(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

impl fmt::Display for ToolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_or_refused() {
        for (text, expected) in [
            (
                "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n",
                Some((15, 20)),
            ),
            ("pg_dump (PostgreSQL) 18.4", Some((18, 4))),
            ("postgres (PostgreSQL) 19devel", Some((19, 0))),
            ("pg_dump (PostgreSQL) 18beta1", Some((18, 0))),
            ("pg_dump 15", None),
            ("pg_dump (PostgreSQL) ", None),
            ("pg_dump (PostgreSQL) x", None),
            ("pg_dump (PostgreSQL) 99999999999", None),
        ] {
            let found = ToolVersion::parse(text).map(|v| (v.major, v.minor));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(ToolVersion::from_number(150_020).to_string(), "15.20");
    }
}
