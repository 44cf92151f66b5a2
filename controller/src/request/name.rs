//! Resource names such as `runs/{run}`, and ids that may be shortened while they are unique.

use super::violations::Violations;
use provado_model::{Error, Reason};
use std::fmt::Display;
use std::str::FromStr;

/// Fewest characters of a shortened id.
const PART_CHARS_MIN: usize = 4;

/// Which thing is meant: by its whole id, by a part of its id, or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<T> {
    /// The whole id.
    Id(T),
    /// The beginning or the end of an id: hexadecimal digits and hyphens, lower case.
    Part(String),
    /// Neither: a name chosen by an operator.
    Name(String),
}

/// `{collection}/{id}`.
pub fn name_of(collection: &str, id: impl Display) -> String {
    format!("{collection}/{id}")
}

/// The part after `{collection}/`; a name without a collection is taken as the part itself, since
/// people type it so. Errors: `INVALID_ARGUMENT`.
pub fn collection_id<'a>(
    field: &'static str,
    collection: &str,
    name: &'a str,
) -> Result<&'a str, Error> {
    let wrong = || {
        Violations::of(
            field,
            format!("must have the form {collection}/{{id}} with a non-empty id"),
        )
    };
    let id = match name.split_once('/') {
        None => name,
        Some((first, rest)) if first == collection => rest,
        Some(_) => return Err(wrong()),
    };
    if id.is_empty() || id.len() > 255 || id.contains('/') || id.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(id)
}

/// What a name in a request refers to. Errors: `INVALID_ARGUMENT`.
pub fn reference<T: FromStr>(
    field: &'static str,
    collection: &str,
    name: &str,
) -> Result<Reference<T>, Error> {
    let id = collection_id(field, collection, name)?;
    if let Ok(whole) = id.parse() {
        return Ok(Reference::Id(whole));
    }
    let lower = id.to_ascii_lowercase();
    let is_part = (PART_CHARS_MIN..36).contains(&lower.len())
        && lower
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    Ok(if is_part {
        Reference::Part(lower)
    } else {
        Reference::Name(id.to_owned())
    })
}

/// The one thing that fits a shortened id, if any does; `id` tells how to name each candidate.
/// Error: `NAME_AMBIGUOUS` for more than one.
pub fn only<T>(
    mut found: Vec<T>,
    what: &'static str,
    name: &str,
    id: impl Fn(&T) -> String,
) -> Result<Option<T>, Error> {
    if let [first, second, ..] = found.as_slice() {
        let shown = bare(name);
        return Err(Error::new(
            Reason::NameAmbiguous,
            format!(
                "`{shown}` fits more than one {what}, such as {} and {}; write more of the id",
                id(first),
                id(second)
            ),
        )
        .with(what, shown));
    }
    Ok(found.pop())
}

/// The error for a name that means nothing.
pub fn not_found(reason: Reason, what: &'static str, name: &str) -> Error {
    let shown = bare(name);
    Error::new(
        reason,
        format!("there is no {what} `{shown}`; `provado {what} list` shows all"),
    )
    .with(what, shown)
}

/// A name as people write it: without its collection, and not longer than a message can bear.
fn bare(name: &str) -> String {
    let bare = name.split_once('/').map_or(name, |(_, bare)| bare);
    bare.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_model::id::RunId;

    #[test]
    fn what_is_not_found_or_not_alone_is_told_by_its_own_name() {
        let error = not_found(Reason::RunNotFound, "run", "runs/0192");
        assert_eq!(
            error.message,
            "there is no run `0192`; `provado run list` shows all"
        );
        let check = |found: &[u8]| {
            let found = found.to_vec();
            only(found, "run", "runs/0192", ToString::to_string).map_err(|error| error.message)
        };
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[7]), Ok(Some(7)));
        assert_eq!(
            check(&[7, 8]).unwrap_err(),
            "`0192` fits more than one run, such as 7 and 8; write more of the id"
        );
    }

    #[test]
    fn names_parse_or_are_refused() {
        let id: RunId = "0192a3b4-0000-7000-8000-00000000abcd".parse().unwrap();
        let parse = |name: &str| reference::<RunId>("name", "runs", name);
        assert_eq!(parse(&name_of("runs", id)).unwrap(), Reference::Id(id));
        assert_eq!(parse(&id.to_string()).unwrap(), Reference::Id(id));
        for (text, part) in [("runs/ABCD", "abcd"), ("0192a3b4-00", "0192a3b4-00")] {
            assert_eq!(parse(text).unwrap(), Reference::Part(part.to_owned()));
        }
        for (text, name) in [("runs/abc", "abc"), ("db-main", "db-main"), ("runs/%", "%")] {
            assert_eq!(parse(text).unwrap(), Reference::Name(name.to_owned()));
        }
        for bad in [
            "",
            "runs/",
            "backups/abcd",
            "runs/a/b",
            "runs/a\nb",
            "/",
            "/abcd",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
