//! Labels: `key=value` pairs on agents and backups, and the names of configured things.

use std::collections::BTreeMap;

/// Labels in key order.
pub type Labels = BTreeMap<String, String>;

/// Why a label or a name was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    /// There is no `=`.
    #[error("`{0}` is not of the form key=value")]
    NoEquals(String),
    /// The key breaks the rule of [`key_is_valid`].
    #[error("label key `{0}` must be 1 to 63 characters of a-z, 0-9, `-`, `_`, `.` or `/`")]
    Key(String),
    /// The value is longer than 255 bytes or holds a control character.
    #[error("the value of label `{0}` must be at most 255 bytes without control characters")]
    Value(String),
}

/// Whether a label key has 1 to 63 characters of `a-z 0-9 - _ . /`.
pub fn key_is_valid(key: &str) -> bool {
    (1..=63).contains(&key.len())
        && key
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/'))
}

/// Whether a configured name has 2 to 63 characters of `a-z 0-9 -`, starting with a letter.
pub fn name_is_valid(name: &str) -> bool {
    (2..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Parses one `key=value`.
pub fn parse(text: &str) -> Result<(String, String), LabelError> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| LabelError::NoEquals(text.to_owned()))?;
    check(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Checks one pair against the rules of this module.
pub fn check(key: &str, value: &str) -> Result<(), LabelError> {
    if !key_is_valid(key) {
        return Err(LabelError::Key(key.chars().take(80).collect()));
    }
    if value.len() > 255 || value.chars().any(char::is_control) {
        return Err(LabelError::Value(key.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_parse_or_say_why() {
        assert_eq!(parse("env=prod"), Ok(("env".into(), "prod".into())));
        assert_eq!(parse("note=a=b"), Ok(("note".into(), "a=b".into())));
        assert!(matches!(parse("env"), Err(LabelError::NoEquals(_))));
        assert!(matches!(parse("=x"), Err(LabelError::Key(_))));
        assert!(matches!(parse("Env=x"), Err(LabelError::Key(_))));
        assert!(matches!(parse("env=a\nb"), Err(LabelError::Value(_))));
        assert!(name_is_valid("local") && !name_is_valid("-x") && !name_is_valid("a"));
    }
}
